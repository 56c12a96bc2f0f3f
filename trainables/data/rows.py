"""Images in a file of the cache folder, read as they are asked for: decoded, or as stored.

The file is not mapped: a process holds the images that it asked for, however many there are.
"""

import math
import os
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from trainables.data.pictures import decode, quiet
from trainables.data.reading import Item, Pixels
from trainables.errors import DataError
from trainables.recipe import Sides
from trainables.trial import Source


class Rows:
    """Images that are indexed as an array of their shape, and are read anew each time.

    An image lies between two `edges`, the places of bytes in the file; `pixels` makes of its bytes
    an array of the shape.
    """

    def __init__(
        self,
        file: Path,
        edges: NDArray[np.int64],
        shape: tuple[int, ...],
        pixels: Callable[[Item], NDArray[Any]],
        dtype: DTypeLike = np.uint8,
    ) -> None:
        self.file, self._edges, self._pixels = file, edges, pixels
        self.shape, self.dtype = (edges.size - 1, *shape), np.dtype(dtype)
        # Held open, since another process may put a mended file in its place.
        self._handle = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._handle)

    @classmethod
    def of(cls, array: NDArray[Any]) -> Self:
        """Return the rows of an array that maps a file."""
        start: int = array.offset  # type: ignore[attr-defined]
        shape, dtype = array.shape[1:], array.dtype
        edges = start + np.arange(len(array) + 1) * (math.prod(shape) * dtype.itemsize)

        def pixels(item: Item) -> NDArray[Any]:
            return np.frombuffer(bytes(item.content), dtype).reshape(shape)

        return cls(Path(str(array.filename)), edges, shape, pixels, dtype)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, places: Any) -> Pixels:
        chosen = np.arange(len(self))[places]
        found = np.empty((chosen.size, *self.shape[1:]), self.dtype)
        with quiet():
            self.read(chosen.reshape(-1), found)
        return found.reshape(*chosen.shape, *self.shape[1:])

    def read(self, places: NDArray[np.int64], found: Pixels) -> None:
        """Read the images at places into an array, in any thread, inside `pictures.quiet`."""
        for number, place in enumerate(places.tolist()):
            start, end = self._edges[place : place + 2].tolist()
            data = os.pread(self._handle, end - start, start)
            if len(data) != end - start:
                raise DataError(f"{self.file}: shorter than it was; start anew, which mends it")
            found[number] = self._pixels(Item(f"{self.file}, image {place}", data))


def open_images(
    folder: Path, part: str, held: Mapping[str, Any], goal: Sides | None, source: Source
) -> Pixels | Rows:
    """Return the images of a part, `train` or `test`, of an entry of the cache folder.

    They are mapped where they are decoded; `held` is what the entry says of itself. Raises
    ValueError where a file is not as it says.
    """
    if "sides" not in held:
        return mapped(folder / f"{part}-images.npy")
    file, edges = folder / f"{part}-images.stored", np.load(folder / f"{part}-edges.npy")
    if file.stat().st_size != edges[-1]:
        raise ValueError("not as long as its list says")
    read = partial(decode, sides=goal, source=source, bits=held["bits"], is_known=True)
    return Rows(file, edges, (*held["sides"], 3), lambda item: read(item).pixels)


def mapped(file: Path) -> NDArray[Any]:
    """Return an array of a file, mapped read-only; ValueError where it is cut short."""
    array = npy.open_memmap(file, mode="r")
    if file.stat().st_size != array.offset + array.nbytes:
        raise ValueError("not as long as its header says")
    return array


def write_head(file: BinaryIO, kind: str, shape: tuple[int, ...]) -> None:
    """Write the head of an array's file, which is as long for any count, and go to the end."""
    file.seek(0)
    npy.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    file.seek(0, 2)
