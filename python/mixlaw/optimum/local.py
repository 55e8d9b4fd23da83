"""Local minima of objectives that may have several: sequential quadratic programmes from many starts.

Each start goes to a minimum near it, by SLSQP (Kraft, 1988) with exact gradients; the best of these is taken. In the
worst case a bound t of the parts is one more unknown: minimise t subject to parts <= t.

symbol  meaning                                                       shape       unit
m       domains that the constraints leave any room                   -           -
x       their proportions                                             (m,)        share of training tokens
u       m x, in which curvatures are about 1 [, and t]                (m [+ 1],)  - [nats per token]
"""

from typing import Any, NamedTuple

import numpy as np

from mixlaw.errors import MixlawError
from mixlaw.fitted import Array
from mixlaw.optimum.feasible import Room
from mixlaw.optimum.objective import Objective

# Below this no proportion goes before the end, as some laws have an infinite slope at 0.
LEAST = 1e-9
# Rows that are met this nearly hold.
HOLDS = 1e-9
# Minima whose objectives differ by less than this, relative to the objective, count as the same.
SAME = 1e-6


class Local(NamedTuple):
    """The best local minimum.

    Attributes
    ----------
    r
        Shape (m,).
    agreeing
        How many starts have led to it, or to another that is as good.
    """

    r: Array
    agreeing: int


def minimize_local(objective: Objective, room: Room, starts: Array, precision: float) -> Local:
    """Find the best of the local minima that starts lead to.

    Parameters
    ----------
    objective
        With gradients.
    room
        What the constraints leave to choose.
    starts
        Mixtures that satisfy them, shape (n, m).
    precision
        Change of the objective at which a search ends.

    Raises
    ------
    MixlawError
        If no start leads to a mixture with a finite objective.
    """
    if not room.free.any():
        return Local(room.r, len(starts))
    with np.errstate(all="ignore"):  # where the objective is infinite
        found = np.array([_descend(objective, room, start[room.free], precision) for start in starts])
        values = objective.values(found)
    values[~np.isfinite(values)] = np.inf
    least = float(values.min())
    if least == np.inf:
        raise MixlawError(f"none of {len(starts)} starts led to a mixture with a finite objective")
    return Local(found[int(np.argmin(values))], int(np.count_nonzero(values <= least + SAME * abs(least))))


def _descend(objective: Objective, room: Room, x: Array, precision: float) -> Array:
    """Go from x to a local minimum near it, shape of all domains."""
    from scipy.optimize import minimize

    m, worst = len(x), objective.worst
    floor = np.minimum(np.maximum(room.floor, LEAST), room.cap)
    start, bounds = m * x, list(zip((m * floor).tolist(), (m * room.cap).tolist(), strict=True))

    def with_t(rows: Array, last: float) -> Array:
        return np.column_stack([rows, np.full(len(rows), last)]) if worst else rows

    def parts(u: Array) -> tuple[Array, Array]:
        shares = np.clip(np.nan_to_num(u[:m] / m), floor, room.cap)  # on its way the search may leave the simplex
        values, slopes = objective.parts(room.whole(shares * (room.d[0] / shares.sum())))
        return values, slopes[:, room.free] / m

    equal, below = with_t(room.E / m, 0.0), with_t(room.Q / m, 0.0)
    constraints: list[Any] = [{"type": "eq", "fun": lambda u: equal @ u - room.d, "jac": lambda u: equal}]
    if len(below):
        constraints.append({"type": "ineq", "fun": lambda u: room.b - below @ u, "jac": lambda u: -below})
    if worst:
        start, bounds = np.append(start, parts(start)[0].max()), [*bounds, (None, None)]
        constraints.append(
            {"type": "ineq", "fun": lambda u: u[m] - parts(u)[0], "jac": lambda u: -with_t(parts(u)[1], -1.0)}
        )
        target = np.eye(1, m + 1, m)[0]
    aim: Any = (lambda u: (u[m], target)) if worst else (lambda u: tuple(part[0] for part in parts(u)))
    found = minimize(
        aim,
        start,
        jac=True,
        bounds=bounds,
        constraints=constraints,
        method="SLSQP",
        options={"ftol": precision, "maxiter": 300},
    )
    end = found.x[:m] / m
    at_floor, at_cap, holds = (
        end <= floor + HOLDS * room.cap,
        end >= (1.0 - HOLDS) * room.cap,
        room.Q @ end >= room.b - HOLDS,
    )
    for low in (at_floor, at_floor & (room.floor > 0.0)):  # at 0, or next to it where the law is infinite at 0
        settled = room.settled(end, low, at_cap, holds)
        missed = max(
            float(np.abs(room.E @ settled - room.d).max()), float(np.max(room.Q @ settled - room.b, initial=0.0))
        )
        if missed <= HOLDS and np.isfinite(objective.value(room.whole(settled))):
            return room.whole(settled)
    return room.whole(x)
