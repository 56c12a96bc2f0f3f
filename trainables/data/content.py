"""Which images a data set holds and how they are read, as hashes; counted image by image."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from trainables.data.cache import cache_folder
from trainables.data.info import Copies, DataInfo
from trainables.data.pictures import Header, Picture, colour, encoded
from trainables.data.reading import Item, Reading, Split
from trainables.errors import DataError, PictureError
from trainables.recipe import Sides
from trainables.trial import Source

_NAMED = 10
"""Damaged images that a message names; all stand in a file."""
Result = TypeVar("Result", Header, Picture)


def tried(function: Callable[[Item], Result], item: Item) -> tuple[bytes, Result | PictureError]:
    """Return an image's digest, and what a function says of it or why it cannot be read.

    The digest of one whose file cannot be read is of zeros.
    """
    try:
        result = function(item)
    except PictureError as problem:
        with suppress(PictureError):
            return hashlib.sha256(encoded(item)).digest(), problem
        return bytes(32), problem
    return result.digest, result


class Content:
    """The images of a data set, counted one after another in their order, train before test."""

    def __init__(self, reading: Reading, source: Source) -> None:
        self._source, self._reading = source, reading
        self._splits = {"train": reading.train, "test": reading.test}
        self._parts = {part: hashlib.sha256() for part in self._splits}
        self._keys = {part: bytearray() for part in self._splits}
        self._kept: dict[str, list[int]] = {part: [] for part in self._splits}
        self._whole = hashlib.sha256()
        for split in self._splits.values():
            self._whole.update(np.int64(split.labels.size).tobytes() + split.labels.tobytes())
        self._n_train, self._place = reading.train.labels.size, 0
        self._shapes: Counter[Sides] = Counter()
        self._n_deep = self._n_alpha = self._stored_bytes = 0
        self._damaged: dict[int, PictureError] = {}
        """Why images cannot be read, by their places among all, train before test."""

    def add(self, digest: bytes, found: Header | PictureError, key: bytes | None = None) -> None:
        """Count the next image; images with the same key, eight bytes, are copies of each other."""
        place, self._place = self._place, self._place + 1
        self._whole.update(digest)
        if isinstance(found, PictureError):
            self._damaged[place] = found
            return
        is_test = place >= self._n_train
        part = "test" if is_test else "train"
        self._parts[part].update(digest)
        # Of the first bytes: two unlike images share them once in 10¹⁹ pairs.
        self._keys[part] += key or digest[:8]
        self._kept[part].append(place - is_test * self._n_train)
        self._shapes[found.sides] += 1
        self._n_deep += found.is_deep
        self._n_alpha += found.has_alpha
        self._stored_bytes += found.n_bytes

    @property
    def copies(self) -> Copies:
        """Images that are there more than once, by their keys, among those that can be read."""
        return Copies.among(*(np.frombuffer(keys, np.uint64) for keys in self._keys.values()))

    def part(self, part: str) -> Split:
        """Return the images of a part, `train` or `test`, that can be read."""
        return self._splits[part].only(self._kept[part])

    @property
    def given_validation(self) -> int:
        """Number of training images, the last ones, that came along to validate and can be read."""
        first = self._n_train - self._reading.given_validation
        return sum(place >= first for place in self._kept["train"])

    def info(self) -> DataInfo:
        """Return what is known of the images.

        Raises DataError where some cannot be read and none are skipped, or a class has none of
        train that can.
        """
        source, content = self._source, self._whole.hexdigest()[:32]
        said = _listed([*map(str, self._damaged.values())], content) if self._damaged else ""
        if said and source.damaged == "refuse":
            raise DataError(said)
        train, test, given = self.part("train"), self.part("test"), self.given_validation
        kept = replace(self._reading, train=train, test=test, given_validation=given)
        shapes = tuple(sorted(self._shapes.items()))
        kinds: dict[str, Any] = {}
        if self._n_deep:
            kinds["values"] = source.range or "bits"
        if self._n_alpha:
            kinds["background"] = colour(source)
        if source.fit != "crop" and any(height != width for height, width in self._shapes):
            kinds["fit"] = [source.fit, colour(source)] if source.fit == "pad" else source.fit
        skipped = {"skipped": [*self._damaged]} if self._damaged else {}
        parts = {part: whole.copy() for part, whole in self._parts.items()}
        for part, whole in parts.items():
            whole.update(self.part(part).labels.tobytes())
        return DataInfo(
            # The content's own where all read it alike.
            fingerprint=_with(content, {**kinds, **kept.arrangement, **skipped}),
            train_labels=train.labels,
            test_labels=test.labels,
            class_names=kept.class_names,
            sides=shapes[0][0] if len(shapes) == 1 else None,
            content=content,
            train_fingerprint=_with(parts["train"].hexdigest()[:32], kinds),
            test_fingerprint=_with(parts["test"].hexdigest()[:32], kinds),
            test_images=np.frombuffer(self._keys["test"], np.int64),
            shapes=shapes,
            n_deep=self._n_deep,
            n_alpha=self._n_alpha,
            stored_bytes=self._stored_bytes,
            copies=self.copies,
            left_out=tuple(self._damaged),
            skipped=said.partition("; ")[0],
            files=kept.files,
            remarks=kept.remarks,
            given_validation=given,
            groups=train.groups,
        )


def _with(content: str, more: Mapping[str, Any]) -> str:
    if not more:
        return content
    return hashlib.sha256(json.dumps([content, more], sort_keys=True).encode()).hexdigest()[:32]


def _listed(lines: list[str], content: str) -> str:
    """Return how many images of some content cannot be read: the first ones, all in a file."""
    if len(lines) == 1:
        return lines[0]
    file, where = cache_folder() / f"unreadable-{content[:12]}.txt", ""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n", errors="surrogateescape")  # whatever names hold
        where = f", all listed in {file}"
    shown = "".join(f"\n  {line}" for line in lines[:_NAMED])
    more = f"\n  … and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    mend = "mend them (paths in a CSV start from its folder)"
    skip = f"leave them out with data.damaged: skip:{shown}{more}"
    return f"{len(lines)} images cannot be read{where}; {mend}, or {skip}"
