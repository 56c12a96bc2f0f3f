import math
from typing import Any

import pytest
import torch
from torch import nn

from trainables.recipe import Recipe
from trainables.training.optimizers import Interval, Schedule, build_optimizer, update


def course(steps_per_interval: int, **fields: Any) -> list[float]:
    recipe = Recipe(lr=1.0, **fields)
    schedule = Schedule(recipe, steps_per_interval)
    return [schedule.lr(step) for step in range(recipe.intervals * steps_per_interval)]


def test_constant() -> None:
    assert course(3, epochs=2) == [1.0] * 6


def test_warm_up_ends_at_the_peak() -> None:
    assert course(4, epochs=2, warmup=1) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]


def test_a_part_of_an_epoch_can_be_warm_up() -> None:
    assert course(4, epochs=1, warmup=0.5) == [0.5, 1, 1, 1]


def test_cosine_falls_to_zero() -> None:
    lrs = course(4, epochs=2, schedule="cosine")
    assert lrs[0] == 1.0
    assert lrs[4] == pytest.approx(0.5)
    assert lrs[2] == pytest.approx((1 + math.sqrt(0.5)) / 2)
    # One step before the end of 8 steps; the next would be 0.
    assert lrs[7] == pytest.approx((1 + math.cos(math.pi * 7 / 8)) / 2)
    assert Schedule(Recipe(epochs=2, schedule="cosine", lr=1.0), 4).lr(8) == 0.0


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
    ours = Schedule(Recipe(epochs=3, schedule="cosine", lr=0.3), 5)
    for step in range(15):
        assert ours.lr(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        theirs.step()


def test_cosine_falls_over_what_the_warm_up_leaves() -> None:
    lrs = course(4, epochs=3, schedule="cosine", warmup=1)
    assert lrs[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert lrs[8] == pytest.approx(0.5)


def test_wsd_is_stable_whatever_the_budget_and_then_falls() -> None:
    lrs = course(4, epochs=5, schedule="wsd", warmup=1, decay=0.2)
    assert lrs[:17] == [0.25, 0.5, 0.75, *[1.0] * 14]
    # 1 − √(1/4), 1 − √(2/4), 1 − √(3/4); the next would be 0.
    assert lrs[17:] == pytest.approx([0.5, 0.292893, 0.133975], rel=1e-5)
    longer = course(4, epochs=10, schedule="wsd", warmup=1, decay=0.2)
    assert longer[:17] == lrs[:17]
    assert longer[17:33] == [1.0] * 16


@pytest.mark.parametrize(("warmup", "pct_start"), [(0.0, 0.3), (1.0, 0.25)])
def test_one_cycle_is_torchs(warmup: float, pct_start: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.3, total_steps=40, pct_start=pct_start, cycle_momentum=False
    )
    ours = Schedule(Recipe(epochs=4, schedule="one-cycle", warmup=warmup, lr=0.3), 10)
    for step in range(40):
        expected = optimizer.param_groups[0]["lr"]
        assert ours.lr(step) == pytest.approx(expected, rel=1e-9), step
        optimizer.step()
        if step < 39:
            theirs.step()
    assert max(ours.lr(step) for step in range(40)) == pytest.approx(0.3)
    assert ours.lr(39) == pytest.approx(0.3 / 25 / 1e4)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_no_budget_is_too_short(schedule: str, warmup: float, steps: int) -> None:
    lrs = course(steps, epochs=1, schedule=schedule, warmup=warmup)
    assert all(0 <= lr <= 1 for lr in lrs)
    assert lrs[0] > 0


def one_update(**fields: Any) -> list[float]:
    """Return a weight of 1 after each of two updates with gradient 2."""
    weight = nn.Parameter(torch.ones(1))
    optimizer = build_optimizer([weight], Recipe(**fields))
    found = []
    for _ in range(2):
        weight.grad = torch.full((1,), 2.0)
        update(optimizer)
        found.append(weight.item())
    return found


@pytest.mark.parametrize("rule", ["adam", "adamw", "sgd"])
def test_an_update_is_torchs_step(rule: str) -> None:
    found = []
    for advance in (update, lambda optimizer: optimizer.step()):
        torch.manual_seed(0)
        weights = nn.Parameter(torch.randn(3, 4))
        fields = {"optimizer": rule, "weight_decay": 0.1, "decay_norms": False}
        norm = nn.Parameter(torch.ones(4))
        optimizer = build_optimizer([weights, norm], Recipe(**fields))
        for _ in range(3):
            weights.grad, norm.grad = torch.randn(3, 4), torch.randn(4)
            advance(optimizer)
        assert torch.is_grad_enabled()
        held = [value for state in optimizer.state.values() for value in state.values()]
        found.append([weights.detach(), norm.detach(), *held])
    assert all(map(torch.equal, *found))


def kernels(rule: str, layout: torch.memory_format, given: torch.memory_format | None) -> Any:
    """Return a kernel after three updates, and what these call.

    Before each it gets memory of its own, laid out as is `given`.
    """
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 3, 3, 3).contiguous(memory_format=layout))
    recipe = Recipe(optimizer=rule, weight_decay=0.1, decay_norms=False)
    optimizer = build_optimizer([weight], recipe)
    called = set()
    for number in range(3):
        if number == 2:
            # As a checkpoint is gone on from.
            saved, optimizer = optimizer.state_dict(), build_optimizer([weight], recipe)
            optimizer.load_state_dict(saved)
        if given is not None:
            weight.data = weight.detach().clone(memory_format=given)
        weight.grad = torch.randn(4, 3, 3, 3).contiguous(memory_format=layout)
        with torch.profiler.profile() as profile:
            update(optimizer)
        called |= {event.name for event in profile.events()}
    return weight.detach(), called


@pytest.mark.parametrize("rule", ["adam", "adamw", "sgd"])
def test_kernels_that_lie_channels_last_are_updated_as_any_others_without_copies(rule: str) -> None:
    expected, _ = kernels(rule, torch.contiguous_format, None)
    found, called = kernels(rule, torch.channels_last, None)
    assert torch.equal(found, expected)
    # torch's own step clones each gradient that does not lie in the order of its sides.
    assert "aten::clone" not in called


@pytest.mark.parametrize("given", [torch.contiguous_format, torch.channels_last])
def test_a_kernel_that_a_model_gave_other_memory_is_updated_there(
    given: torch.memory_format,
) -> None:
    expected, _ = kernels("adam", torch.contiguous_format, None)
    found, _ = kernels("adam", torch.channels_last, given)
    assert torch.equal(found, expected)


def test_sgd_by_hand() -> None:
    # Velocities 2 and 0.5·2 + 2 = 3.
    assert one_update(optimizer="sgd", lr=0.1, momentum=0.5) == pytest.approx([0.8, 0.5])


def test_nesterov_by_hand() -> None:
    # Each update moves by gradient + 0.5 · velocity: 3 and 3.5.
    found = one_update(optimizer="sgd", lr=0.1, momentum=0.5, nesterov=True)
    assert found == pytest.approx([0.7, 0.35])


def test_weight_decay_of_sgd_is_an_l2_term() -> None:
    found = one_update(optimizer="sgd", lr=0.1, momentum=0.0, weight_decay=1.0)
    assert found == pytest.approx([0.7, 0.43])


def test_adam_moves_by_its_learning_rate_at_first() -> None:
    assert one_update(optimizer="adam", lr=0.1) == pytest.approx([0.9, 0.8], abs=1e-6)


def test_weight_decay_of_adam_is_an_l2_term() -> None:
    # Only the gradient's direction counts at first, and that has not changed.
    found = one_update(optimizer="adam", lr=0.1, weight_decay=0.5)
    assert found[0] == pytest.approx(0.9, abs=1e-6)


def test_weight_decay_of_adamw_is_decoupled() -> None:
    # 1 − 0.1·0.5·1 − 0.1, as Loshchilov & Hutter have it.
    found = one_update(optimizer="adamw", lr=0.1, weight_decay=0.5)
    assert found[0] == pytest.approx(0.85, abs=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_updates_are_fused(name: str) -> None:
    optimizer = build_optimizer([nn.Parameter(torch.ones(1))], Recipe(optimizer=name))
    assert optimizer.param_groups[0]["fused"]


def test_an_interval_gives_all_groups_the_rate_of_each_update_and_keeps_what_they_find() -> None:
    weights = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weight]} for weight in weights], lr=1.0)
    schedule = Schedule(Recipe(lr=0.25, schedule="step", step_size=0.5, gamma=0.4), 2)
    interval = Interval(optimizer, schedule, torch.device("cpu"))
    for _ in range(2):
        # A second interval begins anew.
        interval.begin(0)
        rates = []
        for number in range(2):
            interval.set_rate()
            rates.append([group["lr"] for group in optimizer.param_groups])
            interval.add(torch.tensor(1.5 + number), torch.tensor(3))
        # Not 0.1 in single precision.
        assert rates == [[0.25, 0.25], [0.1, 0.1]]
        assert (interval.losses.tolist(), interval.hits.item()) == ([1.5, 2.5], 6)
