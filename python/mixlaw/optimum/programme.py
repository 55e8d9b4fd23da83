"""Linear programmes, solved by HiGHS."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mixlaw.errors import MixlawError
from mixlaw.fitted import Array

# The smallest that HiGHS takes; and its own, for programmes that it does not decide with the former.
TOLERANCES = 1e-10, 1e-7
# Status of those.
UNDECIDED = 4


class Programme(NamedTuple):
    """A solution.

    Attributes
    ----------
    x
        Where the cost is least.
    value
        The least cost.
    prices
        How much it falls with each element of `b`, >= 0.
    """

    x: Array
    value: float
    prices: Array


def solve_programme(
    *, cost: Array, a: Any, b: Array, equal: Array, values: Array, bounds: Sequence[tuple[float | None, float | None]]
) -> Programme:
    """Minimise cost x subject to a x <= b, equal x = values and bounds; `a` may be sparse.

    Raises
    ------
    MixlawError
        If there is no solution, or none was found.
    """
    from scipy.optimize import linprog

    for tolerance in TOLERANCES:
        found = linprog(
            cost,
            A_ub=a,
            b_ub=b,
            A_eq=equal,
            b_eq=values,
            bounds=bounds,
            method="highs",
            options={"primal_feasibility_tolerance": tolerance, "dual_feasibility_tolerance": tolerance},
        )
        if found.status != UNDECIDED:
            break
    if found.status != 0 or found.fun is None:
        raise MixlawError(f"a linear programme of {len(cost)} variables was not solved: {found.message}")
    return Programme(np.asarray(found.x), float(found.fun), -np.asarray(found.ineqlin.marginals))
