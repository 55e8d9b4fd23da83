"""How well predictions of held-out runs agree with what was measured: of every domain, and of the objective.

symbol  meaning                                           shape   unit
n       held-out runs                                     -       -
e       evaluation domains                                -       -
L       measured losses at the end of each run            (n, e)  nats per token
L^      predicted losses                                  (n, e)  nats per token
w       weights of the domains in the objective, sum 1    (e,)    -

The objective is L w, the weighted mean loss. The error of a run is sum_i w_i |L_i - L^_i| / L_i.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixlaw.fitted import Array
from mixlaw.laws.goodness import goodness, rank_correlation

# Fewest runs that a correlation is taken over: two correlate by 1 or -1.
LEAST_RUNS = 3


@dataclass(frozen=True)
class Score:
    """Agreement of predicted and measured losses over held-out runs.

    R2 and the correlations are taken within runs of one model size, and averaged over sizes by their number of runs.
    None is what is not defined: all of it where a prediction is infinite, the latter three where nothing varies or no
    size has three runs.

    Attributes
    ----------
    mean_relative_error
        Mean of |L - predicted| / L.
    r2
        Share of the variance of the log loss between runs that is explained.
    pearson, spearman
        Correlation of loss and prediction, and of their ranks.
    """

    mean_relative_error: float | None
    r2: float | None
    pearson: float | None
    spearman: float | None


MEASURES = ("mean_relative_error", "r2", "pearson", "spearman")


@dataclass(frozen=True)
class Scores:
    """Agreement for every domain and for the objective.

    Attributes
    ----------
    error
        Mean error of a run: its relative errors, averaged over domains by their weights in the objective.
    domains
        Evaluation domain -> `Score`.
    objective
        `Score` of the weighted mean loss.
    """

    error: float
    domains: Mapping[str, Score]
    objective: Score


def run_errors(losses: Array, predicted: Array, w: Array) -> Array:
    """Error of each run, shape (n,); infinite where a prediction that counts is."""
    used = w > 0.0
    return np.asarray(np.abs(predicted[:, used] / losses[:, used] - 1.0) @ w[used])


def score(domains: Sequence[str], losses: Array, predicted: Array, w: Array, size: Array) -> Scores:
    """Compare predictions with losses, both of shape (n, e); `size` is the model size of each run, shape (n,).

    Every prediction of a domain that counts has to be finite.
    """
    used = w > 0.0
    return Scores(
        error=float(run_errors(losses, predicted, w).mean()),
        domains={domain: _score(losses[:, i], predicted[:, i], size) for i, domain in enumerate(domains)},
        objective=_score(losses[:, used] @ w[used], predicted[:, used] @ w[used], size),
    )


def average(scores: Sequence[Scores]) -> Scores:
    """Average over repetitions; None where one of them has no value."""
    first = scores[0]
    return Scores(
        error=float(np.mean([one.error for one in scores])),
        domains={domain: _average([one.domains[domain] for one in scores]) for domain in first.domains},
        objective=_average([one.objective for one in scores]),
    )


def _average(scores: Sequence[Score]) -> Score:
    return Score(*(_mean([getattr(one, name) for one in scores]) for name in MEASURES))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _score(losses: Array, predicted: Array, size: Array) -> Score:
    if not np.isfinite(predicted).all():
        return Score(None, None, None, None)
    return Score(
        mean_relative_error=goodness(losses, predicted).mean_relative_error,
        r2=_within(lambda y, p: goodness(y, p).r2, losses, predicted, size),
        pearson=_within(lambda y, p: goodness(y, p).pearson, losses, predicted, size),
        spearman=_within(rank_correlation, losses, predicted, size),
    )


def _within(
    measure: Callable[[Array, Array], float | None], losses: Array, predicted: Array, size: Array
) -> float | None:
    """A measure within runs of one size, averaged by their number over the sizes that have `LEAST_RUNS`."""
    _, code, count = np.unique(size, return_inverse=True, return_counts=True)
    found = [(measure(losses[code == k], predicted[code == k]), count[k]) for k in np.flatnonzero(count >= LEAST_RUNS)]
    known = [(value, weight) for value, weight in found if value is not None]
    if not known:
        return None
    values, weights = zip(*known, strict=True)
    return float(np.average(values, weights=weights))
