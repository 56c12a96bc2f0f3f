import sys
from pathlib import Path

import pytest

from trainables import functions
from trainables.functions import load_function


def test_a_function_is_found_by_its_name() -> None:
    assert load_function("json:dumps")({"a": 1}) == '{"a": 1}'
    assert load_function("os.path:basename")("a/b") == "b"


@pytest.mark.parametrize("name", ["json", "json:", ":dumps", ""])
def test_names_of_another_form(name: str) -> None:
    with pytest.raises(ImportError, match=r"not of the form package\.module:function"):
        load_function(name)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ImportError, match=r"no_such_package of no_such_package:f cannot be imp"):
        load_function("no_such_package:f")
    with pytest.raises(ImportError, match=r"json has no function dmups; dumps is there"):
        load_function("json:dmups")
    with pytest.raises(ImportError, match=r"json has no function __name__$"):
        load_function("json:__name__")


def test_the_order_in_which_modules_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, here = tmp_path / "mine", tmp_path / "here"
    for folder, name in (
        (mine, "random"),
        (mine, "nets_w"),
        (here, "nets_w"),
        (here, "yaml"),
        (mine, "results"),
    ):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text("def net(n):\n    return __file__\n")
    monkeypatch.setattr(sys, "path", ["", str(here), *sys.path])
    monkeypatch.setattr(functions, "_folders", [])
    functions.see_modules([str(mine), str(here)])
    assert functions.own_folders() == (str(mine), str(here))
    assert functions.load_function("nets_w:net")(1) == str(mine / "nets_w.py")
    # The standard library and these packages before the study's folder, that before what is
    # installed, and the working folder last.
    assert functions.places_of("nets_w") == [str(mine), str(here)]
    assert functions.places_of("random")[1] == str(mine)
    assert functions.places_of("results")[1] == str(mine)
    assert functions.places_of("yaml")[-1] == str(here)
    assert len(functions.places_of("yaml")) == 2
    with pytest.raises(ImportError, match=r"random \(.*\) has no function net"):
        functions.load_function("random:net")
