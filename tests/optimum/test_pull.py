import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from mixlaw.optimum.pull import Pull


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m = draw(st.integers(1, 8))
    pull = Pull(10.0 ** rng.uniform(-2, 1), rng.dirichlet(np.ones(m)) * 0.9 + 0.1 / m)
    floor = rng.dirichlet(np.ones(m)) * draw(st.sampled_from([0.0, 0.5, 0.9]))
    cap = np.minimum(1.0, floor + rng.dirichlet(np.ones(m)) * draw(st.sampled_from([1.0, 3.0, 9.0])) + 1e-3)
    return pull, rng.normal(size=m), floor, cap


def test_the_prior_costs_nothing_and_every_other_mixture_something() -> None:
    prior = np.array([0.5, 0.3, 0.2])
    pull = Pull(2.0, prior)
    assert pull.value(prior) == pytest.approx(0.0, abs=1e-16)
    rows = np.array([[0.4, 0.4, 0.2], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(
        pull.value(rows), [2.0 * (0.4 * math.log(0.8) + 0.4 * math.log(4 / 3)), 2.0 * math.log(2)]
    )
    assert (pull.slope(rows[1])[1:] < -50.0).all()  # minus infinity, but for the parabola near 0


@given(problems())
def test_the_derivatives_are_right(problem) -> None:
    pull, _, floor, cap = problem
    r, step = 0.5 * (floor + cap), 1e-6
    steps = step * np.eye(len(r))
    np.testing.assert_allclose((pull.value(r + steps) - pull.value(r - steps)) / (2 * step), pull.slope(r), atol=1e-5)
    np.testing.assert_allclose((pull.slope(r + step) - pull.slope(r - step)) / (2 * step), pull.curvature(r), rtol=1e-4)


@given(problems())
def test_the_best_mixture_between_bounds_is_found_exactly(problem) -> None:
    pull, slope, floor, cap = problem
    if cap.sum() < 1.0:
        return
    best, level = pull.best(slope, floor, cap)
    assert best.sum() == pytest.approx(1.0, abs=1e-12)
    assert ((best >= floor) & (best <= cap)).all()
    pushed = slope + pull.slope(best) + level
    assert (np.where((best < cap - 1e-9) & (best > 1e-9), pushed, 1.0) > -1e-5).all()
    assert (np.where(best > floor + 1e-9, pushed, -1.0) < 1e-5).all()
    if len(best) <= 3:
        peer = minimize(
            lambda x: slope @ x + pull.value(np.maximum(x, 0.0)),
            floor + (1.0 - floor.sum()) * (cap - floor) / (cap - floor).sum(),
            bounds=list(zip(np.maximum(floor, 1e-12), cap, strict=True)),
            constraints={"type": "eq", "fun": lambda x: x.sum() - 1.0},
            method="SLSQP",
        )
        assert slope @ best + pull.value(best) <= peer.fun + 1e-7
    assert (pull.excess(slope + level, floor, best) >= -1e-12).all()


@pytest.mark.parametrize("total", ["floor", "cap"])
def test_bounds_whose_sum_is_one_but_for_rounding_have_a_best_mixture_too(total: str) -> None:
    shares = np.full(10, 0.1)  # which do not sum to 1
    bounds = (shares, np.ones(10)) if total == "floor" else (np.zeros(10), shares)
    best, _ = Pull(0.1, np.full(10, 0.1)).best(np.linspace(-1, 1, 10), *bounds)
    np.testing.assert_allclose(best, shares, rtol=1e-6)
