"""The images of a study: inspected without decoding, decoded once per node, shared by all trials.

A decoded set lies in the cache folder as four .npy files that every trial maps read-only: the
pages are shared by all processes of the node, and a trial's private memory holds none of them.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from trainables.data.cache import (
    FOLDER_VARIABLE,
    available_memory,
    cache_folder,
    evidence_key,
    free_disk,
    in_words,
    locked,
    recall,
    remember,
    replacing,
    unwritable,
)
from trainables.data.reading import (
    DECODING_VERSION,
    Pixels,
    Reading,
    Split,
    decode,
    examine,
    in_order,
    quiet,
)
from trainables.data.sources import origin
from trainables.errors import DataError
from trainables.trial import Source

_INSPECTION = 3
"""Raised when the same files give another `DataInfo`."""
_REPORTED = 1024
"""Images between two calls of a progress function."""
_VALUES = 2**20
"""Pixel values held as floats at once by a computation over all images."""

_LABELS = ("train_labels", "test_labels")
"""Fields of a `DataInfo` that are remembered as lists."""

Progress = Callable[[int, int], None]
"""Told the number of images that are decoded, and of all that are to be."""


@dataclass(frozen=True, eq=False)
class DataInfo:
    """What is known of a data set without decoding it."""

    fingerprint: str
    """Hash of all images, as stored, and labels, in order; of no path, name or date."""
    train_labels: NDArray[np.int64]
    """Shape (n_train,), each class 0 … n_classes − 1 at least once; read-only."""
    test_labels: NDArray[np.int64]
    """Shape (n_test,), read-only."""
    class_names: tuple[str, ...]
    """Name of every class, by its label."""
    image_size: int | None
    """Side in pixels of all images as they are; None where they differ or are not square."""
    n_seen: int
    """Number of test images that are training images too, to the last byte as stored."""
    seen: str
    """The place of the first of them, as messages name it; empty where there is none."""

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

    def decoded_bytes(self, image_size: int | None) -> int:
        """Return the size in bytes of all images as RGB, at a side in pixels or as they are.

        Raises DataError where no side is given and the images have none in common.
        """
        side = image_size or self.image_size
        if side is None:
            raise DataError(
                "recipe.image_size: the images differ in size or are not square; set the side in "
                "pixels that all are brought to, such as 224"
            )
        return (self.n_train + self.n_test) * side * side * 3


@dataclass(frozen=True, eq=False)
class Images:
    """Decoded images and their labels."""

    images: Pixels
    """Shape (n, height, width, 3), C-contiguous, mapped read-only from the cache folder."""
    labels: NDArray[np.int64]
    """Shape (n,), mapped read-only too."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A decoded data set: the training images, validation included, and the test images."""

    train: Images
    test: Images
    class_names: tuple[str, ...]
    """Names by label when the images were decoded: renaming a class does not change the content."""


def inspect(source: Source) -> DataInfo:
    """Return what is known of a source: labels, class names, sizes, a hash; nothing is decoded.

    What was found is kept in the cache folder until one of the files changes. Raises DataError
    where something is missing, unreadable or labelled in an impossible way; the file is named.
    Damage beyond an image's header shows only when it is decoded.
    """
    found = origin(source)
    evidence = found.evidence()
    key = evidence_key(evidence, _INSPECTION, source.source) if evidence else None
    known = recall(key) if key is not None else None
    if known is not None:
        labels = {name: np.array(known[name], dtype=np.int64) for name in _LABELS}
        return DataInfo(**{**known, **labels, "class_names": tuple(known["class_names"])})
    info = _inspected(found.read())
    if key is not None:
        remember(key, vars(info) | {name: getattr(info, name).tolist() for name in _LABELS})
    return info


def _inspected(reading: Reading) -> DataInfo:
    content = _content_hash(reading)
    sizes: set[tuple[int, int]] = set()
    # The first bytes of the digests: two unlike images share them once in 10¹⁹ pairs.
    heads = bytearray()
    items = chain(reading.train.items(), reading.test.items())
    with quiet():
        for digest, width, height in in_order(examine, items):
            content.update(digest)
            sizes.add((width, height))
            heads += digest[:8]
    trained, tested = np.split(np.frombuffer(heads, dtype=np.uint64), [reading.train.labels.size])
    seen = np.flatnonzero(np.isin(tested, trained))
    width, height = sizes.pop()
    return DataInfo(
        fingerprint=content.hexdigest()[:32],
        train_labels=reading.train.labels,
        test_labels=reading.test.labels,
        class_names=reading.class_names,
        image_size=width if width == height and not sizes else None,
        n_seen=seen.size,
        seen=next(islice(reading.test.items(), int(seen[0]), None)).where if seen.size else "",
    )


def _content_hash(reading: Reading) -> "hashlib._Hash":
    """Return the hash of the labels, to be fed with every image's digest in order."""
    content = hashlib.sha256()
    for split in (reading.train, reading.test):
        content.update(np.int64(split.labels.size).tobytes() + split.labels.tobytes())
    return content


def decode_size(source: Source, image_size: int | None) -> int | None:
    """Return the side at which images are to be decoded for a recipe's `image_size`.

    None keeps them as they are, to be resized on the device: where all are squares of one size
    that is no larger. It depends on the images alone, so that the same ones give the same numbers
    whichever source they come from.
    """
    if image_size is None:
        return None
    side = inspect(source).image_size
    return image_size if side is None or image_size < side else None


def open_dataset(
    source: Source, fingerprint: str, image_size: int | None, progress: Progress | None = None
) -> Dataset:
    """Return a data set's decoded images, decoded first where this node has not done it yet.

    Parameters
    ----------
    source
        Where the images are, which are read only if they must be decoded.
    fingerprint
        Content hash of the images and labels, as `inspect` returned it; others are refused.
    image_size
        Side in pixels that images are brought to: the middle square, resized. None leaves them as
        they are, all of one size.
    progress
        Called now and then with the number of images decoded and to be decoded.

    Raises
    ------
    DataError
        An image is damaged (it is named), the images are not those of the fingerprint, or the
        cache folder has no room.
    """
    entry = _entry(fingerprint, image_size)
    known = _mapped(entry)
    if known is not None:
        return known
    with locked(entry.name):
        known = _mapped(entry)  # decoded by another process meanwhile
        if known is None:
            reading = origin(source).read()
            try:
                with replacing(entry) as folder, quiet():
                    _write(folder, reading, fingerprint, image_size, progress)
            except OSError as problem:
                raise unwritable(problem) from problem
            known = _mapped(entry)
    if known is None:
        raise DataError(f"{entry}: damaged just after it was written; check the disk")
    return known


def _entry(fingerprint: str, image_size: int | None) -> Path:
    name = f"{fingerprint}-{image_size or 'native'}-{DECODING_VERSION}"
    return cache_folder() / "decoded" / name


def _mapped(entry: Path) -> Dataset | None:
    """Return what an entry holds; None where it is absent or not whole."""
    try:
        names = json.loads((entry / "classes.json").read_text())
        train, test = (_mapped_split(entry, part) for part in ("train", "test"))
    except (OSError, ValueError, EOFError):
        return None
    return Dataset(train, test, tuple(names))


def _mapped_split(entry: Path, part: str) -> Images:
    images, labels = (
        npy.open_memmap(entry / f"{part}-{what}.npy", mode="r") for what in ("images", "labels")
    )
    for array in (images, labels):
        if Path(str(array.filename)).stat().st_size != array.offset + array.nbytes:
            raise ValueError("not as long as its header says")
    if images.dtype != np.uint8 or labels.dtype != np.int64 or images.shape[:1] != labels.shape:
        raise ValueError("not images and their labels")
    return Images(images, labels)


def _write(
    folder: Path,
    reading: Reading,
    fingerprint: str,
    image_size: int | None,
    progress: Progress | None,
) -> None:
    content = _content_hash(reading)
    total = reading.train.labels.size + reading.test.labels.size
    done = 0
    shape: tuple[int, ...] | None = None
    for part, split in (("train", reading.train), ("test", reading.test)):
        np.save(folder / f"{part}-labels.npy", split.labels)
        with (folder / f"{part}-images.npy").open("wb") as file:
            for digest, pixels in in_order(partial(decode, side=image_size), split.items()):
                if shape is None:
                    shape = pixels.shape
                if pixels.shape != shape:
                    raise _unequal(split, pixels.shape, shape)
                if file.tell() == 0:
                    header = {"descr": "|u1", "fortran_order": False}
                    npy.write_array_header_1_0(
                        file, {**header, "shape": (split.labels.size, *shape)}
                    )
                file.write(pixels.tobytes())
                content.update(digest)
                done += 1
                if progress is not None and (done % _REPORTED == 0 or done == total):
                    progress(done, total)
    if content.hexdigest()[:32] != fingerprint:
        raise DataError(
            f"{reading.train.where}: not the images and labels that the study was planned with: "
            "they have changed since, or differ on this node; bring them back or plan anew"
        )
    (folder / "classes.json").write_text(json.dumps(reading.class_names))


def _unequal(split: Split, shape: tuple[int, ...], first: tuple[int, ...]) -> DataError:
    return DataError(
        f"{split.where}: holds images of {first[1]}×{first[0]} and of {shape[1]}×{shape[0]} "
        "pixels; set recipe.image_size, the side that all are brought to"
    )


def channel_statistics(
    images: Pixels, indices: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation of each colour channel, (3,), of pixels scaled to 0 … 1.

    Images are uint8, (n, height, width, 3); those by indices count, by default all. The deviation
    is that of the pixels themselves (not an estimate from a sample), and at least one grey level,
    so that pixels can be divided by it.
    """
    chosen = np.arange(len(images)) if indices is None else np.sort(indices)
    total, squares, count = np.zeros(3), np.zeros(3), 0
    step = max(1, _VALUES // images[0].size)
    for start in range(0, chosen.size, step):
        # Whole numbers below 2**53 throughout: the sums are exact, in whatever chunks.
        pixels = images[chosen[start : start + step]].reshape(-1, 3).astype(np.float64)
        total += pixels.sum(axis=0)
        squares += np.einsum("pc,pc->c", pixels, pixels)
        count += len(pixels)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1.0))
    return mean / 255, deviation / 255


def room(info: DataInfo, image_size: int | None) -> str | None:
    """Return why the decoded images would not fit on this node, with the numbers, or None.

    They need disk in the cache folder, and memory in which all trials share them.
    """
    try:
        needed = info.decoded_bytes(image_size)
    except DataError as problem:
        return str(problem)
    lacking = []
    disk, memory = free_disk(cache_folder()), available_memory()
    if needed > disk and _mapped(_entry(info.fingerprint, image_size)) is None:
        lacking.append(
            f"cache folder {cache_folder()} has {in_words(disk)} free "
            f"(set {FOLDER_VARIABLE} to a folder with more)"
        )
    if needed > memory:
        lacking.append(f"{in_words(memory)} of memory are available (set a smaller image_size)")
    if not lacking:
        return None
    side = image_size or info.image_size
    return (
        f"data: {info.n_train + info.n_test:,} images at {side}×{side} need {in_words(needed)} "
        f"decoded, but {' and '.join(lacking)}"
    )
