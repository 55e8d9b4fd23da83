"""`Optimum`: the best mixture under a law, and how it is known to be the best."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixlaw.files import write_json
from mixlaw.fitted import Axis
from mixlaw.mixture import Mixture

SCHEMA = "mixlaw.optimum/1"


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The mixture that minimises the weighted mean loss under a fitted law.

    Attributes
    ----------
    mixture
        The optimal proportions.
    objective
        Weighted mean of `losses`, nats per token.
    losses
        Evaluation domain -> predicted loss, nats per token; infinite where a domain has no weight and the law no value.
    weights
        Evaluation domain -> its weight in the objective; they sum to 1.
    floors, caps
        Training domain -> least and largest proportion that was allowed.
    at_floor, at_cap
        Domains that a bound holds.
    multiplier
        How much the objective would fall for each unit of share more, by the domains that no bound holds.
    kkt_residual
        Largest violation of the Lagrange conditions relative to `multiplier`. Where the minimum is certified, it is no
        more than rounding, and no mixture between the bounds has an objective lower by more than 2 * `kkt_residual` *
        `multiplier`.
    starts
        None where the minimum is certified; else it is a local one: starting points of the search, and how many led
        to it.
    at, x
        How long training is, and in what unit.
    law, fingerprint
        Name of the law, and which runs it was fitted to.
    """

    mixture: Mixture
    objective: float
    losses: Mapping[str, float]
    weights: Mapping[str, float]
    floors: Mapping[str, float]
    caps: Mapping[str, float]
    at_floor: tuple[str, ...]
    at_cap: tuple[str, ...]
    multiplier: float
    kkt_residual: float
    starts: tuple[int, int] | None
    at: float
    x: Axis
    law: str
    fingerprint: str

    def to_text(self) -> str:
        """Lay the optimum out as text for people."""
        domains = list(dict.fromkeys([*self.mixture, *self.losses]))
        width = max(len("domain"), *map(len, domains))
        lines = [
            f"optimum under {self.law} at {self.at:.6g} {self.x}",
            f"objective (weighted mean loss): {self.objective:.6g} nats per token",
            "",
            f"{'domain':<{width}}  proportion  weight     loss  bound",
        ]
        for domain in domains:
            share = f"{self.mixture[domain]:.6f}" if domain in self.mixture else "-"
            weight, loss = (
                (f"{self.weights[domain]:6.4f}", f"{self.losses[domain]:7.4f}") if domain in self.losses else ("-", "-")
            )
            held = [f"floor {self.floors[domain]:.6g}"] if domain in self.at_floor else []
            held += [f"cap {self.caps[domain]:.6g}"] if domain in self.at_cap else []
            line = f"{domain:<{width}}  {share:>10}  {weight:>6}  {loss:>7}  {', '.join(held)}"
            lines.append(line.rstrip())
        lines += [
            "",
            f"multiplier: {self.multiplier:.6g} nats per token and unit of share",
            f"KKT residual relative to it: {self.kkt_residual:.1e}",
        ]
        if self.starts is not None:
            lines.append(f"a local minimum: {self.starts[1]} of {self.starts[0]} starting points led to it, none lower")
        return "\n".join(lines)

    def content(self) -> dict[str, Any]:
        """Give everything that `write` writes, ready for JSON; an infinite loss becomes null."""
        return {
            "law": self.law,
            "fingerprint": self.fingerprint,
            "at": self.at,
            "x": self.x,
            "mixture": dict(self.mixture),
            "objective": self.objective,
            "losses": {domain: loss if math.isfinite(loss) else None for domain, loss in self.losses.items()},
            "weights": dict(self.weights),
            "floors": dict(self.floors),
            "caps": dict(self.caps),
            "at_floor": list(self.at_floor),
            "at_cap": list(self.at_cap),
            "multiplier": self.multiplier,
            "kkt_residual": self.kkt_residual,
            "starts": None if self.starts is None else list(self.starts),
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the optimum as JSON, atomically; `mixture.write` writes the mixture alone."""
        write_json(path, SCHEMA, self.content())
