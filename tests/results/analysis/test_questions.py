import numpy as np
import pytest
from answers import said_of
from runs_table import BIG, SMALL, analysis_of, cell

from results.analysis.questions import in_play, questions
from results.statistics.looks import DIFFERENT, OPEN, Looks
from results.statistics.looks import SMALL as TOO_SMALL

LOOKS = Looks((3, 5, 8), smallest=0.5)
FAR = (0.80, 0.801, 0.799, 0.8, 0.802)
NEAR = (0.81, 0.79, 0.80, 0.83, 0.78)


def study(*cells, looks=LOOKS):
    return analysis_of([row for own in cells for row in own], looks=looks)


def one(*cells):
    (found,) = questions(study(*cells))
    return found


def test_a_gap_that_the_first_look_shows_is_decided_there():
    found = one(cell(FAR[:3]), cell(np.add(FAR[:3], 0.1) - [0.001, 0, 0.002], model=BIG))
    assert (found.state, found.seeds, found.trials) == (DIFFERENT, 3, frozenset())
    assert str(found) == f"{BIG} against {SMALL} decided at 3 seeds"


def test_what_is_open_needs_the_cells_that_it_is_about():
    small, big = cell(NEAR[:3]), cell(np.add(FAR[:3], 0.01), model=BIG)
    found = one(small, big)
    assert (found.state, found.seeds) == (OPEN, 3)
    assert found.trials == {row["trial_id"] for row in small + big}


def test_what_was_decided_stays_so_and_says_when():
    # The later seeds bring the two together.
    later = [0.899, 0.901, 0.9]
    found = one(cell([*FAR[:3], 0.9, 0.9]), cell([*later, 0.9, 0.901], model=BIG))
    assert (found.state, found.seeds) == (DIFFERENT, 3)


def test_what_no_longer_matters_is_settled_too():
    alike = np.array([0.8, 0.8001, 0.7999])
    found = one(cell(alike), cell(alike[::-1], model=BIG))
    assert found.state == TOO_SMALL
    assert str(found).endswith("too small to matter at 3 seeds")


def test_listed_seeds_ask_nothing():
    rows = [cell(FAR[:3]), cell(NEAR[:3], model=BIG)]
    assert questions(study(*rows, looks=None)) == []


def test_a_look_asks_for_more_than_a_study_that_is_looked_at_once():
    rows = [cell(FAR[:3]), cell(np.add(NEAR[:3], 0.03), model=BIG)]
    once, first = study(*rows, looks=None).comparisons, study(*rows).comparisons
    assert first.rows[0].p_holm > once.rows[0].p_holm
    assert first.rows[0].low < once.rows[0].low


def test_the_answer_says_where_the_seeds_ended():
    rows = [cell(FAR[:3]), cell(np.add(FAR[:3], 0.1) - [0.001, 0, 0.002], model=BIG)]
    said = said_of(study(*rows))["evidence"]
    assert f"{BIG} against {SMALL} decided at 3 seeds." in said
    assert "more seeds" not in said


@pytest.mark.parametrize(
    ("sizes", "places"),
    [([100], {0}), ([25, 50, 100, 50, 100], {1, 2, 3, 4}), ([60, 100], {1}), ([10, 100], {0, 1})],
)
def test_a_question_is_about_all_of_the_data_or_half_of_it(sizes, places):
    assert in_play(sizes) == places
