import numpy as np
import torch

from trainables.data.batches import Batch, Examples
from trainables.data.dataset import Images

CPU = torch.device("cpu")


def source() -> Images:
    images = np.arange(6 * 2 * 4 * 3, dtype=np.uint8).reshape(6, 2, 4, 3)
    images.setflags(write=False)
    return Images(images, np.array([0, 1, 2, 0, 1, 2]))


def test_a_subset_in_its_own_order() -> None:
    examples = Examples(source(), np.array([4, 0, 5]), CPU)
    assert len(examples) == 3
    assert examples.labels.tolist() == [1, 0, 2]
    wanted = Batch(torch.tensor([2, 0]), None)
    ((batch, images, labels),) = examples.batches([wanted])
    assert batch == wanted
    np.testing.assert_array_equal(images.numpy(), source().images[[5, 4]])
    assert labels.tolist() == [2, 1]


def test_everything_in_chunks() -> None:
    chunks = list(Examples(source(), None, CPU).chunks(4, slice(0, 6)))
    assert [len(labels) for _, labels in chunks] == [4, 2]
    np.testing.assert_array_equal(torch.cat([i for i, _ in chunks]).numpy(), source().images)
    assert torch.cat([labels for _, labels in chunks]).tolist() == [0, 1, 2, 0, 1, 2]
    chunks = list(Examples(source(), None, CPU).chunks(2, slice(1, 4)))
    assert [labels.tolist() for _, labels in chunks] == [[1, 2], [0]]


def test_read_only_images_are_neither_copied_nor_warned_about() -> None:
    held = source()
    assert Examples(held, np.array([1]), CPU)._images.data_ptr() == held.images.ctypes.data
