"""Space-filling designs."""

from itertools import combinations

import numpy as np
import pytest

from mixlaw.design.between import uniform_between
from mixlaw.design.filling import fill_space
from mixlaw.fitted import Array


def least(chosen: Array, at_hand: Array) -> float:
    """Least distance between chosen mixtures, and from them to those at hand."""
    between = [np.linalg.norm(a - b) for a, b in combinations(chosen, 2)]
    return float(min([*between, *(np.linalg.norm(a - b) for a in chosen for b in at_hand)], default=np.inf))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("at_hand", [0, 1, 3])
def test_the_least_distance_is_at_least_half_of_the_largest_there_is(n: int, at_hand: int) -> None:
    ratios = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        mixtures = rng.dirichlet(np.ones(4), 14 + at_hand)
        candidates, known = mixtures[:14], mixtures[14:]
        chosen = fill_space(candidates, known, n)
        assert len(set(chosen)) == n
        best = max(least(candidates[list(rows)], known) for rows in combinations(range(14), n))
        if np.isfinite(best):
            ratios.append(least(candidates[chosen], known) / best)
    if ratios:
        assert min(ratios) >= 0.5  # what taking the farthest in turn guarantees
        assert np.mean(ratios) > 0.85  # and exchanging improves


def test_no_single_exchange_of_a_mixture_at_the_least_distance_is_better() -> None:
    rng = np.random.default_rng(0)
    candidates, known = uniform_between(200, np.zeros(5), np.ones(5), rng), rng.dirichlet(np.ones(5), 4)
    chosen = list(fill_space(candidates, known, 6))
    now = least(candidates[chosen], known)
    for k in range(6):
        for row in set(range(200)) - set(chosen):
            assert least(candidates[[*chosen[:k], row, *chosen[k + 1 :]]], known) <= now * (1 + 1e-12)


def test_all_candidates_can_be_chosen_and_copies_of_what_was_run_come_last() -> None:
    candidates = np.array([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9], [0.5, 0.5]])
    assert sorted(fill_space(candidates, np.empty((0, 2)), 4)) == [0, 1, 2, 3]
    assert set(fill_space(candidates, np.array([[0.5, 0.5]]), 2)) == {1, 2}


def test_the_first_of_all_mixtures_is_in_the_middle() -> None:
    candidates = np.array([[0.9, 0.1], [0.52, 0.48], [0.1, 0.9]])
    assert fill_space(candidates, np.empty((0, 2)), 1).tolist() == [1]
