"""Any order of starts, rows, kills, changes, damages and copies ends as if nothing had happened."""

import pytest
from campaign import machine
from campaign.lives import SETTLED
from campaign.machine import Machine
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test


@pytest.mark.parametrize(
    ("studies", "steps"),
    [(5, 15), pytest.param(250, 50, marks=[pytest.mark.long, pytest.mark.timeout(7200)])],
    ids=["a few", "many"],
)
def test_any_history_ends_as_if_nothing_had_happened(
    studies: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in SETTLED:  # so that it is undone
        monkeypatch.setattr(module, name, value)
    kept = settings(
        max_examples=studies,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        suppress_health_check=[*HealthCheck],
        database=None,
        phases=[Phase.generate],
    )
    before = machine.STEPS
    run_state_machine_as_test(Machine, settings=kept)
    print(f"\n{machine.STEPS - before} steps")
