"""Where a trial's images are held while it trains; which of the three changes no number."""

from enum import StrEnum

from trainables.machine import available_memory, usable_cpus

SHARE = 0.5
"""Share that a trial's images may take of the memory that it has: its part of a GPU's, or what of
main memory is free on its node."""
DISK_SHARE = 0.9
"""Share that decoded images may take of the free disk under the cache folder."""
_ROW_BYTES = 16
"""Bytes of an image besides its pixels: label and place."""
_DRAW_BYTES = 64
"""Bytes of a training image: its place in the order and its crop, of this pass and the next."""


class Held(StrEnum):
    """Where a trial's images are held."""

    DEVICE = "on the device"
    """All of them where the trial computes; on the CPU mapped, and shared by all trials."""
    FILE = "in the node's file"
    """Decoded, on the disk of the node; read ahead of each update."""
    STORED = "as stored"
    """On the disk of the node, as the data set has them; decoded ahead of each update."""


def resident_bytes(n_images: int, n_train: int, each: int) -> int:
    """Return the bytes of the images that a trial keeps on its device.

    They are those that it trains on or evaluates on, of so many bytes each without their labels.
    """
    return n_images * (each + _ROW_BYTES) + n_train * _DRAW_BYTES


def held(n_bytes: float, room: float, is_stored: bool) -> Held:
    """Return where a trial's images are held that take so many bytes decoded.

    `room` is the trial's memory in bytes; stored are images that the node's disk has undecoded.
    """
    if n_bytes <= SHARE * room:
        return Held.DEVICE
    return Held.STORED if is_stored else Held.FILE


def main_memory(cpus: float, is_stored: bool) -> float:
    """Return the bytes of main memory for the images of a trial that has so many CPUs.

    Mapped images are those of all trials of the node; each decodes stored ones for itself.
    """
    return available_memory() * (min(1.0, cpus / usable_cpus()) if is_stored else 1.0)
