"""The exact minimum of powers of linear functions over the simplex with floors and caps.

    minimise sum_k c_k / (matrix_k . r)**alpha_k    subject to    sum_j r_j = 1,    floor_j <= r_j <= cap_j

symbol  meaning                                                             shape   unit
m       domains                                                             -       -
e       terms of the objective                                              -       -
r       proportions                                                         (m,)    share of training tokens
matrix  how much a token of each domain counts for each term, >= 0          (e, m)  -
z       matrix . r                                                          (e,)    -
c       weighted scale: the term where z = 1                                (e,)    nats per token
alpha   exponents >= 0                                                      (e,)    -
q       c alpha / z**(alpha + 1): minus the derivative of a term by z       (e,)    nats per token and z
gain    matrix' q: what more of a domain is worth                           (m,)    nats per token and share
lambda  multiplier of sum r = 1: the gain that free domains share           -       nats per token and share

The objective is convex in r, and strictly so in z: gains are the same at every minimum. Domains whose gain is 0
whatever r is are settled beforehand. `interior_point` finds the others' shares and which bounds hold; Newton steps
among the free domains then put the gains right to the last digits, and the Lagrange conditions certify the result.
"""

import math

import numpy as np

from mixlaw.errors import MixlawError
from mixlaw.fitted import Array
from mixlaw.optimum.interior import Newton, Powers, interior_point
from mixlaw.optimum.lagrange import Solution, held_by_bounds, kkt_residual, multiplier, violations

# An answer is only given with a KKT residual up to this.
CERTIFIED = 1e-8
# Where polishing ends: violations relative to lambda, and the error of the sum of the proportions.
POLISHED, EXACT_SUM = 1e-14, 2.3e-16
MAX_POLISH = 60


def minimize_power(matrix: Array, c: Array, alpha: Array, floor: Array, cap: Array) -> Solution:
    """Minimise sum c / (matrix . r)**alpha over the simplex between bounds.

    Domains that no term with c alpha > 0 counts stand at their floor, which may be 0, unless `held_by_bounds` spreads
    share over them; so where all c alpha are 0, shares are spread by room and the multiplier is 0. Of several minima,
    as with equal domains, any one is given.

    Parameters
    ----------
    matrix
        Finite and >= 0, no row all 0, shape (e, m).
    c, alpha
        Terms of the objective, finite and >= 0, shape (e,).
    floor, cap
        Bounds, 0 <= floor <= cap <= 1 and 0 < cap, shape (m,); their sums lie on either side of 1, or within
        `lagrange.TIGHT`.

    Returns
    -------
    Solution
        With a KKT residual of at most 1e-8, or, where floors or caps sum to 1 and leave a term nothing, so that it is
        infinite, with an infinite multiplier.

    Raises
    ------
    MixlawError
        If no such minimum was found; this takes terms that differ by tens of orders of magnitude.
    """
    counts = c * alpha > 0.0
    A, power = matrix[counts], alpha[counts] + 1.0
    pulls = np.asarray((A > 0.0).any(axis=0))
    r = held_by_bounds(pulls, floor, cap)
    if r is None:
        r, moves = floor.copy(), pulls & (floor < cap)
        log_pull = np.log(c[counts]) + np.log(alpha[counts])
        rest = math.fsum([1.0, *-floor[~moves]])
        problem = Powers(A[:, moves], log_pull, power, A[:, ~moves] @ r[~moves], floor[moves], cap[moves], rest)
        with np.errstate(all="ignore"):  # what overflows ends in an answer that is not certified
            r[moves] = _polish(problem, interior_point(problem))
    elif not (A @ r > 0.0).all():
        return Solution(r, math.inf)
    with np.errstate(all="ignore"):
        gain = power_gain(matrix, c, alpha, r)
        solution = Solution(r, multiplier(gain, r, floor, cap))
        residual = kkt_residual(gain, floor, cap, solution)
    if not residual <= CERTIFIED:
        raise MixlawError(
            f"no optimum was found that could be certified: the KKT residual of the best is {residual:.1e}, more than "
            f"{CERTIFIED:g}; the terms of the objective differ by too many orders of magnitude, so give every domain "
            "a floor, or look for coefficients of the law that make no sense"
        )
    return solution


def power_gain(matrix: Array, c: Array, alpha: Array, r: Array) -> Array:
    """Gain of every domain, shape (m,), where every term with c alpha > 0 is finite."""
    counts = c * alpha > 0.0
    A, c, alpha = matrix[counts], c[counts], alpha[counts]
    return np.asarray(A.T @ np.exp(np.log(c) + np.log(alpha) - (alpha + 1.0) * np.log(A @ r)))


def _polish(problem: Powers, r: Array) -> Array:
    """Newton steps among the domains between their bounds and those that ought to be, each up to the first bound."""
    floor, cap = problem.floor, problem.cap
    best, least, worse = r, math.inf, 0
    for _ in range(MAX_POLISH):
        z = problem.fixed + problem.A @ r
        q, _ = problem.slope(z)
        gain = problem.A.T @ q
        missing = math.fsum([problem.total, *-r])
        solution = Solution(r, multiplier(gain, r, floor, cap))
        violated = violations(gain, floor, cap, solution)
        error = max(float(violated.max()), abs(missing))
        best, least, worse = (r, error, 0) if error < least else (best, least, worse + 1)
        if (violated.max() <= POLISHED and abs(missing) <= EXACT_SUM) or worse > (10 if least > CERTIFIED else 1):
            break
        free = (floor < r) & (r < cap)
        if violated.max() > POLISHED:
            free[np.argmax(violated)] = True
        if not free.any():
            # Bounds alone miss the sum: the domain that leaves its bound at the least cost makes up for it.
            gives = np.where(r < cap, gain, -np.inf) if missing > 0.0 else np.where(r > floor, -gain, -np.inf)
            free[np.argmax(gives)] = True
        low, high, here = floor[free], cap[free], r[free]
        try:
            newton = Newton(problem.A[:, free], q * problem.power / z, np.zeros(len(here)))
        except np.linalg.LinAlgError:
            break
        step, _ = newton.step(gain[free] - solution.multiplier, missing)
        bound = np.where(step < 0.0, low, high)
        to_bound = np.where(step == 0.0, math.inf, (bound - here) / step)
        length = min(1.0, float(np.min(to_bound)))
        r = r.copy()
        r[free] = np.where(to_bound <= length, bound, np.clip(here + length * step, low, high))
    return best
