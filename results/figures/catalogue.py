"""The figures of a study, by name: data-size, epochs and so on."""

from collections.abc import Callable
from functools import partial

from matplotlib.figure import Figure

from results.analysis.analysis import Analysis
from results.figures.curves import cost, epochs, learning_curves
from results.figures.sizes import data_size


def drawings_of(study: Analysis) -> dict[str, Callable[[], Figure]]:
    """Return what draws each figure that a study has, those that the report shows at the front."""
    fair, has_sizes = not study.design.race, len(study.cells.levels["fraction"]) > 1
    drawn: dict[str, tuple[Callable[[Analysis], Figure], bool]] = {
        "data-size": (data_size, has_sizes),
        "data-size-log": (partial(data_size, log=True), has_sizes),
        "cost": (cost, len(study.cells.frame) > 0),
        "learning-curves": (learning_curves, fair and has_sizes),
        "epochs": (epochs, True),
    }
    return {name: partial(draw, study) for name, (draw, fits) in drawn.items() if fits}
