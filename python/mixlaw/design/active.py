"""Active designs: runs that say most about where the best mixture is and how good it is, under a fitted law.

symbol  meaning                                                                    shape      unit
m       training domains                                                           -          -
e       evaluation domains that have a weight                                      -          -
q       mixtures: candidates, then those that were run                             -          -
w       weights in the objective, sum 1                                            (e,)       -
L       predicted losses                                                           (q, e)     nats per token
C       covariance of the predicted log losses (`FittedLaw.log_covariance`)        (e, q, q)  -
sigma   standard deviation of single runs from the law (`DomainFit.residual_sd`)   (e,)       -
v       weight of a mixture in the criterion                                       (q,)       -

The criterion is the mean over mixtures of the variance of the objective, sum_q v_q sum_k (w_k L_qk)**2 C_kqq, each
relative to what it is now. Half of the weight is where draws from the posterior put the best mixture, half is spread
over all mixtures: what is best has to be told from all that might be. To first order a run of mixture c changes the
covariance, whatever it measures, by

    C_k <- C_k - C_k[:, c] C_k[c, :] / (sigma_k**2 + C_k[c, c])

and the one that lowers the criterion most is chosen, n times with the change in between.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError
from mixlaw.fitted import Array, FittedLaw
from mixlaw.weights import objective_weights

# Deviations of runs below this are rounding.
LEAST_DEVIATION = 1e-6


def most_informative(
    law: FittedLaw,
    candidates: Array,
    n: int,
    *,
    at: float,
    params: float | None,
    weights: Mapping[str, float] | None,
    draws: Sequence[FittedLaw],
) -> npt.NDArray[np.intp]:
    """Choose n of the candidates as runs that say most about the best mixture.

    Parameters
    ----------
    law
        A fitted law with standard errors.
    candidates
        Shape (c, m), n <= c.
    n
        How many to choose.
    at, params
        Length of training and model size for which the objective is minimised. What a run tells is taken to be its
        losses there.
    weights
        Of the evaluation domains in the objective, as for `mixlaw.optimize`.
    draws
        From the posterior of the law.

    Returns
    -------
    ndarray
        Rows of `candidates`, shape (n,), each once.

    Raises
    ------
    InputError
        If the law has no standard errors, no deviation of single runs, or no value at a candidate.
    """
    w = objective_weights(law.eval_domains, weights)
    counts = w > 0.0

    def losses(of: FittedLaw, mixtures: Array) -> Array:
        return of.predict(mixtures, at=at, params=params)[:, counts]

    known = law.mixtures[np.isfinite(losses(law, law.mixtures)).all(axis=1)]
    mixtures = np.concatenate([candidates, known])
    L = losses(law, mixtures)
    if not (finite := np.isfinite(L).all(axis=1)).all():
        raise InputError(f"candidate {np.argmin(finite)}: {law.law} has no finite prediction there; set floors")
    C = law.log_covariance(mixtures, at=at, params=params)[counts]
    squares = (w[counts] * L).T ** 2
    variance = np.sum(squares * np.diagonal(C, axis1=1, axis2=2), axis=0)
    best = np.bincount([np.argmin(losses(draw, mixtures) @ w[counts]) for draw in draws], minlength=len(mixtures))
    v = (best / len(draws) + 1.0 / len(mixtures)) / np.where(variance > 0.0, variance, np.inf)
    return _greedy(C, squares * v, np.maximum(law.deviations()[counts], LEAST_DEVIATION) ** 2, len(candidates), n)


def _greedy(C: Array, weight: Array, noise: Array, c: int, n: int) -> npt.NDArray[np.intp]:
    """Choose n of the first c mixtures, each the one that lowers the sum of `weight` times the diagonals of C most.

    Parameters
    ----------
    C
        Shape (e, q, q).
    weight
        Shape (e, q).
    noise
        sigma**2, shape (e,).
    c, n
        n <= c <= q.
    """
    chosen: list[int] = []
    for _ in range(n):
        total = noise[:, None] + np.diagonal(C, axis1=1, axis2=2)[:, :c]
        gain = np.sum(np.einsum("kq,kqc->kc", weight, C[:, :, :c] ** 2) / total, axis=0)
        gain[chosen] = -np.inf
        best = int(np.argmax(gain))
        chosen.append(best)
        C = C - C[:, :, best, None] * (C[:, best, None, :] / total[:, best, None, None])
    return np.array(chosen, dtype=np.intp)
