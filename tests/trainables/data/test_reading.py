import numpy as np
import pytest

from trainables.data.reading import Reading, Split
from trainables.errors import DataError


def split(where, *labels):
    return Split(where, np.array(labels, dtype=np.int64), lambda: iter(()), lambda: iter(()))


def test_test_need_not_have_every_class():
    assert Reading(split("a", 0, 1), split("b", 1), ("x", "y")).class_names == ("x", "y")


@pytest.mark.parametrize(
    ("train", "test", "names", "message"),
    [
        ([], [0], (), "^a: no images; at least one is needed$"),
        ([0, 1], [], (), "^b: no images"),
        ([0, 0], [0], (), "^a: all images are of one class; two are needed$"),
        (
            [0, 1],
            [1, 2],
            "xyz",
            r"^a: no image of class 2 \(z\) \(test has some\); add some there or",
        ),
        ([1, 2], [1], "012", "^a: no image of class 0; add some there or leave the class out$"),
        ([0, 2], [0], "xyz", r"^a: no image of class 1 \(y\); add"),
    ],
)
def test_labels_that_cannot_be_trained_on_are_refused(train, test, names, message):
    with pytest.raises(DataError, match=message):
        Reading(split("a", *train), split("b", *test), names)
