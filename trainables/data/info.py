"""What is known of a data set, and how it is kept."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from trainables.data.pixels import Copies, Look
from trainables.data.reading import Note
from trainables.data.splits import Training
from trainables.errors import DataError
from trainables.recipe import Sides

_Numbers = Annotated[
    NDArray[np.int64],
    PlainValidator(lambda labels: np.array(labels, dtype=np.int64)),
    PlainSerializer(lambda labels: labels.tolist()),
]


@dataclass(frozen=True, eq=False)
class DataInfo:
    """What is known of a data set without decoding it."""

    fingerprint: str
    """Hash of all images, as stored, and labels, in order, and of how they are read where not all
    would read them alike; of no path, name or date."""
    train_labels: _Numbers
    """Shape (n_train,), each class 0 … n_classes − 1 at least once."""
    test_labels: _Numbers
    """Shape (n_test,)."""
    class_names: tuple[str, ...]
    sides: Sides | None
    """Height and width in pixels of all images as they are stored; None where they differ."""
    content: str = ""
    """Hash of images and labels alone."""
    train_fingerprint: str = ""
    """The same of the training images, and of how they are read."""
    test_fingerprint: str = ""
    test_images: _Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    """Hash of every test image as stored, shape (n_test,); empty where it was not kept."""
    shapes: tuple[tuple[Sides, int], ...] = ()
    """Each height and width, and how many images have it."""
    n_deep: int = 0
    """Number of images with more than 8 bits per channel."""
    n_alpha: int = 0
    """Number of images that may be transparent."""
    stored_bytes: int = 0
    """Bytes of all images as stored; 0 where that is as pixels."""
    copies: Copies = field(default_factory=Copies)
    """Images that are there more than once, to the last byte as stored."""
    left_out: tuple[int, ...] = ()
    """Places of the images that cannot be read, among all, train before test."""
    skipped: str = ""
    """How many they are, and where they are listed; of one, which and why."""
    files: tuple[str, ...] = ()
    remarks: tuple[Note, ...] = ()
    given_validation: int = 0
    groups: _Numbers | None = None
    """Number of the group of every training image, shape (n_train,); None without groups."""
    look: Look | None = None
    """What the pixels tell; None before they were decoded."""

    def __post_init__(self) -> None:
        self.train_labels.setflags(write=False)
        self.test_labels.setflags(write=False)

    @property
    def n_train(self) -> int:
        """Number of training images, those for validation included."""
        return self.train_labels.size

    @property
    def n_test(self) -> int:
        """Number of test images."""
        return self.test_labels.size

    @property
    def n_classes(self) -> int:
        """Number of classes, each of which has training images."""
        return len(self.class_names)

    @property
    def training(self) -> Training:
        """What splits of the training images depend on."""
        return Training(self.train_labels, self.class_names, self.given_validation, self.groups)

    @property
    def known_copies(self) -> Copies:
        """Images that are there more than once: by pixels once decoded, before as stored."""
        return self.look.copies if self.look else self.copies

    def decoded_bytes(self, goal: Sides | None) -> int:
        """Return the bytes of all images as RGB; DataError where they have no size in common."""
        sides = goal or self.sides
        if sides is None:
            raise DataError(
                "recipe.image_size: the images differ in size; set what all are brought to, such "
                "as 224, or 96x224 (height and width in pixels)"
            )
        return (self.n_train + self.n_test) * sides[0] * sides[1] * 3


_KEPT = TypeAdapter(DataInfo)


def facts_of(info: DataInfo) -> dict[str, Any]:
    """Return an inspection as JSON can hold it, without what only pixels tell."""
    facts: dict[str, Any] = _KEPT.dump_python(info, exclude={"look"})
    return facts


def recalled(facts: dict[str, Any]) -> DataInfo:
    """Return an inspection that JSON held."""
    return _KEPT.validate_python(facts)
