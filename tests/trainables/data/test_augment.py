import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainables.data.batches import Preparation, crop_and_flip, draw_crops

CPU = torch.device("cpu")


def some_images(n: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, height, width, 3), generator=generator, dtype=torch.int64).to(
        torch.uint8
    )


def one_by_one(image: NDArray[np.uint8], crop: list[int]) -> NDArray[np.uint8]:
    """Mirror, pad and crop a single image, as plainly as can be."""
    height, width, _ = image.shape
    top, left, mirrored = crop
    if mirrored:
        image = image[:, ::-1]
    above, beside = height // 8, width // 8
    padded = np.pad(image, ((above, above), (beside, beside), (0, 0)))
    return padded[top : top + height, left : left + width]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 28), (16, 40), (7, 9)])
def test_a_batch_is_cropped_and_mirrored_as_its_images_one_by_one(height: int, width: int) -> None:
    images = some_images(50, height, width)
    crops = draw_crops(50, (height, width), torch.Generator().manual_seed(2))
    found = crop_and_flip(images, crops).numpy()
    expected = [one_by_one(i, c) for i, c in zip(images.numpy(), crops.tolist(), strict=True)]
    np.testing.assert_array_equal(found, np.stack(expected))


def test_the_middle_crop_is_the_image_itself() -> None:
    images = some_images(3, 32, 32)
    assert torch.equal(crop_and_flip(images, torch.tensor([[4, 4, 0]] * 3)), images)
    assert torch.equal(crop_and_flip(images, torch.tensor([[4, 4, 1]] * 3)), images.flip(2))


def test_outside_of_the_image_is_black() -> None:
    white = torch.full((1, 8, 8, 3), 255, dtype=torch.uint8)
    cropped = crop_and_flip(white, torch.tensor([[0, 2, 0]]))
    # Padding is 1: the crop starts one row above and ends one column beyond the image.
    assert int((cropped == 0).sum()) == (8 + 7) * 3


def test_crops_are_drawn_evenly_over_all_places() -> None:
    crops = draw_crops(90_000, (32, 32), torch.Generator().manual_seed(0))
    for column, places in ((0, 9), (1, 9), (2, 2)):
        counts = torch.bincount(crops[:, column])
        assert len(counts) == places
        # Within five deviations of a binomial count.
        expected = 90_000 / places
        assert (counts - expected).abs().max() < 5 * expected**0.5
    pairs = torch.unique(crops, dim=0)
    assert len(pairs) == 9 * 9 * 2


def test_crops_follow_from_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = (draw_crops(9, (32, 32), torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


def test_normalised_by_hand() -> None:
    images = torch.tensor([[[[0, 51, 255], [255, 102, 0]]]], dtype=torch.uint8)
    prepared = Preparation([0.5, 0.2, 0.0], [0.25, 0.1, 1.0], (1, 2), None, CPU)(images)
    # (0/255 − 0.5)/0.25, (51/255 − 0.2)/0.1, 255/255; then (1 − 0.5)/0.25, (0.4 − 0.2)/0.1, 0.
    expected = torch.tensor([[[[-2.0, 2.0]], [[0.0, 2.0]], [[1.0, 0.0]]]])
    torch.testing.assert_close(prepared, expected, atol=1e-6, rtol=0)
    assert prepared.dtype == torch.float32


def test_inputs_are_channels_last() -> None:
    prepared = Preparation([0.5] * 3, [0.2] * 3, (32, 32), None, CPU)(some_images(4, 32, 32))
    assert prepared.shape == (4, 3, 32, 32)
    assert prepared.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("sides", [(32, 32), (24, 48)])
def test_resized_to_the_image_size(sides: tuple[int, int]) -> None:
    prepare = Preparation([0.0] * 3, [1.0] * 3, sides, (16, 16), CPU)
    grey = torch.full((2, *sides, 3), 51, dtype=torch.uint8)
    resized = prepare(grey)
    assert resized.shape == (2, 3, 16, 16)
    assert resized.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(resized, torch.full_like(resized, 0.2))


def test_halving_averages_over_neighbours() -> None:
    # Antialiased bilinear halving weighs four pixels by 1, 3, 3, 1 along each axis; next to the
    # edge only 3, 3, 1 are there.
    columns = torch.tensor([0, 0, 0, 0, 255, 255, 255, 255], dtype=torch.uint8)
    image = columns[None, None, :, None].expand(1, 8, 8, 3).contiguous()
    halved = Preparation([0.0] * 3, [1.0] * 3, (8, 8), (4, 4), CPU)(image)
    expected = torch.tensor([0, 1 / 8, 7 / 8, 1.0])
    torch.testing.assert_close(halved[0, 0, 0], expected, atol=1e-6, rtol=0)


def test_images_of_the_size_asked_for_are_left_alone() -> None:
    images = some_images(2, 16, 16)
    as_is = Preparation([0.1] * 3, [0.3] * 3, (16, 16), None, CPU)(images)
    asked = Preparation([0.1] * 3, [0.3] * 3, (16, 16), (16, 16), CPU)(images)
    assert torch.equal(as_is, asked)
