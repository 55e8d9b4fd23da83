import numpy as np
import numpy.typing as npt
import pytest

from mixlaw.laws.smooth import Runs, Sites, Smoothness, Weights, correlation, correlation_gradient

Array = npt.NDArray[np.float64]


def sites(k: int, m: int = 4, seed: int = 0, sizes: bool = False) -> Sites:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(m, 0.5), k)
    shares[rng.random(shares.shape) < 0.2] = 0.0
    return Sites(shares, rng.normal(size=k) if sizes else np.zeros(k))


def test_correlation_is_one_with_itself_and_positive_definite() -> None:
    at = sites(30, sizes=True)
    K = correlation(at, at, 0.6)
    np.testing.assert_allclose(np.diag(K), 1.0)
    np.testing.assert_array_equal(K, K.T)
    assert np.linalg.eigvalsh(K)[0] > -1e-12
    assert 0.0 < K.min() <= K.max() <= 1.0 + 1e-12


def test_correlation_falls_with_distance_of_mixtures_and_of_sizes() -> None:
    shares = np.array([[0.5, 0.5], [0.6, 0.4], [1.0, 0.0]])
    same, near, far = correlation(Sites(shares[:1], np.zeros(1)), Sites(shares, np.zeros(3)), 0.4)[0]
    assert same == pytest.approx(1.0)
    assert same > near > far
    other = correlation(Sites(shares[:1], np.zeros(1)), Sites(shares[:1], np.array([2.0])), 0.4)[0, 0]
    assert other == pytest.approx(np.exp(-0.5))


def test_gradients_are_finite_at_zero_and_those_of_the_correlation() -> None:
    first, second = sites(5, seed=1), sites(7, seed=2)
    gradient = correlation_gradient(first, second, 0.5)
    assert np.isfinite(gradient).all()
    h = 1e-7
    for j in range(4):
        step = np.zeros(4)
        step[j] = h
        ahead = correlation(first._replace(mixtures=first.mixtures + step), second, 0.5)
        here = correlation(first, second, 0.5)
        # One-sided, as a proportion of 0 has nothing below it.
        np.testing.assert_allclose((ahead - here) / h, gradient[:, :, j], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_means_and_what_is_left_of_them_are_whitened(weighted: bool) -> None:
    """Residuals drawn from the model have the covariance that is taken out again."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), [1, 2, 3, 4, 1, 5])
    at = sites(6)
    runs = Runs(group, at)
    if weighted:
        runs.weights = Weights(rng.uniform(0.3, 1.0, len(group)), rng.uniform(0.3, 1.0, 6))
    smoothness = Smoothness(share=0.7, length=0.5, noise=2.0)
    k = 200_000
    smooth = np.linalg.cholesky(0.7 * correlation(at, at, 0.5) + 1e-12 * np.eye(6)) @ rng.normal(size=(6, k))
    own = np.sqrt(0.3 / runs.weights.runs)[:, None] * rng.normal(size=(6, k))
    rows = (smooth + own)[group] + np.sqrt(2.0 / runs.weights.rows)[:, None] * rng.normal(size=(len(group), k))
    means = runs.means(rows)
    np.testing.assert_allclose(np.cov(means), runs.covariance(smoothness), atol=0.06)
    white = runs.whitening(smoothness) @ means
    np.testing.assert_allclose(np.cov(white), np.eye(6), atol=0.02)
    within = runs.within(rows, means)
    # As many degrees of freedom as checkpoints that are not their run's only one.
    assert np.sum(within**2) / k == pytest.approx(2.0 * (len(group) - 6), rel=0.01)
    assert np.abs(within @ white.T / k).max() < 0.03


def test_without_a_share_runs_are_independent() -> None:
    runs = Runs(np.array([0, 0, 1]), sites(2))
    np.testing.assert_allclose(runs.covariance(Smoothness(0.0, 1.0, 0.5)), np.diag([1.25, 1.5]))
