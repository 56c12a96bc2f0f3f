import pytest

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
