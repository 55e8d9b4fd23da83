import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr
from scipy.stats import t as student

from mixlaw import InputError, RunTable, laws
from mixlaw.fitted import FittedLaw
from mixlaw.laws.linear import Linear, _Centred, _fit

Array = npt.NDArray[np.float64]


def planted(mixtures: int = 40, m: int = 4, noise: float = 0.0, seed: int = 0) -> tuple[Array, Array, RunTable]:
    rng = np.random.default_rng(seed)
    w = rng.normal(0.0, 0.3, (3, m))
    w -= w.mean(axis=1, keepdims=True)
    b = rng.uniform(0.5, 1.5, 3)
    r = rng.dirichlet(np.ones(m), mixtures)
    losses = np.exp(b + r @ w.T + noise * rng.normal(size=(mixtures, 3)))
    names = [f"d{j}" for j in range(m)]
    return b, w, RunTable.from_arrays(r, losses, train_domains=names, eval_domains=names[:3], tokens=1e9)


def values(law: FittedLaw) -> tuple[Array, Array]:
    rows = np.array([[one.value for one in law.coefficients[d].values()] for d in law.eval_domains])
    return rows[:, 0], rows[:, 1:]


def test_planted_coefficients_are_found_exactly_without_noise() -> None:
    b, w, runs = planted()
    law = Linear().fit(runs)
    found_b, found_w = values(law)
    np.testing.assert_allclose(found_w, w, atol=1e-8)
    np.testing.assert_allclose(found_b, b, atol=1e-8)
    np.testing.assert_allclose(law.predict(runs.proportions, at=1e9), runs.losses, rtol=1e-9)


def test_errors_are_of_the_size_that_standard_errors_say() -> None:
    found = []
    for seed in range(60):
        _, w, runs = planted(mixtures=12, noise=0.02, seed=seed)
        law = Linear().fit(runs)
        errors = np.array([[one.standard_error for one in law.coefficients[d].values()] for d in law.eval_domains])
        found.append((values(law)[1] - w) / errors[:, 1:])
    # 720 intervals of 90 %.
    assert 0.85 <= np.mean(np.abs(found) < student.ppf(0.95, 11)) <= 0.95


def test_the_sum_of_w_is_zero_and_certain() -> None:
    _, _, runs = planted(mixtures=5, m=8, noise=0.02)
    law = Linear().fit(runs)
    for domain in law.eval_domains:
        np.testing.assert_allclose(np.ones(8) @ law.covariance[domain][1:, 1:] @ np.ones(8), 0.0, atol=1e-12)
    np.testing.assert_allclose(values(law)[1].sum(axis=1), 0.0, atol=1e-10)


@pytest.mark.parametrize("phi", [1e-2, 1.0, 300.0])
@pytest.mark.parametrize("n", [3, 9])
def test_likelihood_and_posterior_are_those_of_the_dense_normal_model(phi: float, n: int) -> None:
    rng = np.random.default_rng(n)
    m = 5
    r, y, weights = rng.dirichlet(np.ones(m), n), rng.normal(size=n), rng.uniform(0.3, 1.0, n)
    domain = _Centred(r, y, weights)
    sigma2 = domain.sigma2(phi)
    with mpmath.workdps(80):
        # b under a prior so wide that it is flat; w in directions in which its sum stays 0.
        X, observed = mpmath.matrix(np.column_stack([np.ones(n), r]).tolist()), mpmath.matrix(y.tolist())
        away = mpmath.eye(m) - mpmath.ones(m) / m

        def prior(sigma2: float, phi: float) -> mpmath.matrix:
            matrix = mpmath.zeros(1 + m)
            matrix[0, 0] = mpmath.mpf(10) ** 30
            for i in range(m):
                for j in range(m):
                    matrix[1 + i, 1 + j] = sigma2 * mpmath.mpf(phi) * away[i, j]
            return matrix

        def cover(sigma2: float, phi: float) -> mpmath.matrix:
            return X * prior(sigma2, phi) * X.T + mpmath.diag([sigma2 / mpmath.mpf(w) for w in weights])

        def likelihood(sigma2: float, phi: float) -> mpmath.mpf:
            matrix = cover(sigma2, phi)
            return -(mpmath.log(mpmath.det(matrix)) + (observed.T * mpmath.inverse(matrix) * observed)[0]) / 2

        best = likelihood(sigma2, phi)
        assert best > max(likelihood(0.99 * sigma2, phi), likelihood(1.01 * sigma2, phi))
        gain = likelihood(domain.sigma2(2.0 * phi), 2.0 * phi) - best
        assert domain.log_likelihood(2.0 * phi) - domain.log_likelihood(phi) == pytest.approx(float(gain), abs=1e-9)

        before = prior(sigma2, phi)
        pull = before * X.T * mpmath.inverse(cover(sigma2, phi))
        ridge = domain.ridge(phi)
        exact = before - pull * X * before
        np.testing.assert_allclose(ridge.values, [float(one) for one in pull * observed], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ridge.covariance, np.array(exact.tolist(), dtype=np.float64), rtol=1e-9, atol=1e-12)


def test_the_penalty_has_the_largest_likelihood() -> None:
    _, _, runs = planted(mixtures=10, noise=0.05)
    y = np.log(runs.losses)
    phi, _ = _fit(runs.proportions, y, np.ones_like(y))
    domains = [_Centred(runs.proportions, own, np.ones(10)) for own in y.T]
    at = [sum(d.log_likelihood(phi * factor) for d in domains) for factor in (0.9, 1.0, 1.1)]
    assert max(at) == at[1]


def test_without_any_signal_the_mean_is_predicted() -> None:
    rng = np.random.default_rng(0)
    r = rng.dirichlet(np.ones(6), 8)
    losses = np.exp(1.0 + 0.05 * rng.normal(size=(8, 5)))
    names = [f"d{j}" for j in range(6)]
    law = Linear().fit(RunTable.from_arrays(r, losses, train_domains=names, eval_domains=names[:5], tokens=1e9))
    spread = np.log(law.predict(r, at=1e9)).std(axis=0)
    assert (spread < 0.5 * np.log(losses).std(axis=0)).all()


def test_other_coefficients_are_refused(tmp_path) -> None:
    Linear().fit(planted()[2]).write(tmp_path / "law.json")
    path = tmp_path / "law.json"
    path.write_text(path.read_text().replace('"w/d1"', '"v/d1"'))
    with pytest.raises(InputError, match="linear has the coefficients b, w/d0, w/d1, w/d2, w/d3, not b, w/d0, v/d1"):
        laws.read(path)


def test_regmix(regmix) -> None:
    train, test = regmix("train"), regmix("test")
    law = Linear().fit(train)
    predicted = law.predict(test.proportions, at=1e9)
    ranks = [spearmanr(predicted[:, i], test.losses[:, i])[0] for i in range(len(test.eval_domains))]
    assert np.mean(ranks) == pytest.approx(0.845, abs=0.005)
    low, high = law.interval(test.proportions, at=1e9)
    assert 0.9 <= ((low <= test.losses) & (test.losses <= high)).mean() <= 0.97
