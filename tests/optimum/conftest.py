"""Fitted laws with given coefficients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest

from mixlaw import InputError, RunTable, laws
from mixlaw.fitted import Array, Coefficient, DomainFit, FittedLaw, PowerTerms
from mixlaw.laws.bimix import COEFFICIENTS, FittedBiMix


def plain(train: tuple[str, ...], measured: tuple[str, ...], mixtures: Array | None = None) -> dict[str, object]:
    """Attributes of a fitted law that optima do not depend on; it has no standard errors."""
    return {
        "train_domains": train,
        "eval_domains": measured,
        "x": "tokens",
        "x_range": (1.0, 100.0),
        "sizes": (),
        "mixtures": np.empty((0, len(train))) if mixtures is None else mixtures,
        "fingerprint": "abc123",
        "coefficients": {domain: {"A": Coefficient(1.0, note="fixed")} for domain in measured},
        "covariance": {domain: np.full((1, 1), np.nan) for domain in measured},
        "quality": {domain: DomainFit(4, 2, 0, None, 0.0, None, None) for domain in measured},
        "spearman": None,
        "notes": (),
    }


@pytest.fixture
def law_of() -> Callable[..., FittedBiMix]:
    """Make BiMix of (alpha, B, beta, C) by evaluation domain; the training domains are those and `also`."""

    def make(terms: Mapping[str, tuple[float, float, float, float]], also: tuple[str, ...] = ()) -> FittedBiMix:
        named = {
            domain: dict(zip(COEFFICIENTS, (1.0, B, C, alpha, beta), strict=True))
            for domain, (alpha, B, beta, C) in terms.items()
        }
        attributes = plain((*also, *terms), tuple(terms))
        attributes["coefficients"] = {
            domain: {name: Coefficient(value, note="fixed") for name, value in mine.items()}
            for domain, mine in named.items()
        }
        attributes["covariance"] = {domain: np.full((5, 5), np.nan) for domain in terms}
        return FittedBiMix(**attributes)

    return make


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PowerLaw(FittedLaw):
    """L_k = (2 + 8 / at) / (matrix_k . r)**alpha_k, for tests of what asks for `power_terms`.

    With `sd` it can be drawn: the logarithms of the matrix then vary by so much, independently.
    """

    law: ClassVar[str] = "fake"
    formula: ClassVar[str] = "L_k = (2 + 8 / at) / (matrix_k . r)^alpha_k"

    matrix: Array
    alpha: Array
    sd: float = 0.0

    def power_terms(self, *, at: float, params: float | None = None) -> PowerTerms:
        size = 1.0 if params is None else params
        return PowerTerms(
            self.matrix, self.alpha, np.full(len(self.alpha), 2.0 + 8.0 * size / float(self.positions(at, 1)[0]))
        )

    def predict(self, proportions, *, at, params=None) -> Array:
        scale = self.power_terms(at=at, params=params).scale
        with np.errstate(divide="ignore"):
            return scale * (self.to_array(proportions) @ self.matrix.T) ** -self.alpha

    def gradient(self, proportions, *, at, params=None) -> Array:
        r = self.to_array(proportions)
        slope = -self.alpha * self.predict(proportions, at=at, params=params) / (r @ self.matrix.T)
        return slope[:, :, None] * self.matrix

    def draws(self, count: int, *, seed: int = 0) -> list["PowerLaw"]:
        if not self.sd:
            raise InputError("the fit gives no standard errors")
        noise = np.random.default_rng(seed).normal(size=(count, *self.matrix.shape))
        return [replace(self, matrix=self.matrix * np.exp(self.sd * one)) for one in noise]

    def interval(self, proportions, *, at, params=None, level=0.9) -> tuple[Array, Array]:
        losses = self.predict(proportions, at=at, params=params)
        return losses - 0.1 * level, losses + 0.1 * level


@pytest.fixture
def power_law_of() -> Callable[..., PowerLaw]:
    """Make a law of evaluation domain -> (alpha, how much a token of each training domain counts)."""

    def make(
        train: tuple[str, ...],
        terms: Mapping[str, tuple[float, tuple[float, ...]]],
        sd: float = 0.0,
        mixtures: Array | None = None,
    ) -> PowerLaw:
        return PowerLaw(
            **plain(train, tuple(terms), mixtures),
            matrix=np.array([row for _, row in terms.values()]),
            alpha=np.array([alpha for alpha, _ in terms.values()]),
            sd=sd,
        )

    return make


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CurvedLaw(FittedLaw):
    """L_k = 2 - sum_i depth_i exp(-|r - centre_ki|**2 / 0.02): a minimum at each centre, deeper or shallower."""

    law: ClassVar[str] = "curved"
    formula: ClassVar[str] = "wells"

    centres: Array  # (e, wells, m)
    depths: Array  # (wells,)
    smooth: bool = True
    asked: list[Array] = field(default_factory=list)

    def predict(self, proportions, *, at, params=None) -> Array:
        r = self.to_array(proportions)
        self.positions(at, len(r))
        self.asked.append(r)
        return 2.0 - (self.depths * self._wells(r)).sum(axis=2)

    def gradient(self, proportions, *, at, params=None) -> Array:
        if not self.smooth:
            raise InputError("curved has no gradient")
        r = self.to_array(proportions)
        away = r[:, None, None, :] - self.centres
        return np.einsum("w,qkw,qkwm->qkm", self.depths, self._wells(r), away) / 0.01

    def _wells(self, r: Array) -> Array:
        away = r[:, None, None, :] - self.centres
        return np.exp(-np.sum(away**2, axis=3) / 0.02)


@pytest.fixture
def curved_law_of() -> Callable[..., CurvedLaw]:
    """Make a law of the wells of each evaluation domain, all of the same depths."""

    def make(
        train: tuple[str, ...],
        centres: Mapping[str, list[tuple[float, ...]]],
        depths: tuple[float, ...],
        smooth: bool = True,
        mixtures: Array | None = None,
    ) -> CurvedLaw:
        return CurvedLaw(
            **plain(train, tuple(centres), mixtures),
            centres=np.array(list(centres.values())),
            depths=np.array(depths),
            smooth=smooth,
        )

    return make


@pytest.fixture(scope="session")
def fitted() -> Mapping[str, FittedLaw]:
    """BiMix and the transfer law, fitted to the same eight runs of three domains with noise."""
    rng = np.random.default_rng(3)
    domains = ("web", "code", "books")
    r = np.repeat(rng.dirichlet(np.full(3, 2.0), 8) * 0.94 + 0.02, 4, axis=0)
    tokens = np.tile([1e9, 2e9, 4e9, 8e9], 8)
    matrix = np.array([[1.0, 0.1, 0.3], [0.05, 1.0, 0.02], [0.2, 0.05, 1.0]])
    losses = (1.5e3 / tokens[:, None] ** 0.4 + [2.2, 1.2, 2.6]) * (r @ matrix.T) ** -np.array([0.08, 0.2, 0.06])
    losses *= np.exp(0.003 * np.repeat(rng.normal(size=(8, 3)), 4, axis=0) + 0.001 * rng.normal(size=losses.shape))
    run = [f"r{number}" for number in np.repeat(np.arange(8), 4)]
    runs = RunTable.from_arrays(r, losses, train_domains=domains, eval_domains=domains, tokens=tokens, run=run)
    return {name: laws.get(name).fit(runs) for name in ("bimix", "transfer")}


@pytest.fixture(scope="session")
def grid() -> Callable[[int, int], Array]:
    """Make all mixtures of m domains whose shares are multiples of 1 / parts, shape (q, m)."""

    def make(m: int, parts: int) -> Array:
        counts = np.stack(np.meshgrid(*[np.arange(parts + 1)] * (m - 1), indexing="ij"), axis=-1).reshape(-1, m - 1)
        counts = counts[counts.sum(axis=1) <= parts]
        return np.column_stack([counts, parts - counts.sum(axis=1)]) / parts

    return make
