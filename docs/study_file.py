"""Writes docs/study-file.md and docs/study.schema.json from the models: `make docs`."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.study.file import schema_text, study_schema

_HERE = Path(__file__).parent

EXAMPLES: Mapping[str, Any] = {
    "name": "cifar10-resnets",
    "trainable": "simulated",
    "metric.column": "rmse",
    "metric.goal": "min",
    "metric.unit": "px",
    "data.source": "imagefolder",
    "data.path": "images",
    "data.validation": 5000,
    "data.test": 0.2,
    "data.group": "patient",
    "data.image": "photo",
    "data.label": "species",
    "data.fit": "squash",
    "data.background": "black",
    "data.range": [0, 4095],
    "data.damaged": "skip",
    "data.max_pixels": 400000000,
    "factors.model": ["resnet18", "resnet50", "my_models:tiny"],
    "factors.weights": ["none", "IMAGENET1K_V1", {"mine": "weights/{model}.safetensors"}],
    "factors.fraction": ["1/16", 0.5, 1],
    "recipe.epochs": 30,
    "recipe.steps": 2000,
    "recipe.examples": 100000,
    "recipe.evaluations": 10,
    "recipe.batch_size": 64,
    "recipe.optimizer": "sgd",
    "recipe.lr": 0.1,
    "recipe.momentum": 0.95,
    "recipe.nesterov": True,
    "recipe.weight_decay": 0.0005,
    "recipe.decay_norms": False,
    "recipe.clip_norm": 1.0,
    "recipe.label_smoothing": 0.1,
    "recipe.class_weights": "balanced",
    "recipe.sampling": "balanced",
    "recipe.mixup": 0.2,
    "recipe.cutmix": 1.0,
    "recipe.schedule": "cosine",
    "recipe.step_size": 30,
    "recipe.gamma": 0.2,
    "recipe.decay": 0.1,
    "recipe.warmup": 2,
    "recipe.augmentation": "standard",
    "recipe.freeze": "backbone",
    "recipe.precision": "fp32",
    "recipe.stem": "cifar",
    "recipe.image_size": "96x224",
    "recipe.normalization": "data",
    "search.algorithm": "optuna",
    "search.samples": 16,
    "search.seed": 7,
    "early_stopping.compare": ["fraction"],
    "early_stopping.grace": 2,
    "early_stopping.reduction_factor": 4,
    "seeds.at_least": 3,
    "seeds.at_most": 8,
    "seeds.looks": [3, 5, 8],
    "seeds.smallest": 0.5,
    "resources.cpu": 2,
    "resources.gpu": "1/4",
    "resources.max_trials_per_gpu": 4,
    "test": "final",
    "order": "longest-first",
    "checkpoint_seconds": 120,
    "keep_checkpoints": "best",
    "reuse": ["runs/other"],
    "max_failures": 0,
    "exclude": {"0f3a91c2d4e5b678": "its images were mislabelled"},
    "prices.label": 0.05,
    "prices.hour": 2.2,
    "trial_timeout": 30,
    "trackers.tensorboard": {"folder": "logs"},
    "trackers.mlflow": {"uri": "http://host:5000"},
    "trackers.wandb": {"project": "sizes"},
}
"""One for every key; a key without one is an error."""

_ABOUT: Mapping[str, str] = {
    "data": "",
    "metric": "A name, such as `metric: balanced_accuracy` (`accuracy` by default), or a block. "
    "Recipes are chosen, trials stopped and cells compared by it; it is no part of a trial.",
    "factors": "Every combination of levels is one cell. Any recipe field may be a factor too, "
    "such as `optimizer: [adam, sgd]`; it is then left out of `recipe`.",
    "recipe": "One of `epochs`, `steps` and `examples` is the budget.",
    "search": "Any recipe field, with a list (`lr: [1e-3, 1e-4]`) or one distribution: "
    "`{choice: […]}`, `{uniform: [low, high]}`, `{loguniform: [low, high]}`, "
    "`{randint: [low, high]}`; it is then left out of `recipe`. Every cell tries the same recipes "
    "with a seed of its own, and measures its winner with all seeds. Besides the fields:",
    "early_stopping": "It stops recipes of a search, never what is measured; "
    "without a search, a `compare` other than `cell` makes the study a race. "
    "`scalestudy replay` shows on recorded curves what other rules had saved and cost.",
    "seeds": "Listed, such as `seeds: [0, 1, 2]` (`[0]` by default), or counted: at each look, the "
    "cells that an open comparison of the answer still needs get the seeds of the next.",
    "resources": "",
    "prices": "They change no number but the `price` of steps in the report; `scalestudy plan` "
    "reckons with the hour too.",
    "trackers": "Their libraries come with `pip install 'scalestudy[trackers]'`; keys and "
    "passwords come from the environment, never from the file. One that fails is given up for the "
    "pass, and the study goes on. They are called while the study runs: a server that is silent "
    "holds it up for as long as its library waits (`MLFLOW_HTTP_REQUEST_TIMEOUT`).",
}
_STANDARD = {
    "model": "torchvision's classification models, or `package.module:function` of your own.",
    "weights": "`none`, torchvision's names, the path of a file or folder, or `{label: path}`, "
    "whose path may hold `{model}`. `{label: {path, entry, head: fresh, normalization}}` says more "
    "of them: see [own weights](extending.md#weights).",
    "fraction": "Shares of the training pool (`1/16`, 0.5, 1), or numbers of images. One seed's "
    "subsets are nested and class-stratified.",
}
_INTRO = """# The study file

<!-- Written by `make docs` from the models that check a study file; edits here are lost. -->

A study is one YAML file. `scalestudy init` writes one to start from, `scalestudy plan` says what it
would train and what stands against it, `--set key=value` overrides a key for one command. Every
key but `name` may be left out. Paths in it start from the file's folder.

Numbers may be written in any way: `1e-3`, `0.001` and `"1e-3"` are one value. A key or value that
is not known is refused, with what is valid and the nearest spelling.

`study.schema.json` beside this page is the file's JSON Schema (`scalestudy init --schema` puts it
beside the study). Editors complete and check a file that begins
with

```yaml
# yaml-language-server: $schema=study.schema.json
```
"""


def page() -> str:
    """Return the page, every key with its type, default, meaning and an example."""
    schema = study_schema()
    parts = [_INTRO]
    plain, blocks = {}, {}
    for name, field in schema["properties"].items():
        found = _fields_of(name, field)
        (blocks if found else plain)[name] = (field, found)
    rows = [
        _row(name, field, name, name in schema["required"]) for name, (field, _) in plain.items()
    ]
    parts.append(_table("Keys without a block", rows))
    for name, (field, found) in blocks.items():
        about = [field.get("description", ""), _ABOUT[name]]
        shown = [_row(key, own, f"{name}.{key}") for key, own in found.items()]
        text = " ".join(part for part in about if part)
        parts.append(_table(f"`{name}`", shown, text))
    unused = EXAMPLES.keys() - {key for key, _ in keys()}
    if unused:
        raise ValueError(f"examples of keys that do not exist: {', '.join(sorted(unused))}")
    return "\n".join(parts)


def keys() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every key of the page, dotted, with its schema."""
    for name, field in study_schema()["properties"].items():
        found = _fields_of(name, field)
        if not found:
            yield name, field
        for key, own in found.items():
            yield f"{name}.{key}", own


def _fields_of(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a block that are told one by one; none where it is no block."""
    block = (
        field
        if "properties" in field
        else next(
            (kind for kind in field.get("anyOf", ()) if "properties" in kind and name != "path"), {}
        )
    )
    own = dict(block.get("properties", {}))
    recipe = study_schema()["properties"]["recipe"]["properties"]
    if name in ("factors", "search"):
        own = {key: value for key, value in own.items() if key not in recipe}
    if name == "factors":
        own = {key: {**value, "description": _STANDARD[key]} for key, value in own.items()}
    return own


def _row(key: str, field: dict[str, Any], path: str, needed: bool = False) -> str:
    cells = [
        f"`{key}`",
        _type(field),
        "needed" if needed else _default(field),
        field["description"],
        f"`{key}: {_yaml(EXAMPLES[path])}`",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _table(title: str, rows: list[str], about: str = "") -> str:
    head = ["| key | type | default | meaning | example |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([f"\n## {title}\n", *([about, ""] if about else []), *head, *rows])


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    return "–" if default is None else f"`{_yaml(default)}`"


def _type(field: dict[str, Any]) -> str:
    kinds = _kinds(field)
    # Text that is a number is read as one: not worth a word in each row.
    is_number = any(kind.get("type") in ("integer", "number", "boolean") for kind in kinds)
    words = []
    for kind in kinds:
        is_text = kind.get("pattern") or "enum" in kind
        if is_number and is_text and kind.get("pattern") != _SHARE:
            continue
        words.append(_kind(kind))
    return ", ".join(dict.fromkeys(word for word in words if word))


def _kinds(field: dict[str, Any]) -> list[dict[str, Any]]:
    return (
        [each for kind in field["anyOf"] for each in _kinds(kind)] if "anyOf" in field else [field]
    )


_SHARE = r"^[\d. eE+/-]+$"


def _kind(kind: dict[str, Any]) -> str:
    if "const" in kind:
        return f"`{kind['const']}`"
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    if kind.get("type") == "array":
        return f"list of: {_type(kind['items'])}"
    if kind.get("type") == "object":
        inner = kind.get("properties")
        return f"`{{{', '.join(f'{key}: …' for key in inner)}}}`" if inner else "`{label: path}`"
    names = {
        "integer": "whole number",
        "number": "number",
        "boolean": "`true`, `false`",
        "string": "a share such as `1/4`" if kind.get("pattern") == _SHARE else "text",
        "null": "",
    }
    limits = [
        f"{words} {kind[limit]:,}"
        for limit, words in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if limit in kind and abs(kind[limit]) < 2**31
    ]
    return " ".join([names[kind["type"]], ", ".join(limits)]).strip()


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_yaml(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def main() -> None:
    """Write both files, into the folder named or beside this script."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _HERE
    (folder / "study-file.md").write_text(page() + "\n")
    (folder / "study.schema.json").write_text(schema_text())


if __name__ == "__main__":
    main()
