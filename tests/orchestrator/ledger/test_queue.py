"""Which trial starts next, worked out by hand."""

import pytest

from orchestrator.ledger.passes import Queue


def filled(*trials: tuple[str, int, float]) -> Queue:
    queue = Queue()
    for number, (name, turn, cost) in enumerate(trials):
        queue.push(name, turn, cost, (number,))
    return queue


def drain(queue: Queue, slots: int) -> str:
    return "".join(queue.pop(slots) for _ in range(len(queue)))


TRIALS = (("a", 0, 1.0), ("b", 0, 2.0), ("c", 1, 3.0), ("d", 1, 2.0), ("e", 1, 3.0))


def test_one_slot_goes_round_by_round_longest_first_equals_as_they_came() -> None:
    assert drain(filled(*TRIALS), 1) == "baced"


def test_in_one_round_only_length_counts() -> None:
    queue = filled(*((name, 0, cost) for name, _, cost in TRIALS))
    assert drain(queue, 1) == "cebda"


def test_what_would_outlast_the_rest_starts_out_of_turn() -> None:
    # 11 units on two slots take 5.5: nothing is as long. Once b is gone 9 are left, 4.5 a slot;
    # once a is gone 8, 4 a slot; then c of length 3 is still in turn, and so on.
    assert drain(filled(*TRIALS), 2) == "baced"
    # On four slots 11/4 = 2.75 is less than 3: c first, then e (8/4 = 2), then b (5/4), ...
    assert drain(filled(*TRIALS), 4) == "cebda"


def test_a_trial_that_comes_back_is_popped_once() -> None:
    queue = filled(*TRIALS)
    assert queue.pop(1) == "b"
    queue.push("b", 0, 2.0, (1,))
    assert len(queue) == 5
    assert drain(queue, 1) == "baced"
    with pytest.raises(IndexError):
        queue.pop(1)
