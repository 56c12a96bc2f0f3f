"""What is done to the images of an update beyond a crop and a flip: by torchvision's transforms.

They draw from torch's global generator: seed it, inside `torch.random.fork_rng`. They are imported
where a recipe asks for one: with them comes torch's compiler.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.recipe import Recipe

Mixer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From inputs and classes of a batch to mixed inputs and shares of the classes."""


def mixer(recipe: Recipe, n_classes: int) -> Mixer | None:
    """Return mixup (Zhang et al. 2018), cutmix (Yun et al. 2019) or one of the two; else None."""
    if not (recipe.mixup or recipe.cutmix):
        return None
    from torchvision.transforms import v2

    alphas = {v2.MixUp: recipe.mixup, v2.CutMix: recipe.cutmix}
    ways = [way(alpha=alpha, num_classes=n_classes) for way, alpha in alphas.items() if alpha]
    mixed: Mixer = v2.RandomChoice(ways)
    return mixed


def varied(recipe: Recipe, sides: tuple[int, int]) -> Callable[[Tensor], Tensor] | None:
    """Return what changes each image of a batch, uint8 of shape (batch, height, width, 3).

    `trivial` is TrivialAugment (Müller & Hutter 2021), which keeps the size; `resized-crop` is the
    random resized crop of Inception with a flip, to the recipe's image size, else to these sides,
    height and width in pixels. None for other augmentations.
    """
    if recipe.augmentation not in ("trivial", "resized-crop"):
        return None
    from torchvision.transforms import v2

    crop = [v2.RandomResizedCrop(recipe.sides or sides), v2.RandomHorizontalFlip()]
    one = v2.TrivialAugmentWide() if recipe.augmentation == "trivial" else v2.Compose(crop)

    def change(images: Tensor) -> Tensor:
        planes = images.permute(0, 3, 1, 2)
        return torch.stack([one(image) for image in planes]).permute(0, 2, 3, 1).contiguous()

    return change
