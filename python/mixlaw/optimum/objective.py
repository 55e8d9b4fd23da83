"""What is minimised, as a function of the mixture.

    max over parts of  values(r),    where the parts are
        sum_k w_k L_k(r) + risk * sd(sum_k w_k L_k(r)) + pull KL(r || prior)    one part
        w_k L_k(r) + pull KL(r || prior)                                       in the worst case, one for each k

symbol  meaning                                                           shape   unit
m       training domains                                                  -       -
e       evaluation domains with a weight                                  -       -
K       parts: 1, or e in the worst case                                  -       -
q       mixtures asked about                                              -       -
r       proportions                                                       (m,)    share of training tokens
w       weights of the evaluation domains                                 (e,)    -
L       predicted losses, of effective proportions if repeats are worth   (e,)    nats per token
        less
sd      standard deviation over laws drawn from the posterior             -       nats per token
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mixlaw.errors import InputError
from mixlaw.fitted import Array, EffectiveProportions, FittedLaw, PowerTerms, Proportions
from mixlaw.laws.returns import marginal, returns
from mixlaw.optimum.convex import Convex
from mixlaw.optimum.epochs import Supply
from mixlaw.optimum.lagrange import Mask
from mixlaw.optimum.pull import Pull


@dataclass(frozen=True, eq=False)
class Objective:
    """See the head of this module.

    Attributes
    ----------
    law, at, params
        The law, and where it is asked.
    weights
        Of all evaluation domains, shape (all e,); not all 0.
    worst
        Whether it is the worst of the weighted losses that counts, or their sum.
    risk, drawn
        Weight of the standard deviation, and the laws that it is over.
    pull
        Towards a prior; None for none.
    supply
        By which repeated tokens count for less; None where all count in full.
    """

    law: FittedLaw
    at: float
    params: float | None
    weights: Array
    worst: bool = False
    risk: float = 0.0
    drawn: Sequence[FittedLaw] = ()
    pull: Pull | None = None
    supply: Supply | None = None

    def losses(self, mixtures: Array) -> Array:
        """Predicted losses of mixtures of shape (q, m), shape (q, all e)."""
        return self.law.predict(self.shares(mixtures), at=self.at, params=self.params)

    def shares(self, mixtures: Array) -> Proportions:
        """What the law is asked about for mixtures of shape (q, m)."""
        return mixtures if self.supply is None else EffectiveProportions(self.supply.effective(mixtures))

    def values(self, mixtures: Array) -> Array:
        """The objective at mixtures of shape (q, m), shape (q,)."""
        losses = self.losses(mixtures)[:, self._counts] * self.weights[self._counts]
        values = losses.max(axis=1) if self.worst else losses.sum(axis=1)
        if self.risk:
            drawn = [law.predict(self.shares(mixtures), at=self.at, params=self.params) for law in self.drawn]
            means = [one[:, self._counts] @ self.weights[self._counts] for one in drawn]
            values = values + self.risk * np.std(means, axis=0, ddof=1)
        return np.asarray(values) if self.pull is None else values + self.pull.value(mixtures)

    def value(self, r: Array) -> float:
        """The objective at one mixture, shape (m,)."""
        return float(self.values(r[None, :])[0])

    def parts(self, r: Array) -> tuple[Array, Array]:
        """Values of the parts at one mixture, and their derivatives, shapes (K,) and (K, m)."""
        values, slopes = self._weighted(self.law, r)
        if not self.worst:
            values, slopes = values.sum(keepdims=True), slopes.sum(axis=0, keepdims=True)
        if self.risk:
            means, by_r = self._drawn_means(r)
            sd = means.std(ddof=1)
            values = values + self.risk * sd
            if sd > 0.0:
                slopes = slopes + self.risk / sd / (len(means) - 1) * (means - means.mean()) @ by_r
        if self.supply is not None:
            slopes = slopes * self.supply.slope(r)
        if self.pull is not None:
            values, slopes = values + self.pull.value(r), slopes + self.pull.slope(r)
        return values, slopes

    def _drawn_means(self, r: Array) -> tuple[Array, Array]:
        """Mean losses under the drawn laws, and derivatives as in `_weighted`, shapes (draws,) and (draws, m)."""
        if self._drawn_power is None:
            drawn = [self._weighted(law, r) for law in self.drawn]
            return np.array([values.sum() for values, _ in drawn]), np.array(
                [slopes.sum(axis=0) for _, slopes in drawn]
            )
        matrix, alpha, scale, rho = self._drawn_power
        shares = r if self.supply is None else self.supply.effective(r)
        worth, rise = matrix * shares, matrix
        if rho is not None:
            worth, rise = matrix * returns(shares, rho[:, :, None]), matrix * marginal(shares, rho[:, :, None])
        z = worth.sum(axis=2)
        values = scale * z**-alpha
        return values.sum(axis=1), np.einsum("dk,dkj->dj", -alpha * values / z, rise)

    @cached_property
    def _drawn_power(self) -> PowerTerms | None:
        """Terms of all drawn laws at once, with one more axis in front; None if they have no such form."""
        terms = [replace(self, law=law, risk=0.0).power for law in self.drawn]
        known = [one for one in terms if one is not None]
        if len(known) < len(terms):
            return None
        matrix, alpha, scale = (np.array([one[k] for one in known]) for k in range(3))
        rho = [one.rho for one in known if one.rho is not None]
        return PowerTerms(matrix, alpha, scale, np.array(rho) if rho else None)

    def _weighted(self, law: FittedLaw, r: Array) -> tuple[Array, Array]:
        """Give w L and its derivatives by what the law is asked about, shapes (e,) and (e, m)."""
        shares, w = self.shares(r[None, :]), self.weights[self._counts]
        values = law.predict(shares, at=self.at, params=self.params)[0, self._counts]
        slopes = law.gradient(shares, at=self.at, params=self.params)[0, self._counts]
        return w * values, w[:, None] * slopes

    def has_gradient(self, r: Array) -> bool:
        """Whether the law can be differentiated, which it is asked at r."""
        self.value(r)  # what is wrong with the question is an error here
        try:
            self.law.gradient(r[None, :], at=self.at, params=self.params)
        except InputError:
            return False
        return True

    @cached_property
    def separable(self) -> tuple[Array, Array] | None:
        """Scale and exponent of the term of each training domain, 0 where nothing counts, shape (m,); None without."""
        terms = self.law.separable(at=self.at, params=self.params)
        if terms is None:
            return None
        c, alpha = np.zeros(len(self.law.train_domains)), np.zeros(len(self.law.train_domains))
        c[terms.domain] = self.weights * terms.scale
        alpha[terms.domain] = terms.alpha
        return c, alpha

    @cached_property
    def power(self) -> PowerTerms | None:
        """Terms of the losses with a weight, times that; None if the law has no such form."""
        counts, m = self._counts, len(self.law.train_domains)
        own = self.law.separable(at=self.at, params=self.params)
        if own is not None:
            terms = PowerTerms(np.eye(m)[own.domain], own.alpha, own.scale)
        else:
            found = self.law.power_terms(at=self.at, params=self.params)
            if found is None:
                return None
            terms = found
        scale, rho = (self.weights * terms.scale)[counts], None if terms.rho is None else terms.rho[counts]
        return PowerTerms(terms.matrix[counts], terms.alpha[counts], scale, rho)

    @cached_property
    def convex(self) -> Convex | None:
        """The objective as `minimize_convex` takes it; None if it is not known to be convex."""
        if self.risk:
            return None
        if self.power is not None:
            matrix, alpha, scale, rho = self.power
            return Convex(matrix, scale, alpha, self.worst, self.pull, self.supply, rho=rho)
        terms, counts = self.law.exponential_terms(at=self.at, params=self.params), self._counts
        if terms is None:
            return None
        weights = self.weights[counts]
        constant, scale = weights * terms.constant[counts], weights * np.exp(terms.level[counts])
        return Convex(terms.rates[counts], scale, None, self.worst, self.pull, self.supply, constant)

    @cached_property
    def _counts(self) -> Mask:
        return self.weights > 0.0
