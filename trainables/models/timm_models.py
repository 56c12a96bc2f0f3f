"""timm's models and weights, by name: `timm:convnext_atto`. timm is an optional extra."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from torch import nn

from trainables.errors import ModelError, WeightsError
from trainables.trial import Channels

PREFIX = "timm:"


def find_timm(name: str, sides: tuple[int, int]) -> Callable[[int], nn.Module]:
    """Return what builds a timm model for a number of classes and these sides; else ModelError."""
    timm, own = _library(name), name.removeprefix(PREFIX)
    if not timm.is_model(own):
        near = get_close_matches(own.lower(), timm.list_models(), n=3, cutoff=0.5)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        raise ModelError(f"model {name}: timm {timm.__version__} has no {own}{hint}")
    fixed = getattr(timm.get_pretrained_cfg(own), "fixed_input_size", False)
    more: dict[str, Any] = {"img_size": sides} if fixed else {}
    return lambda n_classes: timm.create_model(own, num_classes=n_classes, **more)


def timm_weights(model: str) -> tuple[str, Channels]:
    """Return the file of timm's own weights in Hugging Face's cache, and the channels they expect.

    Raises WeightsError where the cache lacks it, with what fetches it; nothing is downloaded.
    """
    from huggingface_hub import try_to_load_from_cache

    config = _library(model).get_pretrained_cfg(model.removeprefix(PREFIX))
    if config is None or not config.hf_hub_id:
        raise WeightsError(f"model {model}: timm publishes no weights of it")
    for file in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(config.hf_hub_id, file)
        if isinstance(found, str):
            return found, Channels(mean=tuple(config.mean), std=tuple(config.std))
    lack = f"weights timm of {model} are not in Hugging Face's cache"
    mend = f"run `hf download {config.hf_hub_id}` and set HF_HOME to that cache"
    raise WeightsError(f"{lack}; on a machine that can, {mend}, or name the file instead")


def _library(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        why = "this Python has no timm; pip install 'scalestudy[timm]'"
        raise ModelError(f"model {name}: {why}") from error
    return timm
