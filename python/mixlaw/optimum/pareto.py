"""`pareto`: the best mixtures for two groups of evaluation domains at once, from all for one to all for the other.

symbol  meaning                                                        shape  unit
a       weight of the second group, that of the first is 1 - a         -      -
F1, F2  weighted mean loss of the first and the second group           -      nats per token

Each point minimises (1 - a) F1 + a F2. Between two neighbours, a is chosen so that both are as good as each other, and
the chord between them is a line of equal objective: the minimum is where the front bends away from it most, and where
it does not, no mean of weights has a minimum between the two (Cohon, Church & Sheer, 1979, Water Resour. Res. 15(5)).
"""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from mixlaw.errors import InputError
from mixlaw.files import write_json
from mixlaw.fitted import FittedLaw
from mixlaw.layout import aligned
from mixlaw.optimum.constraints import ConstraintArguments
from mixlaw.optimum.problem import optimize
from mixlaw.optimum.result import Optimum
from mixlaw.weights import objective_weights

SCHEMA = "mixlaw.front/1"
# Weight of a group at the other's end: enough to choose between mixtures that are equal for the other.
LEAST = 0.01
# Of the whole front, in each loss: neighbours that are closer have no point between them.
CLOSE = 1e-3


@dataclass(frozen=True)
class FrontPoint:
    """One mixture of a front.

    Attributes
    ----------
    weight
        Weight of the second group, between 0 and 1.
    first, second
        Weighted mean losses of the two groups, nats per token.
    optimum
        The mixture that is best for these weights.
    """

    weight: float
    first: float
    second: float
    optimum: Optimum


@dataclass(frozen=True)
class Front:
    """Mixtures of which none is better than another for both groups of evaluation domains; made by `pareto`.

    Attributes
    ----------
    points
        From the best for the first group to the best for the second.
    first, second
        Evaluation domain -> its weight in the group; they sum to 1.
    """

    points: tuple[FrontPoint, ...]
    first: Mapping[str, float]
    second: Mapping[str, float]

    def to_text(self) -> str:
        """Lay the front out as text for people."""
        best = self.points[0].optimum
        lines = [
            f"front of two groups under {best.law} at {best.at:.6g} {best.x}",
            f"first: {_words(self.first)}",
            f"second: {_words(self.second)}",
            "",
            aligned(
                [
                    ["weight of second", "loss of first", "loss of second", *best.mixture],
                    *(
                        [
                            f"{p.weight:.4f}",
                            f"{p.first:.4f}",
                            f"{p.second:.4f}",
                            *(f"{r:.4f}" for r in p.optimum.mixture.values()),
                        ]
                        for p in self.points
                    ),
                ]
            ),
        ]
        return "\n".join(lines)

    def content(self) -> dict[str, Any]:
        """Give everything that `write` writes, ready for JSON."""
        return {
            "first": dict(self.first),
            "second": dict(self.second),
            "points": [
                {"weight": p.weight, "first": p.first, "second": p.second, "optimum": p.optimum.content()}
                for p in self.points
            ],
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the front as JSON, atomically."""
        write_json(path, SCHEMA, self.content())


def pareto(
    law: FittedLaw,
    *,
    at: float,
    first: Mapping[str, float],
    second: Mapping[str, float],
    points: int = 11,
    params: float | None = None,
    seed: int = 0,
    **constraints: Unpack[ConstraintArguments],
) -> Front:
    """Find the mixtures that trade the losses of two groups of evaluation domains off against each other.

    Parameters
    ----------
    law, at, params, seed
        As for `mixlaw.optimize`.
    first, second
        Evaluation domain -> weight >= 0 in the mean loss of the group, in any scale.
    points
        How many mixtures to look for, at least 2. There are fewer where the front has corners.
    **constraints
        As for `mixlaw.optimize`: floors, caps, fixed, groups, ratios, budget, available, max_epochs, repetition.

    Returns
    -------
    Front
        With the ends at a weight of 0.01 for the other group, which choose between mixtures that are equal for one.
        Under a law that is not convex, and has local minima, the front may have gaps.

    Raises
    ------
    InfeasibleError, InputError, MixlawError
        As `mixlaw.optimize` does; and if `points` is no whole number of at least 2.

    Examples
    --------
    >>> law = mixlaw.laws.read("law.json")  # doctest: +SKIP
    >>> print(mixlaw.pareto(law, at=1e10, first={"web": 1}, second={"code": 1}).to_text())  # doctest: +SKIP
    """
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise InputError(f"points: expected a whole number of at least 2, not {points!r}")
    groups = []
    for name, weights in (("first", first), ("second", second)):
        try:
            shares = objective_weights(law.eval_domains, weights)
        except InputError as error:
            raise InputError(f"{name} group: {error}") from error
        groups.append(dict(zip(law.eval_domains, shares.tolist(), strict=True)))

    def point(weight: float) -> FrontPoint:
        mixed = {d: (1.0 - weight) * groups[0][d] + weight * groups[1][d] for d in law.eval_domains}
        best = optimize(law, at=at, params=params, weights=mixed, draws=0, seed=seed, **constraints)
        return FrontPoint(weight, _mean(groups[0], best.losses), _mean(groups[1], best.losses), best)

    return Front(_refined([point(LEAST), point(1.0 - LEAST)], point, points), *groups)


def _refined(front: list[FrontPoint], point: Callable[[float], FrontPoint], count: int) -> tuple[FrontPoint, ...]:
    """Put points between the two ends of a front, always into the longest gap, until there are `count` of them."""
    width, height = front[1].first - front[0].first, front[0].second - front[1].second
    if min(width, height) <= 0.0:  # one mixture is best for both
        return (front[0],)

    def gap(left: FrontPoint, right: FrontPoint) -> float:
        return max((right.first - left.first) / width, (left.second - right.second) / height)

    gaps = [gap(*front)]  # 0 once nothing is found in it
    while len(front) < count and max(gaps) > CLOSE:
        k = int(np.argmax(gaps))
        left, right = front[k : k + 2]
        rise, fall = right.first - left.first, left.second - right.second
        new = point(rise / (rise + fall))
        if min(gap(left, new), gap(new, right)) <= CLOSE:
            gaps[k] = 0.0
        else:
            front.insert(k + 1, new)
            gaps[k : k + 1] = [gap(left, new), gap(new, right)]
    return tuple(front)


def _mean(weights: Mapping[str, float], losses: Mapping[str, float]) -> float:
    return math.fsum(weight * losses[domain] for domain, weight in weights.items() if weight > 0.0)


def _words(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{domain} {weight:.4g}" for domain, weight in weights.items() if weight > 0.0)
