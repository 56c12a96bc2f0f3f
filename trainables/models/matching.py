"""Which of a file's tensors are a model's: found by the model's own names, whatever precedes them.

Neither the keys of training scripts nor the words of wrappers have to be known: a prefix under
which all names are found is the model's place. All is loaded, or nothing; a head may stay fresh.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainables.errors import WeightsError
from trainables.models.tensors import LEVEL
from trainables.vision import torchvision

Head = Literal["kept", "fresh"]
State = dict[str, Tensor]
"""Tensors by name."""

_WORDS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What DataParallel, torch.compile and FSDP put before names, and into them."""
_COUNTERS = ("num_batches_tracked", "total_ops", "total_params", "n_averaged")
"""Last parts of names that have no bearing on scores: batches counted, a profiler's sums."""
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""Inception's and GoogLeNet's auxiliary heads, which are not built."""
_COPIES = re.compile(r"(^|[^a-z])ema([^a-z]|$)|averag|shadow|momentum|student|encoder_k", re.I)
"""Places of a second copy: the averaged, or the one that is not evaluated."""
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")
"""Names such as `norm.1.weight`, in files from before the layers were called `norm1`."""


@dataclass(frozen=True)
class Fit:
    """What is loaded of a file."""

    entries: State
    head: Head
    """Whether the file's head is loaded, or the model's stays as it was built."""
    taken: str = ""
    """The place in the file; empty for the top."""
    beside: tuple[str, ...] = ()
    """Places of other states in the file that fit as well."""


def fit(
    tensors: State, module: nn.Module, n_classes: int, entry: str | None = None, fresh: bool = False
) -> Fit:
    """Return what a file's tensors, by their names behind the keys of its mappings, are to a model.

    The model, on any device, is not changed. `entry` is the place in the file to take, where the
    user named one; `fresh` leaves the head fresh whatever the file holds. Raises WeightsError where
    they do not fit: the message is what follows on the words "weights X of model Y".
    """
    ours = {key: value for key, value in module.state_dict().items() if isinstance(value, Tensor)}
    tensors = _plain(tensors, ours)
    if entry is not None:
        at = f".{_shown(_without_words(entry))}."
        chosen = {key: value for key, value in tensors.items() if at in f".{_dotted(key)}"}
        if not chosen:
            tops = sorted({re.split(rf"[.{LEVEL}]", key)[0] for key in tensors})
            raise WeightsError(f"the file has no entry {entry}; it has {_listed(tops)}")
        tensors = chosen
    last = _last_layer(module, n_classes)
    body = [key for key in ours if key not in last and _end(key) not in _COUNTERS] or list(ours)
    judged: list[tuple[Fit, str]] = []
    for prefix, names in _places(tensors, ours, body, module):
        state, strangers = _at(prefix, tensors, names)
        state = _with_positions(state, module)
        head, problems = _judge(state, strangers, ours, last, n_classes, fresh)
        judged.append((Fit(state, head, _shown(prefix)), "; ".join(problems)))
    if not judged:
        shared = _beginning(tensors)
        begin = f"every name begins with `{_dotted(shared)}`, and " if shared else ""
        theirs = _listed([_dotted(key.removeprefix(shared)) for key in tensors], 3)
        both = f"{theirs} in the file, {_listed(body, 3)} in the model"
        raise WeightsError(f"{begin}the names are not the model's: {both}")
    sound = [place for place, problems in judged if not problems]
    if not sound:
        one, said = judged[0]
        taken = f"; `{one.taken}.` was taken off every name" if one.taken else ""
        raise WeightsError(f"{said}{taken}; are they of this model, and of its stem?")
    best, *others = sorted(sound, key=lambda place: bool(_COPIES.search(place.taken)))
    _refuse_values(best.entries, ours)
    return replace(best, beside=tuple(place.taken for place in others))


def _plain(tensors: State, ours: Collection[str]) -> State:
    """Return the tensors by names without wrappers' words, which no model's own names have."""
    used = {part for key in ours for part in key.split(".")}
    words = [word for word in _WORDS if word not in used]
    counters = [name for name in _COUNTERS if name not in used]
    found: State = {}
    for key, value in tensors.items():
        if _end(key) not in counters:
            found.setdefault(_OLD_DENSENET.sub(r"\1\2", _without_words(key, words)), value)
    return found


def _without_words(key: str, words: Collection[str] = _WORDS) -> str:
    parts = re.split(rf"([.{LEVEL}])", key)
    pairs = zip(parts[::2], [*parts[1::2], ""], strict=True)
    return "".join(part + after for part, after in pairs if part not in words)


def _places(
    tensors: State, ours: State, body: list[str], module: nn.Module
) -> list[tuple[str, dict[str, str]]]:
    """Return prefixes and spellings of the whole body; else of most of it, if there is one."""
    fewer: list[tuple[int, str, dict[str, str]]] = []
    starts = {key: (0, *(m.end() for m in re.finditer(rf"[.{LEVEL}]", key))) for key in tensors}
    for names in _spellings(ours, body, module):
        sought = {spelt for spelt, own in names.items() if own in set(body)}
        cut = ((key[:start], key[start:]) for key, own in starts.items() for start in own)
        counts = Counter(prefix for prefix, end in cut if end in sought)
        if whole := [prefix for prefix, count in counts.items() if count == len(sought)]:
            return [(prefix, names) for prefix in whole]
        fewer += [(count, prefix, names) for prefix, count in counts.items()]
    count, prefix, names = max(fewer, key=lambda entry: entry[0], default=(0, "", {}))
    # Of fewer than half, it says more what the names in the file are than which are missing.
    return [(prefix, names)] if 2 * count >= len(body) else []


def _spellings(ours: State, body: list[str], module: nn.Module) -> Iterator[dict[str, str]]:
    """Yield the model's own names by how a file may spell them.

    As they are; without what all of the body's begin with (a backbone that was trained alone); with
    places for layers, as in `Sequential(*model.children())`, also without the pooling.
    """
    yield {key: key for key in ours}
    shared = _beginning(body)
    if shared:
        yield {key.removeprefix(shared): key for key in ours}
    split = {key: key.partition(".") for key in ours}
    for skipped in ((), nn.MaxPool2d):
        layers = (name for name, it in module.named_children() if not isinstance(it, skipped))
        places = {name: str(place) for place, name in enumerate(layers)}
        yield {f"{places.get(top, top)}{dot}{rest}": key for key, (top, dot, rest) in split.items()}


def _at(prefix: str, tensors: State, names: Mapping[str, str]) -> tuple[State, State]:
    """Return the model's tensors at a place, by its own names, and what else is there."""
    ends = {key: key[len(prefix) :] for key in tensors if key.startswith(prefix)}
    found = {end: tensors[key] for key, end in ends.items() if LEVEL not in end}
    known = {e for e in found if e in names or _end(e) in _COUNTERS or e.startswith(_AUXILIARY)}
    strangers = {end: value for end, value in found.items() if end not in known}
    return {names[end]: value for end, value in found.items() if end in names}, strangers


def _judge(
    state: State, strangers: State, ours: State, last: set[str], n_classes: int, fresh: bool
) -> tuple[Head, list[str]]:
    """Take the head out of the state where it stays fresh; return what else does not fit."""
    shapes = {key: value.shape for key, value in ours.items()}
    head = last & state.keys()
    # Of several heads: what has the number of classes where the file has another number.
    other = {len(state[key]) for key in head if state[key].shape != shapes[key]}
    per_class = [key for key in state if shapes[key][:1] == (n_classes,)]
    head |= {k for k in per_class if state[k].shape in [(n, *shapes[k][1:]) for n in other]}
    is_other = any(state[key].shape != shapes[key] for key in head)
    in_part = bool(head) and not head >= last
    is_fresh = fresh or (not in_part and (is_other or (bool(last) and not head)))
    if is_fresh:
        for key in head:
            del state[key]
        # The file's own heads, of other forms: no convolutions, under names of no layer.
        tops = {name.partition(".")[0] for name in strangers}
        body = {part for key in ours if key not in last for part in key.split(".")}
        if not tops & body and all(values.ndim <= 3 for values in strangers.values()):
            strangers = {}
    had = {*state, *(last | head if is_fresh else ())}
    missing = [key for key in ours if key not in had and _end(key) not in _COUNTERS]
    unlike = [key for key, value in state.items() if value.shape != shapes[key]]
    shapeless = [f"{k} {tuple(state[k].shape)} instead of {tuple(shapes[k])}" for k in unlike]
    kinds = {"missing": missing, "not in the model": [*strangers], "of another shape": shapeless}
    problems = [f"{kind}: {_listed(keys)}" for kind, keys in kinds.items() if keys]
    if fresh and not last:
        problems.insert(0, "its head, to be fresh, cannot be told from the rest")
    return "fresh" if is_fresh else "kept", problems


def _last_layer(module: nn.Module, n_classes: int) -> set[str]:
    for name, layer in reversed([*module.named_modules()]):
        own = dict(layer.named_parameters(recurse=False))
        per_class = all(value.shape[:1] == (n_classes,) for value in own.values())
        if per_class and any(value.ndim > 1 for value in own.values()):
            return {f"{name}.{key}" if name else key for key in own}
    return set()


def _with_positions(state: State, module: Any) -> State:
    """Return the state with a vision transformer's position embeddings at the module's size."""
    key = "encoder.pos_embedding"
    theirs = state.get(key)
    known = torchvision.models.vision_transformer
    if not isinstance(module, known.VisionTransformer) or theirs is None or theirs.ndim != 3:
        return state
    is_square = math.isqrt(theirs.shape[1] - 1) ** 2 == theirs.shape[1] - 1
    if theirs.shape == module.encoder.pos_embedding.shape or len(theirs) != 1 or not is_square:
        return state
    sides = module.image_size, module.patch_size
    moved = known.interpolate_embeddings(*sides, {key: theirs.float()})
    return {**state, **moved}


def _refuse_values(state: State, ours: State) -> None:
    for key, value in state.items():
        if not ours[key].is_floating_point():
            continue
        if value.is_quantized or not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            said = f"{key} holds {kind} where floats belong"
            raise WeightsError(f"{said}; save the weights before they are quantised")
        if value.is_meta or value.layout is not torch.strided:
            kind = "no values (it lay on the device meta)" if value.is_meta else "sparse values"
            raise WeightsError(f"{key} holds {kind}; save the weights as ordinary tensors")
        if not torch.isfinite(value.float()).all():
            raise WeightsError(f"{key} holds NaN or infinity; take a checkpoint from before")


def _beginning(names: Collection[str]) -> str:
    """Return the whole parts, with the dot behind them, that all names begin with."""
    pairs = zip(min(names), max(names), strict=False)
    alike = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return re.sub(rf"[^.{LEVEL}]*$", "", alike)


def _shown(prefix: str) -> str:
    return _dotted(prefix).rstrip(".")


def _dotted(key: str) -> str:
    return key.replace(LEVEL, ".")


def _end(key: str) -> str:
    return re.split(rf"[.{LEVEL}]", key)[-1]


def _listed(names: list[Any], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
