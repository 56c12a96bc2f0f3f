"""Study files: what they mean, what they refuse, and that nothing in one ever ends in a traceback.

Refusals go through the command, as a user meets them.
"""

import copy
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from studies import study, write

from orchestrator.commands.app import main
from orchestrator.errors import StudyError
from orchestrator.ledger.stages import Stages
from orchestrator.plan.plan import plan_study
from orchestrator.study.blocks import EarlyStopping
from orchestrator.study.file import load_study
from orchestrator.study.inputs import find_inputs
from orchestrator.study.levels import OwnWeights, WeightsLevel
from orchestrator.study.recipes import RECIPE_FIELDS, SEARCH_SEED
from orchestrator.study.study import Study, study_from

BASE: dict[str, Any] = {"name": "s", "trainable": "simulated"}


def trial_ids(declared: Study) -> set[str]:
    return set(Stages(declared, find_inputs(declared)).wanted)


# What a study means.


def test_a_name_is_enough() -> None:
    least = study_from({"name": "least"})
    assert least.factors == {
        "model": ["resnet18"],
        "weights": [WeightsLevel("none")],
        "fraction": [1],
    }
    assert (least.trainable, least.seeds, least.data.source) == ("classifier", [0], "digits")
    assert least.stopping is None
    assert str(least.cells()[0]) == "resnet18 × none × 1"


def test_cells_are_every_combination_in_the_order_of_the_file() -> None:
    declared = study(factors={"lr": [1e-2, 1e-3], "model": ["a", "b"], "weights": ["none"]})
    # The standard factors come first, whatever the file's order: tables read alike.
    assert [str(cell) for cell in declared.cells()] == [
        "a × none × 1 × lr 0.01",
        "a × none × 1 × lr 0.001",
        "b × none × 1 × lr 0.01",
        "b × none × 1 × lr 0.001",
    ]
    assert declared.recipe_of(declared.cells()[1]).lr == 1e-3


@pytest.mark.parametrize(
    ("values", "compare"),
    [
        ({}, None),
        ({"search": {"lr": [1e-2, 1e-3]}}, "cell"),
        ({"search": {"lr": [1e-2, 1e-3]}, "early_stopping": "none"}, None),
        ({"search": {"lr": [1e-2, 1e-3]}, "early_stopping": False}, None),
        ({"search": {"lr": [1e-2, 1e-3]}, "early_stopping": {"compare": []}}, []),
        # Inside a cell nothing competes without a search.
        ({"early_stopping": {"compare": "cell"}}, None),
        ({"early_stopping": {"compare": ["fraction"]}}, ["fraction"]),
    ],
)
def test_who_competes(values: dict[str, Any], compare: Any) -> None:
    rule = study(**values).stopping
    assert (rule and rule.compare) == compare
    if rule:
        assert (rule.grace, rule.reduction_factor) == (1, 3)


def test_a_race_is_a_comparison_of_unlike_trials_without_search() -> None:
    race = {"compare": []}
    assert study(early_stopping=race).is_race
    assert not study(early_stopping=race, search={"lr": [1e-2, 1e-3]}).is_race
    assert not study(early_stopping={"compare": "cell"}).is_race
    assert not study().is_race


@pytest.mark.parametrize("metric", [5, None, ["accuracy"], "acuracy"])
def test_a_metric_that_is_none_is_refused(metric: Any) -> None:
    with pytest.raises(StudyError, match=r"metric: .*alid are accuracy, "):
        study(metric=metric)


def test_the_search_seed() -> None:
    lr = [1e-2, 1e-3]
    for seeds in ([4, 2], [0, 1, 2]):
        assert study(seeds=seeds, search={"lr": lr}).search_seed == SEARCH_SEED
    assert study(seeds=[4, 2], search={"lr": lr, "seed": 4}).search_seed == 4
    # Unstated, it stays apart from those that are measured.
    with pytest.raises(StudyError, match=r"seeds: .*1000000 is the search's own"):
        study(seeds=[0, SEARCH_SEED], search={"lr": lr})
    assert study(seeds=[SEARCH_SEED], search={"lr": lr, "seed": SEARCH_SEED}).search
    assert study(seeds=[SEARCH_SEED]).seeds


@pytest.mark.parametrize(
    ("declared", "looks"),
    [
        ({}, (3, 5, 8)),
        ({"at_least": 2, "at_most": 4}, (2, 3, 4)),
        ({"at_least": 2, "at_most": 3}, (2, 3)),
        ({"looks": [3, 4, 6, 8]}, (3, 4, 6, 8)),
    ],
)
def test_seeds_that_are_counted(declared: dict[str, Any], looks: tuple[int, ...]) -> None:
    counted = study(seeds=declared)
    assert counted.looks == looks
    assert counted.first_seeds == [*range(looks[0])]
    assert counted.all_seeds == [*range(looks[-1])]
    assert counted.written()["seeds"]["looks"] == list(looks)
    listed = study(seeds=[4, 2])
    assert (listed.looks, listed.first_seeds, listed.all_seeds) == ((), [4, 2], [4, 2])


def test_relative_paths_start_from_the_study_file(tmp_path: Path) -> None:
    file = write(
        tmp_path / "s.yaml",
        {
            "name": "s",
            "data": {"source": "parquet", "path": {"train": "a.parquet", "test": "/b.parquet"}},
            "factors": {"weights": ["none", {"w": "w/{model}.pth"}, {"t": "IMAGENET1K_V1"}]},
        },
    )
    loaded = load_study(file)
    assert loaded.data.path == {"train": tmp_path / "a.parquet", "test": Path("/b.parquet")}
    assert loaded.factors["weights"] == [
        WeightsLevel("none"),
        WeightsLevel("w", OwnWeights(path=str(tmp_path / "w/{model}.pth"))),
        WeightsLevel("t", OwnWeights(path="IMAGENET1K_V1")),
    ]


def test_settings_override_keys_of_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "s.yaml", {**BASE, "recipe": {"epochs": 5, "lr": 0.1}, "search": None})
    settings = ["recipe.epochs=3", "factors.fraction=[1/16, 1]", "search.batch_size=[32, 64]"]
    loaded = load_study(file, settings)
    assert loaded.recipe == {"epochs": 3, "lr": 0.1}
    assert [str(size) for size in loaded.factors["fraction"]] == ["1/16", "1"]
    assert loaded.search
    assert loaded.search.fields == {"batch_size": [32, 64]}


def test_yaml_merge_keys_may_be_overridden(tmp_path: Path) -> None:
    text = "name: s\nrecipe: {<<: {epochs: 3, lr: 0.1}, lr: 0.2}\n"
    assert load_study(write(tmp_path / "s.yaml", text)).recipe == {"epochs": 3, "lr": 0.2}


def test_fields_are_judged_together_with_those_of_factors_and_search() -> None:
    # Alone, `evaluations` would need a budget and 101 updates could not be cut into five.
    both = study(recipe={"evaluations": 4}, factors={"steps": [100, 200]})
    assert [both.recipe_of(cell).steps_per_interval for cell in both.cells()] == [25, 50]
    tuned = study(recipe={"steps": 101}, search={"evaluations": [1, 101]})
    assert tuned.search
    assert study_from(tuned.written()).written() == tuned.written()
    assert "evaluations" not in tuned.written()["recipe"]
    assert "epochs" not in both.written()["recipe"]


def test_a_study_is_a_value() -> None:
    one, other = study(), study()
    assert one == other
    with pytest.raises(ValueError, match="frozen"):
        one.name = "other"  # type: ignore[misc]


def test_made_in_python_from_its_parts() -> None:
    tuned = study(search={"lr": [1e-2, 1e-3]}, early_stopping={"grace": 2})
    again = Study(
        name="small",
        trainable="simulated",
        search=tuned.search,
        early_stopping=EarlyStopping(grace=2),
    )
    assert again.search == tuned.search
    assert again.early_stopping == tuned.early_stopping


# What is one trial.

SHARED: dict[str, Any] = {
    **BASE,
    "factors": {"model": ["a"], "weights": [{"w": "w/{model}.pth"}], "fraction": ["1/2"]},
    "recipe": {"epochs": 3, "lr": 1e-3},
    "seeds": [0, 1],
}


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"epochs": 3, "lr": "1e-3"}},
        {"recipe": {"lr": 0.001, "epochs": "3", "batch_size": 128, "mixup": 0}},
        {"recipe": {"epochs": 30}},
        {"factors": {**SHARED["factors"], "fraction": [0.5]}},
        # Half of the pool of 45,000 images.
        {"factors": {**SHARED["factors"], "fraction": [22_500]}},
        {"factors": {**SHARED["factors"], "weights": [{"w": "elsewhere/{model}.safetensors"}]}},
        {"factors": {**SHARED["factors"], "lr": [1e-3]}, "recipe": {"epochs": 3}},
        {"data": {"validation": 5000, "path": "/elsewhere"}},
        {"data": {"source": "cifar10"}},
        {"seeds": [1, 0]},
        {"name": "other", "order": "longest-first", "keep_checkpoints": "all"},
        {"resources": {"cpu": 4, "gpu": "1/3"}, "checkpoint_seconds": 1, "max_failures": 9},
        {"early_stopping": {"compare": []}},
        {"prices": {"label": 0.05, "hour": 2.2}},
    ],
    ids=str,
)
def test_trials_stay_the_same(change: dict[str, Any]) -> None:
    assert trial_ids(study_from({**SHARED, **change})) == trial_ids(study_from(SHARED))


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"epochs": 3, "lr": 2e-3}},
        {"recipe": {"epochs": 3, "schedule": "cosine"}},
        {"recipe": {"steps": 100}},
        {"factors": {**SHARED["factors"], "model": ["b"]}},
        {"factors": {**SHARED["factors"], "weights": ["none"]}},
        {"factors": {**SHARED["factors"], "fraction": [22_499]}},
        {"data": {"validation": 0.2}},
        {"data": {"validation": "test"}},
        {"seeds": [2, 3]},
    ],
    ids=str,
)
def test_trials_become_others(change: dict[str, Any]) -> None:
    assert not trial_ids(study_from({**SHARED, **change})) & trial_ids(study_from(SHARED))


# What a study cannot be.

REFUSALS: list[tuple[Any, list[str]]] = [
    # unknown keys
    ({"nmae": "x"}, ["'nmae'", "did you mean name?", "factors"]),
    ({"recipe": {"epohcs": 3}}, ["recipe", "'epohcs'", "did you mean epochs?", "lr"]),
    ({"recipe": {1: 2}}, ["recipe", "key 1 is not known"]),
    ({1: 2}, ["1 is no key"]),
    ({"data": {"sorce": "digits"}}, ["data", "'sorce'", "did you mean source?"]),
    ({"factors": {"modle": ["a"]}}, ["factors", "'modle'", "did you mean model?", "fraction"]),
    ({"search": {"lrr": [1]}}, ["search", "'lrr'", "did you mean lr?", "algorithm"]),
    ({"resources": {"cpus": 2}}, ["resources", "'cpus'", "did you mean cpu?"]),
    ({"early_stopping": {"graec": 1}}, ["early_stopping", "'graec'", "did you mean grace?"]),
    # names
    ({"name": "a/b"}, ["name", "'a/b'", "letters, digits"]),
    ({"name": ".."}, ["name", "'..'", "letters, digits"]),
    ({"name": 2024}, ["name", "2024", "in quotes"]),
    ({"name": None}, ["name", "null", "letters"]),
    ({"trainable": "classifer"}, ["trainable", "'classifer'", "did you mean classifier?"]),
    ({"data": {"source": "cifar"}}, ["data.source", "'cifar'", "did you mean cifar10?"]),
    # wrong types
    ({"data": "digits"}, ["data", "'digits'", "a block of the keys source, path, validation"]),
    ({"data": {"path": 5}}, ["data.path", "5", "a path or a block", "test.parquet"]),
    ({"data": {"path": {"test": "a"}}}, ["data.path", "train"]),
    ({"data": {"path": {"train": "a", "tset": "b"}}}, ["data.path", "train", "tset"]),
    ({"factors": ["a"]}, ["factors", "['a']", "a block of factors", "{model: "]),
    ({"factors": None}, ["factors", "null", "a block of factors"]),
    ({"factors": {"model": "resnet18"}}, ["factors.model", "'resnet18'", "[resnet18]"]),
    ({"factors": {"model": [1]}}, ["factors.model", "1", "no model's name"]),
    ({"factors": {"weights": [{"a": 1}]}}, ["factors.weights", "{a: 1}", "{label: path}"]),
    ({"recipe": 5}, ["recipe", "5", "{epochs: 5, lr: 1e-3}"]),
    ({"recipe": {"lr": "fast"}}, ["recipe.lr", "'fast'", "a number above 0 is needed"]),
    ({"recipe": {"lr": [1e-3]}}, ["recipe.lr", "[0.001]", "move it to search", "factors"]),
    ({"recipe": {"lr": True}}, ["recipe.lr", "true", "not true or false"]),
    ({"recipe": {"nesterov": "maybe"}}, ["recipe.nesterov", "'maybe'", "true or false"]),
    ({"recipe": {"optimizer": "admaw"}}, ["recipe.optimizer", "did you mean adamw?", "sgd"]),
    ({"recipe": {"optimizer": 3}}, ["recipe.optimizer", "3", "one of adam, adamw, sgd"]),
    ({"search": {"lr": 1e-3}}, ["search.lr", "0.001", "a list"]),
    ({"seeds": 3}, ["seeds", "3", "a list of whole numbers", "[0, 1, 2]"]),
    ({"seeds": ["a"]}, ["seeds", "'a'", "a whole number of at least 0"]),
    ({"seeds": [True]}, ["seeds", "true", "not true or false"]),
    ({"resources": 4}, ["resources", "4", "a block of the keys cpu, gpu, max"]),
    ({"early_stopping": "maybe"}, ["early_stopping", "'maybe'", "valid are none"]),
    ({"early_stopping": {"compare": "fraction"}}, ["early_stopping.compare", "[fraction]"]),
    ({"keep_checkpoints": "newest"}, ["keep_checkpoints", "'newest'", "none, best, last, all"]),
    # impossible values
    ({"recipe": {"epochs": -3}}, ["recipe.epochs", "-3", "a whole number of at least 1"]),
    ({"recipe": {"epochs": 0}}, ["recipe.epochs", "0", "a whole number of at least 1"]),
    ({"recipe": {"epochs": 2.5}}, ["recipe.epochs", "2.5", "a whole number of at least 1"]),
    ({"recipe": {"epochs": 10**30}}, ["recipe.epochs", "below 9,007,199,254,740,992"]),
    ({"recipe": {"lr": -1}}, ["recipe.lr", "-1", "a number above 0"]),
    ({"recipe": {"lr": float("inf")}}, ["recipe.lr", "inf", "a finite number"]),
    ({"recipe": {"momentum": 1}}, ["recipe.momentum", "1", "a number below 1"]),
    ({"recipe": {"epochs": 3, "steps": 100}}, ["recipe", "name one budget", "epochs and steps"]),
    ({"recipe": {"steps": 101}}, ["recipe", "101", "5 equal evaluations", "105"]),
    ({"recipe": {"evaluations": 3}}, ["recipe", "`evaluations` goes with steps or examples"]),
    ({"seeds": []}, ["seeds", "[]", "a list of whole numbers"]),
    ({"seeds": [0, 1, 0]}, ["seeds", "0 is listed twice"]),
    ({"seeds": [-1]}, ["seeds", "-1", "of at least 0"]),
    ({"seeds": {"at_least": 8}}, ["seeds.at_least", "8 is not below 8"]),
    ({"seeds": {"at_least": 1}}, ["seeds.at_least", "1", "of at least 2"]),
    ({"seeds": {"at_mots": 9}}, ["seeds", "'at_mots'", "did you mean at_most?"]),
    ({"seeds": {"looks": [3, 5]}}, ["seeds.looks", "[3, 5]", "from at_least (3) to at_most (8)"]),
    ({"seeds": {"looks": [3, 3, 8]}}, ["seeds.looks", "rising"]),
    ({"seeds": {"smallest": -1}}, ["seeds.smallest", "-1", "of at least 0"]),
    (
        {"seeds": {}, "early_stopping": {"compare": []}},
        ["seeds", "a race decides no comparison"],
    ),
    ({"seeds": [2**31]}, ["seeds", "2147483648", "below 2,147,483,648"]),
    ({"resources": {"cpu": 0}}, ["resources.cpu", "0", "of at least 1"]),
    ({"resources": {"gpu": 0.3}}, ["resources.gpu", "0.3", "1/k", "nearest is 1/3"]),
    ({"resources": {"gpu": -1}}, ["resources.gpu", "-1", "negative"]),
    ({"resources": {"gpu": 10**9}}, ["resources.gpu", "1000000000", "more GPUs than a machine"]),
    ({"trainable": "a:B", "resources": {"gpu": 2}}, ["resources.gpu", ": 2", "in one process"]),
    (
        {"resources": {"gpu": 1, "max_trials_per_gpu": 2}},
        ["resources.max_trials_per_gpu", "goes with gpu: auto"],
    ),
    ({"resources": {"gpu": "1/0"}}, ["resources.gpu", "'1/0'", "1/k"]),
    ({"data": {"validation": 0}}, ["data.validation", "0", "a share such as 0.1"]),
    ({"data": {"validation": 49_995}}, ["data.validation", "49995", "at most 49990"]),
    ({"early_stopping": {"grace": 0}}, ["early_stopping.grace", "0", "of at least 1"]),
    ({"early_stopping": {"reduction_factor": 1}}, ["reduction_factor", "1", "of at least 2"]),
    ({"checkpoint_seconds": -1}, ["checkpoint_seconds", "-1", "of at least 0"]),
    # factors and levels
    ({"factors": {"model": []}}, ["factors.model", "[]", "at least one level", "[resnet18]"]),
    ({"factors": {"model": ["a", "a"]}}, ["factors.model", "'a' and 'a' are one level"]),
    ({"factors": {"fraction": [0.5, "1/2"]}}, ["factors.fraction", "0.5 and '1/2'", "one level"]),
    ({"factors": {"fraction": [1, 45_000]}}, ["factors.fraction", "1 and 45000", "one level"]),
    ({"factors": {"lr": ["1e-3", 0.001]}}, ["factors.lr", "'1e-3' and 0.001", "one level"]),
    ({"factors": {"fraction": ["1/0"]}}, ["factors.fraction", "'1/0'", "1/16, 0.5, 1"]),
    ({"factors": {"fraction": [1.5]}}, ["factors.fraction", "1.5", "a share above 1"]),
    ({"factors": {"fraction": [3]}}, ["factors.fraction", "3", "number of classes (10)"]),
    ({"factors": {"fraction": [50_000]}}, ["factors.fraction", "50000", "45000"]),
    ({"factors": {"fraction": [1e-6]}}, ["factors.fraction", "comes to 0 of 45000"]),
    ({"factors": {"lr": [1e-3]}, "recipe": {"lr": 1e-2}}, ["recipe.lr", "in factors too"]),
    ({"search": {"lr": [1e-3]}, "recipe": {"lr": 1e-2}}, ["search.lr", "in recipe too"]),
    ({"search": {"lr": [1e-3]}, "factors": {"lr": [1e-2]}}, ["search.lr", "in factors too"]),
    ({"early_stopping": {"compare": ["fractoin"]}}, ["compare", "did you mean fraction?"]),
    ({"early_stopping": {"compare": ["lr"]}}, ["compare", "'lr'", "model, weights, fraction"]),
    # fields that do not go together
    (
        {"factors": {"optimizer": ["adam", "sgd"], "momentum": [0.9, 0.5]}},
        ["factors", "optimizer adam, momentum 0.9", "are one"],
    ),
    ({"factors": {"epochs": [5, 10]}}, ["5 and 10", "constant schedule", "cosine"]),
    ({"search": {"epochs": [5, 10]}}, ["5 and 10", "constant schedule", "cosine"]),
    ({"search": {"steps": [100], "evaluations": [5, 3]}}, ["100 updates", "3", "102"]),
    (
        {"recipe": {"nesterov": True, "optimizer": "sgd"}, "search": {"momentum": [0, 0.9]}},
        ["recipe", "nesterov needs a momentum", "momentum: 0"],
    ),
    ({"seeds": [*range(500)], "factors": {"lr": [n / 1e4 for n in range(1, 3000)]}}, ["1,000,000"]),
]


def refuse(capsys: pytest.CaptureFixture[str], file: Path, *flags: str) -> str:
    """Plan a study that is to be refused; return the message."""
    before = sorted(file.parent.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scalestudy", "plan", str(file), *flags])
        patch.chdir(file.parent)
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (message,) = printed.err.splitlines()
    assert sorted(file.parent.iterdir()) == before
    return message


@pytest.mark.parametrize(("values", "parts"), REFUSALS)
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: Any, parts: list[str]
) -> None:
    file = write(tmp_path / "s.yaml", {**BASE, **values})
    message = refuse(capsys, file)
    assert message.startswith(f"scalestudy: {file}: ")
    assert message.endswith(".")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["empty", "scalestudy init"]),
        ("# only a comment\n", ["empty"]),
        ("- a\n- b\n", ["no study", "name, data and factors"]),
        ("just text", ["no study"]),
        ("name: [a\n", ["line 2", "not valid YAML"]),
        ("name: a\nname: b\n", ["line 2", "'name' stands twice"]),
        ("name: a\n[1, 2]: b\n", ["line 2", "a list or block is no key"]),
        ("name: !!python/object:os.system a\n", ["not valid YAML"]),
        ("name: !!bool perhaps\n", ["not valid YAML"]),
        ("name: !!int ''\n", ["not valid YAML"]),
        ("trainable: simulated\n", ["name: this key is needed"]),
        ("name: a\nrecipe: &r {lr: *r}\n", ["not valid YAML"]),
        (f"name: a\nrecipe: {{epochs: {'9' * 5000}}}\n", ["not valid YAML"]),
        (f"name: a\nrecipe: {{epochs: 0x{'f' * 5000}}}\n", ["recipe.epochs", "20000 bits"]),
        ("[" * 3000, ["not valid YAML"]),
        ("x" * (2**20 + 1), ["1 MiB"]),
    ],
)
def test_files_that_hold_no_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, parts: list[str]
) -> None:
    message = refuse(capsys, write(tmp_path / "s.yaml", text))
    assert message.startswith(f"scalestudy: {tmp_path / 's.yaml'}:")
    for part in parts:
        assert part in message


@pytest.mark.parametrize("content", [bytes(range(256)), b"\x00name: a", b"\x89PNG\r\n\x1a\n"])
def test_binary_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    file = tmp_path / "s.yaml"
    file.write_bytes(content)
    message = refuse(capsys, file)
    assert "not a text file" in message or "not valid YAML" in message


def test_files_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such file" in refuse(capsys, tmp_path / "absent.yaml")
    (tmp_path / "folder").mkdir()
    assert "Is a directory" in refuse(capsys, tmp_path / "folder")


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("recipe.epochs", ["key=value is needed"]),
        ("=3", ["key=value is needed"]),
        ("recipe.epochs=[", ["not valid YAML"]),
        ("name.first=a", ["name is no block of keys"]),
        ("seeds.0=3", ["seeds is no block of keys"]),
        ("recipe.epochs=many", ["recipe.epochs", "'many'", "a whole number"]),
        ("recipe.epohcs=3", ["recipe", "did you mean epochs?"]),
    ],
)
def test_settings_that_cannot_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, parts: list[str]
) -> None:
    file = write(tmp_path / "s.yaml", {**BASE, "seeds": [0]})
    message = refuse(capsys, file, "--set", setting)
    for part in parts:
        assert part in message


def test_aliases_that_would_fill_the_memory_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = "\n".join(["l0: &l0 [x]", *layers, "name: *l11", "seeds: *l11"])
    assert len(refuse(capsys, write(tmp_path / "s.yaml", text))) < 1000


# What no test of examples finds: generated studies, sound ones and mutated ones.

_spellings: dict[str, list[list[Any]]] = {
    # Each inner list: ways to write one level.
    "model": [["a"], ["resnet18"], ["my.module:net"]],
    "weights": [["none", None], ["IMAGENET1K_V1"], ["w/{model}.pth"], [{"mine": "x.pth"}]],
    "fraction": [["1/16", 0.0625], ["1/2", 0.5, "0.5"], [1, 1.0, "1"], [500, "500"]],
    "lr": [["1e-3", 0.001, 1e-3], [0.1, "0.1"], ["3e-4"]],
    "batch_size": [[32, "32"], [256], [64.0]],
    "optimizer": [["adam"], ["adamw"], ["sgd"]],
    "weight_decay": [[0, 0.0, "0"], ["1e-4"]],
    "augmentation": [["none"], ["standard"]],
    "schedule": [["constant"], ["cosine"], ["one-cycle"]],
    "precision": [["auto"], ["fp32"]],
    "image_size": [[None], [64, "64"]],
}
_ranges: dict[str, Any] = {
    "lr": {"loguniform": ["1e-4", 0.1]},
    "batch_size": {"randint": [16, 64]},
    "weight_decay": {"uniform": [0, "1e-2"]},
    "optimizer": {"choice": ["adam", "sgd"]},
}
_budgets: list[dict[str, Any]] = [
    {},
    {"epochs": 3},
    {"epochs": "4"},
    {"steps": 100},
    {"steps": 60, "evaluations": 3},
]


def _levels(draw: st.DrawFn, field: str) -> list[Any]:
    kinds = st.lists(st.sampled_from(_spellings[field]), min_size=1, max_size=3, unique_by=id)
    return [draw(st.sampled_from(kind)) for kind in draw(kinds)]


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a sound study, simulated, with its values spelt in many ways."""
    values: dict[str, Any] = {
        "name": draw(st.from_regex(r"[A-Za-z0-9][\w.-]{0,20}", fullmatch=True))
    }
    assume(values["name"].isascii())
    values["trainable"] = "simulated"
    fields = draw(st.permutations([field for field in _spellings if field in RECIPE_FIELDS]))
    factors = draw(st.sets(st.sampled_from(["model", "weights", "fraction", fields[0]])))
    if factors:
        values["factors"] = {field: _levels(draw, field) for field in sorted(factors)}
    tuned = fields[1 : 1 + draw(st.integers(0, 2))]
    if tuned:
        values["search"] = {
            field: draw(st.sampled_from([_levels(draw, field), _ranges.get(field)]))
            or _levels(draw, field)
            for field in tuned
        }
        if any(isinstance(tried, dict) for tried in values["search"].values()):
            values["search"] |= draw(st.sampled_from([{}, {"samples": 3}, {"seed": 5}]))
    shared = fields[3 : 3 + draw(st.integers(0, 3))]
    recipe = {field: draw(st.sampled_from(_levels(draw, field))) for field in shared}
    values["recipe"] = draw(st.sampled_from(_budgets)) | recipe
    optional: dict[str, list[Any]] = {
        "seeds": [[0], [3, 1, 2], ["7"], [0, 2**31 - 1], {}, {"at_most": 4, "smallest": 1}],
        "early_stopping": ["none", {}, {"grace": 2}, {"compare": []}, {"compare": ["fraction"]}],
        "resources": [{}, {"cpu": 2}, {"max_trials_per_gpu": 4}, {"gpu": 2}, {"gpu": "1/3"}],
        "data": [{}, {"source": "cifar10"}, {"validation": "test"}, {"validation": 500}],
        "order": ["fair", "longest-first"],
        "checkpoint_seconds": [0, 1.5, "30"],
        "keep_checkpoints": ["none", "best", "last", "all"],
        "max_failures": [0, 5],
        "prices": [{}, {"label": "0.05"}, {"label": 0, "hour": 2.2}],
    }
    for key in draw(st.sets(st.sampled_from(sorted(optional)))):
        values[key] = draw(st.sampled_from(optional[key]))
    if isinstance(values.get("seeds"), dict):
        values.pop("early_stopping", None)
    return values


GENERATED = settings(
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@settings(GENERATED, max_examples=250)
@given(studies())
def test_sound_studies_are_never_refused_and_written_as_they_are_read(
    values: dict[str, Any],
) -> None:
    declared = study_from(values)
    written = declared.written()
    again = study_from(yaml.safe_load(yaml.safe_dump(written, allow_unicode=True)))
    assert again.written() == written
    assert trial_ids(again) == trial_ids(declared)
    assert plan_study(declared, "/nowhere/at/all").trials["new"] > 0


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**3), 10**3),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["none", "1/0", "1e400", "-1", "nan", "0x10", "simulated:x", "..", "a/b", ""]),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.one_of(st.text(max_size=6), st.integers()), st.integers(), max_size=2),
    st.sampled_from([10**400, -(10**400), {"a": {"b": {"c": []}}}, [[[]]], {"uniform": [1, 2]}]),
)
KEYS = {
    *Study.model_fields,
    *RECIPE_FIELDS,
    *("model", "weights", "fraction", "source", "path", "validation", "cpu", "gpu"),
    *("compare", "grace", "reduction_factor", "samples", "seed", "algorithm", "cells", "key"),
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries: Any = ()
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    inner = [_places(entry, (*path, key)) for key, entry in entries]
    return [*([path] if path else []), *itertools.chain(*inner)]


@st.composite
def mutants(draw: st.DrawFn) -> Any:
    """Draw a study with one or two entries replaced, removed, renamed or added."""
    values: Any = copy.deepcopy(draw(studies()))
    for _ in range(draw(st.integers(1, 2))):
        places = _places(values)
        if not places:
            break
        *path, key = draw(st.sampled_from(places))
        block = values
        for part in path:
            block = block[part]
        change = draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"]))
        if change == "replace":
            block[key] = draw(JUNK)
        elif change == "remove":
            del block[key]
        elif isinstance(block, list):
            block.append(draw(JUNK))
        elif change == "rename":
            block[draw(st.sampled_from([f"{key}s", str(key)[1:], 7]))] = block.pop(key)
        else:
            block[draw(st.text(max_size=5))] = draw(JUNK)
    return values


def judge(make: Callable[[], Study]) -> str:
    """Plan a study; return why it is refused, or nothing."""
    try:
        declared = make()
        # Other trainables would read real data.
        if declared.trainable == "simulated":
            plan_study(declared, "/nowhere/at/all")
    except StudyError as error:
        return str(error)
    return ""


@settings(GENERATED, max_examples=500)
@given(mutants())
def test_mutated_studies_are_planned_or_refused_with_the_key_named(values: Any) -> None:
    message = judge(lambda: study_from(values))
    assert "\n" not in message
    assert len(message) < 1500
    assert not message or any(key in message for key in KEYS)


@settings(GENERATED, max_examples=400)
@given(studies(), st.data())
def test_mutated_text_is_planned_or_refused(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], data: st.DataObject
) -> None:
    text = yaml.safe_dump(values)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 1, 1, 5, len(text)]))
        added = data.draw(
            st.one_of(
                st.text(max_size=2),
                st.sampled_from(["{", "[", ": ", "- ", "&a ", "*a", "!!int ", "\t", "\n", "<<: "]),
            )
        )
        text = text[:start] + added + text[start + length :]
    file = tmp_path_factory.getbasetemp() / "mutated.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    message = judge(lambda: load_study(file))
    # Where only the size of the data stands against a study, the command adds the file.
    assert message.startswith((f"{file}:", "factors.fraction", "data.validation")) or not message
    assert "\n" not in message


BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 40)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "more than 20,000 values"),
        ("name: s\nseeds: [" + "1, " * 30_000 + "2]", "more than 20,000 values"),
        ("name: " + "[" * 60 + "]" * 60, "more than 30 deep"),
        ("name: " + "[" * 5_000, "not valid YAML"),
        ('name: "\\ud800"', "lone surrogate"),
        ("name: &a [*a]", "more than 30 deep"),
        ("name: 2024-99-99", "month must be in 1..12"),
    ],
    ids=["merge keys", "seeds", "deep", "too deep", "surrogate", "itself", "no day"],
)
def test_a_file_that_means_more_than_a_study_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(StudyError, match=r"study\.yaml") as refused:
        load_study(file)
    assert said in str(refused.value)


def test_a_setting_without_a_value_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("name: s\ntrainable: simulated\n")
    for setting in ("recipe.lr=", "recipe.lr= "):
        with pytest.raises(StudyError, match="no value; leave it out"):
            load_study(file, [setting])
