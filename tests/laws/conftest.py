"""Proxy runs whose law is known, public runs, and how well laws predict those."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from mixlaw import RunTable
from mixlaw.laws import Law

Array = npt.NDArray[np.float64]


class FiveFolds(NamedTuple):
    """Agreement of predictions of every checkpoint of runs with their losses: mean over domains and rows."""

    error: float
    r2: float
    inside: float


class Curve(NamedTuple):
    """Means over draws of k mixtures: error in percent, and rank correlation of the mean loss."""

    error: float
    rank: float


@pytest.fixture
def slimpajama(shared_data: Path) -> Callable[[float | None], RunTable]:
    """Public runs on 7 domains, of models of 122M and 310M parameters or of one of these."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # six rows have blanks
        runs = RunTable.read(
            shared_data / "dmsl" / "slimpajama_122m_310m.csv", columns={"openhermes_loss": None}, missing="drop"
        )
    return lambda size=None: runs if size is None else runs.select(runs.params == size)


@pytest.fixture
def regmix(shared_data: Path) -> Callable[[str], RunTable]:
    """Public runs of 1M parameters on 17 domains, part "train" or "test"; 45 % of the weights are 0."""

    def read(part: str) -> RunTable:
        files = [shared_data / "regmix" / f"{part}_{what}_1m.csv" for what in ("mixture", "pile_loss")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # weights are rounded
            table = RunTable.read(files[0], metrics=files[1])
        return RunTable.from_arrays(
            table.proportions,
            table.losses,
            train_domains=table.train_domains,
            eval_domains=table.eval_domains,
            tokens=1e9,
            run=table.run,
        )

    return read


@pytest.fixture
def five_folds() -> Callable[[Law, RunTable], FiveFolds]:
    """Predict each mixture of some runs once, from the other four fifths."""

    def measure(law: Law, runs: RunTable) -> FiveFolds:
        names = np.array(runs.runs)
        fold = np.random.default_rng(0).permutation(len(names)) % 5
        predicted, inside = np.empty_like(runs.losses), np.empty(runs.losses.shape, dtype=bool)
        for k in range(5):
            out = np.isin(runs.run, names[fold == k])
            fitted = law.fit(runs.select(~out))
            predicted[out] = fitted.predict(runs.proportions[out], at=runs.tokens[out])
            low, high = fitted.interval(runs.proportions[out], at=runs.tokens[out])
            inside[out] = (low <= runs.losses[out]) & (runs.losses[out] <= high)
        logs, rest = np.log(runs.losses), np.log(predicted / runs.losses)
        share = (rest**2).sum(axis=0) / ((logs - logs.mean(axis=0)) ** 2).sum(axis=0)
        return FiveFolds(
            100.0 * float(np.abs(predicted / runs.losses - 1.0).mean()), 1.0 - float(share.mean()), float(inside.mean())
        )

    return measure


@pytest.fixture
def few_runs() -> Callable[[Law, RunTable, int], Curve]:
    """Predict the last checkpoint of all mixtures from that of k, ten draws of these."""

    def measure(law: Law, runs: RunTable, k: int) -> Curve:
        last, found = runs.final(), []
        for draw in range(10):
            order = np.random.default_rng(draw).permutation(len(last))
            test = last.select(order[k:])
            predicted = law.fit(last.select(order[:k])).predict(test.proportions, at=test.tokens)
            rho = spearmanr(predicted.mean(axis=1), test.losses.mean(axis=1))[0]
            found.append((100.0 * np.abs(predicted / test.losses - 1.0).mean(), rho))
        return Curve(*np.mean(found, axis=0).tolist())

    return measure


class Planted(NamedTuple):
    """Coefficients that made the losses, each of shape (m,), and the runs."""

    coefficients: dict[str, Array]
    runs: RunTable


@pytest.fixture(scope="session")
def plant() -> Callable[..., Planted]:
    """Make runs that obey BiMix, times lognormal noise of the run (`run_sd`) and of the checkpoint (`row_sd`)."""

    def make(
        *,
        mixtures: int = 8,
        x: Sequence[float] = (1e9, 2e9, 4e9, 8e9, 1.6e10),
        domains: Sequence[str] = ("web", "code", "books"),
        run_sd: float = 0.0,
        row_sd: float = 0.0,
        seed: int = 0,
        **columns: object,
    ) -> Planted:
        rng = np.random.default_rng(seed)
        m, k = len(domains), len(x)
        planted = {
            "alpha": 10.0 ** rng.uniform(-1.7, -0.6, m),
            "beta": rng.uniform(0.3, 1.0, m),
            "C": rng.uniform(1.0, 3.0, m),
        }
        planted["B"] = rng.uniform(0.5, 2.0, m) * x[0] ** planted["beta"]
        shares = np.maximum(rng.dirichlet(np.full(m, 1.5), mixtures), 0.01)
        r = np.repeat(shares / shares.sum(axis=1, keepdims=True), k, axis=0)
        s = np.tile(np.asarray(x, dtype=np.float64), mixtures)
        losses = r ** -planted["alpha"] * (planted["B"] * s[:, None] ** -planted["beta"] + planted["C"])
        losses *= np.exp(run_sd * np.repeat(rng.normal(size=(mixtures, m)), k, axis=0))
        losses *= np.exp(row_sd * rng.normal(size=losses.shape))
        run = [f"r{number}" for number in np.repeat(np.arange(mixtures), k)]
        table = {"tokens": s, "run": run, **columns}
        return Planted(planted, RunTable.from_arrays(r, losses, train_domains=domains, eval_domains=domains, **table))

    return make
