"""Which method minimises an objective: by the form of the law, the objective and the constraints."""

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from mixlaw.errors import MixlawError
from mixlaw.fitted import Array
from mixlaw.optimum.constraints import Constraints
from mixlaw.optimum.convex import Convex, minimize_convex
from mixlaw.optimum.feasible import Interior, Room, interior
from mixlaw.optimum.lagrange import Certificate, certificate
from mixlaw.optimum.local import LEAST, minimize_local
from mixlaw.optimum.objective import Objective
from mixlaw.optimum.sampled import minimize_sampled
from mixlaw.optimum.separable import minimize_separable, separable_gain

# A convex minimum is only given with a gap up to this part of the objective.
CERTIFIED = 1e-8
# How many starts a search for local minima has, among them the best mixtures of the runs.
STARTS, BEST_RUNS = 16, 3
# Corners of what is allowed that other starts are means of, and how far these are from the middle to that.
CORNERS, NEAR = 16, 0.98
# Relative change of the objective at which a search ends, and one that begins near its end.
EXACT, NEARBY = 1e-13, 1e-9

Method = Literal["convex", "local", "sampled"]


class Minimum(NamedTuple):
    """What was found.

    Attributes
    ----------
    r
        Proportions, shape (m,).
    method
        ``"convex"``: a certified minimum; ``"local"``: the best of some local minima; ``"sampled"``: neither.
    certificate
        None for ``"sampled"``.
    starts, agreeing
        Of ``"local"``, else 0: starts of the search, and how many of them led to a minimum as good.
    """

    r: Array
    method: Method
    certificate: Certificate | None
    starts: int = 0
    agreeing: int = 0


def find_minimum(
    objective: Objective, constraints: Constraints, *, seed: int = 0, start: Array | None = None
) -> Minimum:
    """Minimise an objective over the mixtures that satisfy constraints; some must.

    Parameters
    ----------
    objective, constraints
        See there.
    seed
        Of starts and samples, where there are any.
    start
        A mixture near the minimum, shape (m,), from which alone a search for a local one then starts.

    Raises
    ------
    MixlawError
        If a convex minimum cannot be certified.
    """
    if objective.convex is not None:
        return _convex_minimum(objective, objective.convex, constraints)
    inside = interior(constraints)
    if not objective.has_gradient(inside.r):
        return Minimum(minimize_sampled(objective, inside, seed), "sampled", None)
    starts = _starts(objective, inside, np.random.default_rng(seed)) if start is None else start[None, :]
    if objective.risk and start is None:
        # Every value asks all drawn laws, so that few searches have to do: one begins where it is best without risk.
        calm = find_minimum(replace(objective, risk=0.0, drawn=()), constraints, seed=seed)
        starts = np.vstack([calm.r, starts[[0, 1, -1]]])
    r, agreeing = minimize_local(objective, Room.of(inside), starts, EXACT if start is None else NEARBY)
    values, slopes = objective.parts(r)
    if not np.isfinite(slopes).all():
        values, slopes = objective.parts(np.maximum(r, LEAST))
    return Minimum(r, "local", certificate(values, slopes, r, constraints), len(starts), agreeing)


def _starts(objective: Objective, inside: Interior, rng: np.random.Generator) -> Array:
    """Where searches for local minima begin: in the middle, at the best runs, and at means of few corners."""
    known = objective.law.mixtures
    best = known[np.argsort(objective.values(known), kind="stable")[:BEST_RUNS]]
    corners = inside.corners(CORNERS, rng)
    count = STARTS - 1 - len(best)
    means = rng.dirichlet(np.full(len(corners), 0.3), count) @ corners
    return np.vstack([inside.r, inside.towards(best), NEAR * means + (1.0 - NEAR) * inside.r])


def _convex_minimum(objective: Objective, convex: Convex, constraints: Constraints) -> Minimum:
    floor, cap = constraints.floor, constraints.cap
    narrow, multipliers = constraints, (np.ones(1), np.zeros(len(constraints.G)))
    bounds_alone = not (objective.worst or objective.pull or objective.supply or len(constraints.G))
    if objective.separable is not None and bounds_alone:
        r, _ = minimize_separable(*objective.separable, floor, cap)
        values, slopes = np.zeros(1), -separable_gain(*objective.separable, r)[None, :]  # of one part no value matters
    else:
        r, multipliers, narrow = minimize_convex(convex, constraints)
        with np.errstate(divide="ignore", invalid="ignore"):
            values, slopes = convex.parts(r)
    found = certificate(values, slopes, r, narrow, multipliers, objective.pull)
    if not found.gap <= CERTIFIED * abs(objective.value(r)):
        raise MixlawError(
            f"no optimum was found that could be certified: a better one may be lower by {found.gap:.1e}; the terms of "
            "the objective differ by too many orders of magnitude, so give every domain a floor, or look for "
            "coefficients of the law that make no sense"
        )
    if narrow.narrower_than(constraints):  # prices are those of the constraints that were given
        found = certificate(values, slopes, r, constraints, None, objective.pull)._replace(gap=found.gap)
    return Minimum(r, "convex", found)
