"""torchvision, without torch's compiler, which takes a second and 150 MiB of each process.

An operator wants to know what that supports; another module stands there until somebody asks.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_ASKED = "torch._dynamo.utils"
_stand_in = ModuleType(_ASKED)


def _true() -> ModuleType:
    if sys.modules.get(_ASKED) is _stand_in:
        del sys.modules[_ASKED]
    return import_module(_ASKED)


def _value(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(_true(), name)


def _is_compile_supported(*args: Any) -> Any:
    return _true().is_compile_supported(*args)


vars(_stand_in).update(is_compile_supported=_is_compile_supported, __getattr__=_value)
if "torchvision" not in sys.modules:
    sys.modules.setdefault(_ASKED, _stand_in)
try:
    import torchvision
finally:
    if sys.modules.get(_ASKED) is _stand_in:
        del sys.modules[_ASKED]

__all__ = ["torchvision"]
