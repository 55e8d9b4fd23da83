import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from mixlaw.optimum.lagrange import TIGHT
from mixlaw.optimum.separable import minimize_separable

EPS = np.finfo(float).eps


def violation(c, alpha, floor, cap, r, multiplier) -> float:
    """Largest violation of the Lagrange conditions relative to the multiplier, domain by domain, in plain Python."""
    worst = 0.0
    for k in range(len(c)):
        gain = c[k] * alpha[k] * r[k] ** -(alpha[k] + 1.0) if c[k] * alpha[k] else 0.0
        if floor[k] < r[k] < cap[k]:
            worst = max(worst, abs(gain - multiplier))
        elif floor[k] < cap[k]:
            worst = max(worst, gain - multiplier if r[k] <= floor[k] else multiplier - gain)
    return worst / multiplier if multiplier else worst


@st.composite
def problems(draw, zeros: bool = True):
    m = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    c, alpha = 10.0 ** rng.uniform(-4, 4, m), 10.0 ** rng.uniform(-4, 1, m)
    if zeros:
        c[rng.uniform(size=m) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = 0.0
        alpha[rng.uniform(size=m) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = 0.0
    floor = rng.dirichlet(np.full(m, 0.5)) * draw(st.sampled_from([0.0, 0.5, 0.99, 1.0]))
    floor[rng.uniform(size=m) < 0.3] = 0.0
    cap = np.minimum(1.0, floor + rng.dirichlet(np.full(m, 0.5)) * draw(st.sampled_from([0.3, 1.0, 2.0, 9.0])) + 1e-9)
    same = rng.uniform(size=m) < draw(st.sampled_from([0.0, 0.3]))
    cap = np.where(same & (floor > 0.0), floor, cap)
    assume(math.fsum(cap) >= 1.0 and math.fsum(floor) <= 1.0)
    return c, alpha, floor, cap


@given(problems())
@settings(deadline=None, max_examples=400)
def test_the_lagrange_conditions_hold_with_floors_and_caps_and_the_sum_is_one(problem) -> None:
    c, alpha, floor, cap = problem
    r, multiplier = minimize_separable(c, alpha, floor, cap)
    assert (r >= floor).all()
    assert (r <= cap).all()
    tight = min(abs(math.fsum(floor) - 1.0), abs(math.fsum(cap) - 1.0)) <= TIGHT
    assert abs(math.fsum(r) - 1.0) <= (TIGHT if tight else 4 * EPS)
    assume((r[c * alpha > 0.0] > 0.0).all())  # false only where floors that sum to 1 leave a domain nothing
    assert violation(c, alpha, floor, cap, r, multiplier) <= 1e-10
    assert violation(c, alpha, floor, cap, r, multiplier) <= 1e-10


@given(problems(zeros=False))
@settings(deadline=None, max_examples=100)
def test_no_exchange_between_two_domains_lowers_the_objective(problem) -> None:
    c, alpha, floor, cap = problem
    r, _ = minimize_separable(c, alpha, floor, cap)
    assume((r > 0.0).all())

    def objective(shares):
        return math.fsum(c * shares**-alpha)

    here = objective(r)
    for source in range(len(c)):
        for target in range(len(c)):
            amount = min(1e-4, 0.5 * (r[source] - floor[source]), cap[target] - r[target])
            if source != target and amount > 0.0:
                moved = r.copy()
                moved[source] -= amount
                moved[target] += amount
                assert objective(moved) >= here * (1.0 - 1e-14)


@pytest.mark.parametrize("m", [5, 50, 200])
def test_the_minimum_agrees_with_slsqp(m: int) -> None:
    rng = np.random.default_rng(m)
    c, alpha = rng.uniform(1.0, 4.0, m) / m, rng.uniform(0.02, 0.4, m)
    floor, cap = rng.uniform(0.2, 0.6, m) / m, rng.uniform(1.2, 4.0, m) / m
    r, _ = minimize_separable(c, alpha, floor, cap)
    assert ((r <= floor).any(), (r >= cap).any(), ((r > floor) & (r < cap)).any()) == (True, True, True)
    start = (floor + (1.0 - floor.sum()) * (cap - floor) / (cap - floor).sum()) * m
    # In units of 1 / m, where the curvature is of the order of 1.
    peer = minimize(
        lambda u: np.sum(c * (u / m) ** -alpha),
        start,
        jac=lambda u: -alpha * c * (u / m) ** (-alpha - 1.0) / m,
        bounds=list(zip(floor * m, cap * m, strict=True)),
        constraints={"type": "eq", "fun": lambda u: u.sum() - m, "jac": lambda u: np.ones((1, m))},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert peer.success
    np.testing.assert_allclose(r, peer.x / m, atol=1e-6)
    assert np.sum(c * r**-alpha) <= peer.fun * (1.0 + 1e-14)


def test_equal_domains_share_equally() -> None:
    r, multiplier = minimize_separable(np.full(7, 2.0), np.full(7, 0.1), np.zeros(7), np.ones(7))
    np.testing.assert_allclose(r, 1 / 7, rtol=1e-15)
    assert multiplier == pytest.approx(0.2 * 7**1.1)


def test_equal_exponents_have_a_closed_form() -> None:
    c, alpha = np.array([1.0, 2.0, 5.0]), np.full(3, 0.25)
    r, _ = minimize_separable(c, alpha, np.zeros(3), np.ones(3))
    amounts = c ** (1 / 1.25)
    np.testing.assert_allclose(r, amounts / amounts.sum(), rtol=1e-14)


def test_one_domain_gets_everything() -> None:
    r, multiplier = minimize_separable(np.array([2.0]), np.array([0.3]), np.zeros(1), np.ones(1))
    assert r.tolist() == [1.0]
    assert multiplier == 0.0


def test_scaling_the_objective_scales_the_multiplier_alone() -> None:
    rng = np.random.default_rng(3)
    c, alpha = rng.uniform(1, 4, 63), rng.uniform(0.02, 0.4, 63)
    floor, cap = np.full(63, 0.01), np.full(63, 0.03)
    r, multiplier = minimize_separable(c, alpha, floor, cap)
    for scale in (1e-200, 1e200):
        scaled, other = minimize_separable(scale * c, alpha, floor, cap)
        np.testing.assert_allclose(scaled, r, rtol=1e-12)
        assert other == pytest.approx(scale * multiplier)


def test_a_domain_without_a_pull_goes_to_its_floor() -> None:
    c, alpha = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.1, 0.0, 0.1])
    r, _ = minimize_separable(c, alpha, np.array([0.0, 0.05, 0.0, 0.0]), np.ones(4))
    np.testing.assert_allclose(r, [0.475, 0.05, 0.0, 0.475])


def test_what_nobody_gains_from_is_spread_by_room() -> None:
    c, alpha = np.array([1.0, 0.0, 0.0]), np.array([0.1, 0.1, 0.1])
    floor, cap = np.array([0.0, 0.1, 0.0]), np.array([0.3, 0.3, 1.0])
    r, multiplier = minimize_separable(c, alpha, floor, cap)
    # 0.6 are left beside the first domain's cap and the second's floor; the rooms are 0.2 and 1.
    np.testing.assert_allclose(r, [0.3, 0.1 + 0.6 * 0.2 / 1.2, 0.6 * 1.0 / 1.2])
    assert multiplier == 0.0
    assert violation(c, alpha, floor, cap, r, multiplier) == 0.0


def test_without_any_pull_the_mixture_is_spread_by_room() -> None:
    r, _ = minimize_separable(np.zeros(4), np.full(4, 0.1), np.full(4, 0.1), np.array([0.1, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(r, [0.1, 0.3, 0.3, 0.3])


@pytest.mark.parametrize("shares", [[0.1] * 10, [0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
def test_floors_that_sum_to_one_are_the_mixture(shares: list[float]) -> None:
    m = len(shares)
    c, alpha = np.linspace(1, 2, m), np.full(m, 0.1)
    solution = minimize_separable(c, alpha, np.array(shares), np.ones(m))
    assert solution.r.tolist() == shares
    assert solution.multiplier == pytest.approx(np.max(c * alpha * np.array(shares) ** -1.1))
    assert violation(c, alpha, np.array(shares), np.ones(m), *solution) == 0.0


def test_caps_that_sum_to_one_are_the_mixture() -> None:
    cap = np.array([0.5, 0.3, 0.2])
    solution = minimize_separable(np.ones(3), np.full(3, 0.1), np.zeros(3), cap)
    assert solution.r.tolist() == cap.tolist()
    assert violation(np.ones(3), np.full(3, 0.1), np.zeros(3), cap, *solution) == 0.0


def test_a_flat_stretch_where_bounds_hold_everything_is_solved() -> None:
    # The strong domain stands at its cap and the weak one at its floor for a whole range of multipliers.
    c, alpha = np.array([100.0, 1e-4]), np.array([0.5, 0.5])
    floor, cap = np.array([0.1, 0.25]), np.array([0.75, 0.9])
    solution = minimize_separable(c, alpha, floor, cap)
    assert solution.r.tolist() == [0.75, 0.25]
    assert violation(c, alpha, floor, cap, *solution) == 0.0


def test_a_thousand_domains_are_solved_to_the_same_accuracy() -> None:
    rng = np.random.default_rng(1)
    c, alpha = 10.0 ** rng.uniform(-2, 2, 1271), 10.0 ** rng.uniform(-3, 0, 1271)
    floor, cap = np.full(1271, 1e-4), np.full(1271, 0.01)
    r, multiplier = minimize_separable(c, alpha, floor, cap)
    assert abs(math.fsum(r) - 1.0) <= 4 * EPS
    assert violation(c, alpha, floor, cap, r, multiplier) <= 1e-12
