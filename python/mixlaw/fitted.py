"""`FittedLaw`: a mixing law with its coefficients, how sure they are, and what data they come from.

symbol  meaning                                               shape   unit
m       training domains                                      -       -
e       evaluation domains                                    -       -
q       mixtures asked about                                  -       -
r       proportions                                           (q, m)  share of training tokens
s       how far a run has come, in the unit the law records   (q,)    tokens or steps
L       validation loss                                       (q, e)  nats per token

The laws themselves are in `mixlaw.laws`; each brings a subclass that knows its formula.
"""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from html import escape
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError
from mixlaw.files import write_json
from mixlaw.mixture import ROUNDED, Mixture
from mixlaw.weights import finite_number

SCHEMA = "mixlaw.fitted-law/2"
# How far coefficients move, in standard deviations, to see what that changes to first order.
STEP = 0.05

Array = npt.NDArray[np.float64]
Axis = Literal["tokens", "steps"]
# In what a coefficient is taken to be normally distributed: its logarithm; that of its odds, between 0 and 1; itself,
# cut off at 0; or itself.
Scale = Literal["log", "odds", "positive", "real"]


@dataclass(frozen=True, eq=False)
class EffectiveProportions:
    """Proportions in which repeated tokens count for less than new ones, so that a row may sum to less than 1.

    Attributes
    ----------
    array
        Shape (q, m), in the order of `FittedLaw.train_domains`.
    """

    array: Array


Proportions = npt.ArrayLike | Mixture | Sequence[Mixture] | EffectiveProportions


class Coefficient(NamedTuple):
    """One fitted number.

    Attributes
    ----------
    value
        In the units of the law's formula.
    standard_error
        NaN where the data give none; `note` then says why.
    note
        Empty, or why there is no standard error: the coefficient is fixed, at its bound, or not identified.
    """

    value: float
    standard_error: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class DomainFit:
    """How well the law describes the losses of one evaluation domain that it was fitted to.

    Attributes
    ----------
    rows, runs
        Checkpoints and runs that entered the fit.
    left_out
        Checkpoints that did not, because the run gave the domain no tokens.
    residual_sd
        Standard deviation of the residuals of the log loss, by the degrees of freedom of the fit; None with none left.
    mean_relative_error
        Mean of |L - predicted| / L.
    r2
        Share of the variance of the log loss that is explained; None where the log loss does not vary.
    pearson
        Correlation of loss and prediction; None where either does not vary.
    """

    rows: int
    runs: int
    left_out: int
    residual_sd: float | None
    mean_relative_error: float
    r2: float | None
    pearson: float | None


class SeparableTerms(NamedTuple):
    """Losses of the form L_k = scale_k / r_j**alpha_k: evaluation domain k has a training domain j to itself.

    Attributes
    ----------
    domain
        j, a position in `FittedLaw.train_domains`, shape (e,).
    alpha
        Exponents >= 0, shape (e,).
    scale
        Losses at r_j = 1, in nats per token, shape (e,).
    """

    domain: npt.NDArray[np.intp]
    alpha: Array
    scale: Array


class PowerTerms(NamedTuple):
    """Losses of the form L_k = scale_k / (matrix_k . g_k(r))**alpha_k: convex in r.

    g_k are the diminishing returns of `mixlaw.laws.returns`, with an exponent rho_k.

    Attributes
    ----------
    matrix
        How much each training domain counts for each loss, >= 0 and not all 0 in a row, shape (e, m).
    alpha
        Exponents >= 0, shape (e,).
    scale
        Losses where matrix_k . g_k = 1, in nats per token, > 0, shape (e,).
    rho
        Above 0 and at most 1, shape (e,); None where g(r) = r.
    """

    matrix: Array
    alpha: Array
    scale: Array
    rho: Array | None = None


class ExponentialTerms(NamedTuple):
    """Losses of the form L_k = constant_k + exp(level_k - rates_k . r): convex in r, and lower for more of any domain.

    Proportions that sum to 1 leave a constant in each row of the exponents open. It is such that the least rate is 0: a
    share that is missing, of `EffectiveProportions`, counts as one of the domain that lowers the loss least.

    Attributes
    ----------
    constant
        >= 0, in nats per token, shape (e,).
    level
        Logarithm of what the domain that lowers the loss least would leave above the constant, shape (e,).
    rates
        How fast each training domain lowers the loss, >= 0, shape (e, m).
    """

    constant: Array
    level: Array
    rates: Array

    @classmethod
    def of(cls, constant: Array, slopes: Array) -> Self:
        """The terms constant + exp(slopes . r)."""
        level = slopes.max(axis=1)
        return cls(constant, level, level[:, None] - slopes)

    def falling(self, r: Array) -> Array:
        """What is above the constant at mixtures of shape (q, m), shape (q, e)."""
        return np.asarray(np.exp(self.level - r @ self.rates.T))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedLaw(ABC):
    """A mixing law, fitted to proxy runs.

    Attributes
    ----------
    law
        Name of the law, as in `mixlaw.laws.get`.
    formula
        The law in one line, for reports.
    train_domains, eval_domains
        Order of the proportions and of the losses.
    x
        Unit of `at`: ``"tokens"`` or ``"steps"``.
    x_range
        Smallest and largest x of the runs.
    sizes
        Model sizes of the runs in parameters, ascending; empty where they record none.
    mixtures
        Proportions of the runs, each mixture once, shape (k, m).
    fingerprint
        `RunTable.fingerprint` of the runs.
    coefficients
        Evaluation domain -> coefficient name -> `Coefficient`.
    covariance
        Evaluation domain -> covariance of its coefficients in their order, NaN where a standard error is.
    quality
        Evaluation domain -> `DomainFit`.
    spearman
        Rank correlation of the mean loss at the end of each run with its prediction; None where it is not defined.
    notes
        What a reader has to know, in sentences.
    extra
        What else the law needs to predict, in the types of JSON; empty for most.
    """

    law: ClassVar[str]
    formula: ClassVar[str]

    train_domains: tuple[str, ...]
    eval_domains: tuple[str, ...]
    x: Axis
    x_range: tuple[float, float]
    sizes: tuple[float, ...]
    mixtures: Array
    fingerprint: str
    coefficients: Mapping[str, Mapping[str, Coefficient]]
    covariance: Mapping[str, Array]
    quality: Mapping[str, DomainFit]
    spearman: float | None
    notes: tuple[str, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def scale(name: str) -> Scale:
        """In what a coefficient of that name is taken to be normally distributed; see `draws`."""
        return "real"

    @abstractmethod
    def predict(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """Predict the loss of every evaluation domain.

        Parameters
        ----------
        proportions
            Shape (q, m) in the order of `train_domains`; or a `Mixture`, or a sequence of them; or
            `EffectiveProportions`.
        at
            How far training has come, in the unit `x`: one number, or one a mixture, shape (q,).
        params
            Model size in parameters; that of the runs if not given, which takes runs of one size.

        Returns
        -------
        ndarray
            Losses in nats per token, shape (q, e), in the order of `eval_domains`.

        Raises
        ------
        InputError
            If a proportion is negative or not finite, a row does not sum to 1 within 5e-3, a mixture has other domains,
            `at` is not positive, the law cannot speak about `at` or `params`, or `params` is not given and the runs
            have several sizes.
        """

    @abstractmethod
    def gradient(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """Differentiate `predict` by each proportion, the others held: exact, shape (q, e, m)."""

    def separable(self, *, at: float, params: float | None = None) -> SeparableTerms | None:
        """Give the terms of the law at `at` if it is separable, None if it is not."""
        return None

    def power_terms(self, *, at: float, params: float | None = None) -> PowerTerms | None:
        """Give the `PowerTerms` of the law at `at`, None if it has none."""
        return None

    def exponential_terms(self, *, at: float, params: float | None = None) -> ExponentialTerms | None:
        """Give the terms of the law at `at` if it is an exponential of a linear function of r, None if it is not."""
        return None

    def interval(
        self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None, level: float = 0.9
    ) -> tuple[Array, Array]:
        """Give bounds between which the losses of a new run fall with probability `level`.

        The width has two parts: how far coefficients are uncertain (the first-order effect of their covariance on the
        log loss), and how far single runs deviate from the law (`DomainFit.residual_sd`). Both are taken to be normal,
        and how large they are to be known no better than the runs of the domain allow (Student's t).

        Parameters
        ----------
        proportions, at, params
            As for `predict`.
        level
            Between 0 and 1.

        Returns
        -------
        tuple of ndarray
            Lower and upper bounds in nats per token, each of shape (q, e).

        Raises
        ------
        InputError
            As `predict` does; if `level` is no probability; or if the fit has no standard errors, as with two runs.
        """
        from scipy.stats import t

        if not 0.0 < level < 1.0:
            raise InputError(f"level: expected a probability between 0 and 1, not {level!r}")
        variance = self.log_variance(proportions, at=at, params=params) + self.deviations() ** 2
        center = np.log(self.predict(proportions, at=at, params=params))
        quantile = t.ppf(0.5 + 0.5 * level, self.degrees_of_freedom())
        width = quantile * np.sqrt(variance)
        return np.exp(center - width), np.exp(center + width)

    def degrees_of_freedom(self) -> Array:
        """How much is known of `deviations`, in runs, shape (e,); see `interval`."""
        return np.array([max(1.0, self.quality[domain].runs - 1.0) for domain in self.eval_domains])

    def deviations(self) -> Array:
        """Standard deviation of the log loss of single runs about the law (`DomainFit.residual_sd`), shape (e,).

        Raises
        ------
        InputError
            If an evaluation domain has none.
        """
        found = [self.quality[domain].residual_sd for domain in self.eval_domains]
        for domain, deviation in zip(self.eval_domains, found, strict=True):
            if deviation is None:
                raise InputError(f"domain {domain!r}: as many coefficients as rows leave nothing to tell deviations by")
        return np.array(found, dtype=np.float64)

    def log_variance(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """Variance of the predicted log loss that comes from the coefficients, to first order, shape (q, e).

        See `interval` for parameters and errors.
        """
        return np.asarray(np.sum(self.sensitivities(proportions, at=at, params=params) ** 2, axis=0))

    def sensitivities(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """Change of the log loss with independent standard normal variables, which move all coefficients.

        See `interval` for parameters and errors.

        Returns
        -------
        ndarray
            Shape (p, q, e), p variables for each evaluation domain: its coefficients have the covariance that the fit
            found. The variance of the log loss is the sum of squares over p, to first order.
        """
        factors = self._factors
        changes = []
        for k in range(max(factor.shape[1] for factor in factors)):
            steps = [np.asarray(np.arange(factor.shape[1]) == k, dtype=np.float64) for factor in factors]
            up, down = (
                np.log(self._moved([length * step for step in steps]).predict(proportions, at=at, params=params))
                for length in (STEP, -STEP)
            )
            changes.append((up - down) / (2.0 * STEP))
        return np.array(changes)

    def log_covariance(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """Covariance between the mixtures of what `log_variance` is the variance of, shape (e, q, q).

        See `interval` for parameters and errors.
        """
        changes = self.sensitivities(proportions, at=at, params=params)
        return np.asarray(np.einsum("pqe,pre->eqr", changes, changes))

    def draws(self, count: int, *, seed: int = 0) -> list[Self]:
        """Draw laws whose coefficients differ as their covariance says, independently between evaluation domains.

        Raises
        ------
        InputError
            If the fit has no standard errors.
        """
        rng = np.random.default_rng(seed)
        return [self._moved([rng.normal(size=(f.shape[1],)) for f in self._factors]) for _ in range(count)]

    @cached_property
    def _factors(self) -> list[Array]:
        """F of each evaluation domain, F F' the covariance of its coefficients, each in its `scale`."""
        factors = []
        for domain in self.eval_domains:
            mine = self.coefficients[domain]
            known = np.isfinite(np.diag(self.covariance[domain]))
            if not known.any():
                why = "; ".join(dict.fromkeys(one.note for one in mine.values() if one.note)) or f"{self.law} has none"
                raise InputError(f"domain {domain!r}: the fit gives no standard errors ({why}), and so no intervals")
            covariance = np.where(np.outer(known, known), self.covariance[domain], 0.0)
            unit = np.array([_unit(one.value, self.scale(name)) for name, one in mine.items()])
            unit[unit == 0.0] = math.inf  # at its bound, or absent: it does not move
            values, vectors = np.linalg.eigh(covariance / np.outer(unit, unit))
            keep = values > 0.0
            # Of all such F the symmetric one, which does not depend on the order or signs of eigenvectors.
            factors.append((vectors[:, keep] * np.sqrt(values[keep])) @ vectors[:, keep].T)
        return factors

    def _moved(self, steps: Sequence[Array]) -> Self:
        """The law with the coefficients of each evaluation domain moved by F @ step."""
        coefficients = {}
        for domain, factor, step in zip(self.eval_domains, self._factors, steps, strict=True):
            change = (factor @ step).tolist()
            coefficients[domain] = {
                name: one._replace(value=_shifted(one.value, by, self.scale(name)))
                for (name, one), by in zip(self.coefficients[domain].items(), change, strict=True)
            }
        return replace(self, coefficients=coefficients)

    def size(self, params: float | None) -> float | None:
        """`params`, or the one size of the runs; None where they record none, `InputError` if they have several."""
        if params is not None:
            size = finite_number(params, "params")
            if size <= 0.0:
                raise InputError(f"params: a model size is above 0, not {params!r}")
            return size
        if len(self.sizes) > 1:
            raise InputError(f"params: the runs have {len(self.sizes)} model sizes, so say for which to predict")
        return self.sizes[0] if self.sizes else None

    def to_array(self, proportions: Proportions) -> Array:
        """Proportions as shape (q, m) in the order of `train_domains`; see `predict` for what is refused."""
        least = 1.0 - ROUNDED
        if isinstance(proportions, EffectiveProportions):
            proportions, least = proportions.array, 0.0
        if isinstance(proportions, Mixture):
            proportions = [proportions]
        if isinstance(proportions, Sequence) and any(isinstance(row, Mixture) for row in proportions):
            rows = []
            for number, row in enumerate(proportions):
                if not isinstance(row, Mixture):
                    raise InputError(f"mixture {number}: expected a Mixture like the others, not {type(row).__name__}")
                rows.append(row.to_array(self.train_domains))
            return np.array(rows)
        m = len(self.train_domains)
        try:
            array = np.asarray(proportions, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"the proportions are no array of numbers: {error}") from error
        if array.ndim != 2 or array.shape[1] != m:
            raise InputError(f"{m} training domains need proportions of shape (q, {m}), not {array.shape}")
        bad = ~(np.isfinite(array) & (array >= 0))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"mixture {row}, domain {self.train_domains[column]!r}: "
                f"the proportion must be finite and >= 0, not {array[row, column]}"
            )
        total = array.sum(axis=1)
        off = (total < least) | (total > 1.0 + ROUNDED)
        if off.any():
            row = int(np.argmax(off))
            raise InputError(f"mixture {row}: the proportions sum to {total[row]:.6g}, not 1")
        return array

    def positions(self, at: npt.ArrayLike, q: int) -> Array:
        """`at` as an array of shape (q,); `InputError` if it has another shape or is not positive and finite."""
        try:
            array = np.asarray(at, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"at: not a number of {self.x}: {error}") from error
        if array.shape not in {(), (q,)}:
            raise InputError(f"at: expected one number, or one for each of the {q} mixtures, not shape {array.shape}")
        bad = ~(np.isfinite(array) & (array > 0))
        if bad.any():
            raise InputError(f"at: {self.x} must be positive and finite, not {array[bad].flat[0]}")
        return np.broadcast_to(array, (q,))

    def report(self) -> str:
        """Text for people: the formula, the coefficients with standard errors, the quality of the fit, the notes."""
        lines = [f"{self.law}: {self.formula}", *self._facts(), ""]
        for header, *rows in self._tables():
            widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
            for row in (header, *rows):
                first, *rest = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                lines.append("  ".join([first, *rest]).rstrip())
            lines.append("")
        return "\n".join([*lines, *(f"- {note}" for note in self.notes)]).rstrip()

    def _repr_html_(self) -> str:
        parts = [
            f"<p><b>{escape(self.law)}</b>: {escape(self.formula)}<br>{'<br>'.join(map(escape, self._facts()))}</p>"
        ]
        for header, *rows in self._tables():
            head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
            body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        if self.notes:
            parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in self.notes) + "</ul>")
        return "".join(parts)

    def __repr__(self) -> str:
        return (
            f"<{self.law} of {len(self.eval_domains)} domains, fitted up to {self.x_range[1]:.6g} {self.x}; "
            "report() has the details>"
        )

    def _facts(self) -> list[str]:
        size = f", models of {', '.join(f'{size:.6g}' for size in self.sizes)} parameters" if self.sizes else ""
        rank = "not defined" if self.spearman is None else f"{self.spearman:.3f}"
        return [
            f"x: {self.x}, {self.x_range[0]:.6g} to {self.x_range[1]:.6g} in the runs{size}",
            f"Spearman correlation of the mean loss at the end of the runs with its prediction: {rank}",
            f"data: {self.fingerprint}",
        ]

    def _reported(self) -> list[str]:
        """Names of the coefficients that a report shows."""
        return list(next(iter(self.coefficients.values())))

    def _tables(self) -> Iterator[list[tuple[str, ...]]]:
        names = self._reported()
        yield [
            ("domain", *names),
            *((domain, *(_shown(mine[name]) for name in names)) for domain, mine in self.coefficients.items()),
        ]
        yield [
            ("domain", "rows", "runs", "left out", "MRE %", "R2 (log)", "Pearson r", "residual sd (log)"),
            *(
                (
                    domain,
                    f"{fit.rows}",
                    f"{fit.runs}",
                    f"{fit.left_out}",
                    f"{100 * fit.mean_relative_error:.3f}",
                    _number(fit.r2, ".4f"),
                    _number(fit.pearson, ".4f"),
                    _number(fit.residual_sd, ".3g"),
                )
                for domain, fit in self.quality.items()
            ),
            self._means(),
        ]

    def _means(self) -> tuple[str, ...]:
        def mean(values: list[float | None], spec: str) -> str:
            known = [value for value in values if value is not None]
            return _number(math.fsum(known) / len(known) if known else None, spec)

        fits = self.quality.values()
        error = mean([100 * fit.mean_relative_error for fit in fits], ".3f")
        return (
            "mean",
            *("", "", "", error),
            mean([fit.r2 for fit in fits], ".4f"),
            mean([fit.pearson for fit in fits], ".4f"),
            mean([fit.residual_sd for fit in fits], ".3g"),
        )

    def content(self) -> dict[str, Any]:
        """Give everything that `write` writes, ready for JSON; NaN becomes null."""
        return {
            "law": self.law,
            "x": {"unit": self.x, "min": self.x_range[0], "max": self.x_range[1]},
            "sizes": list(self.sizes),
            "mixtures": self.mixtures.tolist(),
            "train_domains": list(self.train_domains),
            "eval_domains": list(self.eval_domains),
            "fingerprint": self.fingerprint,
            "coefficients": {
                domain: {
                    name: {"value": one.value, "standard_error": _null(one.standard_error), "note": one.note}
                    for name, one in mine.items()
                }
                for domain, mine in self.coefficients.items()
            },
            "covariance": {
                domain: [[_null(value) for value in row] for row in matrix.tolist()]
                for domain, matrix in self.covariance.items()
            },
            "quality": {domain: asdict(fit) for domain, fit in self.quality.items()},
            "spearman": self.spearman,
            "notes": list(self.notes),
            "extra": dict(self.extra),
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted law as JSON, atomically; `mixlaw.laws.read` gives it back to the last bit."""
        write_json(path, SCHEMA, self.content())


def _unit(value: float, scale: Scale) -> float:
    """How much a coefficient changes with a change of 1 in its scale."""
    return value if scale == "log" else value * (1.0 - value) if scale == "odds" else 1.0


def _shifted(value: float, by: float, scale: Scale) -> float:
    if scale == "log":
        return value * math.exp(by)
    if scale == "odds":  # value / (1 - value) is multiplied by exp(by)
        return value / (value + (1.0 - value) * math.exp(-by))
    return max(0.0, value + by) if scale == "positive" else value + by


def _shown(one: Coefficient) -> str:
    if math.isnan(one.standard_error):
        return f"{one.value:.4g} ({one.note})"
    return f"{one.value:.4g} ± {one.standard_error:.2g}"


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value
