"""How a refused study is explained: the key, the value, what is valid, the nearest spelling."""

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from trainables.recipe import Recipe

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
_LONGEST = 60
"""Characters of a value that messages show."""


class Refused(ValueError):
    """A value that a study cannot have, with a text on what is wrong and what is valid.

    Keys lead to the value, below the block whose check raises the error; the value shown is by
    default the one that the check was given.
    """

    def __init__(self, reason: str, *, key: Sequence[str] = (), value: Any = _ABSENT) -> None:
        super().__init__(reason)
        self.key, self.value = tuple(key), value


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first refusal of a validation as one message; an unknown key comes first."""
    refusals = error.errors(include_url=False)
    refusals.sort(key=lambda refusal: refusal["type"] != "extra_forbidden")
    places = {tuple(_path(refusal, model)) for refusal in refusals}
    more = f" ({len(places) - 1} more to mend after that)" if len(places) > 1 else ""
    return _sentence(refusals[0], model) + more


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


def reason(error: ValidationError, annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Return why a value was refused that was validated on its own, not as a block's."""
    refusal = error.errors(include_url=False)[0]
    return _own_reason(refusal) or _needed(refusal, annotation, metadata)


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


def _sentence(refusal: Any, model: type[BaseModel]) -> str:
    path = _path(refusal, model)
    if refusal["type"] == "extra_forbidden":
        *block, last = path
        return _joined(block, [unknown_key(last, _fields(model, block))])
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
    annotation, metadata = _field(model, path)
    if isinstance(refusal["loc"][-1] if refusal["loc"] else None, int):
        annotation, metadata = typing.get_args(annotation)[0], ()
        if typing.get_origin(annotation) is list:  # a list that a block may stand for
            annotation = typing.get_args(annotation)[0]
    why = _own_reason(refusal) or _needed(refusal, annotation, metadata)
    return _joined(path, [shown(value), why] if is_shown else [why])


def _joined(path: Sequence[str], parts: Sequence[str]) -> str:
    return ": ".join([*([".".join(path)] if path else []), *parts]) + "."


def _own_reason(refusal: Any) -> str | None:
    inner = refusal.get("ctx", {}).get("error")
    return None if inner is None else str(inner).rstrip(".")


def _needed(refusal: Any, annotation: Any, metadata: Sequence[Any]) -> str:
    """Return what a field needs; pydantic's own sentences name types, not what to write."""
    if refusal["type"] in ("literal_error", "enum") and isinstance(refusal["input"], str):
        return unknown(refusal["input"], map(str, _choices(annotation)))
    if refusal["type"] in ("less_than", "less_than_equal"):
        ((kind, bound),) = refusal["ctx"].items()
        words = {"lt": "below", "le": "of at most"}[kind]
        return f"{_noun(annotation)} {words} {bound:,} is needed"
    example = next((m.examples for m in metadata if isinstance(m, FieldInfo) and m.examples), None)
    such_as = f", such as {shown(example[0])}" if example else ""
    return f"{_noun(annotation, metadata)} is needed{such_as}"


def _noun(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _noun(arguments[0], [*arguments[1:], *metadata])
    if origin in (typing.Union, types.UnionType):
        arms = [_noun(arm) for arm in arguments if arm is not type(None)]
        return " or ".join(dict.fromkeys(arms))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}" if arguments[1:] else str(arguments[0])
    if origin is list:
        kind = arguments[0]
        while typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        return f"a list of {_noun(kind).removeprefix('a ')}s"
    if origin is dict or annotation is dict:
        return "a block of keys"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a block of the keys {', '.join(annotation.model_fields)}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    limits = [(bound, words) for bound, words in _limits(metadata) if bound is not None]
    least = max(limits, default=None)
    return names.get(annotation, "a path") + (f" {least[1]} {least[0]:g}" if least else "")


def _limits(metadata: Sequence[Any]) -> Iterator[tuple[Any, str]]:
    for limit in metadata:
        if isinstance(limit, FieldInfo):
            yield from _limits(limit.metadata)
        else:
            yield getattr(limit, "gt", None), "above"
            yield getattr(limit, "ge", None), "of at least"


def _choices(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [choice for part in typing.get_args(annotation) for choice in _choices(part)]


def _path(refusal: Any, model: type[BaseModel]) -> list[str]:
    """Return the keys that lead to a refusal, without list positions and union members."""
    path: list[str] = []
    for part in refusal["loc"]:
        is_last_key = refusal["type"] in ("extra_forbidden", "missing", "invalid_key")
        is_last_key = is_last_key and part is refusal["loc"][-1]
        if is_last_key or part in _fields(model, path):
            path.append(str(part))
    return path


def _fields(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    block = _block(_field(model, path)[0])
    return list(block.model_fields) if block is not None else []


def _field(model: type[BaseModel], path: Sequence[str]) -> tuple[Any, Sequence[Any]]:
    """Return the annotation and the metadata of the field at a path; of none, the model's own."""
    annotation: Any = model
    metadata: Sequence[Any] = ()
    for part in path:
        block = _block(annotation)
        field = block.model_fields.get(part) if block is not None else None
        if field is None:
            return None, ()
        annotation = Recipe if part == "recipe" else field.annotation
        metadata = [*field.metadata, field]
    return annotation, metadata


def _block(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_block(part) for part in typing.get_args(annotation))
    return next((block for block in inner if block), None)
