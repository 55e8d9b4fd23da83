"""The optimum of separable laws and of the transfer law against SLSQP, under several constraints.

Correctness first: at every size no mixture that is allowed is better by more than 1e-10 nats per token, by the
certificate of the result. Where SLSQP is run, its mixture is the same to 1e-6 (separable), or its objective is higher,
but by no more than 1e-6 (the others: the minimum is flat, and SLSQP stops before it).

forms       separable: BiMix; transfer: the transfer law; both between floors and caps
            groups: transfer, with two groups and a ratio besides
            worst case: transfer, the largest of the losses
"""

import statistics
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import minimize

import mixlaw
from mixlaw import GroupBound, RatioBound
from mixlaw.fitted import Coefficient, DomainFit, FittedLaw
from mixlaw.laws.bimix import COEFFICIENTS, FittedBiMix
from mixlaw.laws.returns import marginal, returns
from mixlaw.laws.transfer import CURVE, FittedTransfer
from mixlaw.optimum.constraints import Constraints, constraints
from mixlaw.optimum.objective import Objective
from mixlaw.optimum.solve import Minimum, find_minimum

# Domains and losses; a separable law has as many of one as of the other.
SIZES = {
    "separable": ((5, 5), (50, 50), (200, 200), (1000, 1000)),
    "transfer": ((5, 5), (50, 50), (200, 7), (200, 200), (1000, 1000)),
    "groups": ((5, 5), (50, 50), (200, 7), (200, 200), (1000, 7), (1000, 1000)),
    "worst case": ((5, 5), (50, 50), (200, 7), (200, 200), (1000, 7)),
}
SLSQP_UP_TO = 200  # its time grows with the cube of the size
AT = 50.0


class Problem:
    """A planted problem: c_k / z_k**alpha_k between floors and caps; z_k is r_k if separable."""

    def __init__(self, form: str, m: int, e: int) -> None:
        rng = np.random.default_rng(m)
        self.form, self.m, self.e = form, m, e
        self.c, self.alpha = rng.uniform(1.0, 4.0, e), rng.uniform(0.02, 0.4, e)
        floor, cap = rng.uniform(0.2, 0.6, m) / m, rng.uniform(1.2, 4.0, m) / m
        # Contributions such as the transfer law has: a domain's own counts most, the others' span two decades.
        self.matrix = np.eye(e, m) + (10.0 ** rng.uniform(-3, -1, (e, m)) if form != "separable" else 0.0)
        self.rho = rng.uniform(0.5, 0.9, (e, 1))
        self.train = tuple(f"domain-{j}" for j in range(m))
        self.limits: dict[str, Any] = {
            "floors": dict(zip(self.train, floor.tolist(), strict=True)),
            "caps": dict(zip(self.train, np.minimum(1.0, cap).tolist(), strict=True)),
        }
        if form == "groups":
            self.limits["groups"] = [
                GroupBound(self.train[: m // 3], cap=0.3),
                GroupBound(self.train[m // 3 : m // 2 + 1], floor=0.2),
            ]
            self.limits["ratios"] = [RatioBound(self.train[-1], self.train[-2], cap=1.0)]

    @cached_property
    def constraints(self) -> Constraints:
        return constraints(self.train, **self.limits)

    @property
    def worst(self) -> bool:
        return self.form == "worst case"

    def solve(self) -> Minimum:
        """The solver alone."""
        weights = np.full(self.e, 1.0 if self.worst else 1.0 / self.e)
        return find_minimum(Objective(self.law, AT, None, weights, worst=self.worst), self.constraints)

    def optimize(self) -> mixlaw.Optimum:
        """All but the error bars: with baselines, and the unconstrained optimum."""
        return mixlaw.optimize(self.law, at=AT, worst_case=self.worst, draws=0, **self.limits)

    def values(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Losses, or their mean, and derivatives."""
        if self.form == "separable":
            losses = self.c * r**-self.alpha
            return losses.mean(keepdims=True), -(self.alpha * losses / r)[None, :] / self.e
        powers = self.matrix**self.rho
        total = (powers * returns(r, self.rho)).sum(axis=1)
        losses = self.c * total ** (-self.alpha / self.rho[:, 0])
        by_total = self.alpha * losses / (self.rho[:, 0] * total)
        slopes = -by_total[:, None] * powers * marginal(r, self.rho)
        return (losses, slopes) if self.worst else (losses.mean(keepdims=True), slopes.mean(axis=0, keepdims=True))

    def slsqp(self) -> np.ndarray:
        """The same minimum by SLSQP in units of 1 / m, where the curvature is of the order of 1."""
        m, limits = self.m, self.constraints
        room = limits.cap - limits.floor
        start = (limits.floor + (1.0 - limits.floor.sum()) * room / room.sum()) * m
        bounds = list(zip((limits.floor * m).tolist(), (limits.cap * m).tolist(), strict=True))
        highs, lows = np.isfinite(limits.high), np.isfinite(limits.low)
        rows = np.vstack([limits.G[highs], -limits.G[lows]]) / m
        sides = np.r_[limits.high[highs], -limits.low[lows]]
        n = m + 1 if self.worst else m
        ones, rows = np.eye(1, n, m) * 0.0, np.column_stack([rows, np.zeros((len(rows), n - m))])
        ones[0, :m] = 1.0
        conditions: list[Any] = [{"type": "eq", "fun": lambda u: ones @ u - m, "jac": lambda u: ones}]
        if len(rows):
            conditions.append({"type": "ineq", "fun": lambda u: sides - rows @ u, "jac": lambda u: -rows})
        if self.worst:
            start, bounds = np.append(start, self.values(start / m)[0].max()), [*bounds, (None, None)]
            target = np.eye(1, n, m)[0]
            conditions.append(
                {
                    "type": "ineq",
                    "fun": lambda u: u[m] - self.values(u[:m] / m)[0],
                    "jac": lambda u: np.column_stack([-self.values(u[:m] / m)[1] / m, np.ones(self.e)]),
                }
            )
        found = minimize(
            (lambda u: u[m]) if self.worst else (lambda u: self.values(u / m)[0][0]),
            start,
            jac=(lambda u: target) if self.worst else (lambda u: self.values(u / m)[1][0] / m),
            bounds=bounds,
            constraints=conditions,
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 1000},
        )
        assert found.success, found.message
        return found.x[:m] / m

    @cached_property
    def law(self) -> FittedLaw:
        """The law whose losses these are."""
        measured = self.train[: self.e]
        if self.form == "separable":
            kind, names = FittedBiMix, COEFFICIENTS
            values = [(1.0, 0.0, c, a, 0.0) for c, a in zip(self.c.tolist(), self.alpha.tolist(), strict=True)]
        else:
            kind, names = FittedTransfer, (*CURVE, *(f"T/{domain}" for domain in self.train))
            rows = zip(self.c.tolist(), self.alpha.tolist(), self.rho[:, 0].tolist(), self.matrix.tolist(), strict=True)
            values = [
                (*({"C": c, "alpha": a, "rho": rho}.get(name, 0.0) for name in CURVE), *row) for c, a, rho, row in rows
            ]  # no other term
        return kind(
            train_domains=self.train,
            eval_domains=measured,
            x="tokens",
            x_range=(1.0, 100.0),
            sizes=(),
            mixtures=np.empty((0, self.m)),
            fingerprint="planted",
            coefficients={
                domain: dict(zip(names, map(Coefficient, mine), strict=True))
                for domain, mine in zip(measured, values, strict=True)
            },
            covariance={},
            quality={domain: DomainFit(1, 1, 0, None, 0.0, None, None) for domain in measured},
            spearman=None,
            notes=(),
        )


def milliseconds(call: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def measured(problem: Problem) -> dict[str, object]:
    """One row: correctness, then times."""
    found = problem.solve()
    assert found.method == "convex"
    assert found.certificate is not None
    assert found.certificate.gap <= 1e-10
    assert problem.constraints.allow(found.r, tolerance=1e-12)
    best = problem.optimize()
    np.testing.assert_allclose(list(best.mixture.values()), found.r, atol=1e-9)
    repeats = 31 if problem.form == "separable" or problem.m <= SLSQP_UP_TO else 3
    row: dict[str, object] = {
        "form": problem.form,
        "domains": problem.m,
        "losses": problem.e,
        "constraints_active": len(best.active),
        "gap": found.certificate.gap,
        "solver_ms": milliseconds(problem.solve, repeats),
        "optimize_ms": milliseconds(problem.optimize, min(repeats, 5)),
        "slsqp_ms": "",
        "slsqp/solver": "",
    }
    if problem.m <= SLSQP_UP_TO:
        peer = problem.slsqp()
        if problem.form == "separable":
            np.testing.assert_allclose(found.r, peer, atol=1e-6)
        else:
            assert -1e-12 <= problem.values(peer)[0].max() - problem.values(found.r)[0].max() <= 1e-6
        spent = milliseconds(problem.slsqp, 3)
        row |= {"slsqp_ms": spent, "slsqp/solver": spent / row["solver_ms"]}
    return row


def test_the_optimum_against_slsqp(benchmark: Any, record: Callable[..., None]) -> None:
    problems = [Problem(form, *size) for form, sizes in SIZES.items() for size in sizes]
    record([measured(problem) for problem in problems], ["numpy", "scipy"])
    benchmark(problems[0].solve)
