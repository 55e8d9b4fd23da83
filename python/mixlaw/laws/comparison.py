"""`Comparison`: how well each law predicts what it has not seen, and which one to use."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from mixlaw.files import write_json
from mixlaw.fitted import Axis
from mixlaw.laws.more_runs import MoreRuns
from mixlaw.laws.scoring import MEASURES, Score, Scores
from mixlaw.layout import aligned

SCHEMA = "mixlaw.comparison/1"
MEASURED = ("MRE %", "R2 (log)", "Pearson", "Spearman")
HEADER = ("law", MEASURED[0], "behind best", *MEASURED[1:])


@dataclass(frozen=True)
class Result:
    """One law, or one baseline, in one table.

    Attributes
    ----------
    law
        Its name.
    scores
        Agreement with held-out runs; None if the law predicts none of them.
    behind
        Its error minus that of the best row, mean over mixtures (learning curve: over draws), and the standard error
        of that mean; None if it has no scores, or those of one draw.
    count
        Of how many mixtures (learning curve: draws) there are predictions.
    reason
        Why there are fewer than all; empty if there are not.
    """

    law: str
    scores: Scores | None
    behind: tuple[float, float] | None
    count: int
    reason: str


@dataclass(frozen=True)
class Table:
    """All laws on the same held-out runs.

    Attributes
    ----------
    mixtures
        Mixtures in each fit.
    results
        One a law, and the baseline last.
    """

    mixtures: int
    results: tuple[Result, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `mixlaw.compare` finds; every score is of the last checkpoint of runs.

    Attributes
    ----------
    runs, mixtures
        How many there are.
    fingerprint
        `RunTable.fingerprint` of the runs.
    x
        Unit of the length of training.
    final
        Laws that refuse several checkpoints: they are fitted to the last of each run, and do not extrapolate.
    weights
        Evaluation domain -> its weight in the objective and in the error; they sum to 1.
    folds, draws, seed
        Folds of the cross-validation, draws of each point of the learning curve, and the seed of both.
    cross_validation
        Held-out mixtures; the baseline is the mean of the runs that are fitted.
    extrapolation
        The last checkpoint from the earlier ones; the baseline is the loss of the checkpoint before. None if the
        earlier ones are fewer than three.
    learning_curve
        Fits to fewer mixtures, from few to many; the baseline is the mean of the runs that are fitted.
    law
        The law to use; None if none is to be trusted.
    verdict
        Why, in a sentence.
    more
        What further runs would change under that law; None if there is none or it has no intervals.
    """

    runs: int
    mixtures: int
    fingerprint: str
    x: Axis
    final: tuple[str, ...]
    weights: Mapping[str, float]
    folds: int
    draws: int
    seed: int
    cross_validation: Table
    extrapolation: Table | None
    learning_curve: tuple[Table, ...]
    law: str | None
    verdict: str
    more: MoreRuns | None

    def to_text(self) -> str:
        """Lay the comparison out as text for people."""
        final = f"\nFitted to the last checkpoints alone: {', '.join(self.final)}." if self.final else ""
        parts = [
            f"{self.runs} runs of {self.mixtures} mixtures; every figure is of the last checkpoint of runs. MRE is the "
            f"mean relative error.\n{_objective(self.weights)}{final}",
            f"Unseen mixtures: {self.folds} folds of the cross-validation, about {self.cross_validation.mixtures} "
            f"mixtures in each fit\n{self._scores(self.cross_validation)}",
        ]
        if self.law is not None:
            parts.append(f"{self.law} by domain, in the cross-validation\n{self._by_domain(self.law)}")
        if self.extrapolation is None:
            parts.append("The last checkpoint from the earlier ones: these are fewer than three.")
        else:
            parts.append(f"The last checkpoint from the earlier ones\n{self._scores(self.extrapolation)}")
        if self.learning_curve:
            parts.append(
                f"Learning curve: MRE % by the number of mixtures, mean of {self.draws} draws (behind the best)\n"
                f"{self._curve(self._error)}"
            )
        if any(_rank(one) != "-" for table in self.learning_curve for one in table.results):
            parts.append(f"Learning curve: Spearman correlation of the objective\n{self._curve(_rank)}")
        if self.more is not None:
            parts.append(self.more.to_text())
        if reasons := "\n".join(self._reasons()):
            parts.append(f"Without predictions\n{reasons}")
        return "\n\n".join([*parts, self.verdict])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.to_text())}</pre>"

    def content(self) -> dict[str, Any]:
        """Give everything that `write` writes, ready for JSON."""
        return asdict(self)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the comparison as JSON, atomically."""
        write_json(path, SCHEMA, self.content())

    def _scores(self, table: Table) -> str:
        head = (*HEADER, f"objective: {MEASURED[0]}", *MEASURED[1:])
        rows = [
            (one.law, *_error_cells(one), *self._means(one.scores), *_cells(one.scores.objective))
            for one in table.results
            if one.scores is not None
        ]
        return aligned([head, *rows])

    def _by_domain(self, law: str) -> str:
        scores = next(one.scores for one in self.cross_validation.results if one.law == law)
        assert scores is not None  # a law without scores is never named
        return aligned([("domain", *MEASURED), *((domain, *_cells(one)) for domain, one in scores.domains.items())])

    def _means(self, scores: Scores) -> list[str]:
        """Means over domains, by weight, of R2 and the correlations."""
        used = {domain: weight for domain, weight in self.weights.items() if weight > 0.0}
        cells = []
        for name in MEASURES[1:]:
            values = [getattr(scores.domains[domain], name) for domain in used]
            weighted = [
                weight * value for weight, value in zip(used.values(), values, strict=True) if value is not None
            ]
            cells.append(_cell(sum(weighted) if len(weighted) == len(values) else None))
        return cells

    def _curve(self, cell: Callable[[Result], str]) -> str:
        rows = [
            (row[0].law, *map(cell, row)) for row in zip(*(one.results for one in self.learning_curve), strict=True)
        ]
        return aligned([("mixtures", *(f"{one.mixtures}" for one in self.learning_curve)), *rows])

    def _error(self, one: Result) -> str:
        error, behind = _error_cells(one)
        notes = [behind] if behind != "-" else []
        if 0 < one.count < self.draws:
            notes.append(f"{one.count} of {self.draws}")
        return f"{error} ({', '.join(notes)})" if notes else error

    def _reasons(self) -> Iterator[str]:
        """Why laws are absent from tables: the first reason of each law."""
        told = set()
        for table in (self.cross_validation, self.extrapolation, *self.learning_curve):
            for one in table.results if table is not None else ():
                if table is not None and one.reason and one.law not in told:
                    told.add(one.law)
                    yield f"{one.law}, fitted to {table.mixtures} mixtures: {one.reason}"


def _objective(weights: Mapping[str, float]) -> str:
    if len(set(weights.values())) == 1:
        return f"The objective is the mean loss of all {len(weights)} evaluation domains."
    return "The objective is " + " + ".join(f"{weight:.4g} {domain}" for domain, weight in weights.items() if weight)


def _error_cells(one: Result) -> tuple[str, str]:
    if one.scores is None or one.behind is None:
        return "-", "-"
    mean, standard_error = one.behind
    behind = "-" if mean == 0.0 else f"{100.0 * mean:+.3f} ± {100.0 * standard_error:.3f}"
    return f"{100.0 * one.scores.error:.3f}", behind


def _rank(one: Result) -> str:
    return "-" if one.scores is None else _cell(one.scores.objective.spearman)


def _cells(score: Score) -> tuple[str, ...]:
    error = score.mean_relative_error
    return ("-" if error is None else f"{100.0 * error:.3f}", *map(_cell, (score.r2, score.pearson, score.spearman)))


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
