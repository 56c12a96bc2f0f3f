"""Where trials will hold their images, and what that costs, as a plan says it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.placement.shares import MOST, Ask, asks_of, copies, has_gpu
from orchestrator.study.inputs import Inputs
from orchestrator.study.study import Study
from results.phrases import byte_size, duration, percent
from trainables.data.holding import SHARE, Held, held, main_memory
from trainables.measure.footprint import Load, recorded
from trainables.trial import Trial


@dataclass(frozen=True)
class ImagesForeseen:
    """Where the trial with the most bytes of images would hold them on this machine."""

    held: Held
    n_bytes: int
    """Bytes of its images, decoded."""
    line: str = ""
    """What that costs, and why; empty where it costs nothing."""


def images_foreseen(
    study: Study, inputs: Inputs, trials: Iterable[Trial], on_gpu: bool
) -> ImagesForeseen | None:
    """Return where trials would hold images; None without images, or for another machine's GPU."""
    asks = asks_of(study, inputs, (trial for trial in trials if not trial.recipe.keeps_features))
    if not asks or inputs.info is None:
        return None
    from trainables.data.dataset import decode_size, decoding_seconds, is_stored

    load, ask = max(asks.items(), key=lambda each: each[1].image_bytes)
    goal = decode_size(study.data, ask.trial.recipe.sides)
    stored = is_stored(study.data, inputs.info, goal)
    room = _part_of_gpu(study, load, ask) if on_gpu else main_memory(study.resources.cpu, stored)
    if room is None:
        return None
    where, whole = held(ask.image_bytes, room, stored), byte_size(ask.image_bytes)
    cost = f"read ahead from the cache folder, {whole} to see each once"
    if stored:
        each = decoding_seconds(study.data, goal)
        seen = duration(each * (ask.trial.n_train + inputs.n_evaluated))
        cost = (
            f"decoded {'as it begins' if where is Held.DEVICE else 'at each use'}, since the disk "
            f"has no room for them decoded: about {1000 * each:.3g} ms of a CPU each, {seen} to "
            "see each once"
        )
    elif where is Held.DEVICE:
        return ImagesForeseen(where, ask.image_bytes)
    of = "of its part of a GPU" if on_gpu else "free for its CPUs" if stored else "free"
    why = f" are more than {percent(SHARE)} of the {byte_size(room)} {of}, and"
    line = f"{whole} a trial{why * (where is not Held.DEVICE)} are {cost}"
    return ImagesForeseen(where, ask.image_bytes, line)


def _part_of_gpu(study: Study, load: Load, ask: Ask) -> float | None:
    """Return the bytes of a trial's part of a GPU of this machine; None where there is none."""
    if not has_gpu():
        return None
    from trainables.measure.probe import gpu_seen

    hardware, gpu = gpu_seen(), study.resources.gpu
    if hardware is None:
        return None
    if gpu == "auto":
        # Whatever precision it was measured in.
        known = {replace(seen, auto=hardware.auto): found for seen, found in recorded(load)}
        footprint, most = known.get(hardware), study.resources.max_trials_per_gpu
        k = footprint and copies(hardware.total_bytes, footprint, ask.image_bytes, most or MOST)
        return hardware.total_bytes / (k or 1)
    return min(float(gpu), 1.0) * hardware.total_bytes
