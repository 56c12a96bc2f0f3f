"""The network of a trial on its device, all of it trained or its head alone."""

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainables.data.batches import derive_seed
from trainables.functions import is_function
from trainables.models.facts import anatomy, check_input, head_layer
from trainables.models.networks import count_parameters, hash_state
from trainables.models.rehearsal import fresh_model, layout_of
from trainables.models.taps import LiveTaps
from trainables.models.weights import load_weights
from trainables.recipe import Sides, Stem
from trainables.training.parallel import Group
from trainables.trial import Trial, Weights

_KEPT_BYTES = 2**27
"""The largest model that is kept for another trial of this process, which keeps two at most."""
_Form = tuple[str, int, Stem, Sides]


class _Beginning(NamedTuple):
    """A model as a trial begins with it."""

    model: nn.Module
    head: str | None
    """What became of the head of pretrained weights."""
    digest: str
    backbone: str
    """Hashes of its state, and of that without the head where it is trained on features."""


def _make(form: _Form, seed: int, weights: Weights, head: str) -> _Beginning:
    model = fresh_model(*form, seed)
    kept = load_weights(model, weights, form[0], form[1])
    backbone = hash_state(model, but=head) if head else ""
    return _Beginning(model, kept, hash_state(model), backbone)


_kept = lru_cache(maxsize=2)(_make)


def _begin(form: _Form, seed: int, weights: Weights, head: str) -> _Beginning:
    """Return a fresh model; the recipes of a search are given copies of one."""
    if is_function(form[0]):
        return _make(form, seed, weights, head)  # a user's own may build another one each time
    found = _kept(form, seed, weights, head)
    if sum(values.nbytes for values in found.model.state_dict().values()) > _KEPT_BYTES:
        _kept.cache_clear()
        return found
    return found._replace(model=copy.deepcopy(found.model))


class Network:
    """A trial's model as it begins: its initial weights by the seed, or pretrained ones.

    Images have these sides in pixels. A frozen backbone is as in evaluation; with `on_features` the
    head is given what that makes of images. Raises TrainableError where model or weights are not as
    the trial needs them.
    """

    def __init__(
        self,
        trial: Trial,
        sides: Sides,
        device: torch.device,
        precision: str,
        group: Group,
        on_features: bool = False,
    ) -> None:
        self._device, self._precision = device, precision
        self.form = trial.model, trial.n_classes, trial.recipe.stem, sides
        """What decides the model's layers, as `build_model` takes it."""
        check_input(*self.form)
        layout = layout_of(*self.form)
        self._is_contiguous = layout == torch.contiguous_format
        head = head_layer(*self.form) if trial.recipe.freeze == "backbone" else ""
        seed = derive_seed(trial.seed, "initial weights")
        begun = _begin(self.form, seed, trial.weights, head if on_features else "")
        model = begun.model
        trained = model.get_submodule(head)  # without a name all of it
        self.facts: dict[str, Any] = {
            "n_parameters": count_parameters(model),
            "n_trainable": count_parameters(trained, frozen=False),
            "flops_per_image": anatomy(*self.form).flops_per_image,
            "init_hash": begun.digest,
            "head": begun.head,
        }
        """What is known of it once per trial, by the trial table's columns."""
        self.identity = repr((*self.form, precision, begun.backbone)) if on_features else ""
        """Tells from others what a backbone makes of images; empty where none is asked for it."""
        on_cpu = device.type == "cpu"
        self._taps = LiveTaps(model, anatomy(*self.form).convolutions if on_cpu else {})
        if head:
            model.requires_grad_(False)
            trained.requires_grad_(True)
        self.model = group.prepare(model).to(device=device).to(memory_format=layout)
        self.trained = self.model.get_submodule(head)
        """What training changes: the model, or its head."""
        self.fed = self.trained if on_features else self.model
        """What is given batches."""
        self._parallel = group.parallel(self.fed)

    def train(self) -> None:
        """Be trained from here on."""
        self.model.eval()
        self.trained.train()

    def scores(self, inputs: Tensor) -> Tensor:
        """Return float32 scores of shape (batch, n_classes)."""
        return self._run(self._parallel if self.trained.training else self.fed, inputs)

    @torch.inference_mode()
    def scores_of_images(self, inputs: Tensor) -> Tensor:
        """Return them of images in evaluation, whatever is given to `scores`."""
        self.model.eval()
        return self._run(self.model, inputs)

    def _run(self, part: nn.Module, inputs: Tensor) -> Tensor:
        if self._is_contiguous:
            inputs = inputs.contiguous()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            scores: Tensor = part(inputs)
        return scores.float()

    def state(self) -> dict[str, Tensor]:
        """Return the state as any copy of the model can load it."""
        return self._taps.whole(self.model.state_dict())

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take such a state over."""
        self.model.load_state_dict(self._taps.cut(state))
