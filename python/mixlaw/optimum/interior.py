"""A primal-dual interior-point method for powers of linear functions over the simplex with floors and caps.

    minimise sum_k c_k / z_k**alpha_k,    z = A r,    subject to    sum_j r_j = total,    floor_j <= r_j <= cap_j

symbol  meaning                                                          shape   unit
m       domains, all with floor < cap and a gain                         -       -
e       terms, all with c alpha > 0                                      -       -
A       how much a token of each domain counts for each term             (e, m)  -
z       A r, plus what fixed domains give                                (e,)    -
room    total - sum floor                                                -       share of training tokens
x       (r - floor) / room: sums to 1                                    (m,)    -
y       (cap - r) / room, of those domains that could get more           (<=m,)  -
q       minus the derivative of a term: c alpha / z**(alpha + 1)         (e,)    nats per token and z
beta    1 / (alpha + 1)                                                  (e,)    -
gain    room A' q                                                        (m,)    nats per token and x
u, v    multipliers of x >= 0 and y >= 0                                 (m,)    nats per token and x
lambda  multiplier of sum x = 1                                          -       nats per token and x
mu      mean of x u and y v, which is 0 at the minimum                   -       nats per token
D       curvature of a term: q / (beta z)                                (e,)    nats per token and z**2
sigma   u / x + v / y                                                    (m,)    nats per token and x**2
M       room**2 A' D A + diag sigma                                      (m, m)  nats per token and x**2

Newton's method with Mehrotra's predictor and corrector (SIAM J. Optim. 2, 1992) on the conditions

    gain + u - v = lambda,    sum x = 1,    x u = mu,    y v = mu,    log z + beta log q = beta log(c alpha)

The last makes q a variable of its own: far from the minimum the steps are much longer than with q tied to z, however
large alpha is. x and y are kept apart from r, so that they keep their digits next to a bound.
"""

import math
from typing import NamedTuple

import numpy as np

from mixlaw.fitted import Array

MAX_STEPS = 200
# mu, relative to lambda, and the other conditions, relative to their largest part, at the end.
COMPLEMENTARY, SATISFIED = 1e-24, 1e-11
# A domain whose bound has a multiplier above this part of lambda stands at the bound.
HELD = 1e-10
# q may fall by this factor in a step, and begins no further below the largest.
LEAST_FALL, LEAST_Q = 0.1, 1e-250
# mu falls no faster than the other conditions are met, times this.
HASTE = 0.1
# Domains with sigma below this part of their curvature are eliminated last, see `Newton`.
LOOSE = 1e-6


class Powers(NamedTuple):
    """The problem, for domains between whose bounds there is room; see the head of this module.

    Attributes
    ----------
    A
        Shape (e, m), no row and no column all 0.
    log_pull, power
        log(c alpha) and alpha + 1, shape (e,).
    fixed
        What other domains add to z, shape (e,).
    floor, cap
        Shape (m,).
    total
        What the proportions sum to.
    """

    A: Array
    log_pull: Array
    power: Array
    fixed: Array
    floor: Array
    cap: Array
    total: float

    def slope(self, z: Array) -> tuple[Array, float]:
        """Give q at z, divided by its largest element, and the logarithm of that."""
        log_q = self.log_pull - self.power * np.log(z)
        largest = float(log_q.max())
        return np.exp(log_q - largest), largest


def interior_point(problem: Powers) -> Array:
    """Find the minimum, shape (m,), nearly: bounds that hold are met to the bit, but nothing is certified."""
    floor, cap, beta = problem.floor, problem.cap, 1.0 / problem.power
    room = problem.total - math.fsum(floor)
    A, base = problem.A * room, problem.fixed + problem.A @ floor
    beyond = math.fsum([*cap, -problem.total])
    width = (cap - floor) / room
    capped = width < 1.0  # the others meet their floors before this one its cap
    x, y = width * (room / (room + beyond)), width[capped] * (beyond / (room + beyond))
    q, largest = problem.slope(base + A @ x)
    q = np.maximum(q, LEAST_Q)
    # In units in which lambda begins as 1.
    unit = float(x @ (A.T @ q))
    q, log_pull, level = q / unit, problem.log_pull - largest - math.log(unit), 1.0
    gain = A.T @ q
    u, v = 1.0 + np.maximum(0.0, 1.0 - gain), 1.0 + np.maximum(0.0, gain[capped] - 1.0)
    for _ in range(MAX_STEPS):
        z, gain = base + A @ x, A.T @ q
        unstationary = gain - level + u
        unstationary[capped] -= v
        unlike = beta * (log_pull - np.log(q)) - np.log(z)
        mu = float(x @ u + y @ v) / (len(x) + len(y))
        size = gain + abs(level)
        violation = max(float(np.max(np.abs(unstationary) / size)), float(np.max(np.abs(unlike) / beta)))
        if (mu <= COMPLEMENTARY * level and violation <= SATISFIED) or not math.isfinite(mu + violation):
            break
        sigma = u / x
        sigma[capped] += v / y
        try:
            newton = Newton(A, q / (beta * z), sigma)
        except np.linalg.LinAlgError:
            break
        missing = 1.0 - math.fsum(x)
        target_u, target_v = np.zeros(len(x)), np.zeros(len(y))
        for corrects in (False, True):
            right = gain - level + A.T @ (q * unlike / beta) + target_u / x
            right[capped] -= target_v / y
            dx, dlevel = newton.step(right, missing)
            dy = -dx[capped]
            dq = q / beta * (unlike - (A @ dx) / z)
            du, dv = (target_u - u * dx) / x - u, (target_v - v * dy) / y - v
            length = _longest((x, dx), (y, dy), (u, du), (v, dv))
            if not corrects:
                ahead = (x + length * dx) @ (u + length * du) + (y + length * dy) @ (v + length * dv)
                centre = (float(ahead) / (len(x) + len(y)) / mu) ** 3
                centre = max(centre, min(0.5, HASTE * violation))
                target_u, target_v = centre * mu - dx * du, centre * mu - dy * dv
        length = min(1.0, length * min(max(0.99, 1.0 - mu / float(size.max())), 1.0 - 1e-9))
        x, y, u, v = x + length * dx, y + length * dy, u + length * du, v + length * dv
        q, level = np.maximum(q + length * dq, LEAST_FALL * q), level + length * dlevel
    r = np.clip(floor + room * x, floor, cap)
    r = np.where(u > HELD * level, floor, r)
    at_cap = np.flatnonzero(capped)[v > HELD * level]
    r[at_cap] = cap[at_cap]
    return r


def _longest(*pairs: tuple[Array, Array]) -> float:
    """How much of a step, at most all of it, leaves every value >= 0; pairs of values and their steps."""
    return 1.0 / max(1.0, *(float(np.max(-step / value, initial=0.0)) for value, step in pairs))


class Newton:
    """M = A' diag(D) A + diag(sigma), factorised.

    With e < m, domains are split in two: those whose sigma is not small against their curvature are eliminated first,
    with a matrix of shape (e, e) by Woodbury's identity; the loose rest is solved with the Schur complement. Near the
    minimum sigma spans more than 30 decades, and either part alone would lose all digits.

    Parameters
    ----------
    A
        Shape (e, m), no column all 0.
    D, sigma
        Shapes (e,) > 0 and (m,) >= 0.

    Raises
    ------
    numpy.linalg.LinAlgError
        If M is no positive definite matrix, as where numbers overflow.
    """

    def __init__(self, A: Array, D: Array, sigma: Array) -> None:
        from scipy.linalg import cho_factor, solve_triangular

        S = np.sqrt(D)[:, None] * A
        self.loose = np.ones(len(sigma), dtype=np.bool_)
        if len(A) < len(sigma):
            self.loose = sigma < LOOSE * np.einsum("kj,kj->j", S, S)
        stiff = ~self.loose
        if stiff.any():
            inner = (S[:, stiff] / sigma[stiff]) @ S[:, stiff].T
            inner[np.diag_indices(len(inner))] += 1.0
            S = solve_triangular(np.linalg.cholesky(inner), S, lower=True, check_finite=False)
        self.sigma, self.S_stiff, self.S_loose = sigma[stiff], S[:, stiff], S[:, self.loose]
        outer = self.S_loose.T @ self.S_loose
        outer[np.diag_indices(len(outer))] += sigma[self.loose]
        self.scale = 1.0 / np.sqrt(np.diag(outer))
        outer *= self.scale[:, None]
        outer *= self.scale
        # Equal domains make the matrix singular; how share is divided among them does not matter.
        ridge = 4.0 * np.finfo(np.float64).eps
        while True:
            try:
                shifted = outer + ridge * np.eye(len(outer))
                self.factor = cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
                break
            except np.linalg.LinAlgError:
                ridge *= 100.0
                if ridge > 1.0:
                    raise

    def solve(self, b: Array) -> Array:
        """M^-1 b, for b of shape (m,) or columns, shape (m, k)."""
        from scipy.linalg import cho_solve

        found, loose = np.empty_like(b), self.loose
        scale, sigma = (one.reshape(-1, *[1] * (b.ndim - 1)) for one in (self.scale, self.sigma))
        if loose.all():
            return np.asarray(scale * cho_solve(self.factor, scale * b, check_finite=False))
        weighted = b[~loose] / sigma
        common = self.S_stiff @ weighted
        right = scale * (b[loose] - self.S_loose.T @ common)
        found[loose] = scale * cho_solve(self.factor, right, check_finite=False)
        found[~loose] = weighted - self.S_stiff.T @ (common + self.S_loose @ found[loose]) / sigma
        return found

    def step(self, b: Array, total: float) -> tuple[Array, float]:
        """Solve M d + lambda = b and sum d = total: d, shape (m,), and lambda."""
        by_b, by_one = self.solve(b), self.solve(np.ones_like(b))
        change = float((by_b.sum() - total) / by_one.sum())
        return by_b - change * by_one, change
