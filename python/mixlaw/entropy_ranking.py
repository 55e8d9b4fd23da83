"""Which domains an entropy does not put in order: too noisy, or still changing with the size of the sample.

symbol  meaning                                                            shape   unit
m       domains                                                            -       -
H       entropies of the domains                                           (m,)    nats
e       their standard errors; NaN where unknown                           (m,)    nats
n       sizes of the samples                                               (m,)    tokens or pairs
curve   entropies of an eighth, a quarter, a half and all of each sample   (m, 4)  nats
sizes   how much these are                                                 (m, 4)  tokens or pairs

Neighbours in the ranking suffice: with a above b above c, if both steps are beyond z standard errors, or keep their
sign at half the size, so does a above c.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Differences below so many standard errors are not settled: two-sided 90 %, as all intervals.
Z = 1.6448536269514722


class Unsettled(NamedTuple):
    """Two neighbours in a ranking whose order is not settled: the one that ranks higher, the other, and why."""

    higher: str
    lower: str
    reason: str


def unsettled(
    domains: Sequence[str], entropies: Floats, errors: Floats, sizes: Floats | None, curve: Floats | None
) -> list[Unsettled]:
    """Neighbours in the ranking by H whose order is not settled, from the highest down.

    Parameters
    ----------
    domains
        Their names.
    entropies, errors
        H and e, shape (m,).
    sizes, curve
        Shape (m, 4); 0 and NaN where a part holds nothing. None where there is no curve, or H is not its last point.
    """
    order = np.argsort(-entropies, kind="stable").tolist()
    found = []
    for i, k in pairwise(order):
        reason = _noise(entropies[i] - entropies[k], np.hypot(errors[i], errors[k]))
        if sizes is not None and curve is not None:
            reason = reason or _half(curve[i], curve[k]) or _equal_size(sizes[i], curve[i], sizes[k], curve[k])
        if reason:
            found.append(Unsettled(domains[i], domains[k], reason))
    return found


def _noise(difference: float, error: float) -> str | None:
    if difference <= Z * error:
        return f"they differ by {difference:.4f} nats, with a standard error of {error:.4f}"
    return None


def _half(higher: Floats, lower: Floats) -> str | None:
    if higher[2] < lower[2]:
        return f"with half of each sample the order is the reverse, by {lower[2] - higher[2]:.4f} nats"
    return None


def _equal_size(higher_sizes: Floats, higher: Floats, lower_sizes: Floats, lower: Floats) -> str | None:
    """Whether the lower one, of a smaller sample, would not be the lower one at equal sizes.

    Entropies grow with the sample, so a smaller sample that ranks higher does so at equal sizes too.
    """
    n, most = lower_sizes[3], higher_sizes[3]
    if not n < most:
        return None
    known = higher_sizes > 0
    if higher_sizes[known][0] <= n:
        at_n = float(np.interp(np.log(n), np.log(higher_sizes[known]), higher[known]))
        if at_n < lower[3]:
            return f"at the {n:,.0f} of the smaller sample the order is the reverse, by {lower[3] - at_n:.4f} nats"
        return None
    # No common size. Growth a doubling declines as the sample grows, so this is the most that it can come to.
    grown = lower[3] + (lower[3] - lower[2]) * np.log2(most / n)
    if grown > higher[3]:
        return (
            f"the sample of the lower one is {most / n:,.0f} times smaller, and its entropy grew by "
            f"{lower[3] - lower[2]:.4f} nats over the last doubling"
        )
    return None
