import numpy as np
import pytest

from mixlaw.optimum.interior import Newton, Powers, interior_point


@pytest.mark.parametrize(("e", "m"), [(1, 1), (7, 5), (5, 63), (3, 2), (1, 20)])
def test_the_newton_system_is_solved_as_a_dense_one(e: int, m: int) -> None:
    rng = np.random.default_rng(m)
    A, D, sigma = rng.uniform(size=(e, m)), rng.uniform(0.1, 9.0, e), 10.0 ** rng.uniform(-2, 6, m)
    sigma[: min(e, m) - 1] = 1e-7  # loose, where e < m
    b = rng.normal(size=m)
    dense = A.T @ (D[:, None] * A) + np.diag(sigma)
    newton = Newton(A, D, sigma)
    np.testing.assert_allclose(dense @ newton.solve(b), b, atol=1e-7)
    d, change = newton.step(b, 0.25)
    np.testing.assert_allclose(dense @ d + change, b, atol=1e-7)
    assert d.sum() == pytest.approx(0.25, abs=1e-7)


def test_equal_domains_do_not_stop_the_factorisation() -> None:
    A = np.ones((2, 5))
    newton = Newton(A, np.ones(2), np.zeros(5))
    d, _ = newton.step(np.zeros(5), 1.0)
    assert d.sum() == pytest.approx(1.0)


def test_bounds_that_hold_are_met_to_the_bit() -> None:
    # Domain 0 is worth most and domain 2 nothing much; 1 shares what is left with 3.
    A = np.array([[9.0, 1.0, 0.1, 0.5], [9.0, 0.5, 0.1, 1.0]])
    floor, cap = np.array([0.0, 0.0, 0.07, 0.0]), np.array([0.3, 1.0, 1.0, 1.0])
    r = interior_point(Powers(A, np.zeros(2), np.full(2, 1.5), np.zeros(2), floor, cap, 1.0))
    assert (r[0], r[2]) == (0.3, 0.07)
    np.testing.assert_allclose(r[[1, 3]], 0.315, rtol=1e-9)
