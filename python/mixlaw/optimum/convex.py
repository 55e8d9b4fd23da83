"""A primal-dual interior-point method for convex objectives under linear constraints.

    minimise sum_k phi_k(r)  or  max_k phi_k(r),  plus a pull,    z_k = A_k . g_k(r'(r))
        phi_k = c_k / z_k**alpha_k    or    phi_k = base_k + c_k exp(-z_k)
    subject to  sum_j r_j = 1,    floor_j <= r_j <= cap_j,    low <= G r <= high

symbol   meaning                                                              shape              unit
m        domains that the constraints leave any room                          -                  -
e        terms of the objective                                               -                  -
A        how much a token of each domain counts for each term, >= 0           (e, m)             -
g        diminishing returns of a domain, see `mixlaw.laws.returns`           (e, m)             share of tokens
r'       effective proportions, see `epochs`; r where nothing is discounted   (m,)               share of tokens
x        r of the domains with room                                           (m,)               share of tokens
base, c  constants of the terms                                               (e,)               nats
phi, J   terms, and their derivatives by x                                    (e,), (e, m)       nats, nats per share
t        worst of the terms                                                   -                  nats
E, d     rows that hold with equality, E x = d; the first is the sum          (p, m), (p,)       -
Q, b     sides of the other rows, Q x <= b                                    (q, m), (q,)       -
W        Q and, in the worst case, J                                          (q [+ e], m)       -
s        slacks: x - floor, cap - x, b - Q x [and t - phi]                    (2 m + q [+ e],)   share of tokens [nats]
u        multipliers of s >= 0                                                (2 m + q [+ e],)   nats per unit of s
v        multipliers of E x = d                                               (p,)               nats per share
y        multiplier of each term: its u, or 1                                 (e,)               -
M        second derivative of sum_k y_k phi_k + pull, + u / s of both bounds  (m, m)             nats per share squared

Newton's method with Mehrotra's predictor and corrector (SIAM J. Optim. 2, 1992) on the optimality conditions, where all
products of slacks and multipliers go to 0 together; a step is shortened until it brings them nearer, which matters
where the curvature jumps, at one epoch of a domain. M is factorised, and what is left is a system of one equation for
each row of E and W with s / u on its diagonal, so that digits survive to the end. Nothing is certified here: see
`lagrange.certificate`.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mixlaw.errors import MixlawError
from mixlaw.fitted import Array
from mixlaw.laws.returns import DELTA, marginal, returns
from mixlaw.optimum.constraints import Constraints
from mixlaw.optimum.epochs import Supply
from mixlaw.optimum.feasible import Room, interior
from mixlaw.optimum.newton import Newton
from mixlaw.optimum.pull import Pull

MAX_STEPS = 400
# At the end, relative to how large multipliers are: the sum of all products, and the error of the other conditions.
COMPLEMENTARY, SATISFIED = 1e-14, 1e-12
# What a step has to gain for each part of it that is gone, from the worst of the last points: not from the last, as
# curved rows are met less nearly for a while. And how often a direction is tried with half the length.
GAIN, MEMORY, HALVINGS = 0.01, 6, 8
# Added to M: where shares may move and nothing changes, as between domains whose losses are not the worst, M is else 0
# but for rounding, and the rows of E and W are lost in it. It shortens steps, and leaves where they end.
CURVED = 1e-10
# Bounds are met to the bit if the rows of E, one of which is the sum, are then this near; a `Mixture` asks no more.
NEAR = 1e-9


@dataclass(frozen=True)
class Convex:
    """The objective; see the head of this module.

    Attributes
    ----------
    A, c, alpha
        Terms, c > 0 and alpha >= 0, shapes (e, m), (e,) and (e,); alpha is None where terms are exponentials.
    worst
        Whether the largest term counts, or the sum.
    pull
        Towards a prior; None for none.
    supply
        By which repeated tokens count for less; None where all count in full.
    base
        Of exponentials, >= 0, shape (e,).
    rho
        Exponents of g, shape (e,); None where g(r) = r.
    """

    A: Array
    c: Array
    alpha: Array | None
    worst: bool = False
    pull: Pull | None = None
    supply: Supply | None = None
    base: Array | float = 0.0
    rho: Array | None = None

    def terms(self, r: Array) -> tuple[Array, Array]:
        """Phi and J, by all domains, shapes (e,) and (e, m)."""
        phi, fall, _ = self._by_z(r)
        J = -fall[:, None] * self._rise(r)
        return phi, J if self.supply is None else J * self.supply.slope(r)

    def curvature(self, r: Array, y: Array) -> tuple[Array, Array]:
        """S and a diagonal: S'S + diag is the second derivative of sum_k y_k phi_k + pull at r > 0."""
        _, fall, bent = self._by_z(r)
        rise = self._rise(r)
        S = np.sqrt(y * bent)[:, None] * rise
        diagonal = np.zeros_like(r) if self.pull is None else self.pull.curvature(r)
        bends = np.zeros_like(r)  # of z by r', weighted
        if self.rho is not None:
            bends = (y * fall * (self.rho - 1.0)) @ rise / (self._effective(r) + DELTA)
        if self.supply is not None:
            slope = self.supply.slope(r)
            S *= slope
            bends = bends * slope**2 + (y * fall) @ rise * self.supply.curvature(r)
        return S, diagonal - bends

    def slope(self, r: Array, y: Array) -> Array:
        """First derivative of sum_k y_k phi_k + pull at r > 0, shape (m,)."""
        _, fall, _ = self._by_z(r)
        slope = -(y * fall) @ self._rise(r)
        if self.supply is not None:
            slope = slope * self.supply.slope(r)
        return slope if self.pull is None else slope + self.pull.slope(r)

    def parts(self, r: Array) -> tuple[Array, Array]:
        """What the largest is taken of, phi or their sum, and the derivatives by r, shapes (K,) and (K, m)."""
        values, slopes = self.terms(r)
        return (values, slopes) if self.worst else (values.sum(keepdims=True), slopes.sum(axis=0, keepdims=True))

    def scaled(self, factor: float) -> "Convex":
        """The objective times a factor."""
        pull = None if self.pull is None else self.pull._replace(weight=factor * self.pull.weight)
        return replace(self, base=factor * self.base, c=factor * self.c, pull=pull)

    def _effective(self, r: Array) -> Array:
        """Give r', shape (m,)."""
        return r if self.supply is None else self.supply.effective(r)

    def _rise(self, r: Array) -> Array:
        """Derivative of z by r', shape (e, m)."""
        return self.A if self.rho is None else self.A * marginal(self._effective(r), self.rho[:, None])

    def _by_z(self, r: Array) -> tuple[Array, Array, Array]:
        """Phi, minus its derivative by z, and the second derivative, each of shape (e,)."""
        shares = self._effective(r)
        worth = shares if self.rho is None else returns(shares, self.rho[:, None])
        z = (self.A * worth).sum(axis=1)
        if self.alpha is None:
            part = self.c * np.exp(-z)
            return self.base + part, part, part
        phi = self.c * z**-self.alpha
        fall = np.where(self.alpha > 0.0, self.alpha * phi / z, 0.0)
        return phi, fall, fall * (self.alpha + 1.0) / z


class Found(NamedTuple):
    """A minimum, nearly.

    Attributes
    ----------
    r
        Proportions; bounds that hold are met to the bit, and rows that hold to rounding, shape (m,).
    multipliers
        Weights of the `Convex.parts`, shape (K,), and multipliers of the rows of G, above 0 where `high` holds and
        below where `low` does, shape (p,).
    constraints
        Those that were given; but floor and cap, or low and high, are the same where the others leave no room between
        them, and it is for these that the multipliers are right.
    """

    r: Array
    multipliers: tuple[Array, Array]
    constraints: Constraints


def minimize_convex(objective: Convex, constraints: Constraints) -> Found:
    """Minimise over the mixtures that satisfy constraints; some must, see `check_feasible`.

    Raises
    ------
    MixlawError
        If numbers overflow on the way.
    """
    inside = interior(constraints)
    room = Room.of(inside)
    if not room.free.any():
        largest = np.argmax(objective.parts(inside.r)[0])
        y = np.asarray(np.arange(len(objective.c) if objective.worst else 1) == largest, dtype=np.float64)
        return Found(inside.r, (y, np.zeros(len(constraints.G))), inside.constraints)
    y = np.full(len(objective.c), 1.0 / len(objective.c) if objective.worst else 1.0)
    with np.errstate(all="ignore"):  # what overflows ends in an error
        unit = float(room.r[room.free] @ np.abs(objective.slope(room.r, y)[room.free])) or 1.0
        try:
            point = _interior_point(objective.scaled(1.0 / unit), room)
        except np.linalg.LinAlgError as error:
            raise MixlawError(f"the search for the minimum broke down: {error}") from error
    m, q = len(room.floor), len(room.Q)
    rows = unit * room.row_multipliers(len(constraints.G), point.v, point.u[2 * m : 2 * m + q])
    y = point.y / point.y.sum() if objective.worst else np.ones(1)
    return Found(room.whole(point.x), (y, rows), inside.constraints)


class _Point(NamedTuple):
    """A point on the way, with the errors of the optimality conditions there; see the head of this module.

    Attributes
    ----------
    x, s, u, t, v, y
        See there.
    W
        See there.
    dual, off, violated, missing
        Errors: of the derivative by x, of E x = d, of W with its slacks, and of the sum of y.
    total, error
        s u, and the largest of the errors.
    size
        How large multipliers are: x . |derivative by x|, which is 1 at the start.
    """

    x: Array
    s: Array
    u: Array
    t: float
    v: Array
    y: Array
    W: Array
    dual: Array
    off: Array
    violated: Array
    missing: float
    total: float
    error: float
    size: float

    @classmethod
    def at(cls, objective: Convex, room: Room, s: Array, u: Array, t: float, v: Array) -> "_Point":
        """Evaluate the conditions."""
        m, q = len(room.floor), len(room.Q)
        x = np.where(s[:m] < s[m : 2 * m], room.floor + s[:m], room.cap - s[m : 2 * m])
        r = room.whole(x)
        W, violated, y, missing = room.Q, room.Q @ x - room.b, np.ones(len(objective.c)), 0.0
        if objective.worst:
            phi, J = objective.terms(r)
            W, violated, y = np.vstack([W, J[:, room.free]]), np.r_[violated, phi - t], u[2 * m + q :]
            missing = 1.0 - float(y.sum())
        violated = violated + s[2 * m :]
        slope = objective.slope(r, y)[room.free]
        dual = slope - u[:m] + u[m : 2 * m] + u[2 * m : 2 * m + q] @ room.Q + v @ room.E
        off = room.E @ x - room.d
        error = float(np.abs(np.r_[missing, dual, off, violated]).max())
        size = float(x @ np.abs(slope))
        return cls(x, s, u, t, v, y, W, dual, off, violated, missing, float(s @ u), error, size)


def _interior_point(objective: Convex, room: Room) -> _Point:
    """Solve the optimality conditions from a point inside."""
    x, m, q = room.r[room.free], len(room.floor), len(room.Q)
    # Next to a bound with hardly any room, rounding leaves none.
    s = np.r_[np.maximum(np.r_[x - room.floor, room.cap - x], np.finfo(np.float64).eps), room.b - room.Q @ x]
    u, t = 1.0 / (m * s), 0.0
    if objective.worst:
        phi, _ = objective.terms(room.r)
        t = float(phi.max()) + 1.0
        s, u = np.r_[s, t - phi], np.r_[u, np.full(len(phi), 1.0 / len(phi))]
    point = _Point.at(objective, room, s, u, t, np.zeros(len(room.E)))
    recent = deque([point.total + point.error], maxlen=MEMORY)
    best = point
    for _ in range(MAX_STEPS):
        size = min(1.0, point.size)
        if point.total <= COMPLEMENTARY * size and point.error <= SATISFIED * size:
            break
        further = _nearer(objective, room, point, max(recent))
        if further is None:
            break
        point = further
        recent.append(point.total + point.error)
        if recent[-1] < best.total + best.error:
            best = point
    point = best
    if not math.isfinite(point.total + point.error):
        raise np.linalg.LinAlgError("numbers overflow")
    holds = point.u > point.s
    at_floor, at_cap, rows = holds[:m], holds[m : 2 * m], holds[2 * m : 2 * m + q]
    # At 0, or next to it where a term is infinite at 0, or as it is where there is hardly any room between bounds.
    none = np.zeros_like(at_floor)
    for low, high in ((at_floor, at_cap), (at_floor & (room.floor > 0.0), at_cap), (none, none)):
        x = room.settled(point.x, low, high, rows)
        off = float(np.abs(room.E @ x - room.d).max())
        if off <= NEAR and np.isfinite(objective.terms(room.whole(x))[0]).all():
            break
    return point._replace(x=x)


def _nearer(objective: Convex, room: Room, point: _Point, most: float) -> _Point | None:
    """Go one step, to where errors are below `most`; None if there is none, as what is left is rounding."""
    try:
        for ds, du, dt, dv in _directions(objective, room, point):
            length = _longest(point, ds, du)
            length = 0.995 * length if length < 1.0 else 1.0
            for _ in range(HALVINGS):
                s, u, t, v = point.s + length * ds, point.u + length * du, point.t + length * dt, point.v + length * dv
                tried = _Point.at(objective, room, s, u, t, v)
                if tried.total + tried.error < (1.0 - GAIN * length) * most:
                    return tried
                length *= 0.5
    except np.linalg.LinAlgError:  # near the end rounding may make the system singular
        pass
    return None


def _directions(objective: Convex, room: Room, point: _Point) -> Iterator[tuple[Array, Array, float, Array]]:
    """Changes of s, u, t and v: by predictor and corrector, then, should these fail, by centring alone."""
    s, u, W, violated = point.s, point.u, point.W, point.violated
    m, p = len(room.floor), len(room.E)
    S, diagonal = objective.curvature(room.whole(point.x), point.y)
    M = Newton(S[:, room.free], diagonal[room.free] + (u / s)[:m] + (u / s)[m : 2 * m] + CURVED)
    K = np.vstack([room.E, W])
    MK = M.solve(np.ascontiguousarray(K.T))
    tau = np.zeros(len(K))  # how much the rows fall with t
    tau[p + len(room.Q) :] = 1.0
    small = np.zeros((len(K) + 1, len(K) + 1))
    small[:-1, :-1] = K @ MK + np.diag(np.r_[np.zeros(p), (s / u)[2 * m :]])
    small[:-1, -1] = small[-1, :-1] = tau
    small[-1, -1] = 0.0 if objective.worst else 1.0  # t is no unknown then
    scale = 1.0 / np.sqrt(np.where(np.diag(small) > 0.0, np.diag(small), 1.0))
    small *= scale[:, None] * scale

    def towards(products: Array) -> tuple[Array, Array, float, Array]:
        """The direction in which s u goes to `products`."""
        pushed = products / s - u
        right = M.solve(pushed[:m] - pushed[m : 2 * m] - point.dual)
        rest = np.r_[point.off, violated + (products / u - s)[2 * m :]]
        found = scale * _solved(small, scale * np.r_[K @ right + rest, point.missing])
        dx, dt = right - MK @ found[:-1], float(found[-1])
        ds = np.r_[dx, -dx, tau[p:] * dt - W @ dx - violated]
        return ds, np.r_[(pushed - u / s * ds)[: 2 * m], found[p:-1]], dt, found[:p]

    ds, du, _, _ = towards(np.zeros_like(s))
    length = _longest(point, ds, du)
    centre = float((s + length * ds) @ (u + length * du) / point.total) ** 3
    mean = point.total / len(s)
    yield towards(centre * mean - ds * du)
    yield towards(np.full_like(s, 0.5 * mean))


def _solved(matrix: Array, b: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(matrix, b))
    except np.linalg.LinAlgError:  # near the end rounding may make rows of E depend on each other
        return np.asarray(np.linalg.lstsq(matrix, b)[0])


def _longest(point: _Point, ds: Array, du: Array) -> float:
    """How much of a step, at most all of it, leaves all slacks and multipliers >= 0."""
    return 1.0 / max(1.0, float(np.max(-ds / point.s)), float(np.max(-du / point.u)))
