"""The file of a study: YAML without surprises, settings on top of it, and what a run left."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import StudyError
from orchestrator.study.recipes import DISTRIBUTIONS
from orchestrator.study.schema import schema_of
from orchestrator.study.study import Study, study_from
from results.store.store import Store
from trainables.recipe import BUDGET_FIELDS

_LARGEST = 2**20
_MOST_VALUES, _DEEPEST = 20_000, 30
"""Values of a study file, each counted as often as it is meant, and blocks within each other."""


class _Loader(yaml.SafeLoader):
    """YAML without code, and without a key that silently overrides its twin."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    # Looked at before merge keys (<<) are filled in, which a key may well override.
    seen = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        is_key = isinstance(key, str | int | float | bool | None)
        if not is_key or key in seen:
            problem = f"the key {key!r} stands twice" if is_key else "a list or block is no key"
            raise _refused(problem, key_node)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _loaded(text: str) -> Any:
    """Return what YAML text holds; refused where a few lines mean more than any study does."""
    loader = _Loader(text)
    node = loader.get_single_node()
    if node is None:
        return None
    for number, each in enumerate(_nodes(node)):
        if number > _MOST_VALUES:
            raise _refused(f"more than {_MOST_VALUES:,} values, which no study holds", each)
    return loader.construct_document(node)


def _nodes(node: yaml.Node, depth: int = 0) -> Iterator[yaml.Node]:
    """Yield a node and all in it, which aliases repeat as often as they are meant."""
    if depth > _DEEPEST:
        raise _refused(f"blocks lie more than {_DEEPEST} deep in each other", node)
    yield node
    if isinstance(node, yaml.CollectionNode):
        for part in node.value:
            for inner in part if isinstance(part, tuple) else (part,):
                yield from _nodes(inner, depth + 1)
    elif any("\ud800" <= sign <= "\udfff" for sign in node.value):
        raise _refused("half of a sign (a lone surrogate) is no text", node)


def _refused(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _read(file: Path) -> Any:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StudyError(f"{file}: cannot be read: {error.strerror}.") from None
    if len(content) > _LARGEST:
        raise StudyError(f"{file}: larger than 1 MiB, which no study file is; is it another file?")
    try:
        values = _loaded(content.decode())
    except UnicodeDecodeError:
        raise StudyError(f"{file}: not a text file (UTF-8 YAML is needed).") from None
    except Exception as error:  # a tag on a value that it does not fit raises anything
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or (str(error).splitlines() or [""])[0]
        raise StudyError(f"{file}:{where} not valid YAML: {problem}.") from None
    if values is None:
        raise StudyError(f"{file}: the file is empty; `scalestudy init` writes one to start from.")
    return values


def _override(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise StudyError(f"--set {setting}: key=value is needed, such as recipe.epochs=3.")
    if not text.strip():
        raise StudyError(f"--set {setting}: no value; leave it out for the default, or say null.")
    try:
        value = _loaded(text)
    except Exception:
        raise StudyError(f"--set {setting}: {text!r} is not valid YAML.") from None
    *path, last = key.split(".")
    block = values
    for depth, part in enumerate(path, start=1):
        if block.get(part) is None:
            block[part] = {}
        block = block[part]
        if not isinstance(block, dict):
            raise StudyError(f"--set {setting}: {'.'.join(path[:depth])} is no block of keys.")
    block[last] = value


def study_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a study file."""
    schema = schema_of(Study) | {"title": "A study of scalestudy"}
    blocks = schema["properties"]
    recipe, search = blocks["recipe"]["properties"], blocks["search"]["anyOf"][0]
    lists = {name: _list_of(name, field) for name, field in recipe.items()}
    blocks["factors"]["properties"] |= lists
    tuned = {name: _tuned(field, lists[name]) for name, field in recipe.items()}
    del search["properties"]["fields"], search["required"]
    search["properties"] = tuned | search["properties"]
    search["anyOf"] = [{"required": [name]} for name in recipe]
    return schema


def _list_of(name: str, field: dict[str, Any]) -> dict[str, Any]:
    value = {key: part for key, part in field.items() if key not in ("description", "default")}
    if name in BUDGET_FIELDS:
        # A budget that is not meant is left out.
        value["anyOf"] = [kind for kind in value["anyOf"] if kind.get("type") != "null"]
    return {"type": "array", "items": value, "minItems": 1}


def _tuned(field: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of what a search tries of a recipe field: a list, or a distribution."""
    ends = {**values, "minItems": 2, "maxItems": 2}
    distribution = {
        "type": "object",
        "properties": {kind: values if kind == "choice" else ends for kind in DISTRIBUTIONS},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    about = {key: part for key, part in field.items() if key in ("description", "default")}
    return {**about, "anyOf": [values, distribution]}


def schema_text() -> str:
    """Return the schema as a file holds it."""
    return json.dumps(study_schema(), indent=2, ensure_ascii=False) + "\n"


def load_study(path: str | Path, settings: Iterable[str] = (), *, rooted: bool = True) -> Study:
    """Read and check a study file (YAML), with `key=value` settings such as `recipe.epochs=3`.

    Relative paths are taken from its folder, or left as written where it is not `rooted`. Raises
    StudyError: one message with file, key, value, what is valid and the nearest valid spelling.
    """
    file = Path(path)
    values = _read(file)
    for setting in settings if isinstance(values, dict) else ():
        _override(values, setting)
    return study_from(values, base=file.parent if rooted else None, file=str(path))


def recorded_study(store: Store) -> Study:
    """Return the study of a run directory as last run; StoreError or StudyError without one."""
    values = store.study()
    if (seed := _searched_with(values)) is not None:
        values["search"]["seed"] = seed
    return study_from(values, file=str(store.study_file))


def continued(study: Study, store: Store) -> Study:
    """Return the study with its validation share, its search seed and `test` resolved.

    What it does not state is as its run directory began, so that nothing is trained or searched
    twice, and curves go on alike; StoreError where that cannot be read.
    """
    recorded, own = store.study() if store.study_file.exists() else {}, dict[str, Any]()
    if study.test is None:
        # Before the key was there, every interval was tested.
        own["test"] = recorded.get("test", "every") if recorded else "auto"
    validation = (recorded.get("data") or {}).get("validation")
    if study.data.validation is None and validation is not None:
        own["data"] = study.data.model_copy(update={"validation": validation})
    if study.search and study.search.seed is None:
        seed = _searched_with(recorded)
        seed = study.search_seed if seed is None else seed
        own["search"] = study.search.model_copy(update={"seed": seed})
    return study.model_copy(update=own)


def _searched_with(values: dict[str, Any]) -> int | None:
    """Return the search seed of a recorded study; None where it has no search."""
    search, seeds = values.get("search"), values.get("seeds")
    if not isinstance(search, dict):
        return None
    # Before there was a seed of its own, the first of the study's was searched with.
    seed = search.get("seed", seeds[0] if isinstance(seeds, list) and seeds else None)
    return seed if isinstance(seed, int) else None
