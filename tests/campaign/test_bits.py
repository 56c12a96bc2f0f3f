"""A flipped bit is noticed or harmless, wherever it is: 999 of 1,000 at least."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import flipped
from PIL import Image
from simulated_trials import simulated_trial

from results.errors import StoreError
from results.store.store import Store
from results.store.tables import table_of
from trainables.data import cache as cache_module
from trainables.data import dataset
from trainables.training.simulated import Simulated
from trainables.trial import Source
from trainables.work.checkpoints import Checkpoints

TRIAL = simulated_trial(epochs=9)
Kind = tuple[list[Path], Callable[[], Any]]
"""Files, and what reads them: the values, or None where damage is noticed."""


def _rows(count: int) -> Any:
    generator = random.Random(0)
    values = [
        {"trial_id": f"t{n}", "epoch": 1, "sequence": n, "val_loss": generator.random()}
        for n in range(count)
    ]
    return table_of("epochs", values)


def parts(folder: Path) -> Kind:
    """Parts as they are written, replaced and merged."""
    store = Store(folder)
    for number in range(3):
        store.write_part("predictions", f"p{number}", [table_of("predictions", [])])
    for count in (20, 40):
        store.replace_part("epochs", "replaced", _rows(count))
    several = Store(folder / "merged")
    for number in range(3):
        several.write_part("epochs", f"p{number}", [_rows(30).slice(10 * number, 10)])
    several.merge("merged", above=1)

    def read() -> Any:
        try:
            found = [store.read("epochs"), store.read("predictions"), several.read("epochs")]
        except StoreError:
            return None
        return [table.to_pylist() for table in found]

    return [*store.parts("epochs"), *store.parts("predictions"), *several.parts("epochs")], read


def checkpoints(folder: Path) -> Kind:
    """States and the rows behind them."""
    learner, rows = Simulated(TRIAL), []
    for _ in range(3):
        rows.append(learner.step())
        Checkpoints(folder).save(learner, rows)
    state = folder / "000003.state"

    def read() -> Any:
        again = Simulated(TRIAL)
        found, problems = Checkpoints(folder).restore(again, 9)
        if problems:
            (folder / "000003.damaged").rename(state)
            return None
        return found, again.epoch

    return [state, folder / "000003.json"], read


def cache(folder: Path) -> Kind:
    """Decoded images: what is damaged is decoded again, so that it is harmless at least."""
    for number, name in enumerate(("train/a/0", "train/a/1", "train/b/2", "test/a/3", "test/b/4")):
        file = folder / "images" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 6), (number, 0, 255)).save(file)
    source = Source(source="imagefolder", path=folder / "images")

    def read() -> Any:
        cache_module._checked.clear()
        held = dataset.open_dataset(source, dataset.inspect(source).fingerprint, None, None)
        return [
            (each.images.tolist(), each.labels.tolist()) for each in (held.train, held.test)
        ], held.training.class_names

    read()
    return sorted(file for file in (folder / "cache/decoded").glob("*/*")), read


@pytest.fixture
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.setenv("SCALESTUDY_CACHE", str(tmp_path / "cache"))
    made: Kind = request.param(tmp_path)
    return made


LONG = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("kind", [parts, checkpoints, cache], indirect=True)
@pytest.mark.parametrize("flips", [60, pytest.param(2_000, marks=LONG)], ids=["few", "many"])
def test_a_flipped_bit_is_noticed_or_harmless(kind: Kind, flips: int) -> None:
    files, read = kind
    expected, generator, noticed, silent = read(), random.Random(18), 0, 0
    assert expected is not None
    for _ in range(flips):
        file = generator.choice(files)
        content = file.read_bytes()
        file.write_bytes(flipped(content, generator.randrange(8 * len(content))))
        found = read()
        noticed += found is None
        silent += found is not None and found != expected
        file.write_bytes(content)
    assert silent <= flips / 1_000
    print(f"\n{flips} flips, {noticed} noticed, {silent} changed a value")
