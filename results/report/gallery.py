"""What the page shows of the test images that models get wrong."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from results.analysis.analysis import Analysis
from results.analysis.runs import records_of
from results.report.html import data_address

Look = Callable[[Collection[str]], Mapping[str, bytes]]
"""Returns JPEG files of the test images at some places, as far as they are to be had."""
_MOST_MISSED = 48
_MOST_CELLS = 400
_ROOM = 300_000
"""Characters that all pictures together may take."""


def gallery_of(study: Analysis, look: Look | None = None) -> dict[str, Any] | None:
    """Return what the page shows, None where nothing is recorded of it or the study is a race.

    `missed` are the images that every run at the largest amount of data gets wrong: what is said of
    each, where it is found, and the address of its picture, empty where there is none; `n_missed`,
    `n_images` and `runs` how many of them, of all and of such runs there are. `disputed` is what
    the page looks up: names of `cells` and, of each, a code per image in `right` (1 right in most
    seeds, 0 wrong in most, 2 in half of them); class, place and picture of the `images`; `chosen`,
    the places of two cells to begin with.
    """
    found, ranked = study.mistakes, study.ranked
    if study.design.race or not found.runs:
        return None
    missed, disputed = records_of(found.missed.head(_MOST_MISSED)), records_of(found.disputed)
    places = dict.fromkeys(row["place"] for row in (*missed, *disputed))
    pictures = _fitting(look(places)) if look else {}
    known = np.flatnonzero(~np.isnan(found.right[ranked.index]).any(axis=1))
    cells = ranked.iloc[known].head(_MOST_CELLS)
    largest = np.flatnonzero(cells["n_train"] == ranked["n_train"].max()).tolist()
    return {
        "missed": [
            (
                f"{row['class']}, taken for {row['taken']} by {100 * row['share']:.0f} % of runs",
                row["place"],
                pictures.get(row["place"], ""),
            )
            for row in missed
        ],
        "n_missed": len(found.missed),
        "n_images": study.board.images.size,
        "runs": found.runs,
        "disputed": {
            "cells": [study.name(row) for row in records_of(cells)],
            "right": [
                "".join(
                    "2" if share == 0.5 else str(int(share > 0.5)) for share in found.right[place]
                )
                for place in cells.index
            ],
            "images": [
                [row["class"], row["place"], pictures.get(row["place"], "")] for row in disputed
            ],
            "chosen": [largest[0], largest[-1]] if len(largest) > 1 else [0, len(cells) - 1],
        },
    }


def _fitting(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return pictures as addresses, as many as the page has room for."""
    kept: dict[str, str] = {}
    for place, content in files.items():
        kept[place] = data_address("jpeg", content)
        if sum(map(len, kept.values())) > _ROOM:
            del kept[place]
            break
    return kept
