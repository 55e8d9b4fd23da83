"""The estimator of Chao, Wang and Jost (2013), from the slope of the curve of discoveries.

symbol  meaning                                                          shape  unit
j, f    histogram: f types were counted j times                          (k,)   -
n       sum of j f, the observations                                     -      tokens, pairs
f1, f2  types seen once, and twice                                       -      -
A       mean probability of the types seen once                          -      -
q       1 - A                                                            -      -
a       -log q                                                           -      -

    H = sum f (j / n) (psi(n) - psi(j)) + (f1 / n) q^(1 - n) (-log A - sum over r from 1 to n - 1 of q^r / r)
    A = 2 f2 / ((n - 1) f1 + 2 f2),   2 / ((n - 1) (f1 - 1) + 2) where f2 is 0,   1 where f1 is 0 too

The second term is 0 where A is 1. As it stands it is lost to rounding; -log A is the whole series of q^r / r, so it is

    (f1 / n) sum over s >= 0 of q^(s + 1) / (n + s),

which has positive terms. The first are added one by one until n + s is 64; the rest, a sum of e^(-a k) / k over k, is
the Euler-Maclaurin formula: an exponential integral and derivatives at the start. Both are exact to rounding for any n.

A. Chao, Y. T. Wang, L. Jost (2013), Entropy and the species accumulation curve, Methods Ecol. Evol. 4(11);
the cases f1 = 0 and f2 = 0 are those of the authors' package iNEXT.
"""

from math import comb, factorial

import numpy as np
from scipy.special import bernoulli, digamma, exp1

from mixlaw.entropy.histogram import Floats, Histogram, log_ratio

# From where the Euler-Maclaurin formula starts, and how many of its derivatives are taken: the first one left out is
# below 1e-16 of the sum for any a <= log 3, the largest that is possible.
START, DERIVATIVES = 64, 10
# From where psi(x) - log(x) is its asymptotic series; below, the difference keeps 14 digits.
SERIES_FROM = 32.0


def chao_wang_jost(sample: Histogram) -> float:
    """Entropy of a sample, in nats; see the module."""
    n = float(sample.n)
    digammas = log_ratio(n, sample.j) + (digamma_less_log(np.array([n])) - digamma_less_log(sample.j))
    seen = float((sample.f * (sample.j / n) * digammas).sum())
    return seen + sample.seen(1) / n * _unseen(sample.n, sample.seen(1), sample.seen(2))


def digamma_less_log(x: Floats) -> Floats:
    """psi(x) - log(x) for x >= 1/2, shape (k,), without a loss of digits where x is large."""
    y = 1.0 / np.maximum(x, SERIES_FROM)
    y2 = y * y
    series = -y * (0.5 + y * (1 / 12 - y2 * (1 / 120 - y2 * (1 / 252 - y2 * (1 / 240 - y2 / 132)))))
    return np.asarray(np.where(x < SERIES_FROM, digamma(x) - np.log(x), series))


def _unseen(n: int, f1: int, f2: int) -> float:
    """Sum over s >= 0 of q^(s + 1) / (n + s); 0 where A is 1."""
    once, twice = (f1, f2) if f2 > 0 else (f1 - 1, 1)
    if once < 1:  # A is 1
        return 0.0
    A = 2.0 * twice / ((n - 1.0) * once + 2.0 * twice)
    a = -float(np.log1p(-A))
    first = np.arange(max(START - n, 0))
    start = n + len(first)
    rest = np.exp(-a * (len(first) + 1)) * _tail(a, start)
    return float((np.exp(-a * (first + 1)) / (n + first)).sum() + rest)


def _tail(a: float, n: int) -> float:
    """Sum over s >= 0 of e^(-a s) / (n + s), by the Euler-Maclaurin formula."""
    total = _scaled_exp1(a * n) + 0.5 / n
    numbers = bernoulli(2 * DERIVATIVES)
    for half in range(1, DERIVATIVES + 1):
        # The derivative of e^(-a s) / (n + s) at 0, of odd order: minus a sum of positive terms.
        order = 2 * half - 1
        slope = sum(comb(order, i) * a ** (order - i) * factorial(i) / float(n) ** (i + 1) for i in range(order + 1))
        total += float(numbers[2 * half]) / factorial(2 * half) * slope
    return total


def _scaled_exp1(x: float) -> float:
    """e^x E1(x) for x > 0."""
    if x < 10.0:
        return float(np.exp(x) * exp1(x))
    # Its continued fraction, from the inside; 16 levels give all digits from x = 10 on.
    fraction = 0.0
    for level in range(16, 0, -1):
        fraction = level**2 / (x + 2 * level + 1 - fraction)
    return 1.0 / (x + 1.0 - fraction)
