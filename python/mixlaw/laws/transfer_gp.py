"""The transfer law with a smooth deviation, which grows with what the runs show: the default law.

    log L_i(r, s, N) = transfer law + h_i(r, N),    h_i a Gaussian process with mean 0

symbol  meaning                                                           shape   unit
k       runs                                                              -       -
q       mixtures asked about                                              -       -
e       evaluation domains                                                -       -
v       variance of the log loss of a run about the transfer law          (e,)    -
share   of v that is smooth, and so belongs to h                          -       -
K       correlation of h between runs; K_q of a mixture with runs         (k, k)  -
U       covariance of the mean residuals of runs over v                   (k, k)  -
y       mean residuals of runs from the transfer law                      (e, k)  -

    expected h_i(r) = share K_q(r) U^-1 y_i,    its variance = v_i share (1 - share K_q(r) U^-1 K_q(r)')

This is universal kriging: a trend and a deviation, fitted together, as the transfer law sees residuals whitened by U.
The transfer law knows one way in which domains replace each other; h takes what is left, where there are runs enough
to show it. `mixlaw.laws.smooth` defines K and U; share and length are chosen by the evidence of all domains together.
Where runs are not clearly better predicted from the others with h, the share is 0 and the law the transfer law. Far
from all runs h is 0. With a share above 0 the law is not convex in r.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError
from mixlaw.fitted import Array, FittedLaw, PowerTerms, Proportions
from mixlaw.laws.checks import size_of
from mixlaw.laws.posterior import Mode
from mixlaw.laws.smooth import DELTA, SIZE_LENGTH, Sites, correlation, correlation_gradient
from mixlaw.laws.transfer import LOSS, WORTH, FittedTransfer, Transfer
from mixlaw.laws.transfer_fit import Beliefs, Problem

# Cosines that a draw of h is made of.
WAVES = 256


class Wave(NamedTuple):
    """A draw of h before any run: amplitude * cos(frequency . sites + phase), summed over `WAVES`.

    Attributes
    ----------
    frequency
        Shape (e, WAVES, m + 1), by the m domains of a mixture and the model size.
    phase, amplitude
        Shape (e, WAVES).
    """

    frequency: Array
    phase: Array
    amplitude: Array

    def value(self, sites: Sites) -> Array:
        """Give h, shape (q, e)."""
        return np.asarray(np.einsum("qew,ew->qe", np.cos(self._angle(sites)), self.amplitude))

    def slope(self, sites: Sites) -> Array:
        """Derivatives of h by the proportions, shape (q, e, m)."""
        inner = 0.5 / np.sqrt(sites.mixtures + DELTA)
        outer = (-np.sin(self._angle(sites)) * self.amplitude).swapaxes(0, 1) @ self.frequency[:, :, :-1]
        return np.asarray(outer.swapaxes(0, 1) * inner[:, None, :])

    def _angle(self, sites: Sites) -> Array:
        at = np.column_stack([np.sqrt(sites.mixtures + DELTA), sites.log_size])
        return np.asarray((at @ self.frequency.swapaxes(1, 2)).swapaxes(0, 1) + self.phase)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedTransferGP(FittedTransfer):
    """The transfer law and its smooth deviation; made by `TransferGP.fit` or read by `mixlaw.laws.read`.

    Attributes
    ----------
    extra
        ``share`` and ``length``; of the runs ``mixtures``, ``log_size`` (0 with one size), ``x`` (geometric
        mean of their checkpoints) and ``own``, the part of U on its diagonal that is not smooth; by evaluation domain
        ``variance`` v and ``residuals`` y.
    wave
        Of a law that `draws` gave: what its h was before the runs; None otherwise. Such a law cannot be written.
    """

    law: ClassVar[str] = "transfer-gp"
    formula: ClassVar[str] = f"{LOSS} exp(h_i(r, N)), {WORTH}"

    wave: Wave | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)

    def predict(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.predict`."""
        shares = self.to_array(proportions)
        size = size_of(self, params)
        sites = self._sites_of(shares, size)
        log = self._log_trend(shares, self._checked(at, len(shares)), size)
        smooth = self._share * correlation(sites, self._sites, self._length) @ self._pull
        if self.wave is not None:
            smooth = smooth + self.wave.value(sites)
        return np.asarray(np.exp(log + smooth))

    def gradient(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.gradient`."""
        shares = self.to_array(proportions)
        losses = self.predict(proportions, at=at, params=params)
        sites = self._sites_of(shares, size_of(self, params))
        slope = self._trend_slope(shares, self._checked(at, len(shares)))
        by_run = correlation_gradient(sites, self._sites, self._length)
        slope = slope + self._share * np.einsum("qkm,ke->qem", by_run, self._pull)
        if self.wave is not None:
            slope = slope + self.wave.slope(sites)
        return np.asarray(losses[:, :, None] * slope)

    def power_terms(self, *, at: float, params: float | None = None) -> PowerTerms | None:
        """See `FittedLaw.power_terms`: the law has them where the runs show no smooth deviation."""
        return super().power_terms(at=at, params=params) if self._share == 0.0 else None

    def log_variance(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.log_variance`; with the variance of the smooth deviation."""
        coefficients = super().log_variance(proportions, at=at, params=params)
        near, _ = self._near(proportions, params)
        rest = self._share - np.einsum("qk,kj,qj->q", near, self._inverse, near)
        return np.asarray(coefficients + np.maximum(rest, 0.0)[:, None] * self._variance)

    def log_covariance(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.log_covariance`; with the covariance of the smooth deviation."""
        coefficients = super().log_covariance(proportions, at=at, params=params)
        near, sites = self._near(proportions, params)
        rest = self._share * correlation(sites, sites, self._length) - near @ self._inverse @ near.T
        return np.asarray(coefficients + self._variance[:, None, None] * rest)

    def _near(self, proportions: Proportions, params: float | None) -> tuple[Array, Sites]:
        """Share K of mixtures with the runs, shape (q, k), and where the mixtures are."""
        sites = self._sites_of(self.to_array(proportions), size_of(self, params))
        return self._share * correlation(sites, self._sites, self._length), sites

    def draws(self, count: int, *, seed: int = 0) -> list[Self]:
        """See `FittedLaw.draws`; the smooth deviation is drawn too."""
        rng = np.random.default_rng([seed, 1])
        return [law._with_wave(rng) for law in super().draws(count, seed=seed)]

    def content(self) -> dict[str, Any]:
        """See `FittedLaw.content`; `InputError` for a draw, whose h has no form in the file."""
        if self.wave is not None:
            raise InputError(
                f"{self.law}: this law is a draw, which cannot be written; write the law it was drawn from"
            )
        return super().content()

    def _with_wave(self, rng: np.random.Generator) -> Self:
        """Draw h given the runs: h before them, corrected by what it and the noise get wrong at them."""
        if self._share == 0.0:
            return self
        e, m, k = len(self.eval_domains), len(self.train_domains), len(self.extra["own"])
        scales = np.r_[np.full(m, 1.0 / self._length), 1.0 / SIZE_LENGTH]
        wave = Wave(
            frequency=rng.normal(size=(e, WAVES, m + 1)) * scales,
            phase=rng.uniform(0.0, 2.0 * np.pi, (e, WAVES)),
            amplitude=rng.normal(size=(e, WAVES)) * np.sqrt(2.0 * self._share / WAVES * self._variance)[:, None],
        )
        noise = np.sqrt(np.outer(self._variance, self.extra["own"])) * rng.normal(size=(e, k))
        residuals = self._residuals - wave.value(self._sites).T - noise
        return replace(self, wave=wave, extra={**self.extra, "residuals": self._by_domain(residuals)})

    def _moved(self, steps: Sequence[Array]) -> Self:
        """See `FittedLaw._moved`: residuals of the runs move against the coefficients."""
        law = super()._moved(steps)
        x = np.array(self.extra["x"])
        size = np.exp(self._sites.log_size)
        change = law._log_trend(self._sites.mixtures, x, size) - self._log_trend(self._sites.mixtures, x, size)
        return replace(law, extra={**self.extra, "residuals": self._by_domain(self._residuals - change.T)})

    def _by_domain(self, residuals: Array) -> dict[str, list[float]]:
        return dict(zip(self.eval_domains, residuals.tolist(), strict=True))

    def _sites_of(self, shares: Array, size: float | None) -> Sites:
        log_size = 0.0 if len(self.sizes) < 2 or size is None else np.log(size)
        return Sites(shares, np.full(len(shares), log_size))

    @property
    def _share(self) -> float:
        return float(self.extra["share"])

    @property
    def _length(self) -> float:
        return float(self.extra["length"])

    @cached_property
    def _sites(self) -> Sites:
        return Sites(np.array(self.extra["mixtures"]), np.array(self.extra["log_size"]))

    @cached_property
    def _variance(self) -> Array:
        """v, shape (e,)."""
        return np.array([self.extra["variance"][domain] for domain in self.eval_domains])

    @cached_property
    def _residuals(self) -> Array:
        """y, shape (e, k)."""
        return np.array([self.extra["residuals"][domain] for domain in self.eval_domains])

    @cached_property
    def _inverse(self) -> Array:
        """U^-1, shape (k, k)."""
        smooth = self._share * correlation(self._sites, self._sites, self._length)
        return np.asarray(np.linalg.inv(smooth + np.diag(np.array(self.extra["own"]))), dtype=np.float64)

    @cached_property
    def _pull(self) -> Array:
        """U^-1 y', shape (k, e)."""
        return np.asarray(self._inverse @ self._residuals.T)


def _check(law: FittedTransferGP) -> None:
    """Refuse an `extra` from which no prediction follows."""
    m = len(law.train_domains)
    try:
        k = len(law.extra["own"])
        arrays = [np.asarray(law.extra[name], dtype=np.float64) for name in ("mixtures", "log_size", "x", "own")]
        arrays += [np.asarray(law.extra["residuals"][domain], dtype=np.float64) for domain in law.eval_domains]
        numbers = [law.extra[name] for name in ("share", "length")]
        numbers += [law.extra["variance"][domain] for domain in law.eval_domains]
        arrays.append(np.asarray(numbers, dtype=np.float64))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"extra: the smooth deviation of {law.law} is incomplete or no numbers: {error}") from error
    shapes = [(k, m), (k,), (k,), (k,), *[(k,)] * len(law.eval_domains)]
    if [array.shape for array in arrays[:-1]] != shapes or not all(np.isfinite(array).all() for array in arrays):
        raise InputError(f"extra: the smooth deviation of {law.law} needs finite numbers for {k} runs of {m} domains")


class TransferGP(Transfer):
    """The transfer law with a smooth deviation, fitted together; see `Transfer`."""

    name: ClassVar[str] = FittedTransferGP.law
    fitted: ClassVar[type[FittedLaw]] = FittedTransferGP
    smooth: ClassVar[bool] = True

    def _said(self, problem: Problem, beliefs: Beliefs) -> list[str]:
        share, length, _ = beliefs.smoothness
        if share == 0.0:
            return [f"The {problem.runs.k} runs show no smooth deviation from the transfer law."]
        return [
            f"Of the variance of runs about the transfer law {share:.1%} is a smooth deviation, which changes over a "
            f"Hellinger distance of {length:g}; the law takes it in, so it is not convex in proportions."
        ]

    def _extra(self, problem: Problem, modes: list[Mode], beliefs: Beliefs) -> dict[str, Any]:
        domains, runs = problem.table.eval_domains, problem.runs
        means = [runs.means(mode.residuals).tolist() for mode in modes]
        return {
            "share": beliefs.smoothness.share,
            "length": beliefs.smoothness.length,
            "mixtures": runs.sites.mixtures.tolist(),
            "log_size": runs.sites.log_size.tolist(),
            "x": np.exp(runs.means(np.log(problem.table.x(problem.x)))).tolist(),
            "own": runs.own(beliefs.smoothness).tolist(),
            "variance": dict(zip(domains, beliefs.variance.tolist(), strict=True)),
            "residuals": dict(zip(domains, means, strict=True)),
        }
