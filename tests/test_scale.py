"""Ten thousand trials in one study: nothing lost, and nothing that grows."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from harness import Command

import results
from results.store.store import Store

TRIALS, EPOCHS = 10_000, 5
STUDY: dict[str, Any] = {
    "name": "scale",
    "trainable": "simulated",
    "factors": {
        "model": [f"model-{number:02d}" for number in range(50)],
        "weights": ["none", "big"],
        "fraction": [f"1/{2**power}" for power in range(10)],
    },
    "recipe": {"epochs": EPOCHS},
    "seeds": list(range(10)),
}


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.timeout(3600)
def test_ten_thousand_trials(tmp_path: Path) -> None:
    command = Command(tmp_path, STUDY, flags=())
    process = command.start()
    store, driver = Store(command.out), psutil.Process(process.pid)
    samples: list[tuple[float, int, float]] = []
    while process.poll() is None:
        time.sleep(5)
        if store.root.is_dir() and store.parts("epochs"):
            done = store.read("epochs", ["sequence"]).num_rows // EPOCHS
            if process.poll() is None:
                samples.append((time.monotonic(), done, driver.memory_info().rss / 2**20))
    output, _ = process.communicate()
    assert process.returncode == 0, output
    epochs = store.read("epochs", ["trial_id", "epoch"]).to_pandas()
    assert len(epochs) == TRIALS * EPOCHS
    assert not epochs.duplicated().any()
    trials = store.read("trials").to_pandas()
    assert len(trials) == TRIALS
    assert (trials.status == "completed").all()
    assert len(store.parts("epochs")) <= 9

    times, counts, memory = (np.array(column) for column in zip(*samples, strict=True))
    later = counts >= 1000
    growth = np.polyfit(counts[later], memory[later], 1)[0] * 1000
    first, last = counts <= TRIALS * 0.3, counts >= TRIALS * 0.7
    rates = [np.polyfit(counts[part], times[part], 1)[0] * 1000 for part in (first, last)]
    started = time.monotonic()
    results.open(command.out).epochs()
    reading = time.monotonic() - started
    print(
        f"\nmilliseconds a trial: {rates[0]:.1f} at the start, {rates[1]:.1f} at the end; "
        f"driver {memory[later][0]:.0f} MiB at 1,000 trials and {memory[-1]:.0f} at the end, "
        f"{growth:.1f} MiB per 1,000; epochs read in {reading:.2f} s"
    )
    assert growth < 50
    assert rates[1] < 1.5 * rates[0]
    assert reading < 2
