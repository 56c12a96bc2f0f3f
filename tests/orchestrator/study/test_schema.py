"""The JSON Schema of a study file: it says yes and no where `load_study` does."""

import json
from pathlib import Path
from typing import Any

import forks
import pytest
import yaml
from scripts import script
from studies import write

from orchestrator.errors import StudyError
from orchestrator.study.file import load_study, schema_text, study_schema
from orchestrator.study.presets import preset_names, preset_text
from trainables.recipe import Recipe

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[3]
VALIDATOR = jsonschema.Draft202012Validator(study_schema())

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"trainable": "simulated"},
    {"trainable": "mine.learners:Learner"},
    {"data": {"source": "parquet", "path": "images", "validation": 0.2}},
    {"data": {"path": {"train": "a.parquet", "test": "b.parquet"}, "source": "parquet"}},
    {"data": {"path": None, "validation": "5000"}},
    {"data": {"validation": "test"}},
    {"factors": {"model": ["a", "mine:net"], "fraction": ["1/16", 0.5, 1, 500, "0.25"]}},
    {"factors": {"weights": [None, "IMAGENET1K_V1", "w/a.pth", {"mine": "w/{model}.pth"}]}},
    {"factors": {"lr": ["1e-3", 1e-4, "0.01"], "optimizer": ["adam", "sgd"]}},
    {
        "recipe": {"optimizer": "sgd"},
        "factors": {"nesterov": [True, "no"], "batch_size": [32, "64", 128.0]},
    },
    {"factors": {"image_size": [None, 64, "96x224"]}},
    {"data": {"fit": "pad", "background": "#808080", "range": [0, 1], "damaged": "skip"}},
    {"recipe": {"epochs": None, "steps": 100, "evaluations": 5, "lr": "1e-3"}},
    {"recipe": {"image_size": None, "warmup": 0, "schedule": "cosine", "precision": "bf16"}},
    {"search": {"lr": [1e-3, "1e-4"], "samples": None}},
    {"search": {"lr": {"loguniform": ["1e-4", 1e-2]}, "samples": 4, "seed": 3}},
    {"search": {"optimizer": {"choice": ["adam", "sgd"]}, "algorithm": "random"}},
    {"search": {"batch_size": {"randint": [16, 64]}, "algorithm": "optuna"}},
    {"search": None},
    {"early_stopping": "none"},
    {"early_stopping": False},
    {"early_stopping": None},
    {"early_stopping": {}},
    {"early_stopping": {"compare": ["fraction", "model"], "grace": "2", "reduction_factor": 2}},
    {"early_stopping": {"compare": []}},
    {"seeds": [3, "4", 5.0]},
    {"seeds": {"at_least": 2, "at_most": "6", "looks": [2, 6], "smallest": 0.5}},
    {"resources": {"cpu": 2, "gpu": "1/3"}},
    {"resources": {"gpu": "auto", "max_trials_per_gpu": 4}},
    {"resources": {"gpu": 0.25, "max_trials_per_gpu": None}},
    {"order": "longest-first", "checkpoint_seconds": 0, "keep_checkpoints": "best"},
    {"max_failures": 0},
    {"prices": {"label": 0.05, "hour": 2.2}},
]
REFUSED: list[dict[str, Any]] = [
    {"name": None},
    {"name": "no spaces"},
    {"name": 5},
    {"nmae": "x"},
    {"trainable": 3},
    {"data": "digits"},
    {"data": {"sauce": "digits"}},
    {"data": {"path": {"test": "a"}}},
    {"data": {"path": 3}},
    {"data": {"validation": 0}},
    {"data": {"validation": "some"}},
    {"data": {"validation": True}},
    {"factors": ["model"]},
    {"factors": {"modle": ["a"]}},
    {"factors": {"model": []}},
    {"factors": {"model": "resnet18"}},
    {"factors": {"model": [18]}},
    {"factors": {"fraction": ["half"]}},
    {"factors": {"fraction": [0]}},
    {"factors": {"weights": [{"a": "x.pth", "b": "y.pth"}]}},
    {"factors": {"weights": [3]}},
    {"factors": {"lr": ["fast"]}},
    {"factors": {"lr": [-1.0]}},
    {"factors": {"epochs": [None, 3]}},
    {"recipe": {"lr": [1e-3]}},
    {"recipe": {"lr": True}},
    {"recipe": {"epoch": 3}},
    {"recipe": {"epochs": 0}},
    {"recipe": {"epochs": 1.5}},
    {"recipe": {"optimizer": "adm"}},
    {"recipe": {"momentum": 1}},
    {"recipe": {"image_size": 4}},
    {"recipe": None},
    {"search": {}},
    {"search": {"samples": 4}},
    {"search": {"lr": 1e-3}},
    {"search": {"lr": []}},
    {"search": {"lr": {"normal": [0, 1]}}},
    {"search": {"lr": {"uniform": [0.1]}}},
    {"search": {"lr": {"uniform": [0.1, 0.2], "choice": [0.1]}}},
    {"search": {"lr": [1e-3, 1e-2], "algorithm": "bayes"}},
    {"search": {"lr": {"uniform": [0.1, 0.2]}, "samples": 0}},
    {"early_stopping": True},
    {"early_stopping": "maybe"},
    {"early_stopping": {"grace": 0}},
    {"early_stopping": {"reduction_factor": 1}},
    {"early_stopping": {"compare": "model"}},
    {"early_stopping": {"patience": 3}},
    {"seeds": []},
    {"seeds": {"at_least": 1}},
    {"seeds": {"most": 8}},
    {"seeds": 3},
    {"seeds": [0, 0]},
    {"seeds": [-1]},
    {"seeds": [True]},
    {"resources": {"gpu": "all"}},
    {"resources": {"gpu": -1}},
    {"resources": {"cpu": 0}},
    {"resources": {"gpus": 1}},
    {"order": "random"},
    {"keep_checkpoints": "some"},
    {"checkpoint_seconds": -1},
    {"max_failures": 1.5},
    {"prices": {"label": -0.05}},
    {"prices": {"euro": 1}},
]


def loads(file: Path) -> bool:
    try:
        load_study(file)
    except StudyError:
        return False
    return True


@pytest.mark.parametrize("change", ACCEPTED, ids=str)
def test_what_loads_validates(change: dict[str, Any], tmp_path: Path) -> None:
    values = {"name": "s", **change}
    assert loads(write(tmp_path / "s.yaml", values))
    assert [error.message for error in VALIDATOR.iter_errors(values)] == []


@pytest.mark.parametrize("change", REFUSED, ids=str)
def test_what_is_refused_for_its_structure_does_not_validate(
    change: dict[str, Any], tmp_path: Path
) -> None:
    values = {"name": "s", **change}
    assert not loads(write(tmp_path / "s.yaml", values))
    assert not VALIDATOR.is_valid(values)


def test_a_name_is_needed(tmp_path: Path) -> None:
    assert not loads(write(tmp_path / "s.yaml", {"seeds": [0]}))
    assert not VALIDATOR.is_valid({"seeds": [0]})


def test_what_a_run_writes_validates(tmp_path: Path) -> None:
    for change in ACCEPTED:
        written = load_study(write(tmp_path / "s.yaml", {"name": "s", **change})).written()
        again = yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(written, default=str))))
        assert [error.message for error in VALIDATOR.iter_errors(again)] == []


@pytest.mark.parametrize(
    "text",
    [
        *(preset_text(name) for name in preset_names()),
        *(file.read_text() for file in sorted((ROOT / "examples").glob("*.yaml"))),
    ],
    ids=lambda text: text.partition("name: ")[2].split()[0],
)
def test_presets_and_examples_validate(text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(study_schema())
    properties = study_schema()["properties"]
    search, _ = properties["search"]["anyOf"]
    for block in (properties["recipe"], properties["factors"], search):
        assert set(Recipe.model_fields) <= set(block["properties"])
    assert all(field.get("description") for field in properties.values())


def test_the_stored_schema_is_in_step() -> None:
    stored = (ROOT / "docs" / "study.schema.json").read_text()
    assert stored == schema_text(), "docs/study.schema.json is out of date: make docs"


def examples() -> dict[str, Any]:
    """Return the examples of docs/study-file.md, by their dotted key."""
    return dict(script("docs/study_file.py").EXAMPLES)


@pytest.mark.parametrize(("key", "value"), examples().items())
def test_each_example_of_the_page_loads(key: str, value: Any, tmp_path: Path) -> None:
    # What goes with it, so that it has a bearing.
    own = {"trainable": "scores:train"}
    values: dict[str, Any] = {
        "recipe.evaluations": {"recipe": {"steps": 2000}},
        "search.algorithm": {"search": {"lr": {"loguniform": [1e-4, 1e-2]}}},
        "search.samples": {"search": {"lr": [1e-3, 1e-2]}},
        "search.seed": {"search": {"lr": [1e-3, 1e-2]}},
        "recipe.examples": {"recipe": {"batch_size": 100}},
        "recipe.momentum": {"recipe": {"optimizer": "sgd"}},
        "recipe.nesterov": {"recipe": {"optimizer": "sgd"}},
        "recipe.step_size": {"recipe": {"schedule": "step"}},
        "recipe.gamma": {"recipe": {"schedule": "step", "step_size": 30}},
        "metric.column": {"metric": {"goal": "min"}, **own},
        "metric.goal": {"metric": {"column": "rmse"}, **own},
        "metric.unit": {"metric": {"column": "rmse", "goal": "min"}, **own},
        "recipe.decay": {"recipe": {"schedule": "wsd"}},
    }.get(key, {})
    block, _, name = key.partition(".")
    given = {**values.get(block, {}), name: value} if name else value
    study = load_study(write(tmp_path / "s.yaml", {"name": "s", **values, block: given}))
    assert VALIDATOR.is_valid({"name": "s", **values, block: given})
    assert study.name


def test_the_page_on_the_study_file_is_in_step(tmp_path: Path) -> None:
    forks.run([str(ROOT / "docs" / "study_file.py"), str(tmp_path)], check=True, cwd=ROOT)
    for name in ("study-file.md", "study.schema.json"):
        made, stored = (folder / name for folder in (tmp_path, ROOT / "docs"))
        assert made.read_text() == stored.read_text(), f"docs/{name} is out of date: make docs"
