"""What `plan` says in a terminal of time, resources, disk and money."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.plan.durations import Basis
from orchestrator.plan.price import Band, Cost, Price
from orchestrator.screen.view import plain_table
from results.phrases import byte_size, duration

_MOST_CELLS = 20


def print_price(price: Price) -> None:
    """Print the price of each cell and of all, what it rests on, and how the time falls."""
    console = Console(highlight=False)
    if not price.total.trials:
        console.print("Nothing is left to train: it costs nothing.")
        return
    unit = price.resource.upper()
    table = plain_table("price", "cell", "trials", "epochs", "saved", f"{unit} time", "from – to")
    # The dearest first: there is something to save.
    dearest = sorted(price.cells.items(), key=lambda entry: -entry[1].seconds.value)
    for name, cost in dearest[:_MOST_CELLS]:
        _row(table, name, cost)
    table.add_section()
    _row(table, "all", price.total)
    console.print(table)
    if len(price.cells) > _MOST_CELLS:
        console.print(f"… and {len(price.cells) - _MOST_CELLS} cheaper cells (all with --json)")
    for line in lines(price):
        console.print(line, markup=False, soft_wrap=True)


def lines(price: Price) -> list[str]:
    """Return the price of a study in sentences."""
    total, unit = price.total, price.resource.upper()
    at_a_time = f"{price.slots} trial{'s' * (price.slots > 1)} at a time"
    said = [
        f"time: about {duration(price.wall.value)} from first start to last end with {at_a_time} "
        f"({_times(price.wall)}), "
        f"{total.hours.value:.3g} {unit}-hours; no order could beat {duration(price.bound)}. "
        "Starting Ray and writing the report come on top.",
        f"basis: {_basis(total.basis)}."
        + (
            " --probe measures a few updates of each kind of trial."
            if {Basis.FLOPS.value, Basis.GUESS.value, Basis.SCALED.value} & set(total.basis)
            else ""
        ),
    ]
    if total.saved:
        asked = total.epochs + total.saved
        said.append(
            f"early stopping: about {total.saved} of {asked} epochs saved "
            f"({duration(price.saved_seconds)} of a place)."
        )
    places = "GPUs" if price.resource == "gpu" else "places on CPUs"
    falls = ", ".join(f"{count}: {duration(wall)}" for count, wall in price.sizes.items())
    said.append(f"with more {places}: {falls}.")
    disk = ", ".join(f"{name} {byte_size(size)}" for name, size in price.disk.items() if size)
    said.append(f"disk: about {byte_size(sum(price.disk.values()))} ({disk}).")
    if price.money:
        said.append(
            f"money: about {price.money.value:,.2f} "
            f"({price.money.low:,.2f} to {price.money.high:,.2f})."
        )
    return said


def _row(table: Table, name: str, cost: Cost) -> None:
    table.add_row(
        Text(name),
        str(cost.trials),
        str(cost.epochs),
        str(cost.saved or ""),
        duration(3600 * cost.hours.value),
        f"{duration(3600 * cost.hours.low)} – {duration(3600 * cost.hours.high)}",
    )


def _times(band: Band) -> str:
    return f"{duration(band.low)} to {duration(band.high)}"


def _basis(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in shares.items())
