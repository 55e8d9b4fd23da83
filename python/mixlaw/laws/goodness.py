"""How well predictions agree with observed losses, by the measures of the BiMix paper (arXiv 2405.14908).

symbol     meaning               shape  unit
observed   validation losses     (n,)   nats per token
predicted  what the law says     (n,)   nats per token
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.fitted import Array, DomainFit


class Goodness(NamedTuple):
    """Agreement of predictions with observations; see `goodness`."""

    mean_relative_error: float
    r2: float | None
    pearson: float | None


def goodness(observed: Array, predicted: Array) -> Goodness:
    """Compare predictions with observations, both of shape (n,) with n >= 1 and positive.

    Returns
    -------
    Goodness
        The mean of |observed - predicted| / observed; R2 of the log losses, 1 - sum of squared residuals / sum of
        squares about the mean; and the Pearson correlation of the losses. The latter two are None where the
        observations, or for the correlation the predictions, do not vary.
    """
    logs = np.log(observed)
    total = float(np.sum((logs - logs.mean()) ** 2))
    rest = float(np.sum((logs - np.log(predicted)) ** 2))
    varies = np.ptp(observed) > 0.0
    return Goodness(
        mean_relative_error=float(np.mean(np.abs(observed - predicted) / observed)),
        r2=1.0 - rest / total if varies else None,
        pearson=_correlation(observed, predicted),
    )


def domain_fit(
    observed: Array, predicted: Array, run: npt.NDArray[np.str_], residual_sd: float | None, left_out: int = 0
) -> DomainFit:
    """Describe the fit of one domain to the rows that entered it; `run` names the run of each."""
    return DomainFit(
        rows=len(observed),
        runs=len(np.unique(run)),
        left_out=left_out,
        residual_sd=residual_sd,
        **goodness(observed, predicted)._asdict(),
    )


def rank_correlation(observed: Array, predicted: Array) -> float | None:
    """Spearman correlation of two arrays of shape (n,), ties sharing their mean rank; None where either is constant."""
    return _correlation(_ranks(observed), _ranks(predicted))


def _ranks(values: Array) -> Array:
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2.0)[code])


def _correlation(first: Array, second: Array) -> float | None:
    if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(np.corrcoef(first, second)[0, 1])
