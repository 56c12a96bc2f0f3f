"""The thresholds of all findings, and the rules that a study's design is judged by.

Each rule is judged by one function, before a run (`orchestrator.plan.design`) and after it
(`results.findings`). Sources stand in docs/statistics.md.
"""

from collections.abc import Collection, Sequence
from functools import partial

from results.findings.finding import note, warning

FEWEST_SEEDS = 2
"""Seeds of a cell from which on it has an interval: Student's t needs a spread."""
FEWEST_SIZES = 4
"""Data sizes that judge a power law: the fourth is the first that its three parameters may miss."""
ADVISED_SIZES = ("1/16", "1/8", "1/4", "1/2", "1")
"""Shares of the training pool that are advised: with five, two check the law, and the back-test,
which sees at most half of the data, still rests on four."""
FEWEST_STEPS = 10
"""Optimizer updates an epoch, below which an epoch hardly trains."""
ENOUGH_UPDATES = 1000
"""Updates of a trial from which on a smaller size is no longer held back by being trained less."""
UNEQUAL_UPDATES = 2.0
"""Ratio of two sizes' updates, from which on their training is not alike."""
NARROW_GRID = 5.0
"""Largest over smallest value of a grid, below which its best is likely at an edge."""
MOST_SEEN = 0.001
"""Share of the test images that may be training images too: a tenth of a point at most."""

FEWEST_RECIPES = 4
"""Recipes of a cell from which on half of them say whether a search was large enough."""
SEARCH_GAIN = 0.5
"""Points of validation accuracy that the second half of a search's recipes brings, from which on
more recipes are advised."""
IMBALANCE = 0.1
"""Share by which a class may miss its part of a subset."""
SMALL_IMAGE_FLOPS = 3e8
"""FLOPs of a ResNet's forward pass below which its images are small: a ResNet-18 takes 1.5e8 at 64
pixels, 1.8e9 at 224."""
SPIKE = 5.0
"""Times the running median of the validation loss, from which on a loss has jumped."""
OUTLIER = 20.0
"""Points of accuracy between a seed and its cell's median, from which on it is an outlier."""
CHANCE, ABOVE_CHANCE = 1.5, 0.05
"""Times the accuracy of guessing, and share of what is left above it, up to both of which a run has
learnt nothing."""
LEARNT = 0.25
"""Share of accuracy above that of guessing, from which on a run has learnt its training images."""
EXPLODED = 1.5
"""Times the loss of guessing, from which on a run that has learnt nothing has diverged."""
FAR, FAR_ERRORS = 15.0, 4.0
"""Points, and standard errors of the smaller set at worst, beyond both of which the accuracies on
validation and on test are of unlike images."""

SEEDS = partial(warning, "single-seed")
SIZES = partial(note, "few-fractions")
STEPS = partial(warning, "few-steps")
UPDATES = partial(warning, "unequal-updates")
ONE_LR = partial(warning, "one-lr")
GRID = partial(warning, "edge-of-grid")
SELECTION = partial(warning, "validation-on-test")
"""Rules of a study's design: each makes the finding where it is broken, of evidence and advice."""


def has_few_seeds(seeds: int) -> bool:
    """Return whether a cell's completed seeds give it no interval and no rank."""
    return 0 < seeds < FEWEST_SEEDS


def has_few_sizes(sizes: int) -> bool:
    """Return whether a line over so many data sizes, not one, has a law that nothing checks."""
    return 1 < sizes < FEWEST_SIZES


def has_few_steps(steps: float) -> bool:
    """Return whether an epoch has too few updates."""
    return steps < FEWEST_STEPS


def has_unequal_updates(fewest: float, most: float) -> bool:
    """Return whether a size is held back by fewer updates than another, not by its data alone."""
    return fewest < ENOUGH_UPDATES and most >= UNEQUAL_UPDATES * fewest


def shares_lr(weights: Collection[str], varies: bool) -> bool:
    """Return whether scratch training and fine-tuning share a learning rate that does not vary."""
    return "none" in weights and len(set(weights)) > 1 and not varies


def is_at_edge(value: float, tried: Sequence[float]) -> bool:
    """Return whether a chosen value is the smallest or the largest of those tried, in order."""
    return len(tried) > 1 and value in (tried[0], tried[-1])


def is_narrow(tried: Sequence[float]) -> bool:
    """Return whether the best of a grid, its values in order, is likely at its edge."""
    return len(tried) == 2 or (tried[0] > 0 and tried[-1] < NARROW_GRID * tried[0])
