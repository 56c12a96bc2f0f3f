"""How the models that check a study write its JSON Schema (draft 2020-12): keys, types, ranges."""

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

# YAML 1.1 reads 1e-3 as text, and quotes make text of any number: both are read as numbers.
_WHOLE = r"^\s*[+-]?\d[\d_]*(\.0*)?([eE]\+?\d{1,2})?\s*$"
_NUMBER = r"^\s*[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_SHARE = r"^[\d. eE+/-]+$"
_TRUTHS = ["true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0", 0, 1]

Name = Annotated[str, pydantic.Field(min_length=1)]
"""Text that is not empty."""


def share(**limits: float) -> pydantic.WithJsonSchema:
    """Return the mark of a number, or of text such as 1/16; JSON Schema calls the limits so."""
    text = {"type": "string", "pattern": _SHARE}
    return pydantic.WithJsonSchema({"anyOf": [{"type": "number", **limits}, text]})


class Settings(pydantic.BaseModel):
    """Base of a study and its blocks, which never change once made and refuse unknown keys."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def read_as(annotation: Any) -> Any:
    """Return the mark of a field that a file writes as another type than the study holds."""
    return pydantic.GetPydanticSchema(
        get_pydantic_json_schema=lambda _, handler: handler(
            pydantic.TypeAdapter(annotation).core_schema
        )
    )


def schema_of(model: type[pydantic.BaseModel]) -> JsonSchemaValue:
    """Return the JSON Schema of a file that a model checks, nothing in it by reference."""
    whole = model.model_json_schema(schema_generator=_Generator)
    plain: JsonSchemaValue = _inlined(whole, whole.pop("$defs", {}))
    return {"$schema": GenerateJsonSchema.schema_dialect, **plain}


class _Generator(GenerateJsonSchema):
    """Writes numbers and truth values as YAML and pydantic read them: text may stand for each."""

    def int_schema(self, schema: Any) -> JsonSchemaValue:
        return {"anyOf": [super().int_schema(schema), {"type": "string", "pattern": _WHOLE}]}

    def float_schema(self, schema: Any) -> JsonSchemaValue:
        return {"anyOf": [super().float_schema(schema), {"type": "string", "pattern": _NUMBER}]}

    def bool_schema(self, schema: Any) -> JsonSchemaValue:
        return {"anyOf": [super().bool_schema(schema), {"enum": _TRUTHS}]}


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a schema with its references filled in and without titles, which say nothing."""
    if isinstance(node, list):
        return [_inlined(entry, definitions) for entry in node]
    if not isinstance(node, dict):
        return node.replace("\n", " ") if isinstance(node, str) else node
    if "$ref" in node:
        # What stands beside a reference is of the field, and comes before what the type says.
        node = definitions[node["$ref"].rpartition("/")[2]] | node
    return {
        key: _inlined(entry, definitions)
        for key, entry in node.items()
        if key != "$ref" and not (key == "title" and isinstance(entry, str))
    }
