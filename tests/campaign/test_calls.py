"""Every file call of a study's life is the place of a kill, of errors and of a power cut."""

import json
from pathlib import Path

import forks
import pytest

LIVES = ["plain", "search", "kept", "merge", "report"]
LONG = [pytest.mark.long, pytest.mark.timeout(7200)]


def tried(script: str, *words: str) -> int:
    """Run a campaign in a process that has used nothing yet; return how much it tried."""
    # The scripts of this folder fork for every point: a process with threads had better not.
    process = forks.start([str(Path(__file__).with_name(script)), *words])
    output, complaints = process.communicate()
    assert process.returncode == 0, complaints
    answer = json.loads(output.splitlines()[-1])
    assert not answer["wrong"], "\n".join(f"{key}: {said}" for key, said in answer["wrong"].items())
    print(f"\n{answer}")
    return int(answer.get("points") or answer["cuts"])


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("every", [150, 1], ids=["sample", "all"])
def test_a_fault_at_any_call_costs_nothing(life: str, every: int) -> None:
    assert tried("every_call.py", life, str(every), str(every // 2))


@pytest.mark.parametrize(
    ("life", "each", "calls"),
    [
        pytest.param("plain", 1, 8, marks=LONG),
        *(pytest.param(life, 10, 1, marks=LONG) for life in ("plain", "search", "kept", "merge")),
    ],
)
def test_a_power_cut_behind_any_call_loses_no_row(life: str, each: int, calls: int) -> None:
    assert tried("power_cuts.py", life, str(each), "20", str(calls))
