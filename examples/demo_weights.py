"""Train the demo's weights anew: on letters and digits of the fonts that matplotlib brings.

    python examples/demo_weights.py FOLDER      (about three minutes on one CPU core)

writes FOLDER/small-characters.safetensors and FOLDER/large-characters.safetensors; those of the
package lie in trainables/demo. With the same versions of Pillow and torch they are the same bytes.
"""

import string
import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, interpolate

from trainables import demo

CHARACTERS = string.digits + string.ascii_letters
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral"),
    *("STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta", "cmr10"),
    *("cmb10", "cmss10", "cmtt10"),
)
PENS = range(4)
"""Pixels by which a character's strokes are widened."""
SIDE = 16
"""Height and width in pixels: those that the demo's study brings its images to."""


def glyphs() -> tuple[Tensor, Tensor]:
    """Return every character in every font and pen, (n, 1, 64, 64) in 0..1, and its class."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    images = []
    for name in FONTS:
        font = ImageFont.truetype(folder / f"{name}.ttf", 40)
        for pen in PENS:
            for character in CHARACTERS:
                drawn = Image.new("L", (64, 64))
                ImageDraw.Draw(drawn).text((32, 32), character, 255, font, "mm", stroke_width=pen)
                images.append(np.asarray(drawn, dtype=np.float32) / 255)
    labels = torch.arange(len(CHARACTERS)).repeat(len(FONTS) * len(PENS))
    return torch.from_numpy(np.stack(images))[:, None], labels


def distorted(images: Tensor) -> Tensor:
    """Return glyphs turned, sheared, stretched and bent, (n, 1, SIDE, SIDE) in 0..1.

    Like the digits of the UCI repository, they are scaled to a height of 32 pixels, of which blocks
    of 4×4 are counted.
    """
    n = len(images)
    turn, shear, stretch = (0.3 * (2 * torch.rand(3, n) - 1)).unbind()
    cos, sin, zero = turn.cos(), turn.sin(), torch.zeros(n)
    rows = [cos, cos * shear - sin * stretch.exp(), zero, sin, sin * shear + cos, zero]
    straight = affine_grid(torch.stack(rows, 1).view(n, 2, 3), [n, 1, 64, 64], False)
    bends = interpolate(0.1 * torch.randn(n, 2, 4, 4), size=(64, 64), mode="bicubic")
    moved = grid_sample(images, straight + bends.permute(0, 2, 3, 1), align_corners=False) > 0.4
    return interpolate(counted(moved), size=(SIDE, SIDE), mode="bilinear")


def counted(ink: Tensor) -> Tensor:
    """Return black-and-white images, (n, 1, 64, 64), cropped, scaled and counted: (n, 1, 8, 8)."""
    boxes = []
    places = torch.linspace(-1 + 1 / 64, 1 - 1 / 64, 64)
    for across in (2, 3):  # over rows, for the columns that hold ink; over columns, for the rows
        holds = ink.any(across).squeeze(1)
        low = torch.where(holds, places, 1.0).amin(1)
        high = torch.where(holds, places, -1.0).amax(1)
        boxes.append(((low + high) / 2, ((high - low) / 2).clamp(min=0.05)))
    (x, width), (y, height) = boxes
    half, zero = torch.maximum(width, height) + 1 / 64, torch.zeros_like(x)
    rows = torch.stack([half, zero, x, zero, half, y], 1).view(-1, 2, 3)
    grid = affine_grid(rows, [len(ink), 1, 32, 32], False)
    whole = grid_sample(ink.float(), grid, align_corners=False) > 0.5
    return nn.functional.avg_pool2d(whole.float(), 4)


def trained(name: str, epochs: int, most: int | None = None) -> nn.Module:
    """Return a network of the demo trained on characters, distorted anew in every epoch."""
    torch.manual_seed(0)
    images, labels = (part[:most] for part in glyphs())
    model: nn.Module = getattr(demo, name)(len(CHARACTERS))
    batches = 4 * len(labels) // 128
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=epochs * batches)
    for epoch in range(epochs):
        right = 0
        for _ in range(batches):
            chosen = torch.randint(len(labels), (128,))
            values = distorted(images[chosen])
            scores = model(((values - 0.3) / 0.4).expand(-1, 3, -1, -1))
            optimizer.zero_grad()
            cross_entropy(scores, labels[chosen]).backward()
            optimizer.step()
            schedule.step()
            right += int((scores.argmax(1) == labels[chosen]).sum())
        print(f"{name}: {epoch + 1} of {epochs}, {right / (128 * batches):.1%} right", flush=True)
    return model


def write(folder: Path, epochs: int = 20, most: int | None = None) -> None:
    """Train both networks, with `most` glyphs at most, and write their weights as float16."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name in demo.__all__:
        state = trained(name, epochs, most).state_dict()
        halves = {key: value.half() for key, value in state.items() if value.is_floating_point()}
        save_file(halves, folder / f"{name}-characters.safetensors")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
