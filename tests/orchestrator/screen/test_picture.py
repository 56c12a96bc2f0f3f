"""What a terminal shows of a study, at any width and height."""

import dataclasses

import pytest
from rich.console import Console
from rich.live_render import LiveRender
from studies import drawn, trial_row

from orchestrator.screen.picture import CellsTable, Picture, cell_text, slots_table
from orchestrator.screen.snapshot import CellView, SlotView, Snapshot, snapshot_of

FACTORS = ["model", "weights", "fraction"]


def view(models: int = 2, fractions: tuple[float, ...] = (1 / 16, 1 / 2, 1.0)) -> Snapshot:
    rows = [
        trial_row(f"resnet{number}", fraction, weights=weights)
        for number in range(models)
        for weights in ("none", "cifar100")
        for fraction in fractions
    ]
    return snapshot_of("demo", rows, FACTORS)


def test_a_row_for_every_cell() -> None:
    rows = [
        trial_row(seed=0, measured=False, latest_val_accuracy=0.6),
        trial_row(seed=1, measured=False, status="stopped", epochs_done=1, latest_val_accuracy=0.2),
        trial_row("b", status="running", epochs_done=1, latest_val_accuracy=0.71),
        trial_row("b", latest_val_accuracy=0.7),
    ]
    lines = drawn(CellsTable(snapshot_of("demo", rows, FACTORS)), 80)
    assert lines[0] == "demo · weights none"
    assert lines[2].split() == [
        "model",
        "fraction",
        "state",
        "trials",
        "epochs",
        "best",
        "mean",
        "stopped",
    ]
    assert lines[4].split() == ["a", "1", "completed", "2/2", "4/4", "60.0", "%", "–", "1"]
    assert lines[5].split() == ["b", "1", "running", "1/2", "4/6", "71.0", "%", "70.0", "%", "–"]


def test_where_there_is_no_room_for_all_cells() -> None:
    rows = [trial_row(f"m{n}", fraction) for n in range(20) for fraction in (0.5, 1.0)]
    rows[30] |= {"status": "running", "epochs_done": 1}
    lines = drawn(CellsTable(snapshot_of("demo", rows, FACTORS), most=6), 80)
    assert len(lines) <= 6 + 6
    # What is under way comes first.
    assert lines[4].split()[0] == "m15"
    assert any("… and 35 more cells" in line for line in lines)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize(
    "fractions", [(1.0,), (1 / 16, 1 / 2, 1.0), (*(2.0**-n for n in range(9)),)]
)
def test_every_cell_fits_at_every_width(width: int, fractions: tuple[float, ...]) -> None:
    shown = view(fractions=fractions)
    lines = drawn(CellsTable(shown), width)
    assert all(len(line) <= width for line in lines)
    # No value is ever folded or cut: one per cell, whatever the layout.
    said = sum("50.0 % 1/1 ✓" in line or "50.0 %  50.0 %" in line for line in lines)
    assert said == 4 * len(fractions)
    if width >= 60:
        rows = [line for line in lines if line.split()[:2] == ["resnet1", "cifar100"]]
        assert len(rows) == len(fractions)


def test_many_cells_are_printed_whole_and_very_many_are_counted() -> None:
    shown = view(models=20, fractions=tuple(2.0**-n for n in range(5)))
    assert len(shown.cells) == 200
    assert len(drawn(CellsTable(shown), 100)) == 205
    lines = drawn(CellsTable(shown, most=60), 60)
    assert len(lines) < 70
    assert any("… and 141 more cells" in line for line in lines)


def test_functions_are_named_without_their_module_where_that_is_clear() -> None:
    rows = [trial_row(model) for model in ("a.b:small", "a.b:large", "a.c:large")]
    cells = snapshot_of("demo", rows, FACTORS).cells
    assert [cell.labels[0] for cell in cells] == ["small", "a.b:large", "a.c:large"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (CellView({"planned": 3}), "–   0/3"),
        (CellView({"completed": 3}, value=0.812, is_measured=True), "81.2 % 3/3 ✓"),
        (CellView({"completed": 1, "stopped": 2}, value=0.812), "(81.2 %) 3/3 ⊘2 ✓"),
        (
            CellView({"running": 1, "planned": 1}, epochs_done=1, epochs_asked=4, value=0.5),
            "(50.0 %) 0/2 25%",
        ),
        (CellView({"failed": 2, "completed": 1}, value=0.5), "(50.0 %) 1/3 ✗2"),
    ],
)
def test_what_a_cell_says(cell: CellView, text: str) -> None:
    assert cell_text(cell).plain.strip() == text


def test_names_with_brackets_are_no_markup() -> None:
    shown = snapshot_of("[red]name[/]", [trial_row("[bold]a[/]")], ["model", "fraction"])
    assert "[bold]a[/]" in drawn(CellsTable(shown), 80)[-2]
    assert drawn(CellsTable(shown), 80)[0] == "[red]name[/]"


SLOTS = [SlotView(n, f"resnet50 × IMAGENET1K_V1 × 1/16, seed {n}", 2, 5, 0.5) for n in range(12)]


def test_slots() -> None:
    shown = Snapshot("demo", slots=SLOTS)
    lines = drawn(slots_table(shown), 100)
    assert lines[1].split() == ["slot", "trains", "epoch", "val"]
    assert lines[3].split()[-4:] == ["0", "2/5", "50.0", "%"]
    fresh = [dataclasses.replace(SLOTS[0], value=None)]
    assert drawn(slots_table(Snapshot("demo", slots=fresh)), 100)[3].split()[-1:] == ["–"]
    assert all(len(line) <= 60 for line in drawn(slots_table(shown), 60))


def snapshot(models: int = 4) -> Snapshot:
    rows = [
        trial_row(f"resnet{n}", f, seconds=9.0) for n in range(models) for f in (0.25, 0.5, 1.0)
    ]
    rows[-1] |= {"status": "running", "epochs_done": 1}
    rows[0] |= {"status": "failed", "error": "out of memory: no room"}
    return dataclasses.replace(snapshot_of("demo", rows, FACTORS), slots=SLOTS)


@pytest.mark.parametrize("width", [40, 60, 100, 160])
@pytest.mark.parametrize("height", [24, 40, 60])
def test_what_is_redrawn_in_place_fits(width: int, height: int) -> None:
    lines = drawn(LiveRender(Picture(snapshot(models=30), ["a note"], live=True)), width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    words = " ".join(" ".join(lines).split())
    assert "failed: resnet0" in words
    assert "88 completed" in words
    assert "a note" in words


def test_what_is_printed_once_is_whole() -> None:
    lines = drawn(Picture(snapshot()), 100)
    assert sum("resnet50 × IMAGENET1K_V1" in line for line in lines) == 12
    assert sum(line.startswith(" resnet") for line in lines) == 12
    assert lines[-1].startswith("validation accuracy: best so far")


@pytest.mark.parametrize("width", [50, 100])
def test_the_lines_below(width: int) -> None:
    shown = dataclasses.replace(view(), seconds_left=100.0)
    words = " ".join(" ".join(drawn(Picture(shown, ["starting Ray"]), width)).split())
    assert "100 %, 12 completed, about 100 s left validation accuracy: best so far" in words
    assert words.endswith("none is measured starting Ray")


def test_no_colour_means_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> str:
        console = Console(width=100, force_terminal=True, color_system="truecolor")
        with console.capture() as capture:
            console.print(Picture(snapshot()))
        return capture.get()

    assert "\x1b[3" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any(f"\x1b[3{digit}" in shown() for digit in range(1, 8))
