"""From stored pixels to the network's input: crop and flip, normalise, resize; by whole batches."""

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 8
"""`standard` pads each side of an image by this part of the image's own side."""


def draw_crops(n: int, sides: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw where each of `n` images is cropped from its padded self, and whether it is mirrored.

    Parameters
    ----------
    sides
        Height and width of the images in pixels.

    Returns
    -------
    int64 tensor of shape (n, 3)
        Top and left edge of the crop, 0 to twice the padding, and 1 for mirrored.
    """
    ends = (2 * (sides[0] // PADDING) + 1, 2 * (sides[1] // PADDING) + 1, 2)
    columns = [torch.randint(end, (n,), generator=generator) for end in ends]
    return torch.stack(columns, dim=1)


def crop_and_flip(images: Tensor, crops: Tensor) -> Tensor:
    """Mirror images, pad them with black, and crop them back to their size.

    Parameters
    ----------
    images : uint8 tensor of shape (batch, height, width, channels)
    crops : int64 tensor of shape (batch, 3), from `draw_crops`, on the same device

    Returns
    -------
    uint8 tensor of the same shape
    """
    batch, height, width, channels = images.shape
    above, beside = height // PADDING, width // PADDING
    tall, wide = height + 2 * above, width + 2 * beside
    # Both orientations of every image, padded; then each row of each crop is one run of bytes.
    padded = images.new_zeros((batch, 2, tall, wide, channels))
    inside = padded[:, :, above : above + height, beside : beside + width]
    inside[:, 0] = images
    inside[:, 1] = images.flip(2)
    run = width * channels
    runs = padded.view(-1).as_strided((padded.numel() - run + 1, run), (1, 1))
    top, left, mirrored = crops.unbind(1)
    image = torch.arange(batch, device=images.device) * 2 + mirrored
    first = (image * tall + top) * wide + left
    rows = torch.arange(height, device=images.device) * wide
    starts = (first[:, None] + rows) * channels
    return runs.index_select(0, starts.view(-1)).view(images.shape)


class Preparation:
    """What is done to every batch, in training and evaluation.

    Parameters
    ----------
    mean, std
        Per channel, of inputs scaled to 0..1.
    sides
        Height and width of the stored images in pixels.
    image_size
        Side in pixels to resize to; None leaves images as they are.
    """

    def __init__(
        self,
        mean: list[float],
        std: list[float],
        sides: tuple[int, int],
        image_size: int | None,
        device: torch.device,
    ) -> None:
        # Repeated over a row of pixels: broadcasting over three channels does not vectorise.
        deviation = torch.tensor(std, dtype=torch.float64)
        scale = 1 / (255 * deviation)
        shift = -torch.tensor(mean, dtype=torch.float64) / deviation
        self._scale = scale.float().repeat(sides[1]).to(device)
        self._shift = shift.float().repeat(sides[1]).to(device)
        resized = image_size is not None and sides != (image_size, image_size)
        self._image_size = image_size if resized else None

    def __call__(self, images: Tensor) -> Tensor:
        """Return the network's input.

        Parameters
        ----------
        images : uint8 tensor of shape (batch, height, width, 3)

        Returns
        -------
        float32 tensor of shape (batch, 3, height, width), in channels-last layout
        """
        batch, height, width, channels = images.shape
        rows = images.reshape(batch, height, width * channels).float()
        scaled = torch.addcmul(self._shift, rows, self._scale)
        inputs = scaled.view(batch, height, width, channels).permute(0, 3, 1, 2)
        if self._image_size is None:
            return inputs
        return F.interpolate(inputs, size=self._image_size, mode="bilinear", antialias=True)
