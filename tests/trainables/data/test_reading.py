import numpy as np
import pytest

from trainables.data.reading import Reading, Split
from trainables.errors import DataError


def split(where, *labels):
    return Split(where, np.array(labels, dtype=np.int64), lambda: iter(()), lambda: iter(()))


def test_labels_are_the_names_where_there_are_none():
    assert Reading(split("a", 0, 1, 2), split("b", 0), ()).class_names == ("0", "1", "2")


def test_test_need_not_have_every_class():
    assert Reading(split("a", 0, 1), split("b", 1), ("x", "y")).class_names == ("x", "y")


@pytest.mark.parametrize(
    ("train", "test", "names", "message"),
    [
        ([], [0], (), "^a: no images; at least one is needed$"),
        ([0, 1], [], (), "^b: no images"),
        ([0, 0], [0], (), "^a: all images are of one class; two are needed$"),
        ([0, -1], [0], (), "^a: label -1; labels start at 0, and none is missing$"),
        ([0, 1], [-1], (), "^b: label -1"),
        ([0, 1], [2], ("x", "y"), r"^b: label 2, but only 2 classes are named \(0 to 1\)$"),
        ([0, 1], [1, 2], (), "^b: has images of class 2, of which a has none; add some there or"),
        ([1, 2], [1], (), "^a: no image of class 0; the labels of train must be 0 to 1, each one"),
        ([0, 2], [0], ("x", "y", "z"), r"^a: no image of class 1 \(y\); the .* must be 0 to 2,"),
        ([0, 1], [0], ("x", "y", "z"), r"^a: no image of class 2 \(z\); the .* must be 0 to 2,"),
        ([0, 9], [9], (), "^a: no image of class 1; the labels of train must be 0 to 1, each"),
    ],
)
def test_labels_that_cannot_be_trained_on_are_refused(train, test, names, message):
    with pytest.raises(DataError, match=message):
        Reading(split("a", *train), split("b", *test), names)
