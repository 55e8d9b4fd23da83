"""The exponential law (Ye et al., Data Mixing Laws, arXiv 2403.16952), nested in laws of steps and of model size.

    L_i(r) = c_i + k_i exp(sum_j t_ij r_j),    c_i, k_i > 0,    sum_j t_ij = 0

symbol   meaning                                                                  shape   unit
n        runs                                                                     -       -
m, e     training and evaluation domains                                          -       -
r        proportions                                                              (n, m)  share of training tokens
s, N     length of training, and model size                                       -       tokens or steps; parameters
L        validation losses                                                        (n, e)  nats per token
c        the part of the loss that no mixture changes                             (e,)    nats per token
k        the rest of it where all proportions are equal                           (e,)    nats per token
t        how fast a domain's proportion changes the rest; below 0 it lowers it    (e, m)  -

As proportions sum to 1, k only adds a constant to all t of a row: the condition on their sum settles it. That is m + 2
numbers a domain, m + 1 of which the runs can determine.

The law says nothing of proportions that sum to less than 1; of effective ones, see `EffectiveProportions`, what is
missing counts as tokens of the domain that lowers the loss least.

The law holds at one length of training and one model size. Between these it is nested, as in the paper:

1. Step law: the losses of every run are E + B / s**beta, with an exponent that its evaluation domains share.
2. Size law: at a length, the losses of every mixture are E + A / N**alpha, with one exponent for all.
3. At the length and size that are asked about, the mixing law is fitted to what these two give for every run.

The coefficients are those at the longest length and the largest size of the runs; elsewhere the mixing law is fitted
when it is asked for (`mixlaw.laws.nested`). What a law says there moves with its coefficients: the change of log c,
log k and t is added.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mixlaw.errors import FitError, InputError
from mixlaw.fitted import Array, Axis, Coefficient, ExponentialTerms, FittedLaw, Proportions, Scale
from mixlaw.laws.checks import (
    check_length,
    checkpoints,
    facts,
    is_one_checkpoint,
    model_sizes,
    size_of,
    spearman_at_the_end,
    usable,
)
from mixlaw.laws.goodness import domain_fit
from mixlaw.laws.nested import FEWEST_POINTS, Mixing, Nested, fit_mixing, mixing, points
from mixlaw.laws.panel import Piece, prior_notes
from mixlaw.laws.power import Power, fit_power
from mixlaw.laws.robust import BEND, ROBUST_NOTE, reweighted
from mixlaw.mixture import EXACT
from mixlaw.runs import RunTable

# Published code has Huber's loss bend at 0.05 nats: about four standard deviations of a run of losses of 2 to 3 nats.
PUBLISHED_BEND = 4.0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedExponential(FittedLaw):
    """The exponential law with its coefficients; made by `Exponential.fit` or read by `mixlaw.laws.read`.

    `extra` has the step laws of the runs.
    """

    law: ClassVar[str] = "exponential"
    formula: ClassVar[str] = "L_i(r) = c_i + k_i exp(sum_j t_ij r_j), nested in laws of steps and of model size"

    def __post_init__(self) -> None:
        expected = ("c", "k", *_slopes(self.train_domains))
        for domain in self.eval_domains:
            if tuple(self.coefficients[domain]) != expected:
                raise InputError(
                    f"domain {domain!r}: exponential has the coefficients {', '.join(expected)}, "
                    f"not {', '.join(self.coefficients[domain])}"
                )
        self.nested  # noqa: B018 - to refuse what is no nest

    @staticmethod
    def scale(name: str) -> Scale:
        """See `FittedLaw.scale`."""
        return "log" if name in ("c", "k") else "real"

    def predict(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.predict`."""
        r, parts = self._parts(proportions, at, params)
        losses = np.empty((len(r), len(self.eval_domains)))
        for rows, terms in parts:
            losses[rows] = terms.constant + terms.falling(r[rows])
        return losses

    def gradient(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.gradient`."""
        r, parts = self._parts(proportions, at, params)
        gradient = np.empty((len(r), len(self.eval_domains), r.shape[1]))
        for rows, terms in parts:
            gradient[rows] = -terms.falling(r[rows])[:, :, None] * terms.rates
        return gradient

    def exponential_terms(self, *, at: float, params: float | None = None) -> ExponentialTerms | None:
        """See `FittedLaw.exponential_terms`: the exponential law has such terms."""
        _, [(_, terms)] = self._parts(np.full((1, len(self.train_domains)), 1.0 / len(self.train_domains)), at, params)
        return terms

    def _parts(
        self, proportions: Proportions, at: npt.ArrayLike, params: float | None
    ) -> tuple[Array, list[tuple[npt.NDArray[np.bool_], ExponentialTerms]]]:
        """Proportions; and by length, which of them are asked about there, and the terms of the law."""
        r = self.to_array(proportions)
        s = self.positions(at, len(r))
        size = size_of(self, params)
        check_length(self, s)
        log_c, slopes = self._values
        parts = []
        for length in np.unique(s).tolist():
            there = self.nested.at(length, size)
            c = np.exp(there.log_c + (log_c - self.nested.reference.log_c))
            moved = there.slopes + (slopes - self.nested.reference.slopes)
            parts.append((s == length, ExponentialTerms.of(c, moved)))
        return r, parts

    @property
    def _values(self) -> Mixing:
        """The coefficients as log c and log k + t."""
        c, k, *t = np.array([[one.value for one in self.coefficients[d].values()] for d in self.eval_domains]).T
        return Mixing(np.log(c), np.log(k)[:, None] + np.array(t).T)

    @cached_property
    def nested(self) -> Nested:
        """The step laws of the runs, and the mixing law at any length and size."""
        return Nested.read(self.extra, len(self.train_domains), len(self.eval_domains))

    def _moved(self, steps: Sequence[Array]) -> Self:
        moved = super()._moved(steps)
        vars(moved)["nested"] = self.nested  # what was fitted at other lengths is the same, and known there
        return moved


def _slopes(train_domains: Sequence[str]) -> list[str]:
    return [f"t/{domain}" for domain in train_domains]


class Exponential:
    """The exponential law, nested in laws of steps and of model size, fitted to log losses; see `Law`."""

    name: ClassVar[str] = FittedExponential.law
    fitted: ClassVar[type[FittedLaw]] = FittedExponential

    def fit(self, runs: RunTable, *, x: Axis = "tokens", seed: int = 0, robust: bool = False) -> FittedExponential:
        """See `Law.fit`; nothing is drawn, so `seed` changes nothing.

        With one checkpoint there is no step law, and the law predicts at that checkpoint alone. For a size that is not
        among those of the runs it needs mixtures that three sizes or more were trained on. Fewer runs than coefficients
        have a fit too, which the prior completes. Standard errors are those of the posterior (Laplace).

        Raises
        ------
        FitError
            If there are one mixture only, two checkpoints only, fewer than two mixtures with three checkpoints, or
            models of a known and of an unknown size.
        InputError
            If a row lacks `x`.
        """
        model_sizes(runs, self.name)
        used, notes = usable(runs, x, self.name)
        used, left_out = _with_step_laws(used, x)
        notes += left_out
        sizes = model_sizes(used, self.name)
        size = max(sizes, default=None)
        laws = _step_laws(used, x, robust)
        length = float(used.x(x).max())
        bend = BEND if robust else PUBLISHED_BEND
        pieces, log_l0 = fit_mixing(*points(laws.proportions, laws.sizes, laws.curves, length, size), bend)
        found = [_coefficients(piece, unit, runs.train_domains) for piece, unit in zip(pieces, log_l0, strict=True)]
        law = FittedExponential(
            **facts(runs, used, x, sizes),
            coefficients={domain: one for domain, (one, _) in zip(runs.eval_domains, found, strict=True)},
            covariance={domain: one for domain, (_, one) in zip(runs.eval_domains, found, strict=True)},
            quality={},
            spearman=None,
            notes=(
                *notes,
                *_notes(laws, length, x, size),
                *prior_notes(used, pieces),
                *([ROBUST_NOTE] if robust else []),
            ),
            extra=Nested(
                laws.proportions, laws.sizes, laws.curves, bend, length, size, mixing(pieces, log_l0)
            ).content(),
        )
        last = used.final(x)
        predicted = np.empty_like(last.losses)
        for own in sizes or (None,):
            rows = np.full(len(last), True) if own is None else last.params == own
            predicted[rows] = law.predict(last.proportions[rows], at=last.x(x)[rows], params=own)
        quality = {
            domain: domain_fit(last.losses[:, i], predicted[:, i], last.run, math.hypot(piece.deviation, laws.sd[i]))
            for i, (domain, piece) in enumerate(zip(runs.eval_domains, pieces, strict=True))
        }
        return replace(law, quality=quality, spearman=spearman_at_the_end(law, used))


def _with_step_laws(runs: RunTable, x: Axis) -> tuple[RunTable, list[str]]:
    """Leave out runs of which no step law follows, and model sizes with one mixture, of which no mixing law follows."""
    notes = []
    if not is_one_checkpoint(runs.x(x)):
        short = [run for run in runs.runs if len(checkpoints(runs.x(x)[runs.run == run])) < FEWEST_POINTS]
        if short:
            runs = _without(runs, np.isin(runs.run, short))
            notes.append(f"Runs of fewer than {FEWEST_POINTS} checkpoints are left out: {', '.join(short)}.")
    sizes, of_row = np.unique(runs.params, return_inverse=True)
    alone = [k for k in range(len(sizes)) if np.ptp(runs.proportions[of_row == k], axis=0).max() <= EXACT]
    if alone:
        runs = _without(runs, np.isin(of_row, alone))
        notes.append(f"Model sizes with one mixture only are left out: {', '.join(f'{sizes[k]:.6g}' for k in alone)}.")
    return runs, notes


def _without(runs: RunTable, rows: npt.NDArray[np.bool_]) -> RunTable:
    if rows.all():
        raise FitError(
            f"exponential needs two mixtures of one model size, each with {FEWEST_POINTS} checkpoints or all with one: "
            "add checkpoints or runs, or fit the last checkpoint alone with RunTable.final"
        )
    return runs.select(~rows)


class _StepLaws(NamedTuple):
    """Mixture, model size and step law of every run; and the standard deviation of checkpoints about it, (e,)."""

    proportions: Array
    sizes: Array
    curves: list[Power]
    sd: Array


def _step_laws(runs: RunTable, x: Axis, robust: bool) -> _StepLaws:
    last = runs.final(x)
    if is_one_checkpoint(runs.x(x)):
        curves = [Power(1.0, 1.0, losses, np.zeros_like(losses)) for losses in last.losses]
        return _StepLaws(last.proportions, last.params, curves, np.zeros(len(runs.eval_domains)))
    curves, squares = [], np.zeros(len(runs.eval_domains))
    for run in last.run:
        own = runs.run == run
        curve, squared = _step_law(runs.x(x)[own], runs.losses[own], robust)
        curves.append(curve)
        squares += squared.sum(axis=0)
    return _StepLaws(last.proportions, last.params, curves, np.sqrt(squares / (len(runs) - 2 * len(curves))))


def _step_law(s: Array, losses: Array, robust: bool) -> tuple[Power, Array]:
    """The step law of one run, and the weighted squares of the residuals of its log losses, shape (n, e)."""

    def fit(weights: Array) -> tuple[Power, Array]:
        curve = fit_power(s, losses, weights.reshape(losses.shape))
        return curve, np.log(losses / [curve.at(at) for at in s]).ravel()

    curve, residuals, weights = reweighted(fit, losses.size, robust)
    return curve, (weights * residuals**2).reshape(losses.shape)


def _coefficients(piece: Piece, log_l0: float, train_domains: Sequence[str]) -> tuple[dict[str, Coefficient], Array]:
    """Coefficients of one evaluation domain in true units, and their covariance."""
    names = ["c", "k", *_slopes(train_domains)]
    m = len(train_domains)
    # From theta to log c, log k and t.
    change = np.zeros((2 + m, 1 + m))
    change[0, 0], change[1, 1:], change[2:, 1:] = 1.0, 1.0 / m, np.eye(m) - 1.0 / m
    values = change @ piece.mode.theta
    values[:2] = np.exp(values[:2] + log_l0)
    change[:2] *= values[:2, None]
    covariance = change @ piece.covariance @ change.T
    named = zip(names, values.tolist(), np.sqrt(np.diag(covariance)).tolist(), strict=True)
    return {name: Coefficient(value, error) for name, value, error in named}, covariance


def _notes(laws: _StepLaws, length: float, x: Axis, size: float | None) -> list[str]:
    """At which point the coefficients stand, and how far the nested laws reach."""
    if size is None and not any(curve.B.any() for curve in laws.curves):
        return []
    at = f"{length:.6g} {x}" + ("" if size is None else f" and {size:.6g} parameters")
    return [
        f"The coefficients are those at {at}, of losses that the step law of each run gives; elsewhere the law is "
        "fitted when it is asked for. The quality is that at the last checkpoint of each run."
    ]
