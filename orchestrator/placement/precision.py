"""What `precision: auto` comes to, once for all trials of a study."""

import os
from collections.abc import Mapping

from orchestrator.errors import RunError
from orchestrator.study.study import Study
from trainables.machine import cpu_computes_bf16
from trainables.recipe import Precision
from trainables.trial import Trial


def is_auto(trial: Trial) -> bool:
    """Return whether a trial leaves its number format to the machines that train the study."""
    return trial.trainable == "classifier" and trial.recipe.precision == "auto"


def is_left_open(study: Study) -> bool:
    """Return whether some trial of a study, proposed yet or not, may be such a one."""
    recipes = (recipe for _, recipe in study.recipe_space.recipes())
    return study.trainable == "classifier" and any(each.precision == "auto" for each in recipes)


def natives_here(on_gpu: bool) -> dict[str, bool]:
    """Return by its name whether each GPU that torch can use here, or the CPU, computes bf16."""
    if not on_gpu:
        return {f"the CPU of {os.uname().nodename}": cpu_computes_bf16()}
    from trainables.training.device import gpu_natives

    return gpu_natives()


def settled(
    recorded: Precision | None, natives: Mapping[str, bool], on_gpu: bool
) -> tuple[Precision, str]:
    """Return the number format of all trials, and a sentence where some machine's own is another.

    It is that of the trials `recorded` so far, else bf16 where all `natives`, the devices that may
    train, compute it. Raises RunError where a GPU that does not would have to go on with it.
    """
    own: Precision = "bf16" if natives and all(natives.values()) else "fp32"
    precision, so_far = recorded or own, ", as so far" if recorded else ""
    unable = sorted(name for name, computes in natives.items() if not computes)
    names = ", ".join([*unable[:3], *["…"] * (len(unable) > 3)])
    able = "all devices here compute bf16" if natives else "no device is there yet to tell"
    why = f"without bf16: {names}" if unable else able
    said = f"precision: auto is {precision} in the whole study{so_far}; {why}"
    if precision == "bf16" and unable and on_gpu:
        raise RunError(
            f"{said}, which would compute it piece by piece; take GPUs of compute capability 8.0 "
            "or later, or train all anew: another --out, or recipe.precision: fp32"
        )
    is_odd = precision != own or len({*natives.values()}) != 1
    return precision, said if is_odd else ""
