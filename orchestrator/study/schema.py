"""The JSON Schema of a study file, from the models that check it, for editors and other tools.

It describes structure: keys, types, ranges. How values go together, and whether data and weights
are there, only `plan` can say.
"""

import json
from typing import Any

from pydantic import BaseModel

from orchestrator.study.blocks import EarlyStopping, MLflow, Resources, TensorBoard, Wandb
from orchestrator.study.levels import STANDARD_FACTORS
from orchestrator.study.recipes import DISTRIBUTIONS, Search
from orchestrator.study.study import Study
from trainables.recipe import BUDGETS, Recipe
from trainables.source import Source

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
# YAML 1.1 reads 1e-3 as text, and quotes make text of any number: both are read as numbers.
_WHOLE = r"^\s*[+-]?\d[\d_]*(\.0*)?\s*$"
_NUMBER = r"^\s*[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_FRACTION = r"^[\d. eE+/-]+$"
_TRUTHS = ["true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0"]
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

_Schema = dict[str, Any]


def study_schema() -> _Schema:
    """Return the JSON Schema (draft 2020-12) of a study file, as what `json` writes."""
    whole = _tidied(Study.model_json_schema())
    properties = whole["properties"]
    recipe = _recipe_fields()
    properties["name"] |= {"pattern": _NAME}
    properties["data"] = _block(Source, properties["data"])
    properties["data"]["properties"]["validation"] |= {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "string", "pattern": _NUMBER},
            {"const": "test"},
        ]
    }
    properties["data"]["properties"]["path"] |= {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {split: {"type": "string"} for split in ("train", "test")},
                "required": ["train", "test"],
                "additionalProperties": False,
            },
            {"type": "null"},
        ]
    }
    properties["factors"] = _kept(properties["factors"]) | _closed(_factors(recipe))
    properties["recipe"] = _kept(properties["recipe"]) | _closed(recipe)
    properties["search"] = _kept(properties["search"]) | {
        "anyOf": [_search(recipe), {"type": "null"}]
    }
    properties["early_stopping"] = _kept(properties["early_stopping"]) | {
        "anyOf": [_block(EarlyStopping, {}), {"enum": ["none", False, None]}]
    }
    properties["seeds"] |= {"uniqueItems": True}
    properties["resources"] = _block(Resources, properties["resources"])
    properties["resources"]["properties"]["gpu"] |= {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": _FRACTION},
            {"const": "auto"},
        ]
    }
    properties["trackers"] = _kept(properties["trackers"]) | {
        "anyOf": [_closed(_trackers()), {"type": "null"}]
    }
    return {
        "$schema": _DRAFT,
        "title": "A study of scalestudy",
        "description": whole["description"],
        **_closed(properties),
        "required": whole["required"],
    }


def schema_text() -> str:
    """Return the schema as a file holds it."""
    return json.dumps(study_schema(), indent=2, ensure_ascii=False) + "\n"


def _recipe_fields() -> _Schema:
    fields: _Schema = _tidied(Recipe.model_json_schema())["properties"]
    return fields


def _trackers() -> _Schema:
    blocks: dict[str, type[BaseModel]] = {
        "tensorboard": TensorBoard,
        "mlflow": MLflow,
        "wandb": Wandb,
    }
    found: _Schema = {}
    for name, model in blocks.items():
        block = _block(model, {})
        needed = [key for key, field in model.model_fields.items() if field.is_required()]
        found[name] = {
            "description": block.pop("description"),
            "default": None,
            "anyOf": [{**block, "required": needed}, {"type": "null"}],
        }
    return found


def _factors(recipe: _Schema) -> _Schema:
    weights = {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "null"},
            {
                "type": "object",
                "additionalProperties": {"type": "string", "minLength": 1},
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }
    fraction = {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "string", "pattern": _FRACTION},
        ]
    }
    levels: _Schema = {
        "model": {"type": "string", "minLength": 1},
        "weights": weights,
        "fraction": fraction,
    }
    standard = {
        name: {**_list_of(levels[name]), "default": STANDARD_FACTORS[name]} for name in levels
    }
    return standard | {name: _list_of(_value(name, field)) for name, field in recipe.items()}


def _search(recipe: _Schema) -> _Schema:
    rest = _tidied(Search.model_json_schema())["properties"]
    del rest["fields"]
    # What a search is, unless it says so itself, depends on its fields.
    rest = {name: _nullable(field) for name, field in rest.items()}
    pair = {"type": "array", "minItems": 2, "maxItems": 2}
    tuned = {}
    for name, field in recipe.items():
        value = _value(name, field)
        kinds = {
            kind: _list_of(value) if kind == "choice" else {**pair, "items": value}
            for kind in DISTRIBUTIONS
        }
        distribution = {**_closed(kinds), "minProperties": 1, "maxProperties": 1}
        tuned[name] = _kept(field) | {"anyOf": [_list_of(value), distribution]}
    return {**_closed({**tuned, **rest}), "anyOf": [{"required": [name]} for name in tuned]}


def _value(name: str, field: _Schema) -> _Schema:
    """Return the schema of one value of a recipe field, its description left out."""
    value = {key: entry for key, entry in field.items() if key not in ("description", "default")}
    if name in (*BUDGETS, "evaluations"):
        # Where no budget is meant the field is left out.
        kinds = [kind for kind in value.pop("anyOf") if kind != {"type": "null"}]
        value["anyOf"] = kinds
    return value


def _nullable(field: _Schema) -> _Schema:
    """Return a field that may also be null, which says the same as leaving it out."""
    kinds = field.get("anyOf") or [{key: field[key] for key in field if key in ("enum", "type")}]
    kept = _kept(field)
    return kept | {
        "anyOf": [*(kind for kind in kinds if kind != {"type": "null"}), {"type": "null"}]
    }


def _block(model: type[BaseModel], field: _Schema) -> _Schema:
    own = _tidied(model.model_json_schema())
    about = field.get("description") or own["description"]
    return {"description": about, **_closed(own["properties"])}


def _kept(field: _Schema) -> _Schema:
    return {key: field[key] for key in ("description", "default", "examples") if key in field}


def _closed(properties: _Schema) -> _Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _list_of(items: _Schema) -> _Schema:
    return {"type": "array", "items": items, "minItems": 1}


def _tidied(node: Any) -> Any:
    """Return pydantic's schema as a study file is read: limits named, text that is a number."""
    if isinstance(node, list):
        return [_tidied(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    found = {
        _LIMITS.get(key, key): _tidied(entry)
        for key, entry in node.items()
        if not (key == "title" and isinstance(entry, str))
    }
    if isinstance(found.get("description"), str):
        found["description"] = found["description"].replace("\n", " ")
    kind = found.get("type")
    if kind not in ("integer", "number", "boolean"):
        return found
    about = {key: found.pop(key) for key in ("description", "default", "examples") if key in found}
    text: _Schema = {"type": "string", "pattern": _WHOLE if kind == "integer" else _NUMBER}
    if kind == "boolean":
        text = {"enum": [*_TRUTHS, 0, 1]}
    return {"anyOf": [found, text], **about}
