from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mixlaw.laws.transfer_fit as fit
from mixlaw import RunTable, laws
from mixlaw.laws.smooth import Smoothness, correlation

Array = npt.NDArray[np.float64]


def sparse(
    seed: int, *, runs: int, domains: int = 40, tasks: int = 12, strength: float = 0.25, noise: float = 0.01
) -> RunTable:
    """Runs of more domains than a mixture has, on evaluation domains that none is trained on."""
    rng = np.random.default_rng(seed)
    natural = rng.dirichlet(np.full(domains, 0.5))
    r = np.array([rng.dirichlet(np.maximum(natural, 1e-3) * rng.uniform(5.0, 60.0)) for _ in range(runs)])
    r[r < np.quantile(r, 0.7)] = 0.0
    r /= r.sum(axis=1, keepdims=True)
    near = np.exp(-((rng.normal(size=(tasks, 1, 4)) - rng.normal(size=(domains, 4))) ** 2).sum(axis=2) / 3.0)
    losses = np.exp(0.2 + 0.3 * rng.normal(size=tasks) - strength * r @ (near.T / near.max()))
    return RunTable.from_arrays(
        r,
        losses * np.exp(noise * rng.normal(size=losses.shape)),
        train_domains=[f"d{j}" for j in range(domains)],
        eval_domains=[f"task{i}" for i in range(tasks)],
        tokens=1e9,
        run=[str(k) for k in range(runs)],
    )


@pytest.mark.parametrize("name", ["transfer", "transfer-gp"])
@pytest.mark.parametrize("strength", [0.0, 0.25])
def test_few_runs_with_hardly_any_signal_are_no_worse_predicted_than_by_their_mean(name: str, strength: float) -> None:
    ratios = []
    for seed in range(6):
        runs = sparse(seed, runs=200, strength=strength)
        train, test = runs.select(np.arange(200) < 24), runs.select(np.arange(200) >= 24)
        logs = np.log(test.losses)
        wrong = np.log(laws.get(name).fit(train).predict(test.proportions, at=1e9)) - logs
        ratios.append(np.mean(wrong**2) / np.mean((np.log(train.losses).mean(axis=0) - logs) ** 2))
    assert np.mean(ratios) < 1.12


def several_checkpoints(evaluate: int) -> RunTable:
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.ones(3), 9)
    r, at = np.repeat(shares, 4, axis=0), np.tile([1e9, 2e9, 4e9, 8e9], 9)
    losses = (2.0 + (at[:, None] / 1e9) ** -0.5) * (r @ rng.uniform(0.05, 1.0, (3, evaluate)) + 0.1) ** -0.1
    losses *= np.exp(
        0.01 * np.repeat(rng.normal(size=(9, evaluate)), 4, axis=0) + 0.004 * rng.normal(size=(36, evaluate))
    )
    keep = np.arange(36) != 5  # a run with a checkpoint less
    names = ["a", "b", "c"]
    return RunTable.from_arrays(
        r[keep],
        losses[keep],
        train_domains=names,
        eval_domains=[f"e{i}" for i in range(evaluate)],
        tokens=at[keep],
        run=[f"r{i}" for i in np.repeat(np.arange(9), 4)[keep]],
    )


def first_round(runs: RunTable, smoothness: Smoothness) -> tuple[fit.Problem, Any]:
    problem = fit.Problem(runs, "tokens")
    ready = fit._best_round(problem, fit._first_round(problem, np.full(len(problem.mate), 1e-4)), robust=False)
    beliefs = ready.beliefs._replace(smoothness=smoothness)
    return problem, fit._round(problem, beliefs, [mode.theta for mode in ready.modes])


def dense_covariance(problem: fit.Problem, mode: Any, beliefs: fit.Beliefs, i: int) -> Array:
    """Of all checkpoints of a domain, where the law is linear near its mode."""
    _, precision = fit.prior(problem, i, beliefs)
    share, length, noise = beliefs.smoothness
    runs, group = problem.runs, problem.runs.group
    between = share * correlation(runs.sites, runs.sites, length) + (1.0 - share) * np.eye(runs.k)
    deviations = beliefs.variance[i] * (between[np.ix_(group, group)] + noise * np.eye(len(group)))
    return np.asarray(mode.jacobian / precision @ mode.jacobian.T + deviations)


def log_density(o: Array, covariance: Array) -> float:
    return float(-0.5 * (np.linalg.slogdet(covariance)[1] + o @ np.linalg.solve(covariance, o)))


def test_the_evidence_is_the_density_of_all_checkpoints() -> None:
    """Of one evaluation domain, up to a constant: differences between shares and lengths are those of the density."""
    problem, ready = first_round(several_checkpoints(1), Smoothness(0.5, 0.6, 0.5))
    piece = fit._linear(problem, 0, ready.modes[0], ready.beliefs)
    mean, _ = fit.prior(problem, 0, ready.beliefs)
    o = ready.modes[0].residuals + ready.modes[0].jacobian @ (ready.modes[0].theta - mean)
    pairs = []
    for share, length in ((0.0, 1.2), (0.3, 0.2), (0.7, 0.4), (0.9, 0.8), (0.98, 2.4)):
        evidence, beliefs = fit._evidence(problem, [piece], ready.beliefs, share, length)
        assert beliefs.smoothness[:2] == (share, length)
        before = ready.beliefs.variance[0] * ready.beliefs.smoothness.noise
        assert beliefs.variance[0] * beliefs.smoothness.noise == pytest.approx(before)
        pairs.append((evidence, log_density(o, dense_covariance(problem, ready.modes[0], beliefs, 0))))
    differences = np.diff(pairs, axis=0)
    assert np.abs(differences).max() > 0.1
    np.testing.assert_allclose(differences[:, 0], differences[:, 1], rtol=1e-6, atol=1e-6)


def test_scores_are_densities_of_runs_given_the_others() -> None:
    """In a dense computation: the mean residual of a run, given means of the others and what is left of all means."""
    problem, ready = first_round(several_checkpoints(2), Smoothness(0.6, 0.5, 0.5))
    runs, k = problem.runs, problem.runs.k
    averages = runs.means(np.eye(len(problem.y)))
    left = np.eye(len(problem.y)) - averages[runs.group]
    expected = np.zeros(k)
    for i, mode in enumerate(ready.modes):
        mean, _ = fit.prior(problem, i, ready.beliefs)
        o = mode.residuals + mode.jacobian @ (mode.theta - mean)
        covariance = dense_covariance(problem, mode, ready.beliefs, i)
        for g in range(k):
            known = np.vstack([np.delete(averages, g, axis=0), left])
            across = averages[g] @ covariance @ known.T
            pull = across @ np.linalg.pinv(known @ covariance @ known.T, rcond=1e-12)
            wrong = averages[g] @ o - pull @ (known @ o)
            variance = averages[g] @ covariance @ averages[g] - pull @ across
            expected[g] -= 0.5 * (np.log(variance) + wrong**2 / variance)
    np.testing.assert_allclose(ready.scores, expected, rtol=3e-4)  # modes are found to 1e-8 of the cost


@pytest.mark.parametrize("s", [(8e9,), (1e9, 2e9, 4e9, 8e9)])
def test_more_checkpoints_do_not_hide_a_smooth_deviation(s: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(3, 1.5), 60)
    r, at = np.repeat(shares, len(s), axis=0), np.tile(s, 60)
    losses = (2.0 + 0.5 * (at[:, None] / 1e9) ** -0.4) * (r + 0.05) ** -0.1
    losses *= np.exp(0.02 * np.sin(5.0 * r[:, [0]] + np.arange(3)) + 0.003 * rng.normal(size=losses.shape))
    names, run = ["a", "b", "c"], [f"r{i}" for i in np.repeat(np.arange(60), len(s))]
    table = RunTable.from_arrays(r, losses, train_domains=names, eval_domains=names, tokens=at, run=run)
    law = laws.get("transfer-gp").fit(table)
    assert law.extra["share"] >= 0.9
    assert law.extra["length"] >= 0.4


def test_deviations_that_the_domains_of_a_run_share_are_not_taken_for_smooth() -> None:
    """The evidence counts every domain as a witness of its own, so that it alone would find a smooth deviation."""
    alone, kept = 0, 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        r = rng.dirichlet(np.ones(4), 24)
        losses = 2.0 * (r @ (0.05 + 0.95 * np.eye(4, 12))) ** -0.1
        losses *= np.exp(0.014 * (rng.normal(size=(24, 1)) + 0.1 * rng.normal(size=losses.shape)))
        table = RunTable.from_arrays(
            r,
            losses,
            train_domains=[f"d{j}" for j in range(4)],
            eval_domains=[f"d{j}" for j in range(12)],
            tokens=1e9,
        )
        problem = fit.Problem(table, "tokens")
        start = fit._best_round(problem, fit._first_round(problem, np.full(12, 2e-4)), robust=False)
        alone += fit._best_round(problem, start, smooth=True, robust=False).beliefs.smoothness.share > 0.0
        kept += laws.get("transfer-gp").fit(table).extra["share"] > 0.0
    assert alone >= 5
    assert kept <= 2
