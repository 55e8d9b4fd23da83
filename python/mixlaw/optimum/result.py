"""`Optimum`: the best mixture under a law, how sure it is, what it costs, and what it is compared with."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mixlaw.files import write_json
from mixlaw.fitted import Axis
from mixlaw.hull import INSIDE
from mixlaw.layout import aligned
from mixlaw.mixture import Mixture
from mixlaw.optimum.solve import Method

SCHEMA = "mixlaw.optimum/2"
# Of all intervals.
LEVEL = 0.9


class ErrorBar(NamedTuple):
    """How far the best proportion of a domain is uncertain, by laws drawn from the posterior.

    Attributes
    ----------
    sd
        Standard deviation of the proportion that is best under each.
    low, high
        Between these lie 90 % of them.
    """

    sd: float
    low: float
    high: float


class Active(NamedTuple):
    """A constraint that holds the optimum.

    Attributes
    ----------
    constraint
        In words.
    price
        By how much the objective would fall for each unit of share that the constraint were wider, at first: nats per
        token and share. Of a share that is fixed, by how much it would fall if the share moved the better way.
    """

    constraint: str
    price: float


@dataclass(frozen=True)
class Alternative:
    """Another mixture under the same law and objective.

    Attributes
    ----------
    mixture
        Its proportions.
    objective, losses
        As those of `Optimum`.
    allowed
        Whether it satisfies the constraints.
    """

    mixture: Mixture
    objective: float
    losses: Mapping[str, float]
    allowed: bool


class Runs(NamedTuple):
    """Where the optimum lies among the mixtures that the law was fitted to.

    Attributes
    ----------
    nearest
        Total variation from the nearest of them: the share of the tokens that would have to come from other domains.
    outside
        Total variation from the nearest mean of them, 0 for a mixture inside their hull.
    """

    nearest: float
    outside: float


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The mixture that minimises an objective under a fitted law and constraints.

    Attributes
    ----------
    mixture
        The optimal proportions.
    goal
        What the objective is, in words.
    objective
        Its value, in nats per token.
    losses
        Evaluation domain -> predicted loss, nats per token; infinite where a domain has no weight and the law no value.
    weights
        Evaluation domain -> its weight in the objective; they sum to 1, but in the worst case, where they are as given.
    error_bars
        Training domain -> `ErrorBar` of its proportion; empty without.
    intervals
        Evaluation domain -> bounds between which the loss of a new run falls in 90 of 100 cases; empty without.
    draws
        From how many drawn laws the error bars are.
    unsure
        Why there are no error bars or intervals; empty if there are.
    active
        The constraints that hold it, with their prices.
    unconstrained
        The optimum without constraints, or None if none of them costs anything.
    baselines
        Name -> other mixtures: ``"uniform"``, ``"best run"`` (by prediction, of those that the law was fitted to), and
        those that were given.
    runs
        Where it lies among the mixtures of the runs; None if the law does not know them.
    epochs
        Training domain -> how often its tokens are used; of those domains whose tokens are known.
    method
        ``"convex"``: the minimum, certified by `gap`; ``"local"``: the best of the local minima found; ``"sampled"``:
        the mean of the best mixtures of a sample, under a law that has no gradient.
    multiplier
        By how much the objective falls for each unit of share more, of domains that no constraint holds; None if
        sampled. Nats per token and share.
    gap
        ``"convex"``: no mixture that satisfies the constraints has an objective lower by more than this. ``"local"``:
        how much lower it could be if it were linear, 0 at a local minimum. Nats per token; None if sampled.
    starts, agreeing
        Of ``"local"``: how many starts there were, and how many of them led to a minimum as good; else 0.
    constraints
        The constraints as given, in the types of JSON.
    at, x, params
        How long training is, in what unit, and the model size that the law was asked about, if any.
    law, fingerprint
        Name of the law, and which runs it was fitted to.
    """

    mixture: Mixture
    goal: str
    objective: float
    losses: Mapping[str, float]
    weights: Mapping[str, float]
    error_bars: Mapping[str, ErrorBar]
    intervals: Mapping[str, tuple[float, float]]
    draws: int
    unsure: str
    active: tuple[Active, ...]
    unconstrained: Alternative | None
    baselines: Mapping[str, Alternative]
    runs: Runs | None
    epochs: Mapping[str, float]
    method: Method
    multiplier: float | None
    gap: float | None
    starts: int
    agreeing: int
    constraints: Mapping[str, Any]
    at: float
    x: Axis
    params: float | None
    law: str
    fingerprint: str

    def to_text(self) -> str:
        """Lay the optimum out as text for people."""
        size = "" if self.params is None else f" for {self.params:.6g} parameters"
        blocks = [
            f"optimum under {self.law} at {self.at:.6g} {self.x}{size}\n"
            f"{self.goal}: {self.objective:.6g} nats per token",
            aligned(list(self._shares())),
            aligned(list(self._losses())),
        ]
        if self.active:
            head = ("constraint that holds", "price, nats per token and share")
            blocks.append(aligned([head, *((one.constraint, f"{one.price:.4g}") for one in self.active)]))
        return "\n\n".join([*blocks, "\n".join(f"- {note}" for note in self._notes())])

    def _shares(self) -> Iterator[list[str]]:
        """Rows of the table of proportions."""
        head = ["share of tokens", "optimum"]
        if self.error_bars:
            head += ["sd", "90 % interval"]
        if self.epochs:
            head.append("epochs")
        others = self._others()
        yield [*head, *others]
        for domain, share in self.mixture.items():
            row = [domain, f"{share:.4f}"]
            if self.error_bars:
                bar = self.error_bars[domain]
                row += [f"{bar.sd:.3f}", f"{bar.low:.3f} to {bar.high:.3f}"]
            if self.epochs:
                row.append(f"{self.epochs[domain]:.2f}" if domain in self.epochs else "-")
            yield [*row, *(f"{other.mixture[domain]:.4f}" for other in others.values())]

    def _losses(self) -> Iterator[list[str]]:
        """Rows of the table of losses."""
        others = self._others()
        yield ["loss", "weight", "optimum", *(["90 % interval"] if self.intervals else []), *others]
        for domain, loss in self.losses.items():
            row = [domain, f"{self.weights[domain]:.4g}", f"{loss:.4f}"]
            if self.intervals:
                low, high = self.intervals[domain]
                row.append(f"{low:.3f} to {high:.3f}")
            yield [*row, *(f"{other.losses[domain]:.4f}" for other in others.values())]
        blank = ["", *([""] if self.intervals else [])]
        values = [f"{other.objective:.4f}{'' if other.allowed else ' *'}" for other in others.values()]
        yield ["objective", blank[0], f"{self.objective:.4f}", *blank[1:], *values]

    def _others(self) -> dict[str, Alternative]:
        free = {} if self.unconstrained is None else {"unconstrained": self.unconstrained}
        return {**self.baselines, **free}

    def _notes(self) -> Iterator[str]:
        if any(not other.allowed for other in self._others().values()):
            yield "A mixture whose objective is marked * does not satisfy the constraints."
        if self.error_bars:
            yield f"The spread of the shares is that of the optima of {self.draws} laws drawn from the posterior."
        if self.intervals:
            yield "The intervals of the losses are for a single new run."
        if self.unsure:
            yield f"Without error bars: {self.unsure}."
        if self.runs is not None:
            where = f"{self.runs.outside:.3f} outside" if self.runs.outside > INSIDE else "inside"
            yield (
                f"The optimum is {self.runs.nearest:.3f} from the nearest mixture of the runs and {where} their hull "
                "(total variation)."
            )
        if self.method == "convex":
            yield f"Certified: no mixture that is allowed is better by more than {self.gap:.0e} nats per token."
        elif self.method == "local":
            yield (
                f"A local minimum: {self.agreeing} of {self.starts} starts led to one as good, none to a better one. "
                f"Lagrange conditions hold but for {self.gap:.0e} nats per token."
            )
        else:
            yield (
                f"{self.law} has no gradient, so this is the mean of the best mixtures of a sample, not a minimum; "
                "constraints have no prices."
            )

    def content(self) -> dict[str, Any]:
        """Give everything that `write` writes, ready for JSON; a number that is infinite becomes null."""
        others = {name: _content(other) for name, other in self.baselines.items()}
        return {
            "law": self.law,
            "fingerprint": self.fingerprint,
            "at": self.at,
            "x": self.x,
            "params": self.params,
            "mixture": dict(self.mixture),
            "goal": self.goal,
            "objective": self.objective,
            "losses": {domain: _finite(loss) for domain, loss in self.losses.items()},
            "weights": dict(self.weights),
            "error_bars": {domain: bar._asdict() for domain, bar in self.error_bars.items()},
            "intervals": {domain: list(map(_finite, bounds)) for domain, bounds in self.intervals.items()},
            "draws": self.draws,
            "unsure": self.unsure,
            "active": [one._asdict() for one in self.active],
            "unconstrained": None if self.unconstrained is None else _content(self.unconstrained),
            "baselines": others,
            "runs": None if self.runs is None else self.runs._asdict(),
            "epochs": dict(self.epochs),
            "method": self.method,
            "multiplier": self.multiplier,
            "gap": None if self.gap is None else _finite(self.gap),
            "starts": self.starts,
            "agreeing": self.agreeing,
            "constraints": dict(self.constraints),
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the optimum as JSON, atomically; `mixture.write` writes the mixture alone."""
        write_json(path, SCHEMA, self.content())


def _content(other: Alternative) -> dict[str, Any]:
    return {
        "mixture": dict(other.mixture),
        "objective": _finite(other.objective),
        "losses": {domain: _finite(loss) for domain, loss in other.losses.items()},
        "allowed": other.allowed,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
