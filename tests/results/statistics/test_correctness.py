import numpy as np
import pytest

from results.statistics.correctness import Outcomes, balanced

NAN = np.nan


def outcomes(right):
    """Return the outcomes of cells, given what each seed got right: (cells, seeds, images)."""
    table = np.array(right, dtype=bool)
    rows = np.arange(table.shape[0] * table.shape[1]).reshape(table.shape[:2])
    return Outcomes(100 * table.mean(axis=2), rows, table.reshape(rows.size, -1))


def test_seeds_and_images_by_hand():
    # d = [[1, 0], [0, −1]] in hundreds: mean squares 1 of seeds, 1 of images, 0 of the rest.
    found = outcomes([[[0, 0], [0, 1]], [[1, 0], [0, 0]]]).contrasts(
        np.array([[0, 1]]), np.array([[-1.0, 1.0]])
    )
    assert (found.estimate.item(), found.seeds.item(), found.images.item()) == (0, 2, 2)
    parts = (found.seed, found.image, found.rest)
    assert [part.item() for part in parts] == pytest.approx([5000, 5000, 0])


def test_a_mean_over_cells_is_paired_within_each():
    generator = np.random.default_rng(0)
    table = outcomes(generator.random((4, 3, 50)) > 0.3)
    places, weights = np.array([[0, 1, 2, 3]]), np.array([[-0.5, 0.5, -0.5, 0.5]])
    found = table.contrasts(places, weights)
    right = 100.0 * table.right.reshape(4, 3, 50)
    d = (right[1] - right[0] + right[3] - right[2]) / 2
    assert found.estimate.item() == pytest.approx(d.mean())
    assert found.seed.item() == pytest.approx(d.mean(axis=1).var(ddof=1))
    assert found.image.item() == pytest.approx(3 * d.mean(axis=0).var(ddof=1) / 50)


def test_seeds_that_are_left_out_count_for_nothing():
    table = outcomes([[[1, 0], [1, 1]], [[1, 1], [0, 0]]])
    pair, weights = np.array([[0, 1]]), np.array([[-1.0, 1.0]])
    found = table.contrasts(pair, weights, np.array([[True, False]]))
    assert (found.estimate.item(), found.seeds.item()) == (50, 1)
    assert np.isnan(found.seed.item())


def test_what_is_not_recorded_leaves_seeds_alone():
    table = Outcomes(np.array([[70.0, 72.0]]), np.array([[0, -1]]), np.ones((1, 9), dtype=bool))
    found = table.contrasts(np.array([[0]]), np.ones((1, 1)))
    assert (found.estimate.item(), found.images.item()) == (71, 0)


@pytest.mark.parametrize(
    ("differences", "cells", "seeds"),
    [
        ([[1, 2], [3, 4]], [1, 1], [1, 1]),
        ([[1, 2, 3], [3, 4, NAN]], [1, 1], [1, 1, 0]),
        ([[1, 2, 3], [3, NAN, NAN]], [1, 0], [1, 1, 1]),
        ([[1, NAN], [NAN, 2], [NAN, 3]], [0, 1, 1], [0, 1]),
        ([[NAN, NAN]], [0], [0, 0]),
    ],
)
def test_every_seed_is_of_the_same_cells(differences, cells, seeds):
    found = balanced(np.array(differences, dtype=float))
    assert [part.astype(int).tolist() for part in found] == [cells, seeds]
