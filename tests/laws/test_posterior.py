import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.laws.posterior import maximize_posterior


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, 6))
def test_a_linear_model_has_the_posterior_of_the_textbook(seed: int, n: int, p: int) -> None:
    rng = np.random.default_rng(seed)
    X, y, scale = rng.normal(size=(n, p)), rng.normal(size=n), rng.uniform(0.5, 2.0, n)
    mean, precision = rng.normal(size=p), rng.uniform(0.1, 10.0, p)

    def whiten(values: np.ndarray) -> np.ndarray:
        return (values.T / scale).T

    found = maximize_posterior(lambda theta: (X @ theta, X), y, whiten, mean, precision, rng.normal(size=p))
    normal = whiten(X).T @ whiten(X) + np.diag(precision)
    expected = np.linalg.solve(normal, whiten(X).T @ whiten(y) + precision * mean)
    np.testing.assert_allclose(found.theta, expected, atol=1e-5)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(normal), rtol=1e-8, atol=1e-12)
    assert found.converged
    # Between no parameter, where there are no observations, and all.
    assert -1e-9 <= found.settled <= min(n, p) + 1e-9


def test_a_curved_model_reaches_its_mode_from_afar() -> None:
    t = np.linspace(0.0, 3.0, 40)

    def model(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        falling = np.exp(theta[0] - np.exp(theta[1]) * t)
        return falling, np.column_stack([falling, -np.exp(theta[1]) * t * falling])

    truth = np.array([1.0, -0.5])
    start = np.array([-3.0, 2.0])
    found = maximize_posterior(model, model(truth)[0], lambda v: v / 1e-3, np.zeros(2), np.full(2, 1e-6), start)
    assert found.converged
    np.testing.assert_allclose(found.theta, truth, atol=1e-5)


def test_without_observations_the_mode_is_the_prior() -> None:
    mean, precision = np.array([1.0, -2.0]), np.array([4.0, 0.25])
    empty = (np.zeros(0), np.zeros((0, 2)))
    found = maximize_posterior(lambda theta: empty, np.zeros(0), lambda v: v, mean, precision, np.zeros(2))
    np.testing.assert_allclose(found.theta, mean, atol=1e-5)
    np.testing.assert_allclose(np.diag(found.covariance), 1.0 / precision)
    assert found.settled == pytest.approx(0.0)
