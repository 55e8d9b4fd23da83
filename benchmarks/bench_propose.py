"""How many runs each way of choosing mixtures needs, simulated by choosing among public runs beside the checkout.

A repetition begins with six runs, drawn at random, and adds batches of 3, 3 and 12 until there are 24: drawn at random
too, or proposed by `mixlaw.propose` from what was run. The transfer law, fitted to them, predicts a third of the
mixtures, which no method may run (MRE, |L - predicted| / L in percent over mixtures and domains), and names the best of
all mixtures (regret: its true mean loss over the domains, in percent above that of the best). Methods are compared
repetition by repetition; errors are standard errors. "random_runs" is how many runs random choice needs for the same
MRE, interpolated in the means; ">24" where it does not get there.

SlimPajama: the last checkpoints of 60 mixtures of 7 domains, 122M and 310M parameters (Shukor et al., arXiv
2507.09404); "noise" is added to the losses that the law sees, as small proxies have it, half of its variance common to
the domains of a run. RegMix (arXiv 2407.01492): 120 of its 512 mixtures of 17 domains, 1M parameters.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bench_laws import SHARED, Array, dmsl, error, mean_and_error, regmix_table, with_losses

from mixlaw import RunTable, laws, propose

COUNTS = (6, 9, 12, 24)
REPETITIONS, REGMIX_REPETITIONS, REGMIX_MIXTURES = 40, 20, 120
METHODS = ("random", "space-filling", "active")


def simulate(runs: RunTable, noise: float, repetition: int) -> dict[str, list[tuple[float, float, float]]]:
    """MRE, regret and seconds of proposing for each method, at each of `COUNTS`."""
    rng = np.random.default_rng(repetition)
    deviations = rng.normal(size=(len(runs), 1)) + rng.normal(size=runs.losses.shape)
    seen = with_losses(runs, runs.losses * np.exp(noise * deviations))
    order = rng.permutation(len(runs))
    held_out, pool = order[: len(runs) // 3], order[len(runs) // 3 :]
    start = laws.get("transfer").fit(seen.select(pool[: COUNTS[0]]))
    found: dict[str, list[tuple[float, float, float]]] = {}
    for method in METHODS:
        chosen, law = list(pool[: COUNTS[0]]), start
        found[method] = [(*judge(law, runs, held_out), 0.0)]
        for count in COUNTS[1:]:
            rest, before = [row for row in pool if row not in chosen], time.perf_counter()
            if method == "random":
                chosen += rest[: count - len(chosen)]
            else:
                candidates = runs.proportions[rest]
                for mixture in propose(count - len(chosen), law=law, method=method, candidates=candidates):
                    same = np.abs(candidates - mixture.to_array(runs.train_domains)).sum(axis=1)
                    chosen.append(rest[int(np.argmin(same))])
            seconds = time.perf_counter() - before
            assert len(set(chosen)) == count
            assert not set(chosen) & set(held_out)
            law = laws.get("transfer").fit(seen.select(np.array(chosen)))
            found[method].append((*judge(law, runs, held_out), seconds))
    return found


def judge(law: Any, runs: RunTable, held_out: Array) -> tuple[float, float]:
    """MRE and regret."""
    predicted, truth = law.predict(runs.proportions, at=runs.tokens), runs.losses.mean(axis=1)
    regret = 100.0 * (truth[predicted.mean(axis=1).argmin()] / truth.min() - 1.0)
    return error(predicted[held_out], runs.losses[held_out]), float(regret)


def needed(curve: Array, value: float) -> float | str:
    """How many runs bring a falling curve over `COUNTS` down to a value."""
    return f">{COUNTS[-1]}" if value < curve.min() else float(np.interp(-value, -curve, COUNTS))


def rows(data: str, runs: Callable[[int], RunTable], noise: float, repetitions: int) -> Iterator[dict[str, Any]]:
    results = [simulate(runs(repetition), noise, repetition) for repetition in range(repetitions)]
    # By method, of shape (repetitions, counts, 3).
    values = {method: np.array([result[method] for result in results]) for method in METHODS}
    for k, count in enumerate(COUNTS):
        for method, mine in values.items():
            row: dict[str, Any] = {"data": data, "noise_%": 100.0 * noise, "runs": count, "method": method}
            for column, name in enumerate(("MRE_%", "regret_%")):
                row[name], row[f"{name}_se"] = mean_and_error(mine[:, k, column])
                less = mine[:, k, column] - values["random"][:, k, column]
                row[f"{name}_minus_random"], row[f"{name}_minus_random_se"] = mean_and_error(less)
            row["random_runs"] = needed(values["random"][:, :, 0].mean(axis=0), row["MRE_%"])
            yield row | {"repetitions": repetitions, "seconds_to_propose": float(mine[:, k, 2].mean())}


def test_propose(benchmark: Any, record: Callable[..., None]) -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent")
    table = []
    for size in (122e6, 310e6):
        last = dmsl(size).final()
        for noise in (0.0, 0.01):
            table += rows(f"SlimPajama {size / 1e6:.0f}M", lambda _, runs=last: runs, noise, REPETITIONS)
    everything = regmix_table("train", "1m")

    def some(repetition: int) -> RunTable:
        return everything.select(np.random.default_rng(repetition).permutation(len(everything))[:REGMIX_MIXTURES])

    table += rows("RegMix 1M", some, 0.0, REGMIX_REPETITIONS)
    # Correctness: all was measured, and whatever the method, more runs make the prediction better.
    for row in table:
        assert math.isfinite(row["MRE_%"])
        assert math.isfinite(row["regret_%"])
    for data, noise, method in {(row["data"], row["noise_%"], row["method"]) for row in table}:
        curve = [row["MRE_%"] for row in table if (row["data"], row["noise_%"], row["method"]) == (data, noise, method)]
        assert curve[-1] < curve[0]
    record(table, ["numpy", "scipy"])
    last = dmsl(122e6).final()
    law = laws.get("transfer").fit(last.select(np.arange(12)))
    benchmark.pedantic(lambda: propose(4, law=law, floors=0.01), rounds=3)
