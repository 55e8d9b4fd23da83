"""Estimators of an entropy from the histogram of counts, by name.

symbol  meaning                                                 shape  unit
j, f    histogram: f types were counted j times                 (k,)   -
n       sum of j f, the observations                            -      tokens, pairs
f1, f2  types seen once, and twice                              -      -
C       coverage, 1 - f1 / n (Good-Turing)                      -      share
psi     digamma function                                        -      -
H       entropy                                                 -      nats

name              H                                                                       source
plugin            sum f (j / n) log(n / j)                                                -
miller-madow      plugin + (types - 1) / (2 n)                                            Miller 1955
grassberger       sum f (j / n) (log n - G(j)),                                           Grassberger 2003,
                  G(j) = psi(j) + (-1)^j (psi((j + 1) / 2) - psi(j / 2)) / 2              arXiv physics/0307138
chao-shen         -sum f p log p / (1 - (1 - p)^n), p = C j / n                           Chao & Shen 2003
chao-wang-jost    sum f (j / n) (psi(n) - psi(j)) and a term for the unseen,              Chao, Wang & Jost 2013,
                  module `chao_wang_jost`

All but the first correct the bias of relative frequencies, each in its way, for independent observations. Tokens of
documents are not independent: see docs/entropy.md.

G. A. Miller (1955), Note on the bias of information estimates. A. Chao and T.-J. Shen (2003), Nonparametric estimation
of Shannon's index of diversity when there are unseen species in sample, Environ. Ecol. Stat. 10.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mixlaw.entropy.chao_wang_jost import chao_wang_jost, digamma_less_log
from mixlaw.entropy.histogram import Histogram, histogram, log_ratio
from mixlaw.errors import InputError, did_you_mean


def estimate(counts: npt.ArrayLike, how_many: npt.ArrayLike, estimator: str = "plugin") -> float:
    """Estimate an entropy, in nats.

    Parameters
    ----------
    counts, how_many
        `how_many[i]` types were counted `counts[i]` times, as `NgramCounter.count_of_counts` gives it; shape (k,).
    estimator
        A name of the module's table.

    Returns
    -------
    float
        H. `grassberger` may be a little below 0 where the sample is nearly of one type.

    Raises
    ------
    InputError
        If the estimator is unknown, or the arrays are no histogram.

    Examples
    --------
    >>> [round(estimate([1, 2], [2, 1], name), 4) for name in ESTIMATORS]
    [1.0397, 1.2897, 1.6567, 1.7632, 1.5875]
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator {estimator!r}{did_you_mean(str(estimator), ESTIMATORS)}")
    return ESTIMATORS[estimator](histogram(counts, how_many))


def coverage(counts: npt.ArrayLike, how_many: npt.ArrayLike) -> float:
    """Estimate which share of the source's probability the types seen hold, C = 1 - f1 / n (Good 1953, after Turing).

    Raises
    ------
    InputError
        If the arrays are no histogram.
    """
    sample = histogram(counts, how_many)
    return (sample.n - sample.seen(1)) / sample.n


def plugin(sample: Histogram) -> float:
    """Entropy of the relative frequencies, in nats."""
    return float((sample.f * (sample.j / sample.n) * log_ratio(sample.n, sample.j)).sum())


def _miller_madow(sample: Histogram) -> float:
    return plugin(sample) + (sample.types - 1) / (2.0 * sample.n)


def _grassberger(sample: Histogram) -> float:
    j = sample.j
    sign = np.where(j % 2.0 == 0.0, 1.0, -1.0)
    # Differences of digammas through what they are above logarithms, which keeps their digits where j is large.
    step = np.log1p(1.0 / j) + digamma_less_log(0.5 * (j + 1.0)) - digamma_less_log(0.5 * j)
    less = digamma_less_log(j) + 0.5 * sign * step  # G(j) - log(j)
    return float((sample.f * (j / sample.n) * (log_ratio(sample.n, j) - less)).sum())


def _chao_shen(sample: Histogram) -> float:
    # Where all were seen once, C would be 0: one less is taken, as usual (f1 = n - 1).
    singletons = min(sample.seen(1), sample.n - 1)
    C = (sample.n - singletons) / sample.n
    p = C * (sample.j / sample.n)
    with np.errstate(divide="ignore"):  # p = 1: log(1 - p) is -inf, and seen for certain
        seen = -np.expm1(sample.n * np.log1p(-p))
    surprise = log_ratio(sample.n, sample.j) - np.log(C)
    return float((sample.f * p * surprise / seen).sum())


ESTIMATORS: dict[str, Callable[[Histogram], float]] = {
    "plugin": plugin,
    "miller-madow": _miller_madow,
    "grassberger": _grassberger,
    "chao-shen": _chao_shen,
    "chao-wang-jost": chao_wang_jost,
}
