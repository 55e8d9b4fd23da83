import numpy as np
import numpy.typing as npt
import pytest

from mixlaw.laws import panel
from mixlaw.laws.panel import Prior, fit_panel

Array = npt.NDArray[np.float64]


def line(x: Array):
    def model(theta: Array) -> tuple[Array, Array]:
        J = np.column_stack([np.ones_like(x), x])
        return J @ theta, J

    return model


VAGUE = Prior(np.zeros(2), np.full(2, 1e3))
START = np.zeros((1, 2))


def test_a_line_under_a_vague_prior_is_that_of_least_squares_and_its_noise_is_found() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = np.column_stack([1.0 + 2.0 * x, 3.0 - x]) + [0.02, 0.05] * rng.normal(size=(400, 2))
    pieces = fit_panel([line(x)] * 2, y, np.arange(400).astype(str), VAGUE, [START] * 2, np.inf)
    for i, (piece, sd) in enumerate(zip(pieces, (0.02, 0.05), strict=True)):
        np.testing.assert_allclose(piece.mode.theta, np.polyfit(x, y[:, i], 1)[::-1], rtol=1e-6)
        assert piece.deviation == pytest.approx(sd, rel=0.1)
        errors = np.sqrt(np.diag(piece.covariance))
        np.testing.assert_allclose(errors, sd / np.sqrt(400), rtol=0.2)


def test_checkpoints_of_a_run_count_as_one_observation() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=30)
    y = (1.0 + 2.0 * x + 0.02 * rng.normal(size=30))[:, None]
    run = np.arange(30).astype(str)
    [once] = fit_panel([line(x)], y, run, VAGUE, [START], np.inf)
    ten = np.repeat(np.arange(30), 10)
    [often] = fit_panel([line(x[ten])], y[ten], run[ten], VAGUE, [START], np.inf)
    np.testing.assert_allclose(often.mode.theta, once.mode.theta, rtol=1e-9)
    np.testing.assert_allclose(often.covariance, once.covariance, rtol=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_a_misfit_that_all_runs_share_does_not_blur_what_tells_them_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, e, checkpoints = rng.normal(size=40), 8, 10
    run = np.repeat(np.arange(40), checkpoints)
    truth = 1.0 + 2.0 * x[run, None] + 0.01 * rng.normal(size=(40, e))[run]
    misfit = 0.1 * np.sin(np.arange(checkpoints))
    y = truth + np.tile(misfit - misfit.mean(), 40)[:, None]
    pieces = fit_panel([line(x[run])] * e, y, run.astype(str), VAGUE, [START] * e, np.inf)
    errors = [np.sqrt(piece.covariance[1, 1]) for piece in pieces]
    assert np.mean(errors) == pytest.approx(0.01 / np.sqrt(np.sum((x - x.mean()) ** 2)), rel=0.15)
    # A checkpoint of a new run deviates by both.
    assert np.mean([piece.deviation for piece in pieces]) == pytest.approx(np.hypot(0.01, misfit.std()), rel=0.05)


def test_the_prior_is_as_wide_as_it_was_whatever_the_misfit() -> None:
    x = np.zeros(60)
    run = np.repeat(np.arange(6), 10)
    prior = Prior(np.zeros(2), np.array([1e3, 0.5]))
    y = np.tile(0.1 * np.sin(np.arange(10)), 6)[:, None]
    [piece] = fit_panel([line(x)], y, run.astype(str), prior, [START], np.inf)
    assert piece.covariance[1, 1] == pytest.approx(0.25)


def test_where_the_runs_say_nothing_the_prior_stays() -> None:
    x = np.zeros(5)
    prior = Prior(np.array([0.0, 7.0]), np.array([1e3, 0.5]))
    [piece] = fit_panel([line(x)], np.full((5, 1), 2.0), np.arange(5).astype(str), prior, [START], np.inf)
    np.testing.assert_allclose(piece.mode.theta, [2.0, 7.0], rtol=1e-6)
    assert piece.covariance[1, 1] == pytest.approx(0.25)
    assert piece.mode.settled == pytest.approx(1.0, abs=1e-6)


def test_the_best_of_several_starts_is_taken() -> None:
    x = np.linspace(0.0, 6.0, 50)

    def model(theta: Array) -> tuple[Array, Array]:
        return np.sin(theta[0] * x), (x * np.cos(theta[0] * x))[:, None]

    prior = Prior(np.zeros(1), np.full(1, 100.0))
    y = np.sin(3.0 * x)[:, None]
    [piece] = fit_panel([model], y, np.arange(50).astype(str), prior, [np.array([[0.5], [1.5], [2.9]])], np.inf)
    assert piece.mode.theta[0] == pytest.approx(3.0, rel=1e-4)


def test_outliers_count_less_with_a_bend() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=40)
    y = (1.0 + 2.0 * x + 0.01 * rng.normal(size=40))[:, None]
    y[:4] += 1.0
    run = np.arange(40).astype(str)
    [plain] = fit_panel([line(x)], y, run, VAGUE, [START], np.inf)
    [bent] = fit_panel([line(x)], y, run, VAGUE, [START], 1.345)
    assert np.abs(bent.mode.theta - [1.0, 2.0]).max() < 0.1 * np.abs(plain.mode.theta - [1.0, 2.0]).max()
    assert bent.deviation < 0.3 * plain.deviation


def test_few_observations_take_their_noise_from_the_other_domains() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=3)
    y = 1.0 + 2.0 * x[:, None] + 0.1 * rng.normal(size=(3, 40))
    pieces = fit_panel([line(x)] * 40, y, np.arange(3).astype(str), VAGUE, [START] * 40, np.inf)
    deviations = np.array([piece.deviation for piece in pieces])
    assert np.sqrt(np.mean(deviations**2)) == pytest.approx(0.1, rel=0.4)
    assert deviations.min() > 0.5 * deviations.max()
    assert panel.NOISE < 0.02
