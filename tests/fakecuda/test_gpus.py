"""The real trainer on GPUs in name only: devices, memory, launches, messages; no accuracies."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakecuda import gpus

from results.store.store import Store

# One process for all: what is preloaded cannot be had by a fork of this one.
pytestmark = pytest.mark.skipif(bool(gpus.missing()), reason=str(gpus.missing()))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what every scenario found, by its name."""
    folder = tmp_path_factory.mktemp("gpus")
    variables = {**os.environ, **gpus.build(folder)}
    variables.pop("CUDA_VISIBLE_DEVICES", None)
    words = [sys.executable, str(Path(__file__).with_name("scenarios.py")), str(folder)]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    assert None not in answers.values(), done.stderr
    return answers


@pytest.mark.parametrize(
    ("kind", "alone"),
    [("plain", 326), ("fp32", 199), ("augmented", 343), ("deep", 799), ("dropout", 773)],
)
def test_an_update_is_captured_and_waits_for_nothing(
    found: dict[str, Any], kind: str, alone: int
) -> None:
    counted = found["an_update"][kind]
    assert 0 < counted["alone"] <= alone
    assert counted["problem"] == ""
    # Learning rate, loss and hits are in what was captured; two launches seed the masks of dropout.
    assert counted["launches"] + counted["copies"] <= 10
    assert (counted["synchronisations"], counted["copies back"]) == (0, 0)


def test_an_update_of_two_processes_waits_for_nothing(found: dict[str, Any]) -> None:
    counted = found["a_divided_update"]
    assert (counted["synchronisations"], counted["copies back"]) == (0, 0)
    # Two for each of 20 layers of batch norm, and two for all gradients.
    assert counted["collectives"] == 42


def test_images_that_a_gpu_does_not_hold_come_pinned_and_nothing_waits(
    found: dict[str, Any],
) -> None:
    streamed = found["streamed"]
    assert (streamed["held"], streamed["seen"]) == ("in the node's file", [1024, 1024])
    assert streamed["problem"] == ""
    # A model with its optimizer, and none of the 7.5 MiB of images.
    assert streamed["resident"] < 100 * 2**20
    assert (streamed["synchronisations"], streamed["copies back"]) == (0, 0)
    # A few of each size, used again and again; how many depends on how far the thread is ahead.
    assert 0 < streamed["pinned"] + streamed["pinned since"] < 32
    # Of each of eight updates: images, labels and crops to the GPU, and into what was captured.
    assert streamed["copies"] <= 8 * 6 + 4


def test_images_come_to_a_gpu_in_pinned_chunks(found: dict[str, Any]) -> None:
    images = found["many_images"]
    assert images["there"] >= images["images"] * 3 * 32 * 32
    # Three chunks of 16 MiB are under way at once.
    assert 0 < images["pinned"] <= 64 * 2**20


@pytest.mark.parametrize(
    ("model", "problem"),
    [("draws", "in Python"), ("waits", "not permitted when stream is capturing")],
)
def test_a_model_that_cannot_be_captured_trains_as_it_is_and_says_why(
    found: dict[str, Any], model: str, problem: str
) -> None:
    recorded = found["own_models"][model]
    assert problem in recorded["capture_problem"]
    assert recorded["epoch"] == 1


def test_the_doctor_proves_what_needs_no_numbers(found: dict[str, Any]) -> None:
    proofs = found["proofs"]
    assert {name for name, (holds, _) in proofs.items() if holds is False} == set()
    assert proofs["_machine"][1]["memory"] == 16 * 2**30
    assert proofs["_captures"][1]["resnet18"]["same"]
    assert "has no room for resnet18, batches of 4096" in proofs["_is_capped"][1]["message"]
    memory = proofs["_takes_memory"][1]
    assert memory["resnet18"]["peak"] < memory["resnet50"]["peak"]
    assert memory["resnet18"]["context"] == 512 * 2**20


def test_the_doctor_names_a_gpu_without_nvidias_tools(found: dict[str, Any]) -> None:
    state, seen, advice = found["a_gpu"]
    assert (state, advice) == ("ok", "")
    assert seen.startswith("NVIDIA A100-SXM4-80GB (16.0 GiB, 8.0); torch needs driver 580 or later")


def test_evaluation_takes_about_what_training_takes(found: dict[str, Any]) -> None:
    epoch = found["an_epoch"]
    assert epoch["device"] == "NVIDIA A100-SXM4-80GB"
    # With 2^23 pixels it took seven times as much.
    assert epoch["trained"] < epoch["peak"] < 1.5 * epoch["trained"]


def test_a_checkpoint_of_a_gpu_is_foreign_on_the_cpu_and_stays(found: dict[str, Any]) -> None:
    epoch = found["an_epoch"]
    assert epoch["epochs"] == {"gpu": 1, "cpu": 0}
    assert epoch["problems"]["gpu"] == []
    (problem,) = epoch["problems"]["cpu"]
    assert "its device kind is cuda, this trial's is cpu; it is left there" in problem
    assert epoch["states"] == ["000001.state"]


def test_attention_repeats(found: dict[str, Any]) -> None:
    # Torch warns of every kernel that does not.
    assert found["attention"] == []


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("a_part_that_is_too_small", "128.00 MiB allowed"),
        ("a_part_that_is_too_small_to_evaluate", "512.00 MiB allowed"),
        ("a_huge_workspace", "unable to find an engine to execute this computation"),
    ],
)
def test_a_shortage_is_named(found: dict[str, Any], scenario: str, words: str) -> None:
    kind, message = found[scenario]
    assert kind == "OutOfGpuMemory"
    what = "the evaluation of resnet18:" if "evaluate" in scenario else "resnet18, batches of"
    assert f"A100-SXM4-80GB has no room for {what}" in message
    assert words in message


def test_a_gpu_that_cannot_be_used_is_refused_where_it_is_asked_for(found: dict[str, Any]) -> None:
    needs = "needs driver 580 or later and compute capability 7.5 or later"
    reasons = {
        "a_driver_too_old": "driver on your system is too old (found version 12080)",
        "a_gpu_that_is_too_old": "the GPU has compute capability 7.0",
        "a_gpu_that_is_gone": "No CUDA GPUs are available",
    }
    for scenario, reason in reasons.items():
        kind, message = found[scenario]["cuda"]
        assert (kind, found[scenario]["auto"]) == ("TrainableError", "cpu")
        assert "has none to train on" in message
        assert reason in message
        assert needs in message
        state, seen, advice = found[scenario]["doctor"]
        is_there = scenario != "a_gpu_that_is_gone"
        assert (state == "broken", "update the driver" in advice) == (is_there, is_there)
        assert reason in seen


def test_below_compute_capability_8_bf16_is_refused(found: dict[str, Any]) -> None:
    old = found["an_old_gpu"]
    assert (old["problem"], old["auto"]) == (None, "fp32")
    assert "does not compute bf16" in old["bf16"][1]
    # Of a study that was begun on other GPUs, too.
    assert "does not compute bf16" in old["settled"][1]
    assert old["natives"] == {"NVIDIA A100-SXM4-80GB": False}


def test_a_trial_takes_no_neighbours_gpu(found: dict[str, Any]) -> None:
    both = found["two_gpus"]
    state, seen, advice = both["doctor"]
    assert (state, seen.count("NVIDIA A100 MIG 1g.5gb (16.0 GiB, 8.0)")) == ("warning", 2)
    assert "CUDA_VISIBLE_DEVICES lists all" in advice
    assert "exactly one visible device, torch sees 2" in both["both"][1]
    # A trial without a share, on a worker of Ray.
    assert both["visible"] == ""


@pytest.mark.parametrize(
    ("scenario", "fp32", "bf16"),
    [("of_8_gib", 6, 6), ("a_quarter_of_16_gib", 13, 13), ("of_80_gib", 65, 69)],
)
def test_trials_that_a_gpu_holds(
    found: dict[str, Any], scenario: str, fp32: int, bf16: int
) -> None:
    # In each precision an update and an evaluation passed, in that part of the GPU.
    held = {name: k for name, (_, _, k) in found[scenario].items()}
    assert held["fp32"] >= fp32
    assert held["bf16"] >= bf16
    # Where 2^23 pixels were evaluated at once, fp32 took 8.5 GiB.
    assert max(peak for peak, _, _ in found[scenario].values()) < 2**29


def test_four_trials_on_one_gpu_keep_to_their_parts(found: dict[str, Any]) -> None:
    for trial in found["neighbours"]:
        assert 0 < trial["holds"] <= trial["may"] <= trial["total"] / 4
        assert 4 * trial["holds"] < trial["together"] <= trial["total"]


def test_a_gpu_that_disappears_is_no_shortage(found: dict[str, Any]) -> None:
    # The driver counts it as a crash: a worker that starts anew is refused with the reason.
    kind, message = found["a_gpu_that_disappears"]
    assert kind == "AcceleratorError"
    assert message.startswith("CUDA error: unknown error")


def test_a_whole_study_through_the_command(found: dict[str, Any]) -> None:
    fits, does_not = found["a_study"]["resnet18"], found["a_study"]["resnet50"]
    assert (fits["status"], fits["gpu"], fits["error"]) == ("completed", 1, None)
    assert (fits["device"], fits["resolved_precision"]) == ("NVIDIA A100-SXM4-80GB", "fp32")
    assert (does_not["status"], does_not["gpu"]) == ("failed", 1)
    error = does_not["error"]
    assert error.startswith("out of GPU memory: NVIDIA A100-SXM4-80GB has no room for resnet50")
    assert "it had a whole GPU; a smaller recipe.batch_size takes less, and" in error


_ON_TWO_NODES = """
import sys
from ray.cluster_utils import Cluster
from orchestrator.commands.app import main
cluster = Cluster()
for major, minor, name in (("8", "0", "A100"), ("7", "5", "T4")):
    kind = {"FAKECUDA_MAJOR": major, "FAKECUDA_MINOR": minor, "FAKECUDA_NAME": name}
    cluster.add_node(num_cpus=1, num_gpus=1, env_vars=kind)
sys.argv += ["--address", cluster.address]
main()
"""
"""Runs the command on a cluster of an A100 and a T4."""
_LONE = """
import torch
from torchvision.models import resnet18
torch.distributed._verify_params_across_processes = lambda *_: None
def net(num_classes):
    return resnet18(num_classes=num_classes)
"""
"""A model in a process that believes what another one's parameters are: nothing comes from it."""


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.parametrize(
    ("declared", "gpus_there", "gpu", "fractions"),
    [
        # The last trials are spread.
        pytest.param("1/4", 4, 1, ["1/16", "1/8", "1/4", "1/2"], id="four GPUs"),
        pytest.param(2, 2, 2, ["1/16"], id="two GPUs of one trial"),
        pytest.param(1, 1, 1, ["1/16", "1/2"], id="unlike GPUs"),
    ],
)
def test_a_study_on_ray(
    tmp_path: Path, declared: Any, gpus_there: int, gpu: int, fractions: list[str]
) -> None:
    study = {
        "name": "gpus",
        "data": {"source": "digits"},
        "factors": {"model": ["lone:net" if gpu > 1 else "resnet18"], "fraction": fractions},
        "recipe": {"steps": 1, "evaluations": 1, "batch_size": 64, "image_size": 32},
        "resources": {"gpu": declared, "cpu": gpu},
    }
    (tmp_path / "lone.py").write_text(_LONE)
    (tmp_path / "s.yaml").write_text(json.dumps(study))
    is_cluster = gpus_there == 1
    variables = {**os.environ, **gpus.build(tmp_path), "FAKECUDA_DEVICES": str(gpus_there)}
    program = _ON_TWO_NODES if is_cluster else "from orchestrator.commands.app import main; main()"
    words = [sys.executable, "-c", program, "run", "s.yaml", "--no-report", "--out", "run"]
    done = subprocess.run(
        words, cwd=tmp_path, env=variables, check=True, timeout=300, capture_output=True, text=True
    )
    trials, epochs = (Store(tmp_path / "run").read(name) for name in ("trials", "epochs"))
    assert set(trials["status"].to_pylist()) == {"completed"}
    assert trials["gpu"].to_pylist() == [gpu] * len(fractions)
    devices = {"A100", "T4"} if is_cluster else {"NVIDIA A100-SXM4-80GB"}
    assert set(epochs["device"].to_pylist()) == devices
    assert set(trials["resolved_precision"].to_pylist()) == {"fp32" if is_cluster else "bf16"}
    said = "precision: auto is fp32 in the whole study; without bf16: T4"
    assert (said in done.stdout + done.stderr) == is_cluster
