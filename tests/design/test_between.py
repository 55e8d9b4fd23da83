"""Mixtures between floors and caps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.design.between import proportional_between, uniform_between
from mixlaw.fitted import Array


@st.composite
def bounds(draw: st.DrawFn) -> tuple[Array, Array]:
    """Floors and caps that some mixture meets, from loose to tight."""
    m = draw(st.integers(1, 7))
    inside = np.array(draw(st.lists(st.integers(0, 20), min_size=m, max_size=m).filter(any)), dtype=float)
    inside /= inside.sum()
    part = st.floats(0.0, 1.0, allow_subnormal=False)
    down, up = (np.array(draw(st.lists(part, min_size=m, max_size=m))) for _ in range(2))
    return inside * down, np.minimum(1.0, inside + (1.0 - inside) * up)


amounts = st.lists(st.just(0.0) | st.floats(1e-30, 1e30), min_size=7, max_size=7)


@given(bounds(), amounts)
def test_shares_are_in_proportion_but_for_those_that_a_bound_holds(
    limits: tuple[Array, Array], given: list[float]
) -> None:
    floor, cap = limits
    a = np.array(given[: len(floor)])
    r = proportional_between(a, floor, cap)
    assert r.sum() == pytest.approx(1.0, abs=1e-12)
    assert (r >= floor).all()
    assert (r <= cap + 1e-15).all()
    between = (r > floor + 1e-9) & (r < cap - 1e-9)
    if (between & (a == 0.0)).any():  # only where all that have an amount are at their caps
        assert r[a > 0.0] == pytest.approx(cap[a > 0.0], abs=1e-12)
    elif between.any():
        c = (r[between] / a[between]).mean()
        assert r[between] == pytest.approx(c * a[between], rel=1e-6)
        low, high = (r <= floor + 1e-9) & ~between, (r >= cap - 1e-9) & ~between
        assert (c * a[low & ~high] <= floor[low & ~high] + 1e-6).all()
        assert (c * a[high & ~low] >= cap[high & ~low] - 1e-6).all()


def test_shares_are_those_of_a_bisection() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        m = int(rng.integers(2, 30))
        floor, cap = rng.uniform(0, 0.9 / m, m), rng.uniform(1.1 / m, 3.0 / m, m)
        a = 10.0 ** rng.uniform(-6, 6, m)
        low, high = -40.0, 40.0
        for _ in range(200):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if np.clip(np.exp(middle) * a, floor, cap).sum() >= 1.0 else (middle, high)
        assert proportional_between(a, floor, cap) == pytest.approx(np.clip(np.exp(high) * a, floor, cap), abs=1e-12)


def test_no_mixture_between_the_bounds_is_nearer_in_divergence() -> None:
    rng = np.random.default_rng(1)
    floor, cap, a = np.array([0.1, 0.0, 0.2, 0.0]), np.array([0.5, 0.3, 0.4, 1.0]), np.array([0.7, 0.25, 0.01, 0.04])

    def divergence(r: Array) -> Array:
        return np.sum(r * np.log(r / a), axis=-1)

    others = uniform_between(2000, floor, cap, rng)
    best = divergence(proportional_between(a, floor, cap))
    assert (divergence(others) >= best).all()
    assert divergence(others).min() < best + 0.05


@given(bounds())
def test_uniform_mixtures_are_between_the_bounds(limits: tuple[Array, Array]) -> None:
    drawn = uniform_between(20, *limits, np.random.default_rng(0))
    assert drawn.sum(axis=1) == pytest.approx(np.ones(20), abs=1e-12)
    assert (drawn >= limits[0]).all()
    assert (drawn <= limits[1]).all()


@pytest.mark.parametrize("m", [2, 3, 8, 63])
def test_without_bounds_uniform_mixtures_are_dirichlet(m: int) -> None:
    drawn = uniform_between(10_000, np.zeros(m), np.ones(m), np.random.default_rng(0))
    variance = (m - 1) / m**2 / (m + 1)
    assert drawn.mean(axis=0) == pytest.approx(np.full(m, 1 / m), abs=5 * np.sqrt(variance / 10_000))
    assert drawn.var(axis=0) == pytest.approx(np.full(m, variance), rel=0.1)
    # P(r_j > t) = (1 - t)**(m - 1)
    for t in (0.3 / m, 1.0 / m, 2.0 / m):
        assert (drawn > t).mean() == pytest.approx((1.0 - min(t, 1.0)) ** (m - 1), abs=0.01)


def test_uniform_mixtures_are_those_that_rejection_leaves() -> None:
    rng = np.random.default_rng(0)
    floor, cap = np.array([0.0, 0.1, 0.0, 0.05, 0.0]), np.array([0.15, 0.9, 0.5, 0.3, 0.35])
    all_of_them = rng.dirichlet(np.ones(5), 400_000)
    expected = all_of_them[((all_of_them >= floor) & (all_of_them <= cap)).all(axis=1)]
    assert len(expected) > 20_000
    drawn = uniform_between(20_000, floor, cap, rng)
    for power in (1, 2, 3):
        assert (drawn**power).mean(axis=0) == pytest.approx((expected**power).mean(axis=0), rel=0.03)
    assert np.cov(drawn.T) == pytest.approx(np.cov(expected.T), abs=5e-4)
    for q in (0.05, 0.5, 0.95):
        assert np.quantile(drawn, q, axis=0) == pytest.approx(np.quantile(expected, q, axis=0), abs=0.01)
