"""Laws with many coefficients, fitted to few runs: modes of posteriors under weak, fixed priors.

symbol    meaning                                                      shape   unit
n         rows                                                         -       -
e         evaluation domains                                           -       -
y         what is observed: log losses about their means               (n, e)  -
theta     parameters of a domain: logarithms, or of that order         (p,)    -
J         derivatives of f                                             (n, p)  -
k         checkpoints of a row's run                                   (n,)    -
variance  of a row's deviation from the law                            (e,)    -
v         variance of the mean deviation of a run                      (e,)    -
w         weights of Huber's loss, at most 1                           (n,)    -
P         precision of the prior, 1 / sd**2                            (p, p)  -

    minimise sum over rows of w (y - f(theta))**2 / (k variance) + sum over theta of ((theta - mean) / sd)**2

Checkpoints of a run deviate from a law alike, so that all of them weigh as much as one observation. The prior settles
what the runs do not. How much it weighs depends on the variance, which is estimated from the residuals: from those of
all domains together, and from there drawn towards each domain's own, in rounds. Rows count singly there: if runs did,
a prior with more parameters than there are runs would win against them, and its misfit pass for noise. Huber's weights
are found anew in every round.

Most of the variance is a misfit that all runs share, as where the curve of training has another shape than the law's.
It does not blur what tells runs apart. How sure the parameters are is therefore a matter of v, not of the variance:

    covariance = H**-1 (v / variance D + P) H**-1,    D = J' diag(w / (k variance)) J,    H = D + P

v is estimated from the mean residual of each run, over the share of it that the fit leaves free.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.fitted import Array
from mixlaw.laws.checks import constant_note, stopped_note
from mixlaw.laws.posterior import Mode, Model, maximize_posterior
from mixlaw.laws.robust import ROUNDING, SETTLED, bent
from mixlaw.runs import RunTable

# Standard deviation of log losses that is believed before any run, and how many observations that counts for.
NOISE, NOISE_COUNTS = 0.005, 4.0
# Rounds: variances change little after the first few. Huber's weights settle later.
ROUNDS, MAX_ROUNDS = 8, 40
# Relative change of the objective below which a mode is found; in the valleys of the posterior less takes many steps.
TOLERANCE = 1e-6


class Prior(NamedTuple):
    """Means and standard deviations of the parameters, each of shape (p,)."""

    mean: Array
    sd: Array


class Piece(NamedTuple):
    """The fit of one domain.

    Attributes
    ----------
    mode
        Its mode.
    covariance
        Of the parameters, shape (p, p).
    deviation
        Standard deviation of a checkpoint of a new run about the law.
    """

    mode: Mode
    covariance: Array
    deviation: float


def fit_panel(
    models: Sequence[Model], y: Array, run: npt.NDArray[np.str_], prior: Prior, starts: Sequence[Array], bend: float
) -> list[Piece]:
    """Fit every evaluation domain.

    Parameters
    ----------
    models
        Map the parameters of a domain to what they say of y, shape (n,), and its derivatives, shape (n, p).
    y
        Shape (n, e).
    run
        Run of each row, shape (n,).
    prior
        The same for all domains.
    starts
        Starting points of each domain, of shape (k, p).
    bend
        Huber's bend in standard deviations; infinite for least squares.

    Returns
    -------
    list of Piece
        The best that was found from any start, for each domain.
    """
    _, of_row, size = np.unique(run, return_inverse=True, return_counts=True)
    share = 1.0 / size[of_row]
    variances = np.full(len(models), NOISE**2)
    hubers = [np.ones(len(y))] * len(models)
    for number in range(MAX_ROUNDS):
        modes = [
            _best(model, own, np.sqrt(share * huber / variance), prior, start)
            for model, own, huber, variance, start in zip(models, y.T, hubers, variances, starts, strict=True)
        ]
        starts = [mode.theta[None] for mode in modes]
        squares = np.array([huber @ mode.residuals**2 for huber, mode in zip(hubers, modes, strict=True)])
        freedom = len(y) - np.array([mode.settled for mode in modes])
        variances = _variances(squares, freedom)
        old, hubers = hubers, [_hubers(mode, bend) for mode in modes]
        if number + 1 >= ROUNDS and max(np.abs(a - b).max() for a, b in zip(hubers, old, strict=True)) <= SETTLED:
            break
    weights = [share * huber for huber in hubers]
    covariances = _covariances(modes, weights, variances, of_row, prior)
    return [Piece(*one) for one in zip(modes, covariances, np.sqrt(variances).tolist(), strict=True)]


def prior_notes(runs: RunTable, pieces: Sequence[Piece]) -> list[str]:
    """Say what the priors have settled, and which evaluation domains did not converge."""
    p = len(pieces[0].mode.theta)
    settled = float(np.median([piece.mode.settled for piece in pieces]))
    notes = [
        f"Fitted under weak priors; standard errors are those of the posterior. Of {p} coefficients a domain the "
        f"{len(runs.runs)} runs settle {settled:.1f} (median), the priors the rest."
    ]
    stopped = stopped_note(runs.eval_domains, [piece.mode.converged for piece in pieces])
    return [*notes, *constant_note(runs), *stopped]


def _variances(squares: Array, freedom: Array) -> Array:
    """Variances by domain, drawn towards that of all; from weighted sums of squares and their degrees of freedom."""
    pooled = (NOISE_COUNTS * NOISE**2 + squares.sum()) / (NOISE_COUNTS + freedom.sum())
    return np.asarray((NOISE_COUNTS * pooled + squares) / (NOISE_COUNTS + freedom))


def _covariances(
    modes: Sequence[Mode], weights: Sequence[Array], variances: Array, of_row: npt.NDArray[np.intp], prior: Prior
) -> list[Array]:
    """Covariance of the parameters of each domain; `weights` are w / k."""
    precision = np.diag(prior.sd**-2.0)
    known, inverses, squares, freedom = [], [], [], []
    for mode, weight, variance in zip(modes, weights, variances, strict=True):
        data = (mode.jacobian.T * (weight / variance)) @ mode.jacobian
        inverse = np.linalg.inv(data + precision)
        total = np.bincount(of_row, weight)
        mean = np.bincount(of_row, weight * mode.residuals) / total
        slope = np.array([np.bincount(of_row, weight * column) / total for column in mode.jacobian.T]).T
        known.append(data)
        inverses.append(inverse)
        squares.append(total @ mean**2)
        freedom.append(np.sum(1.0 - total * np.sum((slope @ inverse) * slope, axis=1) / variance))
    ratios = _variances(np.array(squares), np.array(freedom)) / variances
    return [
        inverse @ (ratio * data + precision) @ inverse
        for data, inverse, ratio in zip(known, inverses, ratios, strict=True)
    ]


def _best(model: Model, y: Array, roots: Array, prior: Prior, starts: Array) -> Mode:
    def whiten(values: Array) -> Array:
        return np.asarray((values.T * roots).T)

    def cost(mode: Mode) -> float:
        return float(np.sum(whiten(mode.residuals) ** 2) + np.sum(((mode.theta - prior.mean) / prior.sd) ** 2))

    modes = [
        maximize_posterior(model, y, whiten, prior.mean, prior.sd**-2.0, start, tolerance=TOLERANCE) for start in starts
    ]
    return min(modes, key=cost)


def _hubers(mode: Mode, bend: float) -> Array:
    """Huber's weights, of the squares that are expected under the posterior over their median, which is robust."""
    squares = mode.residuals**2 + np.sum((mode.jacobian @ np.linalg.cholesky(mode.covariance)) ** 2, axis=1)
    return bent(0.6745 * np.sqrt(squares / max(float(np.median(squares)), ROUNDING**2)), bend)
