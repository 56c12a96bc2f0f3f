"""Which images validate, and which ones a trial trains on: stratified, nested, frozen by seed.

Every order here is a sequence of class turns in which, after any number of turns, each class is
less than one image away from its exact share (R. Tijdeman, "The chairman assignment problem",
Discrete Mathematics 32, 1980). A draw is a prefix of such a sequence: draws are nested, and each
one is stratified.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainables.errors import DataError
from trainables.trial import Source

Ints = NDArray[np.int64]
Groups = Ints | None
"""Number of every image's group, shape (n,): one group is never on two sides."""
_CARVE, _DRAW = 0, 1
"""Keep the two uses of randomness apart: no trial's seed repeats the validation order."""


def share_to_count(share: float | Fraction, n_pool: int) -> int:
    """Return how many of `n_pool` images a share comes to, halves rounded up.

    The share is read as the simplest fraction it can stand for, so that 0.29 of 50 is 14.5 and
    gives 15, although the float 0.29 is a little less.
    """
    return int(Fraction(share).limit_denominator(10**9) * n_pool + Fraction(1, 2))


def carve(
    labels: Ints,
    validation: float | int | Literal["test"],
    class_names: Sequence[str] = (),
    part: Literal["validation", "test"] = "validation",
    groups: Groups = None,
) -> tuple[Ints, Ints]:
    """Part the training images into the pool that trials draw from and the validation set.

    The same labels are always carved alike, whatever the seed of a trial. Images of one group, by
    number, stay together: as many whole groups are carved out as come nearest to what is asked.

    `validation` is a share of the training images, a number of them, or "test": all of train is
    the pool and the caller validates on the test set. Of a test `part` the order is another one.
    Returns indices into `labels`, ascending and disjoint: the pool, and what was carved out. Raises
    DataError where nothing or everything would be carved out, or all images of a class.
    """
    if validation == "test":
        return np.arange(labels.size), np.arange(0)
    count = share_to_count(validation, labels.size) if validation < 1 else int(validation)
    comes = f"data.{part}: {validation} comes to {count} of {labels.size} training images"
    if not 0 < count < labels.size:
        raise DataError(f"{comes}; between 1 and {labels.size - 1} can be carved out")
    order = _order(labels, groups, _CARVE, *([1] if part == "test" else []))
    chosen = order[:count] if groups is None else _whole_groups(order, labels, groups, count)
    if not chosen.size:
        whole = "every group of data.group is larger by far, or holds all images of a class"
        raise DataError(f"{comes}, and {whole}; make {part} larger, or let groups be smaller")
    held_out = np.sort(chosen)
    pool = np.setdiff1d(np.arange(labels.size), held_out)
    emptied = np.setdiff1d(labels, labels[pool])
    if emptied.size:
        name = named(int(emptied[0]), class_names)
        had = int(np.count_nonzero(labels == emptied[0]))
        said = f"{validation} takes every training image of class {name}, which has {had}"
        raise DataError(f"data.{part}: {said}; make {part} smaller or add images of that class")
    return pool, held_out


def _whole_groups(order: Ints, labels: Ints, groups: Ints, count: int) -> Ints:
    """Return whole groups in their order, about so many images, and never all of a class."""
    left, taken, chosen = np.bincount(labels), 0, [order[:0]]
    for own in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        rest = left - np.bincount(labels[own], minlength=left.size)
        if abs(taken + own.size - count) < abs(taken - count) and rest[labels[own]].all():
            left, taken = rest, taken + own.size
            chosen.append(own)
        if taken == count:
            break
    return np.concatenate(chosen)


@dataclass(frozen=True, eq=False)
class Training:
    """The training images of a data set, as far as splits depend on them."""

    labels: Ints
    class_names: Sequence[str] = ()
    given: int = 0
    groups: Groups = None

    def held_out(self, source: Source) -> tuple[Ints, Ints]:
        """Return places of images to draw from, and of those that validate; raises as `carve`."""
        if self.given:
            places = np.arange(self.labels.size)
            return places[: -self.given], places[-self.given :]
        return carve(self.labels, source.validation_share, self.class_names, groups=self.groups)

    def draw(self, pool: Ints, n: int, seed: int) -> Ints:
        """Return the places of `n` images that a seed draws of those that a pool names."""
        return pool[draw(self.labels[pool], n, seed, self.class_names, self._groups(pool))]

    def fewest(self, pool: Ints, seeds: Iterable[int]) -> int:
        """Return the smallest `n` for which no seed's draw leaves a class empty."""
        labels, groups = self.labels[pool], self._groups(pool)
        return max(_reach(labels[_order(labels, groups, _DRAW, seed)]) for seed in seeds)

    def _groups(self, pool: Ints) -> Groups:
        return None if self.groups is None else self.groups[pool]


def draw(
    pool_labels: Ints, n: int, seed: int, class_names: Sequence[str] = (), groups: Groups = None
) -> Ints:
    """Draw `n` images of the pool: each class within one image of its share, nested over `n`.

    The same seed, not negative, gives the same images in the same order; a larger `n` only adds
    images at the end. Returns indices into the pool, shape (n,). Of groups, by number, one is drawn
    after another, and only the last of them in part; classes have their share of the groups then.
    Raises DataError where the pool has fewer images, or a class would be left empty.
    """
    if not 0 < n <= pool_labels.size:
        said = f"{n} training images cannot be drawn from a pool of {pool_labels.size}"
        raise DataError(f"{said}; draw 1 to {pool_labels.size}")
    order = _order(pool_labels, groups, _DRAW, seed)
    chosen = order[:n]
    missing = np.setdiff1d(pool_labels, pool_labels[chosen])
    if missing.size:
        others = f" and {missing.size - 1} more" if missing.size > 1 else ""
        name = f"{named(int(missing[0]), class_names)}{others}"
        least = f"{_reach(pool_labels[order])} is the smallest number that has every class"
        said = f"{n} training images of {pool_labels.size} leave class {name} empty (seed {seed})"
        raise DataError(f"{said}; {least}")
    return chosen


def named(label: int, class_names: Sequence[str]) -> str:
    """Return a label with the class's name, where that is another."""
    if label < len(class_names) and class_names[label] != str(label):
        return f"{label} ({class_names[label]})"
    return str(label)


def _reach(ordered_labels: Ints) -> int:
    """Return the length of the shortest prefix that has every class."""
    return int(np.unique(ordered_labels, return_index=True)[1].max()) + 1


def _order(labels: Ints, groups: Groups, *key: int) -> Ints:
    """Return all indices in random order, each prefix stratified; a group as its largest class."""
    if groups is not None:
        _, group = np.unique(groups, return_inverse=True)
        k = int(labels.max()) + 1
        pairs, sizes = np.unique(group * k + labels, return_counts=True)
        largest_first = pairs[np.lexsort((-sizes, pairs // k))]
        _, first = np.unique(largest_first // k, return_index=True)
        turn = np.argsort(_order(largest_first[first] % k, None, *key))
        return np.argsort(turn[group], kind="stable")
    _, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Raw bits, because numpy promises them to stay the same over versions, and shuffles not.
    bits = np.random.PCG64(np.random.SeedSequence(key)).random_raw(counts.size + labels.size)
    precedence = np.argsort(bits[: counts.size], kind="stable")
    turns = _turns(tuple(counts.tolist()), tuple(precedence.tolist()))
    shuffled = np.argsort(bits[counts.size :], kind="stable")
    by_class = shuffled[np.argsort(members[shuffled], kind="stable")]
    order = np.empty(labels.size, dtype=np.int64)
    order[np.argsort(turns, kind="stable")] = by_class
    return order


@lru_cache(maxsize=4)
def _turns(n_of_class: tuple[int, ...], first: tuple[int, ...]) -> Ints:
    """Return whose turn it is, for each of sum(counts) turns.

    With k classes, p a class's share of the images and d = 1/(2k − 2), its j-th image may come at
    turn ⌈(j − 1 + d)/p⌉ and must come by turn ⌊(j − d)/p⌋ + 1; taking the most urgent image of
    those that may come meets all of these limits. `first` lists the classes and settles ties. The
    trials of a worker ask for the same turns again and again.
    """
    counts, precedence = np.array(n_of_class), np.array(first)
    k, total = counts.size, int(counts.sum())
    if k == 1:
        return np.zeros(total, dtype=np.int64)
    scale = 2 * k - 2
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    j = np.arange(total) - starts + 1
    length = scale * np.repeat(counts, counts)
    release = -((-(scale * (j - 1) + 1) * total) // length)
    deadline = (scale * j - 1) * total // length + 1
    rank = np.argsort(precedence)
    urgency = deadline * k + np.repeat(rank, counts)
    by_release = np.argsort(release, kind="stable")
    waiting, ready = iter(urgency[by_release].tolist()), list[int]()
    chosen = np.empty(total, dtype=np.int64)
    for turn, n_more in enumerate(np.bincount(release, minlength=total + 1)[1:].tolist()):
        for each in islice(waiting, n_more):
            heapq.heappush(ready, each)
        chosen[turn] = heapq.heappop(ready) % k
    return precedence[chosen]
