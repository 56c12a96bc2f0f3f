"""How a refused study is explained: the key, the value, what is valid, the nearest spelling."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.study.schema import schema_of

Schema = Mapping[str, Any]
"""A JSON Schema, nothing in it by reference."""
_ABSENT: Any = object()
_MEANT = {
    **dict.fromkeys(("amp", "fp16", "mixed_precision"), "precision"),
    **dict.fromkeys(("mean", "std", "normalize"), "normalization"),
    **dict.fromkeys(("learning_rate", "base_lr", "max_lr"), "lr"),
    **dict.fromkeys(("gradient_clip_val", "max_norm", "grad_clip"), "clip_norm"),
    "wd": "weight_decay",
    **dict.fromkeys(("scheduler", "lr_scheduler"), "schedule"),
    **dict.fromkeys(("img_size", "resolution", "input_size"), "image_size"),
}
"""What other programs call a key."""
_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a word",
}
_LONGEST = 60
"""Characters of a value that messages show."""


class Refused(ValueError):
    """A value that a study cannot have: what is wrong, and what is valid.

    Keys lead to the value, below the block whose check raises the error; the value shown is by
    default the one that the check was given.
    """

    def __init__(self, reason: str, *, key: Sequence[str] = (), value: Any = _ABSENT) -> None:
        super().__init__(reason)
        self.key, self.value = tuple(key), value


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first refusal of a validation as one message; an unknown key comes first."""
    schema, refusals = schema_of(model), error.errors(include_url=False)
    refusals.sort(key=lambda refusal: refusal["type"] != "extra_forbidden")
    places = {tuple(_path(refusal, schema)) for refusal in refusals}
    more = f" ({len(places) - 1} more to mend after that)" if len(places) > 1 else ""
    return _sentence(refusals[0], schema) + more


def unknown_key(key: Any, valid: Iterable[str]) -> str:
    """Return why an unknown key is refused, and which keys are valid."""
    return f"key {shown(key)} is not known; {unknown(str(key), valid)}"


def unknown(key: str, valid: Iterable[str]) -> str:
    """Return which names are valid instead of one that is not, the nearest spelling first."""
    names = {name.lower(): name for name in valid}
    close = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.6)
    meant = _MEANT.get(key.lower().replace("-", "_"))
    near = meant if meant in names.values() else names[close[0]] if close else None
    listed = ", ".join(names.values())
    return f"did you mean {near}? Valid are {listed}" if near else f"valid are {listed}"


def shown(value: Any, depth: int = 2) -> str:
    """Return a value as a study file would hold it, cut to a line whatever it is."""
    if isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    elif isinstance(value, int):
        text = str(value) if value.bit_length() < 160 else f"a number of {value.bit_length()} bits"
    elif isinstance(value, str):
        text = repr(value) if len(value) < _LONGEST else f"{value[: _LONGEST - 4]!r}…"
    elif isinstance(value, list | tuple | set) and depth:
        few = [shown(entry, depth - 1) for entry in list(value)[:6]]
        text = f"[{', '.join([*few, '…'] if len(value) > 6 else few)}]"
    elif isinstance(value, dict) and depth:
        few = [f"{key}: {shown(entry, depth - 1)}" for key, entry in list(value.items())[:4]]
        text = f"{{{', '.join([*few, '…'] if len(value) > 4 else few)}}}"
    else:
        text = "…" if isinstance(value, list | tuple | set | dict) else str(value)
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST]}…"


def _sentence(refusal: Any, schema: Schema) -> str:
    path = _path(refusal, schema)
    if refusal["type"] == "extra_forbidden":
        *block, last = path
        return _joined(block, [unknown_key(last, _fields(schema, block))])
    if refusal["type"] == "missing":
        return _joined(path, ["this key is needed"])
    if refusal["type"] == "invalid_key":
        return _joined(path[:-1], [f"{shown(refusal['input'])} is no key; keys are names"])
    inner = refusal.get("ctx", {}).get("error")
    value = refusal["input"]
    # A whole block says less than the reason does.
    is_shown = not isinstance(value, BaseModel) and not (inner and isinstance(value, dict))
    if isinstance(inner, Refused):
        path = [*path, *inner.key]
        if inner.value is not _ABSENT:
            value, is_shown = inner.value, True
    needed = _at(schema, path)
    if isinstance(refusal["loc"][-1] if refusal["loc"] else None, int):
        needed = next(kind["items"] for kind in _kinds(needed) if "items" in kind)
    why = reason(refusal, needed)
    return _joined(path, [shown(value), why] if is_shown else [why])


def _joined(path: Sequence[str], parts: Sequence[str]) -> str:
    return ": ".join([*([".".join(path)] if path else []), *parts]) + "."


def reason(refusal: Any, schema: Schema) -> str:
    """Return what a check of ours says, else what a field needs; pydantic's own name types."""
    if inner := refusal.get("ctx", {}).get("error"):
        return str(inner).rstrip(".")
    if refusal["type"] in ("literal_error", "enum") and isinstance(refusal["input"], str):
        choices = [kind.get("enum", [kind.get("const")]) for kind in _kinds(schema)]
        return unknown(refusal["input"], [str(each) for some in choices for each in some if each])
    if refusal["type"] in ("less_than", "less_than_equal"):
        ((kind, bound),) = refusal["ctx"].items()
        words = {"lt": "below", "le": "of at most"}[kind]
        return f"{_noun(schema, limited=False)} {words} {bound:,} is needed"
    example = schema.get("examples")
    return f"{_noun(schema)} is needed{f', such as {shown(example[0])}' if example else ''}"


def _noun(schema: Schema, *, limited: bool = True) -> str:
    """Return what a schema describes in words, with its least value where that is asked for."""
    kinds = [kind for kind in _kinds(schema) if kind.get("type") != "null"]
    # Text may stand for numbers and truth values, which goes without saying.
    is_number = any(kind.get("type") in ("integer", "number", "boolean") for kind in kinds)
    told = [kind for kind in kinds if not is_number or ("type" in kind and "pattern" not in kind)]
    return " or ".join(dict.fromkeys(_word(kind, limited) for kind in told))


def _word(kind: Schema, limited: bool) -> str:
    if "const" in kind:
        return str(kind["const"])
    if "enum" in kind:
        return f"one of {', '.join(map(str, kind['enum']))}"
    if kind["type"] == "array":
        return f"a list of {_noun(kind['items'], limited=False).removeprefix('a ')}s"
    if kind["type"] == "object":
        keys = ", ".join(kind.get("properties", ()))
        return f"a block of the keys {keys}" if keys else "a block of keys"
    word = "a path" if kind.get("format") == "path" else _WORDS[kind["type"]]
    bounds = {"minimum": "of at least", "exclusiveMinimum": "above"} if limited else {}
    least = [f" {words} {kind[bound]:g}" for bound, words in bounds.items() if bound in kind]
    return word + "".join(least)


def _path(refusal: Any, schema: Schema) -> list[str]:
    """Return the keys that lead to a refusal, without list positions and union members."""
    blocks, path = [*refusal["loc"]], list[str]()
    is_of_key = refusal["type"] in ("extra_forbidden", "missing", "invalid_key")
    key = [str(blocks.pop())] if is_of_key else []
    for part in blocks:
        path += [part] if part in _fields(schema, path) else []
    return path + key


def _fields(schema: Schema, path: Sequence[str]) -> list[str]:
    return [key for kind in _kinds(_at(schema, path)) for key in kind.get("properties", ())]


def _at(schema: Schema, path: Sequence[str]) -> Schema:
    """Return the schema of the field at a path; an empty one of none."""
    for part in path:
        blocks = (kind.get("properties", {}) for kind in _kinds(schema))
        schema = next((block[part] for block in blocks if part in block), {})
    return schema


def _kinds(schema: Schema) -> list[Schema]:
    """Return the schemas of which a value may fulfil any."""
    alternatives = schema.get("anyOf")
    return [each for kind in alternatives for each in _kinds(kind)] if alternatives else [schema]
