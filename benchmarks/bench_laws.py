"""How well the laws predict mixtures that they were not fitted to, on public runs beside the checkout.

Learning curves: k mixtures of the 7 domains of SlimPajama (122M and 310M parameters, Shukor et al., arXiv 2507.09404),
the last checkpoint of each, predict that of all others; the mixtures are `default_rng(draw).permutation(n)[:k]`, so
that laws are compared draw by draw. Cross-validation: all checkpoints, five folds over mixtures. RegMix (arXiv
2407.01492): k of 512 runs of 1M parameters predict 256 other mixtures at 1M, and rank them at 60M; 45 % of the weights
are 0, which BiMix has no value for. "mean" predicts the mean of the runs it has seen.

MRE is |L - predicted| / L in percent over mixtures and domains; Spearman's correlation is of the mean loss of the
trained domains over mixtures (SlimPajama), or the mean over domains of each one's (RegMix). Errors are standard errors
over draws; differences to the default law are over the draws in which both have a fit. "covered" is the share of the
unseen losses inside their interval of 90 %.

Two sizes: the last checkpoint of all mixtures of 122M and of k of 310M predict the other mixtures of 310M. Ahead: the
checkpoints up to 12 billion tokens predict the last, at 20 billion.

Regret is the mean loss of the mixture that a law calls best of all 60, in percent above that of the best. "noise" is
added to the losses that the law sees, as small proxies have it; "best seen" takes the best of the k runs.
"""

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from mixlaw import RunTable, laws
from mixlaw.errors import FitError, InputError
from mixlaw.fitted import FittedLaw

Array = npt.NDArray[np.float64]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FEW, MANY = (3, 6, 8, 10, 12, 16), (24, 48)
DRAWS = {True: 100, False: 30}  # by whether k is small
SLOW, SLOW_DRAWS = "trees", 20
REGMIX = (32, 128, 512)
CHOICE, CHOICE_DRAWS, NOISE = (6, 9, 12, 24), 40, (0.0, 0.01)
DEFAULT = laws.default().name
LAWS = (DEFAULT, "transfer", "bimix", "exponential", "additive", "linear", "trees")
CURVES = (DEFAULT, "transfer", "bimix", "exponential", "additive", "joint")  # laws of the length of training
SIZES = (DEFAULT, "transfer", "exponential", "additive", "joint")  # laws of the model size
CHOOSING = (DEFAULT, "transfer", "bimix", "additive")


def dmsl(size: float) -> RunTable:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # six rows have blanks
        runs = RunTable.read(
            SHARED / "dmsl" / "slimpajama_122m_310m.csv", columns={"openhermes_loss": None}, missing="drop"
        )
    return runs.select(runs.params == size)


def predict(name: str, train: RunTable, test: RunTable) -> Array:
    if name == "mean":
        return np.broadcast_to(train.losses.mean(axis=0), test.losses.shape)
    return laws.get(name).fit(train).predict(test.proportions, at=test.tokens)


def error(predicted: Array, losses: Array) -> float:
    return float(100.0 * np.abs(predicted / losses - 1.0).mean())


def rank(predicted: Array, losses: Array) -> float:
    if np.ptp(predicted) == 0.0:
        return math.nan
    return float(spearmanr(predicted, losses)[0])


def mean_and_error(values: Array) -> tuple[float, float]:
    """Mean and its standard error, over the draws that have a value."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return float(values.mean()) if len(values) else math.nan, math.nan
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def covered(law: FittedLaw, test: RunTable) -> float:
    try:
        low, high = law.interval(test.proportions, at=test.tokens)
    except InputError:  # no standard errors
        return math.nan
    return float(np.mean((low <= test.losses) & (test.losses <= high)))


def learning_curve(size: float) -> Iterator[dict[str, Any]]:
    last = dmsl(size).final()
    for k in (*FEW, *MANY):
        measured: dict[str, Array] = {}
        for name in (*LAWS, "mean"):
            found, seconds = [], 0.0
            for draw in range(SLOW_DRAWS if name == SLOW else DRAWS[k in FEW]):
                order = np.random.default_rng(draw).permutation(len(last))
                train, test = last.select(order[:k]), last.select(order[k:])
                start = time.perf_counter()
                try:
                    law = None if name == "mean" else laws.get(name).fit(train)
                except FitError:  # a domain of which all k runs have the same share
                    found.append((math.nan,) * 3)
                    continue
                predicted = (
                    predict("mean", train, test) if law is None else law.predict(test.proportions, at=test.tokens)
                )
                seconds += time.perf_counter() - start
                inside = math.nan if law is None else covered(law, test)
                found.append(
                    (error(predicted, test.losses), rank(predicted.mean(axis=1), test.losses.mean(axis=1)), inside)
                )
            values = measured[name] = np.array(found)
            (mre, mre_se), (rho, rho_se), (inside, _) = (mean_and_error(column) for column in values.T)
            differences = values[:, :2] - measured[DEFAULT][: len(values), :2]
            (more, more_se), (lower, lower_se) = (mean_and_error(column) for column in differences.T)
            yield {
                "data": f"SlimPajama {size / 1e6:.0f}M, last checkpoint",
                "runs": k,
                "law": name,
                "draws": int(np.isfinite(values[:, 0]).sum()),
                "MRE_%": mre,
                "MRE_se": mre_se,
                "Spearman": rho,
                "Spearman_se": rho_se,
                "MRE_minus_default": more,
                "MRE_minus_default_se": more_se,
                "Spearman_minus_default": lower,
                "Spearman_minus_default_se": lower_se,
                "covered_%": 100.0 * inside,
                "R2_log": "",
                "regret_%": "",
                "regret_se": "",
                "seconds_a_fit": seconds / len(found),
            }


def two_sizes() -> Iterator[dict[str, Any]]:
    small, large = dmsl(122e6).final(), dmsl(310e6).final()
    for k in (4, 8):
        for name in SIZES:
            for what in ("alone", "with 122M"):
                found = []
                for draw in range(20):
                    order = np.random.default_rng(draw).permutation(len(large))
                    train, test = large.select(order[:k]), large.select(order[k:])
                    runs = train if what == "alone" else RunTable.concat([small, train])
                    predicted = laws.get(name).fit(runs).predict(test.proportions, at=test.tokens, params=310e6)
                    found.append(
                        (error(predicted, test.losses), rank(predicted.mean(axis=1), test.losses.mean(axis=1)))
                    )
                (mre, mre_se), (rho, rho_se) = (mean_and_error(column) for column in np.array(found).T)
                yield {
                    "data": f"SlimPajama 310M {what}",
                    "runs": k,
                    "law": name,
                    "draws": len(found),
                    "MRE_%": mre,
                    "MRE_se": mre_se,
                    "Spearman": rho,
                    "Spearman_se": rho_se,
                }


def ahead(size: float) -> Iterator[dict[str, Any]]:
    runs = dmsl(size)
    early, last = runs.select(runs.tokens < 12.5e9), runs.final()
    for name in CURVES:
        predicted = laws.get(name).fit(early).predict(last.proportions, at=last.tokens)
        yield {
            "data": f"SlimPajama {size / 1e6:.0f}M, 12 to 20 billion tokens",
            "runs": len(last),
            "law": name,
            "MRE_%": error(predicted, last.losses),
            "Spearman": rank(predicted.mean(axis=1), last.losses.mean(axis=1)),
        }


def choice(size: float) -> Iterator[dict[str, Any]]:
    """What the mixture costs that a law calls best, among all there are, above the one that is best."""
    last = dmsl(size).final()
    truth = last.losses.mean(axis=1)
    for noise in NOISE:
        for k in CHOICE:
            regret: dict[str, list[float]] = {name: [] for name in (*CHOOSING, "best seen")}
            for draw in range(CHOICE_DRAWS):
                rng = np.random.default_rng(draw)
                seen = rng.permutation(len(last))[:k]
                # Half of the variance is common to the domains of a run.
                deviations = rng.normal(size=(k, 1)) + rng.normal(size=(k, last.losses.shape[1]))
                train = with_losses(last.select(seen), last.losses[seen] * np.exp(noise * deviations))
                scores = {"best seen": np.full(len(last), math.inf)}
                scores["best seen"][seen] = train.losses.mean(axis=1)
                try:
                    scores |= {name: predict(name, train, last).mean(axis=1) for name in CHOOSING}
                except FitError:
                    continue
                for name, found in regret.items():
                    found.append(100.0 * (truth[scores[name].argmin()] / truth.min() - 1.0))
            for name, found in regret.items():
                mean, standard_error = mean_and_error(np.array(found))
                yield {
                    "data": f"SlimPajama {size / 1e6:.0f}M, noise of {noise:.0%}"
                    if noise
                    else f"SlimPajama {size / 1e6:.0f}M",
                    "runs": k,
                    "law": name,
                    "draws": len(found),
                    "regret_%": mean,
                    "regret_se": standard_error,
                }


def with_losses(runs: RunTable, losses: Array) -> RunTable:
    return RunTable.from_arrays(
        runs.proportions,
        losses,
        train_domains=runs.train_domains,
        eval_domains=runs.eval_domains,
        tokens=runs.tokens,
        run=runs.run,
    )


def cross_validation(size: float) -> Iterator[dict[str, Any]]:
    runs = dmsl(size)
    names = np.array(runs.runs)
    fold = np.random.default_rng(0).permutation(len(names)) % 5
    for name in CURVES:
        predicted, inside = np.empty_like(runs.losses), []
        start = time.perf_counter()
        for k in range(5):
            out = np.isin(runs.run, names[fold == k])
            law = laws.get(name).fit(runs.select(~out))
            predicted[out] = law.predict(runs.proportions[out], at=runs.tokens[out])
            inside.append(covered(law, runs.select(out)))
        seconds = (time.perf_counter() - start) / 5
        logs, found = np.log(runs.losses), np.log(predicted)
        rest = ((logs - found) ** 2).sum(axis=0) / ((logs - logs.mean(axis=0)) ** 2).sum(axis=0)
        yield {
            "data": f"SlimPajama {size / 1e6:.0f}M, all checkpoints, 5 folds",
            "runs": int(np.count_nonzero(fold)),
            "law": name,
            "MRE_%": error(predicted, runs.losses),
            "R2_log": 1.0 - float(rest.mean()),
            "covered_%": 100.0 * float(np.mean(inside)),
            "seconds_a_fit": seconds,
        }


def regmix_table(part: str, size: str) -> RunTable:
    files = [SHARED / "regmix" / f"{part}_{what}_{size}.csv" for what in ("mixture", "pile_loss")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights are rounded
        table = RunTable.read(files[0], metrics=files[1])
    # The files give no length of training: all runs have the same.
    return RunTable.from_arrays(
        table.proportions,
        table.losses,
        train_domains=table.train_domains,
        eval_domains=table.eval_domains,
        tokens=1e9,
        run=table.run,
    )


def regmix() -> Iterator[dict[str, Any]]:
    train = regmix_table("train", "1m")
    tests = [regmix_table("test", size) for size in ("1m", "60m")]
    for k, name in itertools.product(REGMIX, (DEFAULT, "transfer", "additive", "exponential", "linear", "trees")):
        draws = 1 if k == len(train) else 3 if name == SLOW else 10
        found, seconds = [], 0.0
        for draw in range(draws):
            start = time.perf_counter()
            law = laws.get(name).fit(train.select(np.random.default_rng(draw).permutation(len(train))[:k]))
            seconds += time.perf_counter() - start
            predicted = [law.predict(test.proportions, at=1e9) for test in tests]
            ranks = [
                np.mean([rank(p[:, i], test.losses[:, i]) for i in range(len(test.eval_domains))])
                for p, test in zip(predicted, tests, strict=True)
            ]
            found.append((error(predicted[0], tests[0].losses), *ranks))
        mre, *ranks = (mean_and_error(column) for column in np.array(found).T)
        for size, (rho, rho_se) in zip(("1M", "60M"), ranks, strict=True):
            yield {
                "data": f"RegMix, 1M to {size}",
                "runs": k,
                "law": name,
                "draws": draws,
                "MRE_%": mre[0] if size == "1M" else "",
                "MRE_se": mre[1] if size == "1M" else "",
                "Spearman": rho,
                "Spearman_se": rho_se,
                "seconds_a_fit": seconds / draws,
            }


def test_laws(benchmark: Any, record: Callable[..., None]) -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared/data is absent")
    parts = (learning_curve, choice, cross_validation, ahead)
    rows = [row for size in (310e6, 122e6) for part in parts for row in part(size)]
    rows += [*two_sizes(), *regmix()]
    # Correctness: nothing that was measured is missing, and no law is worse than the mean of what it has seen.
    by = {(row["data"], row["runs"], row["law"]): row for row in rows}
    for (data, k, name), row in by.items():
        assert math.isfinite(row.get("MRE_%") or row.get("regret_%") or 0.0), (data, k, name)
        if name == DEFAULT and (data, k, "mean") in by:
            assert row["MRE_%"] < by[data, k, "mean"]["MRE_%"]
    columns = list(rows[0])
    record([{column: row.get(column, "") for column in columns} for row in rows], ["numpy", "scipy", "lightgbm"])
    benchmark.pedantic(lambda: laws.default().fit(dmsl(122e6)), rounds=1)
