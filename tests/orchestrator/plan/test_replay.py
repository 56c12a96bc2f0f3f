"""Stopping rules on recorded curves: cases worked out by hand, and runs that know the truth."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from studies import run, searched, study, trials
from typer.testing import CliRunner

from orchestrator.commands.app import app
from orchestrator.ledger.history import History
from orchestrator.ledger.stopping import group_of
from orchestrator.plan.replay import Curve, Replay, recorded_curves, replay, stops
from orchestrator.study.blocks import EarlyStopping
from orchestrator.study.study import Study
from results.store.store import Store


def curves_of(values: dict[str, list[float]], model: str = "a", budget: int = 3) -> list[Curve]:
    return [
        Curve(
            name,
            {"model": model, "weights": "none", "fraction": 1.0},
            0,
            budget,
            curve,
        )
        for name, curve in values.items()
    ]


SEARCH: Study = searched()
RULE = EarlyStopping(grace=1, reduction_factor=2)
FOUR = {"p": [0.52, 0.7, 0.9], "q": [0.6, 0.7, 0.8], "r": [0.5, 0.6, 0.95], "s": [0.4, 0.6, 0.7]}


def replayed(values: dict[str, list[float]], rule: EarlyStopping = RULE) -> Replay:
    return replay(SEARCH, curves_of(values), rule)


def test_stops_by_hand() -> None:
    # Half go on, and two at least.
    assert stops(RULE, curves_of(FOUR)) == {"r": 1, "s": 1}
    total = replayed(FOUR)
    # p and q to the end, r and s one epoch.
    assert (total.trials, total.asked, total.trained, total.saved) == (4, 12, 8, 4)
    more = {**FOUR, "t": [0.58, 0.5, 0.6]}
    # Three of five go on, and two of those three.
    assert stops(RULE, curves_of(more)) == {"r": 1, "s": 1, "t": 2}
    assert replayed(more).saved == 5


def test_regret_by_hand() -> None:
    total = replayed(FOUR)
    # The best of all, r with 0.95, is stopped; p with 0.9 is chosen.
    assert (total.contests, total.kept, total.lost) == (1, 0, 0)
    assert total.regret == total.worst == pytest.approx(5.0)
    late = EarlyStopping(grace=3, reduction_factor=2)
    kept = replayed(FOUR, late)
    assert (kept.saved, kept.kept, kept.regret) == (0, 1, 0.0)


def test_a_curve_that_ends_without_a_number_wins_nothing() -> None:
    values = {"a": [0.5, 0.5, math.nan], "b": [0.3, 0.3, 0.0], "c": [0.6, 0.6, 0.4]}
    early = replayed({**values, "c": [0.2, 0.2, 0.4]})
    assert (early.contests, early.kept) == (1, 0)
    # c is stopped, and b is chosen rather than a.
    assert early.regret == pytest.approx(40.0)
    assert replayed(values).kept == 1
    only = replayed({"a": [0.5, 0.5, math.nan]})
    assert (only.kept, only.regret) == (1, 0.0)


def test_cut_curves_are_said_to_be_unknown() -> None:
    # As if the run itself had stopped q after epoch 1, and r after epoch 2.
    values = {**FOUR, "r": FOUR["r"][:2], "q": FOUR["q"][:1]}
    known = curves_of(values)
    assert sum(curve.is_cut for curve in known) == 2
    total = replay(SEARCH, known, RULE)
    # r is stopped at 1 whatever comes later; q goes on, and nobody knows for how long.
    assert total.stopped == 2
    assert (total.trained, total.unknown, total.saved) == (3 + 1 + 1 + 1, 2, 4)
    # Of what is recorded to its end, p is best.
    assert (total.kept, total.regret) == (1, 0.0)


def test_failed_trials_neither_win_nor_count_as_saved() -> None:
    *others, last = curves_of({**FOUR, "s": [0.53]})
    failed = Curve(**{**vars(last), "failed": True})
    total = replay(SEARCH, [*others, failed], RULE)
    # The median after epoch 1 is 0.525: p and r are below.
    assert (total.asked, total.trained, total.saved, total.unknown) == (10, 6, 4, 0)


def test_one_race_over_unlike_cells_leaves_some_without_a_winner() -> None:
    values = {
        "p": [0.8, 0.8, 0.9],
        "q": [0.8, 0.8, 0.8],
        "r": [0.1, 0.3, 0.4],
        "s": [0.2, 0.3, 0.5],
    }
    good, bad = list(values)[:2], list(values)[2:]
    both = [
        *curves_of({name: values[name] for name in good}),
        *curves_of({name: values[name] for name in bad}, "b"),
    ]
    alone = replay(SEARCH, both, RULE)
    assert (alone.contests, alone.kept, alone.lost) == (2, 2, 0)
    pooled = replay(SEARCH, both, EarlyStopping(compare=[], grace=1, reduction_factor=2))
    assert (pooled.contests, pooled.kept, pooled.lost) == (2, 1, 1)
    # Of the winners that are left.
    assert (pooled.regret, pooled.saved) == (0.0, 4)


def test_seeds_never_compete() -> None:
    assert group_of([], {"model": "a"}, 0) != group_of([], {"model": "a"}, 1)
    assert group_of("cell", {"model": "a"}, 0) == group_of(["model"], {"model": "a"}, 0)


# Runs of the real thing.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a searched study whose trials all ran to their ends."""
    out = tmp_path_factory.mktemp("whole")
    run(searched(early_stopping="none"), out)
    return out


def of_run(declared: Study, out: Path) -> list[Curve]:
    return recorded_curves(declared, History(Store(out)))


def test_a_rule_replayed_on_its_own_run_stops_what_it_stopped(tmp_path: Path) -> None:
    declared = searched()
    run(declared, tmp_path)
    rows = trials(tmp_path)
    ended = rows[rows.status == "stopped"].stopped_at_epoch.astype(int).to_dict()
    assert ended
    known = of_run(declared, tmp_path)
    assert declared.stopping is not None
    assert stops(declared.stopping, known) == ended
    assert sum(curve.is_cut for curve in known) == len(ended)
    own = replay(declared, known, declared.stopping)
    assert own.is_own
    assert own.unknown == 0
    search = rows[rows.seed == 0]
    assert own.trained == search.epochs_done.sum()
    assert own.saved == (search.epochs_budget - search.epochs_done).sum()


def test_a_rule_replayed_on_a_whole_run_foresees_a_run_under_it(
    whole: Path, tmp_path: Path
) -> None:
    ran = searched()
    run(ran, tmp_path)
    assert ran.stopping is not None
    foreseen = replay(searched(early_stopping="none"), of_run(ran, whole), ran.stopping)
    search = trials(tmp_path).query("seed == 0")
    assert foreseen.unknown == 0
    assert foreseen.trained == search.epochs_done.sum()
    winners = [frame.query("seed == 0 and measured") for frame in (trials(whole), trials(tmp_path))]
    lost = [
        100 * (a - b) for a, b in zip(*(frame.final_val_accuracy for frame in winners), strict=True)
    ]
    assert foreseen.regret == pytest.approx(sum(lost) / len(lost))
    assert foreseen.kept == len(set(winners[0].trial_id) & set(winners[1].trial_id))


def command(*words: object) -> Any:
    return CliRunner().invoke(app, ["replay", *map(str, words)])


def test_the_document(whole: Path) -> None:
    words = ("--compare", "cell", "--compare", "[fraction]", "--grace", 1, "--grace", 3)
    document = json.loads(command(whole, *words, "--reduction-factor", 3, "--json").stdout)
    asked = [
        (each["compare"], each["grace"], each["reduction_factor"]) for each in document["rules"]
    ]
    assert asked == [("cell", 1, 3), ("cell", 3, 3), (["fraction"], 1, 3), (["fraction"], 3, 3)]
    assert (document["curves"], document["cut"]) == (36, 0)
    first = document["rules"][0]
    assert first["contests"] == 4
    assert first["saved"] > document["rules"][1]["saved"] > 0


def test_the_table(whole: Path) -> None:
    done = command(whole)
    assert done.exit_code == 0
    assert "are cut" not in done.stdout
    # Twelve rules.
    assert done.stdout.count(" of 4") == 12


def test_a_study_without_search_shows_what_a_race_would_cost(tmp_path: Path) -> None:
    run(study(), tmp_path)
    words = ("--compare", "[]", "--grace", 1, "--reduction-factor", 2)
    assert "has no search" in command(tmp_path, *words).stdout
    document = json.loads(command(tmp_path, *words, "--json").stdout)
    (rule,) = document["rules"]
    # Four cells with two seeds each.
    assert rule["contests"] == 8
    assert rule["kept"] + rule["lost"] == 8
    assert rule["lost"] > 0
    assert rule["regret"] == 0


def test_cut_runs_say_so(tmp_path: Path) -> None:
    run(searched(), tmp_path)
    shown = command(tmp_path, "--grace", 3, "--reduction-factor", 3)
    assert "curves are cut: the run stopped these trials" in shown.stdout
    assert "cell 1/3 *" in shown.stdout


def test_refusals(whole: Path, tmp_path: Path) -> None:
    for words, said in (
        ((whole, "--compare", "fractoin"), "did you mean fraction?"),
        ((tmp_path / "absent",), "no study has run"),
    ):
        refused = command(*words)
        assert refused.exit_code == 1
        assert said in str(refused.exception)
