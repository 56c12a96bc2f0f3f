"""Own models as people write them: they train, or one sentence of `plan` says why not."""

from pathlib import Path
from typing import Any

import digit_trials
import pyarrow as pa
import pytest
import torch

from orchestrator.plan.plan import plan_study
from orchestrator.run.runner import run_study
from orchestrator.study.study import study_from
from results.records import TRIAL_SCHEMA
from results.store.store import Store
from trainables.errors import ModelError
from trainables.models.networks import build_model
from trainables.models.rehearsal import check_input, fresh_model, layout_of
from trainables.training.classifier import Classifier
from trainables.work.answers import take_facts

SIDES = (32, 32)


def classifier(name: str, **fields: Any) -> Classifier:
    recipe = {"epochs": 1, "image_size": 32, **fields}
    return digit_trials.start(digit_trials.make_trial(f"field.own:{name}", recipe=recipe))


@pytest.mark.parametrize(
    "name",
    ["Viewing", "Volume", "lazy", "keyword", "zoo_style", "frozen", "Transformer", "Logits"],
)
def test_it_trains(name: str) -> None:
    check_input(f"field.own:{name}", 10, sides=SIDES)
    learner = classifier(name)
    assert learner.step()["val_loss"] > 0
    facts = take_facts(learner, digit_trials.make_trial())
    assert facts["n_trainable"] == (330 if name == "frozen" else facts["n_parameters"])


def test_what_needs_it_stays_contiguous() -> None:
    layouts = {
        name: layout_of(f"field.own:{name}", 10, "standard", SIDES)
        for name in ("net", "Viewing", "Volume")
    }
    assert layouts["net"] is torch.channels_last
    assert layouts["Viewing"] is layouts["Volume"] is torch.contiguous_format


def test_lazy_layers_follow_the_seed() -> None:
    one, same, other = (
        fresh_model("field.own:lazy", 10, "standard", SIDES, seed) for seed in (1, 1, 2)
    )
    assert torch.equal(one[0].weight, same[0].weight)  # type: ignore[index]
    assert not torch.equal(one[0].weight, other[0].weight)  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("EvalTuple", r"it returns tuple for two images, .* are needed, in evaluation"),
        ("EvalDict", "it returns dict for two images, .* in evaluation"),
        ("EvalClass", r"it returns \(2,\) of torch\.int64 for two images, .* in evaluation"),
        ("EvalRaises", r"it raised NotImplementedError: use predict\(\), in evaluation"),
        ("ExtraState", "its state holds _extra_state, which is no tensor"),
        ("Integers", r"it returns \(2, 10\) of torch\.int64"),
        ("Detached", "does not require grad"),
        ("Exits", "it raised SystemExit: no licence"),
        ("scripted", "it returned RecursiveScriptModule, a torch.nn.Module is needed"),
        ("no_classes", r"none of its parameters \(pretrained, width\) is the number of classes"),
        ("two_needed", r"none of its parameters \(width, depth\) is the number of classes"),
    ],
)
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_it_is_refused_before_anything_trains(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=rf"^model field\.own:{name}.*{message}"):
        check_input(f"field.own:{name}", 10, sides=SIDES)


def test_the_number_of_classes_may_be_told_by_its_place_alone() -> None:
    for name in ("positional", "positional_default"):
        assert build_model(f"field.own:{name}", 7)[-1].out_features == 7  # type: ignore[index]


def test_a_torchvision_function_by_path_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", "/nowhere")
    assert build_model("field.own:resnet18", 7).fc.out_features == 7


@pytest.mark.parametrize("model", ["field.own:net", "resnet18"])
def test_batches_of_one(model: str) -> None:
    check_input(model, 10, sides=SIDES)
    if model == "resnet18":
        with pytest.raises(ModelError, match=r"with batch_size: 1 \(Expected more.*set 2 or more"):
            check_input(model, 10, sides=SIDES, single=True)
    else:
        check_input(model, 10, sides=SIDES, single=True)


def doubts(name: str) -> str:
    declared = study_from(
        {"name": "s", "factors": {"model": [f"field.own:{name}"]}, "seeds": [0, 1, 2]}
    )
    found = plan_study(declared, "/nowhere/at/all").findings
    return " ".join(str(one) for one in found if one.code == "own-model")


def test_doubts_are_warnings_of_the_plan() -> None:
    assert "same for every seed" in doubts("seeded")
    assert "in evaluation it returns probabilities" in doubts("EvalProbabilities")
    assert "only 5 is trained, the rest is frozen; the batch norm of frozen" in doubts("frozen")
    assert "scores the same images otherwise each time" in doubts("EvalDropout")
    assert "returns NaN or infinity for random images" in doubts("Divides")
    assert doubts("net") == ""


def test_what_own_code_prints_is_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    classifier("talking").step()
    printed = capsys.readouterr()
    assert "building a net" not in printed.out
    assert "building a net" in printed.err


def test_rows_that_counted_trainable_parameters_are_counted_anew(tmp_path: Path) -> None:
    declared = study_from(
        {
            "name": "sizes",
            "data": {"source": "digits"},
            "factors": {"model": ["field.own:frozen"], "fraction": ["1/16"]},
            "recipe": {"epochs": 1, "image_size": 32},
        }
    )
    run_study(declared, tmp_path, address="none")
    store = Store(tmp_path)
    now = store.read("trials").to_pandas()
    assert now["n_trainable"][0] < now["n_parameters"][0]
    before = now.assign(n_parameters=now["n_trainable"], n_trainable=None)
    (part,) = store.parts("trials")
    store.replace_part("trials", part.stem, pa.Table.from_pandas(before, TRIAL_SCHEMA))
    run_study(declared, tmp_path, address="none")
    again = Store(tmp_path).read("trials").to_pandas()
    assert again[["n_parameters", "n_trainable"]].equals(now[["n_parameters", "n_trainable"]])
