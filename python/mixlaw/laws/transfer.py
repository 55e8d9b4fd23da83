"""The transfer law: a domain's loss from what all domains contribute to it, fitted as a posterior mode.

    L_i(r, s, N) = (A_i / N**nu_i + B_i / s**beta_i + C_i) / z_i**(alpha_i (s / s1)**gamma_i)
    z_i = (sum_j (T_ij r_j)**rho_i)**(1 / rho_i),    T >= 0,    T_ii = 1,    0 < rho < 1

symbol    meaning                                                             shape    unit
m, e      training and evaluation domains                                     -        -
q         mixtures asked about                                                -        -
r         proportions                                                         (q, m)   share of training tokens
s         length of training                                                  (q,)     tokens or steps
s1        the longest of the runs                                             -        tokens or steps
N         model size                                                          -        parameters
L         validation losses                                                   (q, e)   nats per token
T_ij      how much a token of domain j alone counts for the loss of domain i  (e, m)   tokens of i
rho       how well domains replace each other: 1 if a token is a token, less  (e,)     -
          if the first tokens of each count for more than later ones
z         what the mixture is worth, as a share of tokens of i                (q, e)   -
alpha     how fast more of them lower the loss, in runs as long as s1         (e,)     -
gamma     how that changes with the length of training                        (e,)     -
A, nu     the part of the loss that larger models remove                      (e,)     nats per token * N**nu, -
B, beta   the part that training removes                                      (e,)     nats per token * s**beta, -
C         the part that neither does                                          (e,)     nats per token

Domains add up with a constant elasticity of substitution, 1 / (1 - rho) (Arrow et al., 1961). For r**rho stands g of
`mixlaw.laws.returns`, whose slope at 0 is finite: with rho = 0.7 it is lower by 0.2 % at r = 1 and by 3 % at 0.01.

BiMix is T_ij = 0 and gamma = 0. With T > 0 the law has a value at r_i = 0, and for a domain that is not trained on,
whose T_ii does not exist: the scale of its row is then shared with A, B and C, and settled by the prior.

A few runs cannot determine m coefficients a domain, so all are fitted under priors whose mean and spread are themselves
estimated from all domains together. Where runs say nothing of a pair of domains, T_ij stays what it is between other
pairs. `mixlaw.laws.transfer_fit` has the fit.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError
from mixlaw.fitted import Array, Axis, Coefficient, DomainFit, FittedLaw, PowerTerms, Proportions, Scale
from mixlaw.laws.checks import (
    check_length,
    constant_note,
    facts,
    is_one_checkpoint,
    model_sizes,
    size_of,
    spearman_at_the_end,
    stopped_note,
    usable,
)
from mixlaw.laws.goodness import domain_fit
from mixlaw.laws.posterior import Mode
from mixlaw.laws.returns import marginal, returns
from mixlaw.laws.robust import ROBUST_NOTE
from mixlaw.laws.transfer_fit import Beliefs, Problem, estimate, smooth_part
from mixlaw.runs import RunTable

CURVE = ("A", "nu", "B", "beta", "C", "alpha", "rho", "gamma")
ALPHA, RHO, GAMMA = map(CURVE.index, ("alpha", "rho", "gamma"))
LOSS = "L_i(r, s, N) = (A_i / N^nu_i + B_i / s^beta_i + C_i) / z_i^(alpha_i (s / s1)^gamma_i)"
WORTH = "z_i^rho_i = sum_j (T_ij r_j)^rho_i"
ONE_CHECKPOINT = "one checkpoint only"
ONE_SIZE = "one model size only"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedTransfer(FittedLaw):
    """The transfer law with its coefficients; made by `Transfer.fit` or read by `mixlaw.laws.read`."""

    law: ClassVar[str] = "transfer"
    formula: ClassVar[str] = f"{LOSS}, {WORTH}"

    def __post_init__(self) -> None:
        expected = (*CURVE, *map(_transfer, self.train_domains))
        for domain in self.eval_domains:
            if tuple(self.coefficients[domain]) != expected:
                raise InputError(
                    f"domain {domain!r}: {self.law} has the coefficients {', '.join(expected)}, "
                    f"not {', '.join(self.coefficients[domain])}"
                )
            rho = self.coefficients[domain]["rho"].value
            if not 0.0 < rho <= 1.0:  # beyond, the law is not convex, or has no value
                raise InputError(f"domain {domain!r}: rho is above 0 and at most 1, not {rho:g}")

    @staticmethod
    def scale(name: str) -> Scale:
        """See `FittedLaw.scale`."""
        # B s0**-beta, at an s0 amid the runs, is what they determine: its logarithm is linear in log B and beta.
        # The odds of rho keep it between 0 and 1.
        scales: dict[str, Scale] = {"gamma": "real", "beta": "positive", "nu": "positive", "rho": "odds"}
        return scales.get(name, "log")

    def predict(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.predict`."""
        shares = self.to_array(proportions)
        return np.exp(self._log_trend(shares, self._checked(at, len(shares)), size_of(self, params)))

    def gradient(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.gradient`."""
        shares = self.to_array(proportions)
        losses = self.predict(proportions, at=at, params=params)
        return losses[:, :, None] * self._trend_slope(shares, self._checked(at, len(shares)))

    def power_terms(self, *, at: float, params: float | None = None) -> PowerTerms | None:
        """See `FittedLaw.power_terms`: the transfer law has such terms."""
        s = self._checked(at, 1)
        scale = self._scales(s, size_of(self, params))[0]
        return PowerTerms(self._powers, self._exponents(s)[0] / self._rho, scale, self._rho)

    def _reported(self) -> list[str]:
        absent = set() if len(self.sizes) > 1 else {"A", "nu"}
        absent |= {"B", "beta", "gamma"} if is_one_checkpoint(self.x_range) else set()
        return [name for name in super()._reported() if name not in absent]

    def degrees_of_freedom(self) -> Array:
        """See `FittedLaw.degrees_of_freedom`; a coefficient under a prior takes none of them."""
        return np.array([float(self.quality[domain].runs) for domain in self.eval_domains])

    def _checked(self, at: npt.ArrayLike, q: int) -> Array:
        s = self.positions(at, q)
        check_length(self, s)
        return s

    def _log_trend(self, shares: Array, s: Array, size: float | Array | None) -> Array:
        """Log loss of the formula, shape (q, e); `size` may be an array of shape (q,)."""
        return np.asarray(np.log(self._scales(s, size)) - self._exponents(s) * np.log(self._totals(shares)) / self._rho)

    def _trend_slope(self, shares: Array, s: Array) -> Array:
        """Derivatives of `_log_trend` by the proportions, shape (q, e, m)."""
        by_total = self._exponents(s) / (self._rho * self._totals(shares))
        return -by_total[:, :, None] * self._powers * marginal(shares[:, None, :], self._rho[:, None])

    def _totals(self, shares: Array) -> Array:
        """z**rho, shape (q, e)."""
        return np.stack([returns(shares, rho) @ row for rho, row in zip(self._rho, self._powers, strict=True)], axis=1)

    def _scales(self, s: Array, size: float | Array | None) -> Array:
        """Losses at z = 1, shape (q, e)."""
        A, nu, B, beta, C, *_ = self._curve
        scales = B * s[:, None] ** -beta + C
        if len(self.sizes) > 1:
            scales = scales + A * np.broadcast_to(np.asarray(size, dtype=np.float64), s.shape)[:, None] ** -nu
        return np.asarray(scales)

    def _exponents(self, s: Array) -> Array:
        """Exponents of z, shape (q, e)."""
        *_, alpha, _, gamma = self._curve
        return np.asarray(alpha * (s[:, None] / self.x_range[1]) ** gamma)

    @cached_property
    def _curve(self) -> Array:
        """Coefficients, shape (8, e), in the order of `CURVE` and `eval_domains`."""
        return np.array([[self.coefficients[domain][name].value for domain in self.eval_domains] for name in CURVE])

    @property
    def _rho(self) -> Array:
        """Shape (e,)."""
        return np.asarray(self._curve[RHO])

    @cached_property
    def _powers(self) -> Array:
        """T**rho, shape (e, m)."""
        names = list(map(_transfer, self.train_domains))
        T = np.array([[self.coefficients[domain][name].value for name in names] for domain in self.eval_domains])
        return np.asarray(T ** self._rho[:, None])


def _transfer(domain: str) -> str:
    return f"T/{domain}"


class Transfer:
    """The transfer law, fitted to log losses under estimated priors; see `Law`."""

    name: ClassVar[str] = FittedTransfer.law
    fitted: ClassVar[type[FittedLaw]] = FittedTransfer
    # Whether runs may deviate smoothly with their mixture.
    smooth: ClassVar[bool] = False

    def fit(self, runs: RunTable, *, x: Axis = "tokens", seed: int = 0, robust: bool = False) -> FittedLaw:
        """See `Law.fit`; nothing is drawn, so `seed` changes nothing.

        With one checkpoint only, B, beta and gamma are left out and the law predicts at that checkpoint alone; with one
        model size, A and nu. Standard errors are those of the posterior (Laplace), given the estimated priors.

        Raises
        ------
        FitError
            If there is one mixture only, or two checkpoints only, or if some runs record a model size and others none.
        InputError
            If a row lacks `x`.
        """
        sizes = model_sizes(runs, self.name)
        used, notes = usable(runs, x, self.name)
        problem = Problem(used, x)
        modes, beliefs = estimate(problem, smooth=self.smooth, robust=robust)
        pieces = [_piece(problem, i, mode, beliefs) for i, mode in enumerate(modes)]
        law = self.fitted(
            **facts(runs, used, x, sizes),
            coefficients={domain: piece[0] for domain, piece in zip(runs.eval_domains, pieces, strict=True)},
            covariance={domain: piece[1] for domain, piece in zip(runs.eval_domains, pieces, strict=True)},
            quality={domain: piece[2] for domain, piece in zip(runs.eval_domains, pieces, strict=True)},
            spearman=None,
            notes=(
                *notes,
                *([ROBUST_NOTE] if robust else []),
                *self._said(problem, beliefs),
                *stopped_note(runs.eval_domains, [mode.converged for mode in modes]),
                *_notes(problem, beliefs),
            ),
            extra=self._extra(problem, modes, beliefs),
        )
        return replace(law, spearman=spearman_at_the_end(law, used))

    def _said(self, problem: Problem, beliefs: Beliefs) -> list[str]:
        """Notes of the law's own."""
        return []

    def _extra(self, problem: Problem, modes: list[Mode], beliefs: Beliefs) -> dict[str, Any]:
        """Give `FittedLaw.extra`."""
        return {}


def _notes(problem: Problem, beliefs: Beliefs) -> list[str]:
    (alpha, alpha_sd), (T, alike, alone) = beliefs.alpha, beliefs.T
    runs = problem.table
    share, _, noise = beliefs.smoothness
    own = np.sqrt(np.median(beliefs.variance) * (1.0 - share))
    checkpoint = f" and of a checkpoint {math.sqrt(np.median(beliefs.variance) * noise):.2g}" if noise else ""
    notes = [
        "Fitted under priors; standard errors are those of the posterior. Estimated from all domains: log alpha "
        f"{alpha:.2f} ± {alpha_sd:.2f}, log T {T:.2f} ± {math.hypot(alike, alone):.2f} (± {alike:.2f} of it common to "
        f"T_ij and T_ji); deviation of a run {own:.2g}{checkpoint} of the loss (medians)."
    ]
    if len(np.unique(runs.params[np.isfinite(runs.params)])) == 2:
        notes.append("Two model sizes cannot tell A, nu and C apart: what is said of other sizes is also the prior's.")
    untrained = [domain for domain in runs.eval_domains if domain not in runs.train_domains]
    if untrained:
        notes.append(
            f"Not trained on: {', '.join(untrained)}. The scale of their T is settled by the prior alone: compare T "
            "within a row, not between rows."
        )
    return notes + constant_note(runs)


def _piece(problem: Problem, i: int, mode: Mode, beliefs: Beliefs) -> tuple[dict[str, Coefficient], Array, DomainFit]:
    """Coefficients of evaluation domain i in true units, their covariance, and the quality of the fit."""
    runs, others = problem.table, problem.others[i]
    names = [*CURVE, *map(_transfer, runs.train_domains)]
    # Where the parameters stand among the coefficients; all are logarithms, rho of its odds, but gamma.
    falling = ([] if problem.one_checkpoint else [2, 3]) + ([0, 1] if problem.several_sizes else [])
    place = [*falling, 4, ALPHA, RHO, *([] if problem.one_checkpoint else [GAMMA]), *(len(CURVE) + others)]
    logs = np.zeros(len(names))
    logs[place] = mode.theta
    change = np.zeros((len(names), len(mode.theta)))
    change[place, range(len(place))] = 1.0
    logs[[0, 2, 4]] += problem.log_l0[i]
    notes = [""] * len(names)
    for amplitude, exponent, log_unit, has, why in (
        (2, 3, problem.log_s0, not problem.one_checkpoint, ONE_CHECKPOINT),
        (0, 1, problem.log_n0, problem.several_sizes, ONE_SIZE),
    ):
        if has:  # the amplitude takes the unit of what it falls with
            value = math.exp(logs[exponent])
            logs[amplitude] += value * log_unit
            change[amplitude, place.index(exponent)] = value * log_unit
        else:
            logs[[amplitude, exponent]] = -math.inf
            notes[amplitude] = notes[exponent] = why
    ahead = 0.0
    if problem.one_checkpoint:
        notes[GAMMA] = ONE_CHECKPOINT
    else:  # alpha is that of the longest run
        ahead = math.log(runs.x(problem.x).max()) - problem.log_s0
        change[ALPHA, place.index(GAMMA)] = ahead
    gamma = logs[GAMMA]
    logs[ALPHA] += gamma * ahead
    values = np.exp(logs)
    values[RHO], values[GAMMA] = values[RHO] / (1.0 + values[RHO]), gamma
    units = values.copy()
    units[RHO], units[GAMMA] = values[RHO] * (1.0 - values[RHO]), 1.0
    units = units[:, None]
    fixed = sorted(set(range(len(names))) - set(place))
    covariance = (change * units) @ mode.covariance @ (change * units).T
    covariance[fixed], covariance[:, fixed] = np.nan, np.nan
    for j in fixed:
        notes[j] = notes[j] or "fixed"
    errors = np.sqrt(np.diag(covariance))
    losses = runs.losses[:, i]
    smoothness = beliefs.smoothness
    left = mode.residuals - smooth_part(problem, mode, beliefs)[problem.runs.group]
    sd = math.sqrt(beliefs.variance[i] * (1.0 - smoothness.share + smoothness.noise))
    quality = domain_fit(losses, losses * np.exp(-left), runs.run, sd)
    named = zip(names, values.tolist(), errors.tolist(), notes, strict=True)
    return {name: Coefficient(value, error, note) for name, value, error, note in named}, covariance, quality
