"""The optimum of separable laws and of powers of linear functions against SLSQP, where some floors and caps hold.

Correctness first: at every size the Lagrange conditions hold to 1e-10. Where SLSQP is run, its mixture is the same to
1e-6 (separable), or its objective is higher, but by no more than 1e-6 (powers: the minimum is flat, and SLSQP stops
before it).
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize

import mixlaw
from mixlaw.fitted import Coefficient, FittedLaw
from mixlaw.laws.bimix import COEFFICIENTS, FittedBiMix
from mixlaw.laws.transfer import CURVE, FittedTransfer
from mixlaw.optimum.lagrange import Solution, kkt_residual
from mixlaw.optimum.power import minimize_power, power_gain
from mixlaw.optimum.separable import minimize_separable, separable_gain

# Domains and losses; a separable law has as many of one as of the other.
SIZES = ((5, 5), (50, 50), (200, 200), (1000, 1000))
POWER_SIZES = ((5, 5), (50, 50), (200, 7), (200, 200), (1000, 1000))
SLSQP_UP_TO = 200  # its time grows with the cube of the size


class Problem:
    """A planted problem: sum_k c_k / (matrix_k . r)**alpha_k between floors and caps; the matrix is 1 if separable."""

    def __init__(self, form: str, m: int, e: int) -> None:
        rng = np.random.default_rng(m)
        self.form, self.m, self.e = form, m, e
        self.c, self.alpha = rng.uniform(1.0, 4.0, e) / e, rng.uniform(0.02, 0.4, e)
        self.floor, self.cap = rng.uniform(0.2, 0.6, m) / m, rng.uniform(1.2, 4.0, m) / m
        # Contributions such as the transfer law has: a domain's own counts most, the others' span two decades.
        self.matrix = np.eye(e, m) + (10.0 ** rng.uniform(-3, -1, (e, m)) if form == "power" else 0.0)

    def solve(self) -> Solution:
        if self.form == "separable":
            return minimize_separable(self.c, self.alpha, self.floor, self.cap)
        return minimize_power(self.matrix, self.c, self.alpha, self.floor, self.cap)

    def objective(self, r: np.ndarray) -> float:
        return math.fsum(self.c * (self.matrix @ r) ** -self.alpha)

    def residual(self, solution: Solution) -> float:
        if self.form == "separable":
            gain = separable_gain(self.c, self.alpha, solution.r)
        else:
            gain = power_gain(self.matrix, self.c, self.alpha, solution.r)
        return kkt_residual(gain, self.floor, self.cap, solution)

    def slsqp(self) -> np.ndarray:
        """The same minimum by SLSQP in units of 1 / m, where the curvature is of the order of 1."""
        m, c, alpha, A = self.m, self.c, self.alpha, self.matrix / self.m
        room = self.cap - self.floor
        ones = np.ones((1, m))
        separable = self.form == "separable"  # spared the products with 1
        found = minimize(
            lambda u: np.sum(c * (u / m if separable else A @ u) ** -alpha),
            (self.floor + (1.0 - self.floor.sum()) * room / room.sum()) * m,
            jac=lambda u: (
                -alpha * c * (u / m) ** (-alpha - 1.0) / m
                if separable
                else -A.T @ (alpha * c * (A @ u) ** (-alpha - 1.0))
            ),
            bounds=list(zip(self.floor * m, self.cap * m, strict=True)),
            constraints={"type": "eq", "fun": lambda u: u.sum() - m, "jac": lambda u: ones},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 1000},
        )
        assert found.success, found.message
        return found.x / m

    def law(self) -> FittedLaw:
        """The law whose objective with equal weights is this problem's."""
        train = tuple(f"domain-{j}" for j in range(self.m))
        measured = train[: self.e]
        scale, alpha = (self.c * self.e).tolist(), self.alpha.tolist()
        if self.form == "separable":
            kind, names = FittedBiMix, COEFFICIENTS
            values = [(1.0, 0.0, C, a, 0.0) for C, a in zip(scale, alpha, strict=True)]
        else:
            kind, names = FittedTransfer, (*CURVE, *(f"T/{domain}" for domain in train))
            rows = zip(scale, alpha, self.matrix.tolist(), strict=True)
            values = [(0.0, 0.0, C, a, *row) for C, a, row in rows]
        return kind(
            train_domains=train,
            eval_domains=measured,
            x="tokens",
            x_range=(1.0, 100.0),
            sizes=(),
            mixtures=np.empty((0, len(train))),
            fingerprint="planted",
            coefficients={
                domain: dict(zip(names, map(Coefficient, mine), strict=True))
                for domain, mine in zip(measured, values, strict=True)
            },
            covariance={},
            quality={},
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
    solution = problem.solve()
    residual = problem.residual(solution)
    assert residual <= 1e-10
    fitted = problem.law()
    floors, caps = (
        dict(zip(fitted.train_domains, bound.tolist(), strict=True)) for bound in (problem.floor, problem.cap)
    )
    best = mixlaw.optimize(fitted, at=50.0, floors=floors, caps=caps)
    np.testing.assert_allclose(list(best.mixture.values()), solution.r, atol=1e-9)
    repeats = 31 if problem.form == "separable" or problem.m <= SLSQP_UP_TO else 5
    row: dict[str, object] = {
        "form": problem.form,
        "domains": problem.m,
        "losses": problem.e,
        "at_floor": int((solution.r <= problem.floor).sum()),
        "at_cap": int((solution.r >= problem.cap).sum()),
        "kkt_residual": residual,
        "exact_ms": milliseconds(problem.solve, repeats),
        "optimize_ms": milliseconds(lambda: mixlaw.optimize(fitted, at=50.0, floors=floors, caps=caps), repeats),
        "slsqp_ms": "",
        "slsqp/exact": "",
    }
    if problem.m <= SLSQP_UP_TO:
        peer = problem.slsqp()
        if problem.form == "separable":
            np.testing.assert_allclose(solution.r, peer, atol=1e-6)
        else:
            assert -1e-12 <= problem.objective(peer) - problem.objective(solution.r) <= 1e-6
        spent = milliseconds(problem.slsqp, 5)
        row |= {"slsqp_ms": spent, "slsqp/exact": spent / row["exact_ms"]}
    return row


def test_the_optimum_against_slsqp(benchmark: Any, record: Callable[..., None]) -> None:
    problems = [Problem("separable", *size) for size in SIZES] + [Problem("power", *size) for size in POWER_SIZES]
    record([measured(problem) for problem in problems], ["numpy", "scipy"])
    benchmark(problems[-1].solve)
