"""Whether any mixture satisfies constraints: which of them clash if none does, and a mixture inside if one does.

symbol  meaning                                                     shape   unit
m       training domains                                            -       -
q       one-sided constraints: floors, caps, and sides of the rows  -       -
r       proportions                                                 (m,)    share of training tokens
a, b    the constraints as a r <= b                                 (q, m)  share of training tokens
width   how far r can be from a side, about                         (q,)    share of training tokens
room    least b - a r, divided by width                             -       -

Floors and caps alone are judged exactly; with groups and ratios by linear programmes (HiGHS).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InfeasibleError
from mixlaw.fitted import Array
from mixlaw.optimum.constraints import Constraints, Side
from mixlaw.optimum.lagrange import TIGHT, Mask
from mixlaw.optimum.programme import solve_programme

Places = npt.NDArray[np.intp]

# Violation up to which a linear programme counts a constraint as met, and room below which there may be none.
TOLERANCE, LITTLE = 1e-9, 1e-6
# How far mixtures may be scaled up to find room.
LARGEST = 1e8
# A message names no more constraints than this.
NAMED = 8


class Interior(NamedTuple):
    """A mixture that keeps away from every constraint that leaves it any room.

    Attributes
    ----------
    r
        Shape (m,).
    constraints
        As given, but that floor and cap, or low and high, are the same where no room is left between them.
    """

    r: Array
    constraints: Constraints

    def corners(self, count: int, rng: np.random.Generator) -> Array:
        """Mixtures at which constraints meet, the best in so many random directions, shape (count, m)."""
        limits = self.constraints
        highs, lows = np.isfinite(limits.high), np.isfinite(limits.low)
        found = [
            solve_programme(
                cost=direction,
                a=np.vstack([limits.G[highs], -limits.G[lows]]),
                b=np.r_[limits.high[highs], -limits.low[lows]],
                equal=np.ones((1, len(direction))),
                values=np.ones(1),
                bounds=list(zip(limits.floor.tolist(), limits.cap.tolist(), strict=True)),
            ).x
            for direction in rng.normal(size=(count, len(self.r)))
        ]
        return np.clip(np.array(found).reshape(count, -1), limits.floor, limits.cap)

    def towards(self, mixtures: Array, start: Array | None = None) -> Array:
        """Go towards mixtures of shape (n, m), each as far as the constraints allow.

        Parameters
        ----------
        mixtures
            Shape (n, m).
        start
            Mixtures from which to go, that satisfy the constraints, shape (n, m); `r` for all if not given.
        """
        start = np.broadcast_to(self.r, mixtures.shape) if start is None else start
        floor, cap, G = self.constraints.floor, self.constraints.cap, self.constraints.G
        low, high = self.constraints.low, self.constraints.high
        free, loose = floor < cap, low < high
        fixed = np.vstack([np.ones_like(self.r), G[~loose]]) * free
        steps = (mixtures - start) * free
        steps = steps - (steps @ np.linalg.pinv(fixed)) @ fixed
        moves = np.hstack([steps[:, free], steps @ G[loose].T])
        here = np.hstack([start[:, free], start @ G[loose].T])
        below, above = np.r_[floor[free], low[loose]] - here, np.r_[cap[free], high[loose]] - here
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(moves == 0.0, math.inf, np.where(moves < 0.0, below, above) / moves)
        longest = np.clip(reach.min(axis=1, initial=1.0), 0.0, 1.0)
        return np.asarray(np.clip(start + longest[:, None] * steps, floor, cap))


class Room(NamedTuple):
    """What is left to choose: the domains to which constraints leave room, and the constraints by these alone.

        x = r[free],    E x = d,    Q x <= b,    floor <= x <= cap

    Attributes
    ----------
    r
        A mixture inside, shape (m,).
    free
        Domains with room, shape (m,).
    E, d
        The sum, and the rows that hold with equality, as far as they do not follow from others.
    Q, b
        Sides of the other rows: of all that have a `high`, then of all that have a `low`.
    floor, cap
        Bounds of x.
    equals, highs, lows
        Which rows of G those of E but for the first, and of Q, are.
    """

    r: Array
    free: Mask
    E: Array
    d: Array
    Q: Array
    b: Array
    floor: Array
    cap: Array
    equals: Places
    highs: Places
    lows: Places

    @classmethod
    def of(cls, inside: Interior) -> "Room":
        """What an interior leaves to choose."""
        r, constraints = inside
        free, equal = constraints.floor < constraints.cap, constraints.low == constraints.high
        G, taken = constraints.G[:, free], constraints.G[:, ~free] @ r[~free]
        highs = np.flatnonzero(~equal & np.isfinite(constraints.high))
        lows = np.flatnonzero(~equal & np.isfinite(constraints.low))
        E = np.vstack([np.ones(G.shape[1]), G[equal]])
        d = np.r_[1.0 - math.fsum(r[~free]), (constraints.low - taken)[equal]]
        kept = _independent(E)
        return cls(
            r=r,
            free=free,
            E=E[kept],
            d=d[kept],
            Q=np.vstack([G[highs], -G[lows]]),
            b=np.r_[(constraints.high - taken)[highs], (taken - constraints.low)[lows]],
            floor=constraints.floor[free],
            cap=constraints.cap[free],
            equals=np.flatnonzero(equal)[kept[1:]],
            highs=highs,
            lows=lows,
        )

    def whole(self, x: Array) -> Array:
        """Proportions of all domains, shape (m,)."""
        r = self.r.copy()
        r[self.free] = x
        return r

    def row_multipliers(self, count: int, v: Array, u: Array) -> Array:
        """Multipliers of all rows of G from those of E and Q: above 0 where `high` holds, below where `low` does."""
        rows = np.zeros(count)
        rows[self.equals] = v[1:]
        rows[self.highs] += u[: len(self.highs)]
        rows[self.lows] -= u[len(self.highs) :]
        return rows

    def settled(self, x: Array, at_floor: Mask, at_cap: Mask, holds: Mask) -> Array:
        """Put x on the bounds that hold, to the bit, and on the rows that do, by moving the rest a little."""
        floor, cap = self.floor, self.cap
        x = np.where(at_floor, floor, np.where(at_cap, cap, np.clip(np.nan_to_num(x), floor, cap)))
        rows, values = np.vstack([self.E, self.Q[holds]]), np.r_[self.d, self.b[holds]]
        for _ in range(3):  # the first does it; the others take rounding out
            room = np.where(at_floor | at_cap, 0.0, np.minimum(x - floor, cap - x))
            x = np.clip(x + room * np.linalg.lstsq(rows * room, values - rows @ x)[0], floor, cap)
        return x


def _independent(E: Array) -> Mask:
    """Which rows do not follow from those before them."""
    kept = np.zeros(len(E), dtype=np.bool_)
    basis = np.zeros((0, E.shape[1]))
    for k, row in enumerate(E):
        rest = row - (basis @ row) @ basis
        rest -= (basis @ rest) @ basis
        if np.linalg.norm(rest) > 1e-9 * np.linalg.norm(row):
            basis = np.vstack([basis, rest / np.linalg.norm(rest)])
            kept[k] = True
    return kept


def check_feasible(constraints: Constraints) -> None:
    """Raise an `InfeasibleError` that names clashing constraints, if no mixture satisfies all.

    Those that are named clash among themselves, and would not if any of them were left out.
    """
    floor, cap = constraints.floor, constraints.cap
    if (floor > cap).any():
        j = int(np.argmax(floor > cap))
        _clash([constraints.words("floor", j), constraints.words("cap", j)])
    if (total := math.fsum(floor)) > 1.0 + TIGHT:
        order = np.argsort(-floor, kind="stable")
        count = int(np.searchsorted(np.cumsum(floor[order]), 1.0 + TIGHT, side="right")) + 1
        _clash([constraints.words("floor", j) for j in sorted(order[:count])], f"; all floors sum to {total:.6g}")
    if (total := math.fsum(cap)) < 1.0 - TIGHT:
        _clash([constraints.words("cap", j) for j in range(len(cap))], f", which sum to {total:.6g}")
    if len(constraints.G):
        _check_rows(constraints)


def _clash(words: Sequence[str], why: str = "") -> None:
    shown = list(words[:NAMED])
    if len(words) > NAMED:
        shown.append(f"{len(words) - NAMED} more")
    names = f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]
    raise InfeasibleError(f"no mixture satisfies {names}{why}")


def _check_rows(constraints: Constraints) -> None:
    none = np.zeros(len(constraints.floor), dtype=np.bool_)
    box = list(zip(constraints.floor.tolist(), constraints.cap.tolist(), strict=True))
    if _shortfall(_Sides.of(constraints, none, none), box)[0] <= TOLERANCE:
        return
    sides = _Sides.of(constraints, constraints.floor > 0.0, constraints.cap < 1.0)
    shares = [(0.0, 1.0)] * len(box)
    # Constraints without a price have no part in the contradiction; of the others, each is left out that can be.
    clashing = np.flatnonzero(_shortfall(sides, shares)[1] > TOLERANCE).tolist()
    for k in list(clashing):
        rest = [i for i in clashing if i != k]
        if _shortfall(sides.only(rest), shares)[0] > TOLERANCE:
            clashing = rest
    _clash(list(dict.fromkeys(constraints.words(*sides.names[k]) for k in clashing)))


def interior(constraints: Constraints) -> Interior:
    """Find a mixture inside constraints that some mixture satisfies, see `check_feasible`."""
    floor, cap = constraints.floor, constraints.cap
    if not len(constraints.G):
        room, beyond = 1.0 - math.fsum(floor), math.fsum(cap) - 1.0
        if min(room, beyond) <= TIGHT:
            r = floor if room <= beyond else cap
            return Interior(r, replace(constraints, floor=r, cap=r))
        return Interior(floor + (cap - floor) * (room / (room + beyond)), constraints)
    while True:
        free = constraints.floor < constraints.cap
        loose = _Sides.of(constraints, free, free, constraints.low < constraints.high)
        r, room = _roomiest(constraints, loose)
        tight = [] if room > LITTLE else _tight(constraints, loose)
        if not tight:
            return Interior(np.clip(r, constraints.floor, constraints.cap), constraints)
        constraints = _narrowed(constraints, tight)


def _narrowed(constraints: Constraints, tight: Sequence[tuple[Side, int]]) -> Constraints:
    """Constraints whose tight sides hold with equality."""
    bounds = {side: getattr(constraints, side).copy() for side in ("floor", "cap", "low", "high")}
    opposite = {"floor": "cap", "cap": "floor", "low": "high", "high": "low"}
    for side, k in tight:
        bounds[opposite[side]][k] = bounds[side][k]
    return replace(constraints, **bounds)


class _Sides(NamedTuple):
    """One-sided constraints a r <= b, with the kind and the index of each; `a` is sparse."""

    a: Any
    b: Array
    width: Array
    names: list[tuple[Side, int]]

    @classmethod
    def of(cls, constraints: Constraints, floors: Mask, caps: Mask, rows: Mask | None = None) -> "_Sides":
        """Floors and caps of the domains asked for, and the sides of rows of which all, or those asked for."""
        from scipy.sparse import csr_array, eye_array, vstack

        G, m = constraints.G, len(constraints.floor)
        rows = np.ones(len(G), dtype=np.bool_) if rows is None else rows
        highs, lows = rows & np.isfinite(constraints.high), rows & np.isfinite(constraints.low)
        one = eye_array(m, format="csr")
        span = np.minimum(constraints.high, 1.0) - np.maximum(constraints.low, 0.0)
        span = np.where((G < 0.0).any(axis=1) | ~(span > 0.0), 1.0 / m, span)  # a ratio has no width of its own
        width = constraints.cap - constraints.floor
        kinds: list[tuple[Side, Mask]] = [("high", highs), ("low", lows), ("cap", caps), ("floor", floors)]
        return cls(
            vstack([csr_array(G[highs]), csr_array(-G[lows]), one[caps], -one[floors]], format="csr"),
            np.r_[constraints.high[highs], -constraints.low[lows], constraints.cap[caps], -constraints.floor[floors]],
            np.r_[span[highs], span[lows], width[caps], width[floors]],
            [(side, int(k)) for side, asked in kinds for k in np.flatnonzero(asked)],
        )

    def only(self, kept: Sequence[int]) -> "_Sides":
        """Leave out all others."""
        return _Sides(self.a[kept], self.b[kept], self.width[kept], [self.names[k] for k in kept])


def _shortfall(sides: _Sides, box: Sequence[tuple[float, float]]) -> tuple[float, Array]:
    """Least sum of violations over all mixtures in a box, and what each side adds to it per unit, shape (q,)."""
    from scipy.sparse import eye_array, hstack

    q, m = sides.a.shape
    found = solve_programme(
        cost=np.r_[np.zeros(m), np.ones(q)],
        a=hstack([sides.a, -eye_array(q)]),
        b=sides.b,
        equal=np.r_[np.ones(m), np.zeros(q)][None, :],
        values=np.ones(1),
        bounds=[*box, *[(0.0, None)] * q],
    )
    return found.value, found.prices


def _roomiest(constraints: Constraints, loose: _Sides) -> tuple[Array, float]:
    """The mixture that leaves all loose sides the most room, and how much that is."""
    from scipy.sparse import csr_array, hstack

    floor, cap = constraints.floor, constraints.cap
    equal = constraints.low == constraints.high
    rows = np.vstack([np.ones(len(floor)), constraints.G[equal]])
    found = solve_programme(
        cost=np.r_[np.zeros(len(floor)), -1.0],
        a=hstack([loose.a, csr_array(loose.width[:, None])]),
        b=loose.b,
        equal=np.column_stack([rows, np.zeros(len(rows))]),
        values=np.r_[1.0, constraints.low[equal]],
        bounds=[*zip(floor.tolist(), cap.tolist(), strict=True), (None, 1.0)],
    )
    return found.x[:-1], -found.value


def _tight(constraints: Constraints, loose: _Sides) -> list[tuple[Side, int]]:
    """Sides that no mixture leaves any room.

    Any room becomes 1 in r times a scale that is large enough, and means of mixtures have room wherever one of them
    has it. So with a scale to choose, the sum of rooms, each counted up to 1, is largest where it is 1 for every side
    that can have any.
    """
    from scipy.sparse import csr_array, diags_array, hstack

    floor, cap = constraints.floor, constraints.cap
    m, q = len(floor), len(loose.b)
    equal, held = constraints.low == constraints.high, floor == cap
    rows = np.vstack([np.ones(m), constraints.G[equal], np.eye(m)[held]])
    values = np.r_[1.0, constraints.low[equal], floor[held]]
    found = solve_programme(
        cost=np.r_[np.zeros(m), -np.ones(q), 0.0],
        a=hstack([loose.a, diags_array(loose.width), csr_array(-loose.b[:, None])]),
        b=np.zeros(q),
        equal=np.column_stack([rows, np.zeros((len(rows), q)), -values]),
        values=np.zeros(len(rows)),
        bounds=[*[(0.0, None)] * m, *[(0.0, 1.0)] * q, (1.0, LARGEST)],
    )
    return [loose.names[k] for k in np.flatnonzero(found.x[m : m + q] < 0.5)]
