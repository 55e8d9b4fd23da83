"""`Trial`: laws fitted to some runs and scored on others.

symbol  meaning                                         shape  unit
n       rows                                            -      -
e       evaluation domains                              -      -
G       mixtures; runs of one mixture are never parted  -      -

Every prediction that is scored is of the last checkpoint of a run. Checkpoints within 1 % of each other count as one.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError, MixlawError
from mixlaw.fitted import Array, Axis, FittedLaw
from mixlaw.laws import get
from mixlaw.laws.checks import SAME_CHECKPOINT, checkpoints, mixture_numbers
from mixlaw.laws.comparison import Result, Table
from mixlaw.laws.scoring import Scores, average, run_errors, score
from mixlaw.runs import RunTable

Rows = npt.NDArray[np.intp]

MEAN, PREVIOUS = "mean of the runs", "previous checkpoint"
# Fewest mixtures that can be compared, and fewest that a point of the learning curve is fitted to.
FEWEST = 3


class Trial:
    """Laws fitted to some rows of a run table, and what they say of the last rows of others.

    Attributes
    ----------
    group
        Number of each row's mixture, shape (n,).
    last
        The last row of every run.
    earlier
        Rows that are not the last checkpoint of their run, nor within 1 % of it.
    fitted, refused
        What the laws say when fitted to all runs, or why they refuse them.
    final
        Laws that refuse several checkpoints, and are fitted to the last alone.
    """

    def __init__(
        self, runs: RunTable, laws: Sequence[str], x: Axis, w: Array, seed: int, count_fit: Callable[[], object]
    ) -> None:
        self.runs, self.laws, self.x, self.w, self.seed, self.count_fit = runs, laws, x, w, seed, count_fit
        s = runs.x(x)
        mixtures, self.group = mixture_numbers(runs)
        self.mixtures = len(mixtures)
        if self.mixtures < FEWEST:
            raise InputError(f"compare holds out mixtures and needs at least {FEWEST}; the runs have {self.mixtures}")
        _, run = np.unique(runs.run, return_inverse=True)
        end = np.zeros(run.max() + 1)
        np.maximum.at(end, run, s)
        self.last = np.flatnonzero(s == end[run])
        self.earlier = np.flatnonzero(s * SAME_CHECKPOINT < end[run])
        # What is left has to identify a law of the length of training, which takes three checkpoints.
        self.extrapolates = len(checkpoints(s[self.earlier])) >= 3
        self.final: set[str] = set()
        self.refused: dict[str, str] = {}
        self.fitted: dict[str, FittedLaw] = {}
        for name in laws:
            self.fit_all(name)

    def fit_all(self, name: str) -> None:
        """Fit a law to all runs; to their last checkpoints if it refuses the others; or record why it refuses these."""
        try:
            self.fitted[name] = self.fit(name, self.runs)
        except MixlawError as error:
            self.final.add(name)
            try:
                self.fitted[name] = self.fit(name, self.runs)
            except MixlawError:
                self.final.remove(name)
                self.refused[name] = str(error)
        self.count_fit()

    def fit(self, name: str, runs: RunTable) -> FittedLaw:
        """Fit a law to some runs."""
        return get(name).fit(runs.final(self.x) if name in self.final else runs, x=self.x, seed=self.seed)

    def cross_validation(self, folds: int) -> tuple[Table, dict[str, Array]]:
        """Table of held-out mixtures, and the error of each law on each mixture."""
        fold = (np.random.default_rng(self.seed).permutation(self.mixtures) % folds)[self.group]
        predicted: dict[str, list[Array]] = {}
        reasons = dict(self.refused)
        tests = [self.last[fold[self.last] == k] for k in range(folds)]
        for k, test in enumerate(tests):
            train = np.flatnonzero(fold != k)
            found, failed = self.predict(train, test, skip=reasons)
            reasons |= failed
            found[MEAN] = mean_of_runs(self.runs, train, test, self.x)
            for name, losses in found.items():
                predicted.setdefault(name, []).append(losses)
        test = np.concatenate(tests)
        whole = {name: np.concatenate(parts) for name, parts in predicted.items() if name not in reasons}
        errors = {name: self.errors(test, losses) for name, losses in whole.items()}
        scores = {name: self.score(test, losses) for name, losses in whole.items()}
        return _table(self.mixtures - self.mixtures // folds, (*self.laws, MEAN), errors, scores, reasons), errors

    def extrapolation(self) -> Table:
        """Table of last checkpoints, from fits to the earlier ones."""
        train = self.earlier
        test = self.last[np.isin(self.runs.run[self.last], self.runs.run[train])]
        found, reasons = self.predict(train, test, skip=self.final)
        before = self.runs.select(train).final(self.x)
        row = {name: number for number, name in enumerate(before.run.tolist())}
        found[PREVIOUS] = before.losses[[row[name] for name in self.runs.run[test].tolist()]]
        errors = {name: self.errors(test, losses) for name, losses in found.items()}
        scores = {name: self.score(test, losses) for name, losses in found.items()}
        order = [name for name in self.laws if name not in self.final]
        return _table(self.mixtures, [*order, PREVIOUS], errors, scores, reasons)

    def learning(self, k: int, draws: int) -> Table:
        """Table of mixtures that are held out of fits to k others."""
        order = (*self.laws, MEAN)
        errors = {name: np.full(draws, np.nan) for name in order}
        scores: dict[str, list[Scores]] = {name: [] for name in order}
        reasons: dict[str, str] = {}
        for draw in range(draws):
            mixtures = np.random.default_rng([self.seed, draw]).permutation(self.mixtures)[:k]
            seen = np.isin(self.group, mixtures)
            train, test = np.flatnonzero(seen), self.last[~seen[self.last]]
            found, failed = self.predict(train, test)
            reasons |= failed
            found[MEAN] = mean_of_runs(self.runs, train, test, self.x)
            for name, losses in found.items():
                errors[name][draw] = self.errors(test, losses).mean()
                scores[name].append(self.score(test, losses))
        means = {name: average(each) for name, each in scores.items() if each}
        return _table(k, order, {name: errors[name] for name in means}, means, reasons)

    def predict(self, train: Rows, test: Rows, skip: Collection[str] = ()) -> tuple[dict[str, Array], dict[str, str]]:
        """Fit laws to rows and predict others: losses of shape (rows, e), or why there are none."""
        fitted_to, asked = self.runs.select(train), self.runs.select(test)
        found, reasons = {}, dict(self.refused)
        for name in self.laws:
            if name not in skip and name not in self.refused:
                try:
                    found[name] = self.losses(name, fitted_to, asked)
                except MixlawError as error:
                    reasons[name] = str(error)
            self.count_fit()
        return found, reasons

    def losses(self, name: str, train: RunTable, test: RunTable) -> Array:
        """Predicted losses of one law; `InputError` where one that counts is not finite."""
        law = self.fit(name, train)
        losses = np.empty_like(test.losses)
        for size in np.unique(test.params):
            here = np.isnan(test.params) if np.isnan(size) else test.params == size
            params = None if np.isnan(size) else float(size)
            losses[here] = law.predict(test.proportions[here], at=test.x(self.x)[here], params=params)
        infinite = ~np.isfinite(losses[:, self.w > 0.0]).all(axis=1)
        if infinite.any():
            raise InputError(
                f"no finite prediction for {np.count_nonzero(infinite)} of {len(test)} held-out runs, "
                f"{str(test.run[np.argmax(infinite)])!r} among them"
            )
        return losses

    def errors(self, test: Rows, losses: Array) -> Array:
        """Mean error of the runs of each mixture among some rows."""
        _, mixture, count = np.unique(self.group[test], return_inverse=True, return_counts=True)
        return np.bincount(mixture, run_errors(self.runs.losses[test], losses, self.w)) / count

    def score(self, test: Rows, losses: Array) -> Scores:
        """Agreement with the losses of some rows."""
        return score(self.runs.eval_domains, self.runs.losses[test], losses, self.w, self.runs.params[test])


def mean_of_runs(runs: RunTable, train: Rows, test: Rows, x: Axis) -> Array:
    """Mean loss of the training runs of a test row's size, each at its checkpoint nearest to the row's x.

    Of all training runs where none has that size. Shape (test rows, e).
    """
    s, size = runs.x(x), np.nan_to_num(runs.params)
    _, run = np.unique(runs.run, return_inverse=True)
    questions, asked = np.unique(np.column_stack([size, s])[test], axis=0, return_inverse=True)
    means = []
    for its_size, its_s in questions:
        rows = train[size[train] == its_size] if (size[train] == its_size).any() else train
        nearest = rows[np.lexsort((np.abs(s[rows] - its_s), run[rows]))]
        _, first = np.unique(run[nearest], return_index=True)
        means.append(runs.losses[nearest[first]].mean(axis=0))
    return np.array(means)[asked]


def mean_and_error(values: Array) -> tuple[float, float]:
    """Mean of values of shape (n,), n > 1, and the standard error of it."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _table(
    mixtures: int,
    order: Sequence[str],
    errors: Mapping[str, Array],
    scores: Mapping[str, Scores],
    reasons: Mapping[str, str],
) -> Table:
    """Put rows into order, each beside the best: the lowest mean error among those with the fewest NaN."""
    best = min(errors, key=lambda name: (np.isnan(errors[name]).sum(), np.nanmean(errors[name])))
    results = []
    for name in order:
        behind, count = None, 0
        if name in errors:
            difference = errors[name] - errors[best]
            common = difference[~np.isnan(difference)]
            behind = mean_and_error(common) if len(common) > 1 else None
            count = int(np.count_nonzero(~np.isnan(errors[name])))
        results.append(Result(name, scores.get(name), behind, count, reasons.get(name, "")))
    return Table(mixtures, tuple(results))
