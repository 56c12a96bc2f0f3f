"""torchvision, imported without torch's compiler, which a second and 150 MiB of a process go to.

Its operators want to know what the compiler supports; nobody who trains eagerly asks them.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_ASKED = "torch._dynamo.utils"


def _is_compile_supported(*args: Any) -> Any:
    return import_module(_ASKED).is_compile_supported(*args)


_absent = ModuleType(_ASKED)
vars(_absent)["is_compile_supported"] = _is_compile_supported
_is_new = "torchvision" not in sys.modules and sys.modules.setdefault(_ASKED, _absent) is _absent
try:
    import torchvision
finally:
    if _is_new:
        del sys.modules[_ASKED]

__all__ = ["torchvision"]
