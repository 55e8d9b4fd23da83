import numpy as np
import pytest

from mixlaw.laws.goodness import goodness, rank_correlation
from mixlaw.laws.scoring import average, run_errors, score

LOSSES = np.array([[2.0, 4.0], [2.2, 3.9], [2.5, 3.5], [3.0, 3.1]])
PREDICTED = np.array([[2.1, 4.1], [2.2, 3.8], [2.4, 3.6], [3.1, 3.0]])
W = np.array([0.25, 0.75])
ONE_SIZE = np.full(4, np.nan)


def test_errors_are_relative_and_weighted() -> None:
    by_hand = [0.25 * 0.1 / 2.0 + 0.75 * 0.1 / 4.0, 0.75 * 0.1 / 3.9]
    assert run_errors(LOSSES, PREDICTED, W)[:2] == pytest.approx(by_hand)
    assert score(("a", "b"), LOSSES, PREDICTED, W, ONE_SIZE).error == pytest.approx(
        run_errors(LOSSES, PREDICTED, W).mean()
    )


def test_of_one_size_the_measures_are_those_of_goodness() -> None:
    scores = score(("a", "b"), LOSSES, PREDICTED, W, ONE_SIZE)
    for number, domain in enumerate(("a", "b")):
        expected = goodness(LOSSES[:, number], PREDICTED[:, number])
        found = scores.domains[domain]
        assert found.mean_relative_error == pytest.approx(expected.mean_relative_error)
        assert (found.r2, found.pearson) == pytest.approx((expected.r2, expected.pearson))
        assert found.spearman == rank_correlation(LOSSES[:, number], PREDICTED[:, number])
    expected = goodness(LOSSES @ W, PREDICTED @ W)
    assert scores.objective.mean_relative_error == pytest.approx(expected.mean_relative_error)
    assert scores.objective.pearson == pytest.approx(expected.pearson)


def test_correlations_are_within_a_size_and_not_between_sizes() -> None:
    # Ranked the wrong way round at each of two sizes whose levels are far apart.
    small = np.array([[4.0], [4.1], [4.2]])
    losses, predicted = np.vstack([small, small / 2.0]), np.vstack([small[::-1], small[::-1] / 2.0])
    found = score(("a",), losses, predicted, np.ones(1), np.repeat([1e6, 2e6], 3)).domains["a"]
    assert (found.spearman, found.pearson) == pytest.approx((-1.0, -1.0))
    assert score(("a",), losses, predicted, np.ones(1), np.ones(6)).domains["a"].spearman > 0.0


def test_sizes_of_two_runs_have_no_correlation() -> None:
    losses = np.array([[4.0], [4.1], [2.0], [2.1]])
    found = score(("a",), losses, losses, np.ones(1), np.repeat([1e6, 2e6], 2)).domains["a"]
    assert found.mean_relative_error == 0.0
    assert (found.r2, found.pearson, found.spearman) == (None, None, None)


def test_a_domain_without_weight_may_be_infinite() -> None:
    predicted = PREDICTED.copy()
    predicted[0, 0] = np.inf
    scores = score(("a", "b"), LOSSES, predicted, np.array([0.0, 1.0]), ONE_SIZE)
    assert scores.domains["a"].mean_relative_error is None
    assert scores.error == pytest.approx(np.mean(np.abs(PREDICTED[:, 1] / LOSSES[:, 1] - 1.0)))
    assert scores.objective.mean_relative_error == pytest.approx(scores.error)


def test_averages_are_of_every_measure_and_none_where_one_has_none() -> None:
    first = score(("a", "b"), LOSSES, PREDICTED, W, ONE_SIZE)
    second = score(("a", "b"), LOSSES[:3], LOSSES[:3], W, ONE_SIZE[:3])
    both = average([first, second])
    assert both.error == pytest.approx(0.5 * first.error)
    assert both.domains["b"].r2 == pytest.approx(0.5 * (first.domains["b"].r2 + 1.0))
    few = score(("a", "b"), LOSSES[:2], LOSSES[:2], W, ONE_SIZE[:2])
    assert average([first, few]).objective.spearman is None
    assert average([first, few]).error == pytest.approx(0.5 * first.error)
