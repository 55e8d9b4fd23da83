from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from mixlaw import RunTable
from mixlaw.laws.bimix import BiMix
from mixlaw.laws.robust import BEND, bent, huber_weights, reweighted

Array = npt.NDArray[np.float64]
Plant = Callable[..., tuple[dict[str, Array], RunTable]]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(0.1, 10.0))
def test_a_weight_makes_the_pull_of_a_residual_that_of_the_bend(u: list[float], bend: float) -> None:
    u_ = np.array(u)
    weights = bent(u_, bend)
    np.testing.assert_allclose(weights * u_, np.clip(u_, -bend, bend), rtol=1e-12)
    assert (weights <= 1.0).all()


def test_an_infinite_bend_is_least_squares() -> None:
    np.testing.assert_array_equal(bent(np.array([0.0, -1e300]), np.inf), [1.0, 1.0])


def test_weights_do_not_depend_on_the_unit_of_the_residuals() -> None:
    residuals = np.random.default_rng(0).normal(size=30)
    np.testing.assert_allclose(huber_weights(1e3 * residuals), huber_weights(residuals), rtol=1e-12)


def test_residuals_that_are_rounding_count_in_full() -> None:
    np.testing.assert_array_equal(huber_weights(1e-16 * np.random.default_rng(0).normal(size=30)), np.ones(30))
    np.testing.assert_array_equal(huber_weights(np.zeros(3)), np.ones(3))


def test_reweighting_finds_the_minimum_of_hubers_loss() -> None:
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(40), rng.normal(size=40)])
    y = X @ [1.0, 2.0] + rng.standard_t(2, size=40)

    def fit(weights: Array) -> tuple[Array, Array]:
        root = np.sqrt(weights)
        found = np.linalg.lstsq(root[:, None] * X, root * y)[0]
        return found, y - X @ found

    found, residuals, weights = reweighted(fit, 40, True)
    sd = np.median(np.abs(residuals)) / 0.6745

    def loss(theta: Array) -> float:
        size = np.abs(y - X @ theta) / sd
        return float(np.where(size <= BEND, 0.5 * size**2, BEND * size - 0.5 * BEND**2).sum())

    np.testing.assert_allclose(found, minimize(loss, found + 0.1, tol=1e-12).x, atol=2e-3)
    assert 0 < np.count_nonzero(weights < 1.0) < 20
    plain, _, ones = reweighted(fit, 40, False)
    np.testing.assert_allclose(plain, np.linalg.lstsq(X, y)[0])
    np.testing.assert_array_equal(ones, np.ones(40))


# BiMix


def values(law: object, name: str) -> Array:
    return np.array([law.coefficients[domain][name].value for domain in law.eval_domains])


def errors(law: object, name: str) -> Array:
    return np.array([law.coefficients[domain][name].standard_error for domain in law.eval_domains])


def spoilt(runs: RunTable, run: str, factor: float) -> RunTable:
    losses = np.where((runs.run == run)[:, None], factor * runs.losses, runs.losses)
    names = ("train_domains", "eval_domains", "tokens", "run")
    return RunTable.from_arrays(runs.proportions, losses, **{name: getattr(runs, name) for name in names})


@pytest.mark.parametrize("x", [(1e9, 2e9, 4e9, 8e9, 1.6e10), (7e9,)])
def test_an_outlying_run_hardly_moves_bimix(plant: Plant, x: tuple[float, ...]) -> None:
    planted, runs = plant(mixtures=20, x=x, run_sd=0.002, row_sd=0.001, seed=4)
    off = spoilt(runs, "r3", 1.2)
    plain, robust = BiMix().fit(off), BiMix().fit(off, robust=True)
    for name in ("alpha", "C"):
        truth = planted[name] if len(x) > 1 or name == "alpha" else values(BiMix().fit(runs), "C")
        moved = np.abs(values(robust, name) / truth - 1.0).mean()
        assert moved < 0.03
        assert moved < 0.4 * np.abs(values(plain, name) / truth - 1.0).mean()
        assert (errors(robust, name) < errors(plain, name)).all()
    sd = [robust.quality[domain].residual_sd for domain in robust.eval_domains]
    assert max(sd) < 0.02
    assert any("Huber's loss" in note for note in robust.notes)
    assert not any("Huber's loss" in note for note in plain.notes)


def test_without_outliers_a_robust_fit_is_nearly_the_same(plant: Plant) -> None:
    _, runs = plant(mixtures=20, run_sd=0.004, row_sd=0.002)
    plain, robust = BiMix().fit(runs), BiMix().fit(runs, robust=True)
    for name in ("alpha", "C", "beta"):
        assert (np.abs(values(robust, name) - values(plain, name)) < errors(plain, name)).all()
        np.testing.assert_allclose(errors(robust, name), errors(plain, name), rtol=0.5)


def test_perfect_runs_stay_perfect_also_beside_a_spoilt_one(plant: Plant) -> None:
    planted, runs = plant(mixtures=9)
    for table, tolerance in ((runs, 1e-6), (spoilt(runs, "r2", 1.05), 2e-3)):
        law = BiMix().fit(table, robust=True)
        for name, value in planted.items():
            np.testing.assert_allclose(values(law, name), value, rtol=tolerance)


def test_standard_errors_of_robust_fits_cover(plant: Plant) -> None:
    from scipy.stats import t as student

    trials, mixtures = 24, 10
    half_width = student.ppf(0.95, mixtures - 1)
    hits: list[bool] = []
    for seed in range(trials):
        planted, runs = plant(mixtures=mixtures, run_sd=0.004, row_sd=0.002, seed=seed)
        law = BiMix().fit(runs, robust=True)
        for name in ("alpha", "C"):
            hits += (np.abs(values(law, name) - planted[name]) <= half_width * errors(law, name)).tolist()
    # 144 intervals of 90 %.
    assert 0.82 <= np.mean(hits) <= 0.97
