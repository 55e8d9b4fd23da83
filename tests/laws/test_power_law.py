import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from mixlaw.laws.power import fit_power

X = np.array([1e9, 2e9, 4e9, 8e9, 1.6e10])


@settings(max_examples=40)
@given(
    st.floats(0.05, 3.0),
    st.lists(st.tuples(st.floats(0.1, 5.0), st.floats(0.1, 5.0)), min_size=1, max_size=5),
)
def test_planted_curves_are_found(beta: float, curves: list[tuple[float, float]]) -> None:
    E, B = np.array(curves).T
    y = E + B * (X[:, None] / 1e9) ** -beta
    found = fit_power(X, y, np.ones_like(y))
    assert found.beta == pytest.approx(beta, rel=1e-3)
    np.testing.assert_allclose(
        [found.at(x) for x in (*X, 1e11)], E + B * (np.array([*X, 1e11])[:, None] / 1e9) ** -beta, rtol=1e-3
    )


def test_floor_and_fall_are_the_best_that_are_not_negative() -> None:
    rng = np.random.default_rng(0)
    y = np.exp(0.3 * rng.normal(size=(5, 40)))
    w = rng.uniform(0.1, 1.0, size=y.shape)
    found = fit_power(X, y, w)
    power = (X / found.x0) ** -found.beta
    for k in range(40):
        root = np.sqrt(w[:, k])
        best, _ = nnls(np.column_stack([root, root * power]), root * y[:, k])
        np.testing.assert_allclose([found.E[k], found.B[k]], best, atol=1e-8)
    assert (found.B == 0.0).any()
    assert (found.E == 0.0).any()


def test_points_of_weight_zero_are_absent() -> None:
    y = 2.0 + np.array([1.0, 0.5]) * (X[:, None] / 1e9) ** -0.5
    w = np.ones_like(y)
    w[[0, 3], 1] = 0.0
    y[[0, 3], 1] = 1e6
    found = fit_power(X, y, w)
    assert found.beta == pytest.approx(0.5, rel=1e-4)
    np.testing.assert_allclose(found.at(3.2e10), 2.0 + np.array([1.0, 0.5]) * 32.0**-0.5, rtol=1e-5)


def test_the_exponent_stays_in_its_range() -> None:
    y = np.column_stack([3.0 - 0.1 * np.log(X / 1e9)])
    assert 0.02 <= fit_power(X, y, np.ones_like(y)).beta <= 5.0
