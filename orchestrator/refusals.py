"""How a refused study is explained: the key, the value, what is valid, the nearest spelling."""

import difflib
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from trainables.recipe import Recipe


class _Explain:
    """Callable with helpers, so that one name carries one way of explaining."""

    def __call__(self, error: ValidationError, model: type[BaseModel]) -> str:
        """Return the first refusal of a validation as one message."""
        refusals = error.errors(include_url=False)
        # An unknown key explains more than what is missing because of it.
        refusals.sort(key=lambda refusal: refusal["type"] != "extra_forbidden")
        return _sentence(refusals[0], model) + _more(len(refusals) - 1)

    @staticmethod
    def unknown(key: str, valid: Sequence[str]) -> str:
        """Return the sentence for a key or name that is not known."""
        close = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}? Valid" if close else "valid"
        return f"{key!r} is not known; {hint} are {', '.join(valid)}"

    @staticmethod
    def first(error: ValidationError) -> str:
        """Return the first refusal of a nested validation, without its place."""
        refusal = error.errors(include_url=False)[0]
        return _reason(refusal)


explain = _Explain()


def _more(count: int) -> str:
    return f" ({count} more after that)" if count else ""


def _sentence(refusal: Any, model: type[BaseModel]) -> str:
    path = [part for part in refusal["loc"] if _is_key(part)]
    key = ".".join(str(part) for part in path)
    if refusal["type"] == "extra_forbidden":
        *block, last = path or [""]
        fields = list(_model_at(model, block).model_fields)
        where = f"{'.'.join(map(str, block))}: " if block else ""
        return f"{where}key {explain.unknown(str(last), fields)}."
    if refusal["type"] == "missing":
        return f"{key}: this key is needed."
    reason = _reason(refusal)
    value = refusal.get("input")
    shown = "" if isinstance(value, dict | BaseModel) or repr(value) in reason else f" {value!r}:"
    return f"{key}:{shown} {reason}." if key else f"{reason}."


def _reason(refusal: Any) -> str:
    inner = refusal.get("ctx", {}).get("error")
    if isinstance(inner, ValidationError):
        return explain.first(inner)
    message = str(inner) if inner is not None else str(refusal["msg"])
    place = [str(part) for part in refusal["loc"] if isinstance(part, str)]
    if refusal["type"] == "extra_forbidden" and place:
        from trainables.recipe import Recipe

        return "key " + explain.unknown(place[-1], list(Recipe.model_fields))
    return message[0].lower() + message[1:].rstrip(".") if message else "impossible value"


def _is_key(part: Any) -> bool:
    # pydantic puts the tried member of a union into the place: not a key of the file.
    return isinstance(part, int) or (
        not re.fullmatch(r"str|int|float|[A-Z]\w*|.*[\[\]-].*", part) if part else True
    )


def _model_at(model: type[BaseModel], path: Sequence[Any]) -> type[BaseModel]:
    for part in path:
        if part == "recipe":
            return Recipe
        field = model.model_fields.get(str(part))
        inner = _submodel(field.annotation) if field else None
        if inner is None:
            return model
        model = inner
    return model


def _submodel(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            found = _submodel(member)
            if found:
                return found
    return None
