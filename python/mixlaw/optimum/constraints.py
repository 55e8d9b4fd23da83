"""Constraints on the mixture: as users write them, checked, and as arrays.

    { r : sum_j r_j = 1,  floor_j <= r_j <= cap_j,  low <= G r <= high }

symbol     meaning                                        shape   unit
m          training domains                               -       -
p          rows: one for each group and each ratio bound  -       -
r          proportions                                    (m,)    share of training tokens
floor      least proportions                              (m,)    share of training tokens
cap        largest proportions                            (m,)    share of training tokens
G          groups: 1 for their domains; ratios, see below (p, m)  -
low, high  bounds of the rows, infinite where none        (p,)    share of training tokens

A ratio bound r_a / r_b <= c is the row r_a - c r_b <= 0, and r_a / r_b >= c the row r_a - c r_b >= 0, so that a ratio
between two bounds has two rows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar, Unpack

import numpy as np

from mixlaw.errors import InputError, did_you_mean
from mixlaw.fitted import Array
from mixlaw.optimum.epochs import Supply, supply
from mixlaw.weights import finite_number

# Of a domain, and of a row.
Side = Literal["floor", "cap", "low", "high"]
PerDomain = float | Mapping[str, float] | None
# Ratios that linear programmes can tell from 0 and from no bound at all.
SMALLEST, LARGEST = 1e-6, 1e6


@dataclass(frozen=True)
class GroupBound:
    """Bounds of what several training domains have together.

    Attributes
    ----------
    domains
        The domains of the group.
    floor, cap
        Least and largest sum of their proportions.

    Raises
    ------
    InputError
        If a bound is no share between 0 and 1, there is neither, or there are no domains or one stands twice.
    """

    domains: Sequence[str]
    floor: float = 0.0
    cap: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.domains, str):
            raise InputError(f"a group is a sequence of domains, not the text {self.domains!r}")
        object.__setattr__(self, "domains", tuple(self.domains))
        if not self.domains or len(set(self.domains)) < len(self.domains):
            raise InputError(f"{self}: a group needs domains, each of them once")
        _share(self.floor, f"floor of the {self}")
        _share(self.cap, f"cap of the {self}")
        if self.floor == 0.0 and self.cap == 1.0:
            raise InputError(f"{self}: give a floor above 0 or a cap below 1")

    def __str__(self) -> str:
        return f"group {{{', '.join(self.domains)}}}"


@dataclass(frozen=True)
class RatioBound:
    """Bounds of the proportion of one training domain, divided by that of another.

    Attributes
    ----------
    of, to
        The domains: r_of / r_to. Where neither has any tokens, every bound is met.
    floor, cap
        Least and largest ratio, each 0 or between 1e-6 and 1e6; an infinite cap is none.

    Raises
    ------
    InputError
        If a bound is no such ratio, the floor is above the cap, there is neither, or both domains are the same.
    """

    of: str
    to: str
    floor: float = 0.0
    cap: float = math.inf

    def __post_init__(self) -> None:
        if self.of == self.to:
            raise InputError(f"{self}: a ratio needs two domains")
        for side, value in (("floor", self.floor), ("cap", self.cap)):
            if side == "cap" and value == math.inf:
                continue
            ratio = finite_number(value, f"{side} of the {self}")
            if ratio != 0.0 and not SMALLEST <= ratio <= LARGEST:
                raise InputError(f"{side} of the {self}: expected 0, or a number between 1e-6 and 1e6, not {ratio:g}")
        if self.floor == 0.0 and self.cap == math.inf:
            raise InputError(f"{self}: give a floor or a cap")
        if self.floor > self.cap:
            raise InputError(f"{self}: the floor {self.floor:g} is above the cap {self.cap:g}")

    def __str__(self) -> str:
        return f"ratio {self.of} / {self.to}"

    @property
    def domains(self) -> tuple[str, str]:
        """Both domains."""
        return self.of, self.to


Bound = TypeVar("Bound", GroupBound, RatioBound)


class ConstraintArguments(TypedDict, total=False):
    """The constraints that `mixlaw.optimize` and `mixlaw.pareto` take; see the former."""

    floors: PerDomain
    caps: PerDomain
    fixed: Mapping[str, float] | None
    groups: Sequence[GroupBound]
    ratios: Sequence[RatioBound]
    budget: float | None
    available: Mapping[str, float] | None
    max_epochs: PerDomain
    repetition: float | None


class _Row(NamedTuple):
    """A row of G with its bounds, and what messages call them."""

    weights: Array
    low: float
    high: float
    low_words: str
    high_words: str


@dataclass(frozen=True, eq=False)
class Constraints:
    """Constraints of one problem; see the head of this module.

    Attributes
    ----------
    domains
        The training domains.
    floor, cap, G, low, high
        See there.
    floors, caps, fixed
        What was given, by domain.
    groups, ratios, supply
        What was given.
    """

    domains: tuple[str, ...]
    floor: Array
    cap: Array
    G: Array
    low: Array
    high: Array
    floors: Mapping[str, float] = field(default_factory=dict)
    caps: Mapping[str, float] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    groups: tuple[GroupBound, ...] = ()
    ratios: tuple[RatioBound, ...] = ()
    supply: Supply | None = None

    def words(self, kind: Side, index: int) -> str:
        """What messages call the ``"floor"`` or ``"cap"`` of a domain, or the ``"low"`` or ``"high"`` of a row."""
        if kind in ("low", "high"):
            row = _rows(self.domains, self.groups, self.ratios)[index]
            return row.low_words if kind == "low" else row.high_words
        domain, value = self.domains[index], float((self.floor if kind == "floor" else self.cap)[index])
        if self.fixed.get(domain) == value:
            return f"share of {domain!r} fixed at {value:.6g}"
        if kind == "cap" and self.caps.get(domain, math.inf) > value and self.supply is not None:
            epochs = self.supply.max_epochs.get(domain)
            if epochs is not None:
                number = f"{epochs:.6g} epoch{'' if epochs == 1.0 else 's'}"
                return f"{number} of {domain!r}, {value:.6g} of the budget"
        return f"{kind} of {domain!r} {value:.6g}"

    def content(self) -> dict[str, Any]:
        """Give what was given, ready for JSON."""
        return {
            "floors": dict(self.floors),
            "caps": dict(self.caps),
            "fixed": dict(self.fixed),
            "groups": [{"domains": list(one.domains), "floor": one.floor, "cap": one.cap} for one in self.groups],
            "ratios": [
                {"of": one.of, "to": one.to, "floor": one.floor, "cap": one.cap if math.isfinite(one.cap) else None}
                for one in self.ratios
            ],
            **({} if self.supply is None else self.supply.content()),
        }

    @property
    def bind(self) -> bool:
        """Whether there are any but those of a mixture."""
        return bool((self.floor > 0.0).any() or (self.cap < 1.0).any() or len(self.G))

    def without_bounds(self) -> "Constraints":
        """The same problem with no constraint but that of a mixture; what there is of the data stays as it is."""
        data = None if self.supply is None else replace(self.supply, max_epochs={})
        return _assemble(self.domains, {}, {}, {}, (), (), data)

    def narrower_than(self, others: "Constraints") -> bool:
        """Whether there is no room here between bounds that others keep apart."""
        return bool(
            ((self.floor == self.cap) != (others.floor == others.cap)).any()
            or ((self.low == self.high) != (others.low == others.high)).any()
        )

    def allow(self, r: Array, tolerance: float = 1e-9) -> bool:
        """Whether a mixture satisfies them."""
        rows = self.G @ r
        inside = (r >= self.floor - tolerance).all() and (r <= self.cap + tolerance).all()
        return bool(inside and (rows >= self.low - tolerance).all() and (rows <= self.high + tolerance).all())


def constraints(
    domains: Sequence[str], tokens: float | None = None, **given: Unpack[ConstraintArguments]
) -> Constraints:
    """Check constraints and turn them into arrays; whether any mixture satisfies them is not asked here.

    Parameters
    ----------
    domains
        The training domains.
    tokens
        The budget where none is given: the length of training, if it is measured in tokens.
    **given
        As `ConstraintArguments`.

    Raises
    ------
    InputError
        If a bound is no share or ratio, names no training domain, or needs another argument.
    """
    fixed = given.get("fixed")
    if fixed is not None and not isinstance(fixed, Mapping):
        raise InputError(f"fixed: expected domain -> share, not {fixed!r}")
    return _assemble(
        tuple(domains),
        _shares(domains, given.get("floors"), "floor"),
        _shares(domains, given.get("caps"), "cap"),
        _shares(domains, fixed, "fixed share"),
        _checked(domains, given.get("groups", ()), GroupBound),
        _checked(domains, given.get("ratios", ()), RatioBound),
        supply(
            domains,
            tokens,
            given.get("budget"),
            given.get("available"),
            given.get("max_epochs"),
            given.get("repetition"),
        ),
    )


def _assemble(
    domains: tuple[str, ...],
    floors: dict[str, float],
    caps: dict[str, float],
    fixed: dict[str, float],
    groups: tuple[GroupBound, ...],
    ratios: tuple[RatioBound, ...],
    data: Supply | None,
) -> Constraints:
    floor = np.array([max(floors.get(domain, 0.0), fixed.get(domain, 0.0)) for domain in domains])
    cap = np.array([min(caps.get(domain, 1.0), fixed.get(domain, 1.0)) for domain in domains])
    if data is not None:
        cap = np.minimum(cap, data.caps())
    rows = _rows(domains, groups, ratios)
    return Constraints(
        domains=domains,
        floor=floor,
        cap=cap,
        G=np.array([row.weights for row in rows]).reshape(len(rows), len(domains)),
        low=np.array([row.low for row in rows]),
        high=np.array([row.high for row in rows]),
        floors=floors,
        caps=caps,
        fixed=fixed,
        groups=groups,
        ratios=ratios,
        supply=data,
    )


def _rows(domains: Sequence[str], groups: Sequence[GroupBound], ratios: Sequence[RatioBound]) -> list[_Row]:
    place = {domain: j for j, domain in enumerate(domains)}
    rows = []
    for group in groups:
        weights = np.zeros(len(domains))
        weights[[place[domain] for domain in group.domains]] = 1.0
        low = group.floor if group.floor > 0.0 else -math.inf
        high = group.cap if group.cap < 1.0 else math.inf
        rows.append(_Row(weights, low, high, f"floor of {group} {low:.6g}", f"cap of {group} {high:.6g}"))
    for ratio in ratios:
        low_words, high_words = f"floor of {ratio} {ratio.floor:.6g}", f"cap of {ratio} {ratio.cap:.6g}"
        sides = [(ratio.floor, 0.0, math.inf), (ratio.cap, -math.inf, 0.0)]
        if ratio.floor == ratio.cap:
            sides = [(ratio.cap, 0.0, 0.0)]
        for value, low, high in sides:
            if (low == 0.0 and value == 0.0 and high != 0.0) or value == math.inf:
                continue  # no bound on this side
            weights = np.zeros(len(domains))
            weights[place[ratio.of]], weights[place[ratio.to]] = 1.0, -value
            rows.append(_Row(weights, low, high, low_words, high_words))
    return rows


def _shares(domains: Sequence[str], values: PerDomain, what: str) -> dict[str, float]:
    """Shares by domain: one number is for every domain."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        return dict.fromkeys(domains, _share(values, what))
    _check_known(domains, values, what)
    return {domain: _share(values[domain], f"{what} of {domain!r}") for domain in domains if domain in values}


def _share(value: object, what: str) -> float:
    number = finite_number(value, what)
    if not 0.0 <= number <= 1.0:
        raise InputError(f"{what}: expected a share between 0 and 1, not {number:g}")
    return number


def _check_known(domains: Sequence[str], names: Iterable[str], what: str) -> None:
    known = set(domains)
    for domain in names:
        if domain not in known:
            raise InputError(f"{what} of {domain!r}: no training domain{did_you_mean(domain, domains)}")


def _checked(domains: Sequence[str], bounds: Sequence[Bound], kind: type[Bound]) -> tuple[Bound, ...]:
    """Bounds of one kind, whose domains exist."""
    if not isinstance(bounds, Sequence):
        raise InputError(f"expected a sequence of {kind.__name__}, not {bounds!r}")
    for one in bounds:
        if not isinstance(one, kind):
            raise InputError(f"expected a {kind.__name__}, not {one!r}")
        _check_known(domains, one.domains, str(one))
    return tuple(bounds)
