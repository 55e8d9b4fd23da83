"""How sure an optimum is: the spread of the best mixture over the posterior of the law, and of its losses."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mixlaw.errors import InputError, MixlawError
from mixlaw.optimum.constraints import Constraints
from mixlaw.optimum.objective import Objective
from mixlaw.optimum.result import LEVEL, ErrorBar
from mixlaw.optimum.solve import Minimum, find_minimum


class Uncertainty(NamedTuple):
    """See `Optimum`."""

    error_bars: Mapping[str, ErrorBar] = {}
    intervals: Mapping[str, tuple[float, float]] = {}
    draws: int = 0
    unsure: str = ""


def uncertainty(objective: Objective, limits: Constraints, found: Minimum, draws: int, seed: int) -> Uncertainty:
    """Optimise again under laws drawn from the posterior, and give the intervals of the losses at the optimum."""
    if draws == 0:
        return Uncertainty(unsure="none were asked for")
    if found.method == "sampled":
        return Uncertainty(unsure="another sample would have another optimum")
    law = objective.law
    try:
        laws = law.draws(draws, seed=seed)
        with np.errstate(invalid="ignore"):  # where a loss without a weight is infinite
            bounds = law.interval(
                objective.shares(found.r[None, :]), at=objective.at, params=objective.params, level=LEVEL
            )
    except InputError as error:
        return Uncertainty(unsure=str(error))
    low, high = (np.where(np.isnan(bound[0]), np.inf, bound[0]).tolist() for bound in bounds)
    optima = []
    for drawn in laws:
        try:
            optima.append(find_minimum(replace(objective, law=drawn), limits, seed=seed, start=found.r).r)
        except MixlawError:  # one among many, as far from the others as to have none
            continue
    if len(optima) < 2:
        return Uncertainty(unsure="the laws drawn from the posterior have no optimum")
    tail = 0.5 * (1.0 - LEVEL)
    spread = np.vstack([np.std(optima, axis=0, ddof=1), np.quantile(optima, [tail, 1.0 - tail], axis=0)])
    return Uncertainty(
        {domain: ErrorBar(*column) for domain, column in zip(law.train_domains, spread.T.tolist(), strict=True)},
        dict(zip(law.eval_domains, zip(low, high, strict=True), strict=True)),
        len(optima),
    )
