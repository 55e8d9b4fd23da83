import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.optimum.lagrange import Solution, held_by_bounds, kkt_residual, multiplier, violations


def test_each_domain_is_held_to_the_condition_of_its_place() -> None:
    floor, cap = np.array([0.1, 0.1, 0.0, 0.0, 0.2]), np.array([1.0, 1.0, 0.3, 0.3, 0.2])
    solution = Solution(np.array([0.1, 0.2, 0.3, 0.2, 0.2]), 2.0)
    # At its floor, between, at its cap, between, at both.
    np.testing.assert_allclose(
        violations(np.array([2.5, 2.5, 2.5, 1.5, 9.0]), floor, cap, solution), [0.25, 0.25, 0, 0.25, 0]
    )
    np.testing.assert_allclose(
        violations(np.array([1.5, 1.5, 1.5, 2.0, 0.0]), floor, cap, solution), [0, 0.25, 0.25, 0, 0]
    )
    assert kkt_residual(np.array([1.0, 2.0, 3.0, 2.0, 0.0]), floor, cap, solution) == 0.0


def test_the_multiplier_is_the_gain_of_free_domains_or_of_the_best_at_its_floor() -> None:
    floor, cap = np.array([0.1, 0.0, 0.3]), np.array([1.0, 0.5, 0.3])
    assert multiplier(np.array([1.0, 2.0, 7.0]), np.array([0.4, 0.3, 0.3]), floor, cap) == (0.4 + 0.6) / 0.7
    assert multiplier(np.array([1.0, 2.0, 7.0]), np.array([0.1, 0.5, 0.3]), floor, cap) == 1.0
    assert multiplier(np.array([1.0, 2.0, 7.0]), np.array([1.0, 0.5, 0.3]), floor, cap) == 0.0


def test_bounds_determine_the_minimum_where_they_sum_to_one_or_caps_hold_all_that_pull() -> None:
    pulls = np.array([True, True, False])
    floor, cap = np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.3, 0.9])
    np.testing.assert_allclose(held_by_bounds(pulls, floor, cap), [0.2, 0.3, 0.5])
    assert held_by_bounds(pulls, floor, np.array([0.4, 0.4, 0.9])) is None
    assert held_by_bounds(pulls, floor, np.array([0.4, 0.3, 0.3])).tolist() == [0.4, 0.3, 0.3]
    assert held_by_bounds(pulls, np.array([0.1, 0.2, 0.7]), np.ones(3)).tolist() == [0.1, 0.2, 0.7]


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_no_mixture_is_better_by_more_than_the_residual_says(seed: int, near: float) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(2, 9))
    matrix, c = rng.uniform(size=(5, m)), rng.uniform(1.0, 3.0, 5)
    here, there = rng.dirichlet(np.ones(m)), rng.dirichlet(np.ones(m))
    here = near * here + (1.0 - near) * there
    gain = matrix.T @ (0.3 * c * (matrix @ here) ** -1.3)
    solution = Solution(here, multiplier(gain, here, np.zeros(m), np.ones(m)))
    residual = kkt_residual(gain, np.zeros(m), np.ones(m), solution)
    lower = np.sum(c * (matrix @ here) ** -0.3) - np.sum(c * (matrix @ there) ** -0.3)
    assert lower <= 2.0 * residual * solution.multiplier + 1e-12
