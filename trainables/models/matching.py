"""Which of a file's tensors are a model's: found by the model's own names, whatever precedes them.

Training scripts keep a state under keys of their own, and wrappers put words before every name.
Neither has to be known: a prefix under which all the model's names are found is the model's place
in the file. All of the model is loaded, or nothing; only a head may stay fresh.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainables.errors import WeightsError
from trainables.models.tensors import LEVEL
from trainables.vision import torchvision

Head = Literal["kept", "fresh"]

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

    entries: dict[str, Tensor]
    head: Head
    """Whether the file's head is loaded, or the model's stays as it was built."""
    taken: str = ""
    """The place in the file; empty for the top."""
    beside: tuple[str, ...] = ()
    """Places of other states in the file that fit as well."""


@dataclass
class _Place:
    """One place of a file where the model may be: its tensors by the model's names."""

    prefix: str
    state: dict[str, Tensor] = field(default_factory=dict)
    strangers: dict[str, Tensor] = field(default_factory=dict)
    """Tensors at the place that are not the model's."""
    head: Head = "kept"
    problems: list[str] = field(default_factory=list)


def fit(
    tensors: Mapping[str, Tensor],
    module: nn.Module,
    n_classes: int,
    entry: str | None = None,
    fresh: bool = False,
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
    places = list(_places(tensors, ours, body, module))
    if not places:
        raise WeightsError(_nothing_fits(tensors, body))
    for place in places:
        place.state = _with_positions(place.state, module)
        _judge(place, ours, last, n_classes, fresh)
    sound = [place for place in places if not place.problems]
    if not sound:
        one = places[0]
        taken = f"; `{_dotted(one.prefix)}` was taken off every name" if one.prefix else ""
        problems = "; ".join(one.problems)
        raise WeightsError(f"{problems}{taken}; are they of this model, and of its stem?")
    sound.sort(key=lambda place: bool(_COPIES.search(place.prefix)))
    best, *others = sound
    _refuse_values(best.state, ours)
    beside = tuple(_shown(place.prefix) for place in others)
    return Fit(best.state, best.head, _shown(best.prefix), beside)


def _plain(tensors: Mapping[str, Tensor], ours: Collection[str]) -> dict[str, Tensor]:
    """Return the tensors by names without wrappers' words, which no model's own names have."""
    used = {part for key in ours for part in key.split(".")}
    words = [word for word in _WORDS if word not in used]
    counters = [name for name in _COUNTERS if name not in used]
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if _end(key) not in counters:
            found.setdefault(_OLD_DENSENET.sub(r"\1\2", _without_words(key, words)), value)
    return found


def _without_words(key: str, words: Collection[str] = _WORDS) -> str:
    parts = re.split(rf"([.{LEVEL}])", key)
    pairs = zip(parts[::2], [*parts[1::2], ""], strict=True)
    return "".join(part + after for part, after in pairs if part not in words)


def _places(
    tensors: Mapping[str, Tensor], ours: Mapping[str, Tensor], body: list[str], module: nn.Module
) -> Iterator[_Place]:
    """Yield where the whole body is; else the one place that has most of it, if any."""
    fewer: list[tuple[int, str, dict[str, str]]] = []
    found = False
    for names in _spellings(ours, body, module):
        sought = {spelt for spelt, own in names.items() if own in set(body)}
        counts = Counter(
            key[:start]
            for key in tensors
            for start in (0, *(match.end() for match in re.finditer(rf"[.{LEVEL}]", key)))
            if key[start:] in sought
        )
        for prefix, count in counts.items():
            if count == len(sought):
                found = True
                yield _at(prefix, tensors, names)
            else:
                fewer.append((count, prefix, names))
        if found:
            return
    count, prefix, names = max(fewer, key=lambda entry: entry[0], default=(0, "", {}))
    # Of fewer than half, it says more what the names in the file are than which are missing.
    if 2 * count >= len(body):
        yield _at(prefix, tensors, names)


def _spellings(
    ours: Mapping[str, Tensor], body: list[str], module: nn.Module
) -> Iterator[dict[str, str]]:
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


def _at(prefix: str, tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> _Place:
    place = _Place(prefix)
    for key, value in tensors.items():
        rest = key[len(prefix) :]
        if not key.startswith(prefix) or LEVEL in rest:
            continue
        if rest in names:
            place.state[names[rest]] = value
        elif _end(rest) not in _COUNTERS and not rest.startswith(_AUXILIARY):
            place.strangers[rest] = value
    return place


def _judge(
    place: _Place, ours: Mapping[str, Tensor], last: Collection[str], n_classes: int, fresh: bool
) -> None:
    """Take the head out where it stays fresh; note what else does not fit."""
    state, shapes = place.state, {key: value.shape for key, value in ours.items()}
    head = {key for key in last if key in state}
    # Of several heads: what has the number of classes where the file has another number.
    other = {len(state[key]) for key in head if state[key].shape != shapes[key]}
    head |= {
        key
        for key, value in state.items()
        if value.ndim
        and shapes[key][:1] == (n_classes,)
        and len(value) in other
        and value.shape[1:] == shapes[key][1:]
    }
    is_other = any(state[key].shape != shapes[key] for key in head)
    in_part = bool(head) and not head >= set(last)
    is_fresh = fresh or (not in_part and (is_other or (bool(last) and not head)))
    if fresh and not last:
        place.problems.append("its head, to be fresh, cannot be told from the rest")
    if is_fresh:
        for key in head:
            del state[key]
        # The file's own heads, of other forms: no convolutions, under names of no layer.
        tops = {name.partition(".")[0] for name in place.strangers}
        body = {part for key in ours if key not in last for part in key.split(".")}
        if not tops & body and all(values.ndim <= 3 for values in place.strangers.values()):
            place.strangers = {}
    had = {*state, *(last if is_fresh else ()), *(head if is_fresh else ())}
    missing = [key for key in ours if key not in had and _end(key) not in _COUNTERS]
    shapeless = [
        f"{key} {tuple(value.shape)} instead of {tuple(shapes[key])}"
        for key, value in state.items()
        if value.shape != shapes[key]
    ]
    kinds = {
        "missing": missing,
        "not in the model": list(place.strangers),
        "of another shape": shapeless,
    }
    place.problems += [f"{kind}: {_listed(keys)}" for kind, keys in kinds.items() if keys]
    place.head = "fresh" if is_fresh else "kept"


def _last_layer(module: nn.Module, n_classes: int) -> set[str]:
    for name, layer in reversed([*module.named_modules()]):
        own = dict(layer.named_parameters(recurse=False))
        per_class = all(value.shape[:1] == (n_classes,) for value in own.values())
        if per_class and any(value.ndim > 1 for value in own.values()):
            return {f"{name}.{key}" if name else key for key in own}
    return set()


def _with_positions(state: dict[str, Tensor], module: Any) -> dict[str, Tensor]:
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


def _refuse_values(state: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> None:
    for key, value in state.items():
        if not ours[key].is_floating_point():
            continue
        if value.is_quantized or not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise WeightsError(
                f"{key} holds {kind} where floats belong; save the weights before they are "
                "quantised"
            )
        if value.is_meta or value.layout is not torch.strided:
            kind = "no values (it lay on the device meta)" if value.is_meta else "sparse values"
            raise WeightsError(f"{key} holds {kind}; save the weights as ordinary tensors")
        if not torch.isfinite(value.float()).all():
            raise WeightsError(f"{key} holds NaN or infinity; take a checkpoint from before")


def _nothing_fits(tensors: Mapping[str, Tensor], body: list[str]) -> str:
    shared = _beginning(tensors)
    begin = f"every name begins with `{_dotted(shared)}`, and " if shared else ""
    rest = [_dotted(key.removeprefix(shared)) for key in tensors]
    return (
        f"{begin}the names are not the model's: {_listed(rest, 3)} in the file, "
        f"{_listed(body, 3)} in the model"
    )


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
