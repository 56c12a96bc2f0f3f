"""One guarded dry run of a model, as it will be trained: what goes wrong is said before it does.

torchvision's models run on the meta device, in milliseconds; a user's own for real, on a fresh
instance made as a trial makes it: forward and backward, in training and in evaluation.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.errors import ModelError, first_line
from trainables.functions import is_function, own_output
from trainables.models.networks import SIDES, build_model, hash_state, place_of, skeleton
from trainables.recipe import Sides, Stem

_USUAL_SIZES = (32, 48, 64, 75, 96, 112, 128, 160, 192, 224, 256, 299, 384, 448, 512)
"""Sides in pixels that are tried to name an `image_size` that would do."""
_BATCHES = (2, 3)
"""Numbers of images that a model is tried with."""


def check_input(
    name: str, n_classes: int, stem: Stem = "standard", sides: Sides = SIDES, single: bool = False
) -> None:
    """Check that a model gives one score per class for images of these sides.

    `single` says whether it will be trained on batches of one. Raises ModelError, which names a
    size that it takes where there is one.
    """
    problem, _ = _tried(name, n_classes, stem, sides, _BATCHES)
    if problem is None:
        if single and (problem := _tried(name, n_classes, stem, sides, (1,))[0]):
            one = f"batch_size: 1 ({problem})"
            raise ModelError(f"model {name} cannot be trained with {one}; set 2 or more")
        return
    ours = f"{sides[0]}×{sides[1]}"
    larger = (side for side in _USUAL_SIZES if side > min(sides))
    fitting = (n for n in larger if _tried(name, n_classes, stem, (n, n), _BATCHES)[0] is None)
    side = next(fitting, None)
    if side is None:
        raise ModelError(f"model {name} cannot be trained on images of {ours} pixels: {problem}")
    mend = f"set recipe.image_size: {side}, the next usual size that it takes ({problem})"
    raise ModelError(f"model {name} does not take images of {ours} pixels; {mend}")


def layout_of(name: str, n_classes: int, stem: Stem, sides: Sides) -> torch.memory_format:
    """Return in which layout a model is trained that `check_input` lets pass.

    It is channels-last, or contiguous where an own model needs that.
    """
    is_own = is_function(name)
    return _tried(name, n_classes, stem, sides, _BATCHES)[1] if is_own else torch.channels_last


@lru_cache(maxsize=256)
def doubts_of(name: str, n_classes: int, stem: Stem, sides: Sides) -> tuple[str, ...]:
    """Return what does not keep an own model from training, and may make its numbers wrong.

    It is a clause each of a model that `check_input` lets pass.
    """
    doubts: list[str] = []
    model, other = (fresh_model(name, n_classes, stem, sides, seed) for seed in (0, 1))
    if hash_state(model) == hash_state(other):
        said = "its initial weights are the same for every seed, so that intervals leave out their"
        doubts.append(f"{said} luck; let the function seed nothing and load nothing itself")
    images = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(0))
    with own_output(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        scores, again = (model.eval()(images) for _ in range(2))
    if not torch.isfinite(scores).all():
        doubts.append("it returns NaN or infinity for random images; look at what it divides by")
    elif not torch.allclose(scores, again):
        mend = "F.dropout takes training=self.training, nn.Dropout needs nothing"
        doubts.append(f"in evaluation it scores the same images otherwise each time; {mend}")
    if n_classes > 1 and (scores >= 0).all() and (scores.sum(1) - 1).abs().max() < 1e-3:
        said = "in evaluation it returns probabilities (at least 0, summing to 1), of which losses"
        doubts.append(f"{said} are computed as if they were scores; leave the softmax out")
    trained = {key: values.requires_grad for key, values in model.named_parameters()}
    if not all(trained.values()):
        parts = [key for key, is_trained in trained.items() if is_trained]
        tops = ", ".join(dict.fromkeys(key.rpartition(".")[0] or key for key in parts[:6]))
        more = " and more" if len(parts) > 6 else ""
        norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
        is_moved = any(not any(v.requires_grad for v in layer.parameters()) for layer in norms)
        moves = "; the batch norm of frozen layers moves with the data all the same" * is_moved
        doubts.append(f"only {tops}{more} is trained, the rest is frozen{moves}")
    return tuple(doubts)


def fresh_model(name: str, n_classes: int, stem: Stem, sides: Sides, seed: int) -> nn.Module:
    """Return a model as a trial begins with it: on the CPU, so that all devices start alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(name, n_classes, stem, sides)


@lru_cache(maxsize=256)
def _tried(
    name: str, n_classes: int, stem: Stem, sides: Sides, batches: tuple[int, ...]
) -> tuple[str | None, torch.memory_format]:
    """Return what is wrong with training on batches of so many images, or None, and the layout."""
    if not is_function(name):
        try:
            model = skeleton(name, n_classes, stem, sides).train()
        except ModelError:
            raise
        except Exception as error:  # torchvision raises whatever it likes
            return first_line(error), torch.channels_last
        layout = torch.contiguous_format  # which has no bearing on what has no values
        return _problem(model, layout, n_classes, sides, batches[:1]), torch.channels_last
    for layout in (torch.channels_last, torch.contiguous_format):
        model = fresh_model(name, n_classes, stem, sides, seed=0)
        problem = _problem(model, layout, n_classes, sides, batches)
        if problem is None:
            break
    return problem, layout


def _problem(
    model: nn.Module,
    layout: torch.memory_format,
    n_classes: int,
    sides: Sides,
    batches: Iterable[int],
) -> str | None:
    """Return what goes wrong where a model is trained on batches, then evaluated, or None."""
    place = place_of(model)
    is_real, training = place.type != "meta", True
    try:
        with own_output(), torch.random.fork_rng(devices=[]):
            model = model.to(memory_format=layout)
            for training in (True, False) if is_real else (True,):
                model.train(training)
                for n in batches:
                    images = torch.zeros(n, 3, *sides, device=place)
                    with torch.set_grad_enabled(training and is_real):
                        scores = model(images.contiguous(memory_format=layout))
                    wrong = _wrong(scores, (n, n_classes))
                    if wrong:
                        return wrong + ("" if training else ", in evaluation")
                    if training and is_real:
                        labels = torch.zeros(n, dtype=torch.int64, device=place)
                        torch.autograd.backward(F.cross_entropy(scores.float(), labels))
    except (Exception, SystemExit) as error:  # a user's model may raise anything
        if not is_real:
            return first_line(error)
        when = "" if training else ", in evaluation"
        return f"it raised {type(error).__name__}: {first_line(error)}{when}"
    return None


def _wrong(scores: Any, needed: tuple[int, int]) -> str | None:
    is_scores = isinstance(scores, Tensor) and scores.shape == needed
    if is_scores and scores.is_floating_point():
        return None
    number = {1: "an image", 2: "two images", 3: "three images"}[needed[0]]
    given = type(scores).__name__
    if isinstance(scores, Tensor):
        kind = "" if scores.is_floating_point() else f" of {scores.dtype}"
        given = f"{tuple(scores.shape)}{kind}"
    return f"it returns {given} for {number}, scores of shape {needed} are needed"
