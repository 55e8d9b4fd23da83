"""Where a mixture lies among others: whether they surround it, and how far away the nearest is.

symbol  meaning                                  shape   unit
k       mixtures at hand                         -       -
m       domains                                  -       -
P       mixtures at hand, one a row              (k, m)  share of training tokens
r       the mixture asked about                  (m,)    share of training tokens
w       weights of a mean of the rows of P       (k,)    -

The distance of two mixtures is the total variation, half the sum of |r_j - r'_j|: the share of the tokens that would
have to come from another domain.
"""

import numpy as np
import numpy.typing as npt

from mixlaw.errors import MixlawError

# Distance up to which a mixture counts as inside the hull: what rounding and the linear programme's tolerance leave.
INSIDE = 1e-6


def in_hull(points: npt.ArrayLike, r: npt.ArrayLike) -> bool:
    """Whether `r` is a weighted mean of the rows of `points`, shapes (m,) and (k, m).

    Parameters
    ----------
    points
        P, shape (k, m).
    r
        Shape (m,).
    """
    return distance_to_hull(points, r) <= INSIDE


def distance_to_hull(points: npt.ArrayLike, r: npt.ArrayLike) -> float:
    """Total variation between `r` and the nearest weighted mean of the rows of `points`; 0 inside.

    One linear programme: minimise the sum of u + v over w, u, v >= 0 with P'w + u - v = r and the w adding up to 1.

    Parameters
    ----------
    points
        P, shape (k, m).
    r
        Shape (m,).

    Raises
    ------
    MixlawError
        If the linear programme is not solved.
    """
    from scipy.optimize import linprog

    P, target = np.asarray(points, dtype=np.float64), np.asarray(r, dtype=np.float64)
    k, m = P.shape
    deviations = np.eye(m)
    equal = np.vstack([np.hstack([P.T, deviations, -deviations]), np.r_[np.ones(k), np.zeros(2 * m)]])
    cost = np.r_[np.zeros(k), np.full(2 * m, 0.5)]
    found = linprog(cost, A_eq=equal, b_eq=np.r_[target, 1.0], bounds=(0.0, None), method="highs")
    if found.status != 0:
        raise MixlawError(f"distance to the hull of {k} mixtures: {found.message}")
    return max(0.0, float(cost @ found.x))


def nearest(points: npt.ArrayLike, r: npt.ArrayLike) -> tuple[int, float]:
    """Row of `points` that is nearest to `r`, and its total variation from it.

    Parameters
    ----------
    points
        P, shape (k, m).
    r
        Shape (m,).
    """
    distances = 0.5 * np.abs(np.asarray(points, dtype=np.float64) - np.asarray(r, dtype=np.float64)).sum(axis=1)
    row = int(np.argmin(distances))
    return row, float(distances[row])
