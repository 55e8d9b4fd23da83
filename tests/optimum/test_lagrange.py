import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import GroupBound
from mixlaw.optimum.constraints import constraints
from mixlaw.optimum.lagrange import certificate, held_by_bounds, multiplier
from mixlaw.optimum.pull import Pull


def test_the_multiplier_is_the_gain_of_free_domains_or_of_the_best_at_its_floor() -> None:
    floor, cap = np.array([0.1, 0.0, 0.3]), np.array([1.0, 0.5, 0.3])
    between = multiplier(np.array([1.0, 2.0, 7.0]), np.array([0.4, 0.3, 0.3]), floor, cap)
    assert between == pytest.approx((0.3 * 1.0 + 0.2 * 2.0) / 0.5)  # by the room that each has
    assert multiplier(np.array([1.0, 2.0, 7.0]), np.array([0.1, 0.5, 0.3]), floor, cap) == 1.0
    assert multiplier(np.array([1.0, 2.0, 7.0]), np.array([1.0, 0.5, 0.3]), floor, cap) == 0.0


def test_bounds_determine_the_minimum_where_they_sum_to_one_or_caps_hold_all_that_pull() -> None:
    pulls = np.array([True, True, False])
    floor, cap = np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.3, 0.9])
    np.testing.assert_allclose(held_by_bounds(pulls, floor, cap), [0.2, 0.3, 0.5])
    assert held_by_bounds(pulls, floor, np.array([0.4, 0.4, 0.9])) is None
    assert held_by_bounds(pulls, floor, np.array([0.4, 0.3, 0.3])).tolist() == [0.4, 0.3, 0.3]
    assert held_by_bounds(pulls, np.array([0.1, 0.2, 0.7]), np.ones(3)).tolist() == [0.1, 0.2, 0.7]


@st.composite
def functions(draw):
    """Convex functions c / (A r)**alpha, mixtures r and s that satisfy constraints, and the constraints."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m, count = draw(st.integers(2, 7)), draw(st.integers(1, 4))
    matrix, c = rng.uniform(0.01, 1.0, (count, m)), rng.uniform(1.0, 3.0, count)
    names = [f"d{j}" for j in range(m)]
    here, there = rng.dirichlet(np.ones(m), 2)
    groups = []
    for _ in range(draw(st.integers(0, 3))):
        chosen = np.flatnonzero(rng.uniform(size=m) < 0.5)
        sums = sorted([here[chosen].sum(), there[chosen].sum()])
        if sums[0] > 0.0 and sums[1] < 1.0:
            groups.append(GroupBound([names[j] for j in chosen], *sums))
    floors = dict(zip(names, np.minimum(here, there) * rng.uniform(0.0, 1.0, m), strict=True))
    limits = constraints(names, groups=groups, floors=floors)

    def parts(r):
        z = matrix @ r
        return c * z**-0.3, (-0.3 * c * z**-1.3)[:, None] * matrix

    pull = Pull(0.2, rng.dirichlet(np.full(m, 3.0)) * 0.99 + 0.01 / m) if draw(st.booleans()) else None
    return parts, here, there, limits, pull


@given(functions(), st.integers(0, 2**32 - 1), st.booleans())
def test_no_allowed_mixture_is_better_by_more_than_the_gap_whatever_the_multipliers(
    problem, seed: int, best: bool
) -> None:
    parts, here, there, limits, pull = problem
    values, gradients = parts(here)
    rng = np.random.default_rng(seed)
    multipliers = None if best else (rng.dirichlet(np.ones(len(values))), rng.normal(size=len(limits.G)))
    found = certificate(values, gradients, here, limits, multipliers, pull)
    lower = values.max() - parts(there)[0].max()
    if pull is not None:
        lower += pull.value(here) - pull.value(there)
    assert lower <= found.gap + 1e-9


def test_prices_and_gap_at_a_minimum_that_is_known() -> None:
    # minimise 1 / r_0 + 1 / r_1 + 4 / r_2 with r_0 + r_1 <= 0.4: r = 0.2, 0.2, 0.6.
    limits = constraints(("a", "b", "c"), groups=[GroupBound(("a", "b"), cap=0.4)])
    r = np.array([0.2, 0.2, 0.6])
    gradient = -np.array([1.0, 1.0, 4.0])[None, :] / r**2
    found = certificate(np.array([1 / 0.2 + 1 / 0.2 + 4 / 0.6]), gradient, r, limits)
    assert found.multiplier == pytest.approx(4.0 / 0.36)
    np.testing.assert_allclose(found.rows, [25.0 - 4.0 / 0.36])
    np.testing.assert_allclose(found.reduced, 0.0, atol=1e-12)
    assert found.gap <= 1e-12
    off = certificate(np.array([1.0]), gradient, r, limits, (np.ones(1), np.zeros(1)))
    assert off.gap > 1.0


def test_an_infinite_objective_has_no_certificate() -> None:
    limits = constraints(("a", "b"))
    for values in ([math.inf, 1.0], [math.inf, math.inf]):
        slopes = np.array([[-math.inf, 0.0], [0.0, -1.0]])
        assert (
            not certificate(np.array(values), slopes, np.array([0.0, 1.0]), limits, (np.full(2, 0.5), np.zeros(0))).gap
            < 1.0
        )


def test_multipliers_of_sides_that_do_not_exist_are_left_out() -> None:
    limits = constraints(("a", "b"), groups=[GroupBound(("a",), cap=0.6)])
    r, gradient = np.array([0.5, 0.5]), np.array([[-1.0, -1.0]])
    assert certificate(np.ones(1), gradient, r, limits, (np.ones(1), np.array([-5.0]))).gap == 0.0
    assert certificate(np.ones(1), gradient, r, limits, (np.ones(1), np.array([5.0]))).gap >= 0.5
