"""Fitted laws with given coefficients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from mixlaw.fitted import Array, Coefficient, DomainFit, FittedLaw, PowerTerms
from mixlaw.laws.bimix import COEFFICIENTS, FittedBiMix


@pytest.fixture
def law_of() -> Callable[..., FittedBiMix]:
    """Make BiMix of (alpha, B, beta, C) by evaluation domain; the training domains are those and `also`."""

    def make(terms: Mapping[str, tuple[float, float, float, float]], also: tuple[str, ...] = ()) -> FittedBiMix:
        named = {
            domain: dict(zip(COEFFICIENTS, (1.0, B, C, alpha, beta), strict=True))
            for domain, (alpha, B, beta, C) in terms.items()
        }
        return FittedBiMix(
            train_domains=(*also, *terms),
            eval_domains=tuple(terms),
            x="tokens",
            x_range=(1.0, 100.0),
            sizes=(),
            mixtures=np.empty((0, len(also) + len(terms))),
            fingerprint="abc123",
            coefficients={d: {name: Coefficient(v) for name, v in mine.items()} for d, mine in named.items()},
            covariance={domain: np.full((5, 5), np.nan) for domain in terms},
            quality={domain: DomainFit(4, 2, 0, None, 0.0, None, None) for domain in terms},
            spearman=None,
            notes=(),
        )

    return make


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PowerLaw(FittedLaw):
    """L_k = (2 + 8 / at) / (matrix_k . r)**alpha_k, for tests of what asks for `power_terms`."""

    law: ClassVar[str] = "fake"
    formula: ClassVar[str] = "L_k = (2 + 8 / at) / (matrix_k . r)^alpha_k"

    matrix: Array
    alpha: Array

    def power_terms(self, *, at: float, params: float | None = None) -> PowerTerms:
        return PowerTerms(
            self.matrix, self.alpha, np.full(len(self.alpha), 2.0 + 8.0 / float(self.positions(at, 1)[0]))
        )

    def predict(self, proportions, *, at, params=None) -> Array:
        with np.errstate(divide="ignore"):
            return (2.0 + 8.0 / at) * (self.to_array(proportions) @ self.matrix.T) ** -self.alpha

    def gradient(self, proportions, *, at, params=None) -> Array:
        r = self.to_array(proportions)
        slope = -self.alpha * self.predict(r, at=at) / (r @ self.matrix.T)
        return slope[:, :, None] * self.matrix


@pytest.fixture
def power_law_of() -> Callable[..., PowerLaw]:
    """Make a law of evaluation domain -> (alpha, how much a token of each training domain counts)."""

    def make(train: tuple[str, ...], terms: Mapping[str, tuple[float, tuple[float, ...]]]) -> PowerLaw:
        return PowerLaw(
            train_domains=train,
            eval_domains=tuple(terms),
            x="tokens",
            x_range=(1.0, 100.0),
            sizes=(),
            mixtures=np.empty((0, len(train))),
            fingerprint="abc123",
            coefficients={},
            covariance={},
            quality={},
            spearman=None,
            notes=(),
            matrix=np.array([row for _, row in terms.values()]),
            alpha=np.array([alpha for alpha, _ in terms.values()]),
        )

    return make
