"""Small pictures of some test images, for people to look at."""

import io
import time
from collections.abc import Collection
from contextlib import suppress

from PIL import Image

from trainables.data.pictures import decode
from trainables.data.sources import origin
from trainables.errors import DataError, PictureError
from trainables.trial import BUILT_IN, Source

_SIDE = 64  # pixels
_SECONDS = 4.0
"""For how long images are looked for."""


def thumbnails(source: Source, places: Collection[str]) -> dict[str, bytes]:
    """Return JPEG files of the test images at these places, as `dataset.places` names them.

    Those are left out that are there no more, that cannot be read, or that a function of one's own
    would have to make; and those that are not reached within a few seconds.
    """
    left, found, began = set(places), dict[str, bytes](), 0.0
    is_downloaded = source.source.startswith("cifar")
    if source.source not in BUILT_IN or (is_downloaded and origin(source).evidence() is None):
        return found
    with suppress(DataError, OSError):
        for item in origin(source).read(source).test.items():
            # Counted from the first image on: what reads them may take long to import.
            began = began or time.monotonic()
            if item.where in left:
                left.remove(item.where)
                with suppress(PictureError), io.BytesIO() as file:
                    small = Image.fromarray(decode(item, _SIDE, source).pixels)
                    small.save(file, "JPEG", quality=80)
                    found[item.where] = file.getvalue()
            if not left or time.monotonic() > began + _SECONDS:
                break
    return found
