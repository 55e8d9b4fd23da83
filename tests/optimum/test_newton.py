import numpy as np
import pytest

from mixlaw.optimum.newton import Newton


@pytest.mark.parametrize(("e", "m"), [(1, 1), (7, 5), (5, 63), (3, 2), (1, 20)])
def test_the_newton_system_is_solved_as_a_dense_one(e: int, m: int) -> None:
    rng = np.random.default_rng(m)
    S, sigma = rng.uniform(size=(e, m)), 10.0 ** rng.uniform(-2, 6, m)
    sigma[: min(e, m) - 1] = 1e-7  # loose, where e < m
    b = rng.normal(size=m)
    dense = S.T @ S + np.diag(sigma)
    newton = Newton(S, sigma)
    np.testing.assert_allclose(dense @ newton.solve(b), b, atol=1e-7)
    columns = np.column_stack([b, np.ones(m)])
    np.testing.assert_allclose(dense @ newton.solve(columns), columns, atol=1e-7)


def test_equal_domains_do_not_stop_the_factorisation() -> None:
    newton = Newton(np.ones((2, 5)), np.zeros(5))
    np.testing.assert_allclose(newton.solve(np.full(5, 10.0)).sum(), 5.0)
