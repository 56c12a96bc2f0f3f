import pytest
import torch

from trainables.data.batches import Batches, derive_seed

CPU = torch.device("cpu")


def sizes(n: int, batch_size: int) -> list[int]:
    batches = Batches(n, batch_size, 0, None, CPU)
    found = [len(batches.batch(step).examples) for step in range(batches.per_pass)]
    assert found == [batches.size(step) for step in range(batches.per_pass)]
    return found


@pytest.mark.parametrize(
    ("n", "batch_size", "expected"),
    [
        (12, 4, [4, 4, 4]),
        (14, 4, [3, 4, 3, 4]),
        (13, 4, [3, 3, 3, 4]),
        (5, 4, [2, 3]),
        (3, 4, [3]),
        (1, 4, [1]),  # there is no more
        (3, 1, [1, 1, 1]),
        (3, 2, [3]),  # rather than one of a single example
        (7, 2, [2, 2, 3]),
    ],
)
def test_sizes_of_the_batches_of_a_pass(n: int, batch_size: int, expected: list[int]) -> None:
    assert sizes(n, batch_size) == expected


def test_no_batch_is_much_smaller_than_the_others() -> None:
    for n in range(2, 400):
        found = sizes(n, 64)
        assert sum(found) == n
        assert max(found) <= 64
        assert max(found) - min(found) <= 1


def test_each_pass_sees_every_example_once_in_another_order() -> None:
    batches = Batches(11, 3, 7, None, CPU)
    passes = [
        torch.cat([batches.batch(turn * batches.per_pass + k).examples for k in range(4)])
        for turn in range(3)
    ]
    for order in passes:
        assert sorted(order.tolist()) == list(range(11))
    assert len({tuple(order.tolist()) for order in passes}) == 3


def test_a_batch_follows_from_seed_and_step_alone() -> None:
    forward = Batches(20, 6, 3, (32, 32), CPU)
    backward = Batches(20, 6, 3, (32, 32), CPU)
    there = [forward.batch(step) for step in range(9)]
    back = [backward.batch(step) for step in reversed(range(9))][::-1]
    for one, other in zip(there, back, strict=True):
        assert torch.equal(one.examples, other.examples)
        assert one.crops is not None
        assert other.crops is not None
        assert torch.equal(one.crops, other.crops)


def test_augmentation_does_not_change_the_order() -> None:
    plain, augmented = Batches(20, 6, 3, None, CPU), Batches(20, 6, 3, (32, 32), CPU)
    assert plain.batch(5).crops is None
    assert torch.equal(plain.batch(5).examples, augmented.batch(5).examples)


def test_other_seeds_give_other_batches() -> None:
    orders = {tuple(Batches(50, 50, seed, None, CPU).batch(0).examples.tolist()) for seed in (0, 1)}
    assert len(orders) == 2


def test_seeds_for_different_purposes_differ_and_repeat() -> None:
    seeds = [derive_seed(s, p, t) for s in (0, 1) for p in ("order", "crops") for t in (0, 1)]
    assert len(set(seeds)) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, "order", 0) == derive_seed(1, "order", 0)
    # Parts do not run into each other.
    assert derive_seed(1, 11) != derive_seed(11, 1)


def test_each_pass_crops_anew() -> None:
    batches = Batches(60, 60, 3, (32, 32), CPU)
    first, second = batches.batch(0).crops, batches.batch(1).crops
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)
