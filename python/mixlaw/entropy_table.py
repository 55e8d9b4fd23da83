"""`EntropyTable`: per domain, how many tokens were counted and which entropies the counts give.

symbol            meaning                                                       shape   unit
m                 domains                                                       -       -
tokens            tokens counted                                                (m,)    tokens
types             distinct tokens among them                                    (m,)    token ids
token_singletons  token ids that were seen once                                 (m,)    token ids
pairs             adjacent pairs counted, none across a document border         (m,)    pairs
pair_types        distinct pairs among them                                     (m,)    pairs
pair_singletons   pairs that were seen once                                     (m,)    pairs
se                Shannon entropy H(X) over tokens                              (m,)    nats
je                joint entropy H(X, X') over pairs                             (m,)    nats
ce                conditional entropy H(X' | X) = je - H(first tokens of pairs) (m,)    nats
.._error          standard error of an entropy, over documents                  (m,)    nats
curve_..          the same of an eighth, a quarter, a half and all documents    (m, 4)  as above
equal_..          sizes at which samples are compared, and their coverage there (m,)    as above
coverage          1 - singletons / counted                                      (m,)    share
r                 proxy mixture                                                 (m,)    share of training tokens
"""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mixlaw import entropy_formats
from mixlaw.entropy_formats import (
    COUNTS,
    COVERAGES,
    CURVE,
    CURVE_SIZES,
    EQUAL,
    EQUAL_COVERAGES,
    EQUAL_SIZES,
    ERRORS,
    PARTS,
)
from mixlaw.entropy_formats import MEASURES as MEASURES
from mixlaw.entropy_ranking import Unsettled, unsettled
from mixlaw.entropy_text import text
from mixlaw.errors import InputError, did_you_mean
from mixlaw.mixture import Mixture, check_domains
from mixlaw.proxy_mixture import ProportionBars, normal_replicates, proportion_bars, proportions

ESTIMATORS = ("plugin", "miller-madow", "grassberger", "chao-shen", "chao-wang-jost")
EQUALIZED = ("tokens", "coverage")

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# How far rounding may carry an entropy over a bound that it has in exact arithmetic.
_SLACK = 1e-9


def _unknown() -> Floats:
    return np.array(np.nan)


@dataclass(frozen=True, eq=False, kw_only=True)
class EntropyTable:
    """Counts and entropies of the domains of a corpus, in nats; immutable.

    Attributes
    ----------
    domains
        Names of the m domains.
    tokenizer
        What made the token ids; ``None`` where that is not known.
    vocab_size
        Token ids are below it.
    estimator
        How entropies come from counts: ``"plugin"`` takes relative frequencies for probabilities; the others, of
        `mixlaw.entropy.estimators`, correct its bias.
    tokens, types, token_singletons
        Tokens, distinct tokens and tokens seen once, int64, shape (m,).
    pairs, pair_types, pair_singletons
        The same of adjacent pairs inside a document, int64, shape (m,).
    se, ce, je
        Shannon, conditional and joint entropy in nats, float64, shape (m,).
    se_error, ce_error, je_error
        Their standard errors in nats, float64, shape (m,); NaN where unknown.
    curve_tokens, curve_pairs
        Sizes of an eighth, a quarter, a half and all of the documents, int64, shape (m, 4); None without a curve.
    curve_se, curve_ce, curve_je
        Entropies of these, by the same estimator, float64, shape (m, 4); NaN where there was nothing.
    equalized
        ``"tokens"`` where `se`, `ce` and `je` are those expected of equally many tokens, or pairs, of every domain;
        ``"coverage"`` where they are those expected at equal coverage; None where they are of all that was counted.
    equal_tokens, equal_pairs
        Of how many, int64, shape (m,); None unless equalized.
    equal_token_coverage, equal_pair_coverage
        Coverage that is expected there, float64, shape (m,); None unless equalized.

    Raises
    ------
    InputError
        If shapes do not agree, a domain has no token, or a value cannot be (more types than tokens, an entropy above
        the logarithm of the number of types); the message names the domain.
    """

    domains: tuple[str, ...]
    tokenizer: str | None
    vocab_size: int
    estimator: str
    tokens: Counts
    types: Counts
    token_singletons: Counts
    pairs: Counts
    pair_types: Counts
    pair_singletons: Counts
    se: Floats
    ce: Floats
    je: Floats
    se_error: Floats = field(default_factory=_unknown)
    ce_error: Floats = field(default_factory=_unknown)
    je_error: Floats = field(default_factory=_unknown)
    curve_tokens: Counts | None = None
    curve_pairs: Counts | None = None
    curve_se: Floats | None = None
    curve_ce: Floats | None = None
    curve_je: Floats | None = None
    equalized: str | None = None
    equal_tokens: Counts | None = None
    equal_pairs: Counts | None = None
    equal_token_coverage: Floats | None = None
    equal_pair_coverage: Floats | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", tuple(self.domains))
        size = _array("vocab_size", self.vocab_size, np.int64)
        if size.shape != () or size < 1:
            raise InputError(f"vocab_size must be a whole number above 0, not {self.vocab_size!r}")
        object.__setattr__(self, "vocab_size", int(size))
        m = len(self.domains)
        for name in ERRORS:
            if np.shape(getattr(self, name)) == ():
                object.__setattr__(self, name, np.full(m, getattr(self, name)))
        self._together("curve", CURVE, any(getattr(self, name) is not None for name in CURVE))
        self._together("equal", EQUAL, self.equalized is not None)
        for name in (*COUNTS, *MEASURES, *ERRORS, *CURVE, *EQUAL):
            if getattr(self, name) is not None:
                whole = name in (*COUNTS, *CURVE_SIZES, *EQUAL_SIZES)
                array = _array(name, getattr(self, name), np.int64 if whole else np.float64)
                if array.shape != ((m, len(PARTS)) if name in CURVE else (m,)):
                    raise InputError(f"{name} of {m} domains has the shape {array.shape}")
                array.setflags(write=False)
                object.__setattr__(self, name, array)
        self._check()

    def _together(self, kind: str, names: tuple[str, ...], wanted: bool) -> None:
        for name in names:
            if (getattr(self, name) is not None) != wanted:
                what = "is not given" if wanted else "is given, but not how samples were made equal (`equalized`)"
                raise InputError(f"{name} {what}; the columns {kind}_.. come together")

    def _check(self) -> None:
        if not self.domains:
            raise InputError("an entropy table needs at least one domain")
        check_domains(self.domains)
        if not isinstance(self.tokenizer, str | None):
            raise InputError(f"tokenizer must be a text or None, not {self.tokenizer!r}")
        if self.estimator not in ESTIMATORS:
            raise InputError(f"unknown estimator {self.estimator!r}{did_you_mean(str(self.estimator), ESTIMATORS)}")
        if self.equalized is not None and self.equalized not in EQUALIZED:
            raise InputError(f"unknown equalized {self.equalized!r}{did_you_mean(str(self.equalized), EQUALIZED)}")
        if self.equalized is not None and self.estimator != "plugin":
            raise InputError(f"equalized entropies are expected plug-in entropies, not those of {self.estimator!r}")
        self._check_counts()
        self._check_entropies()
        for name in CURVE if self.curve_tokens is not None else ():
            self._check_curve(name)
        for name in EQUAL if self.equalized is not None else ():
            self._check_equal(name)

    def _check_counts(self) -> None:
        for name, low, high, what in (
            ("tokens", 1, None, "at least 1, as no entropy follows from no tokens"),
            ("types", 1, np.minimum(self.tokens, self.vocab_size), "between 1 and both tokens and vocab_size"),
            ("token_singletons", 0, self.types, "between 0 and types"),
            ("pairs", 0, self.tokens, "between 0 and tokens"),
            ("pair_types", np.minimum(self.pairs, 1), self.pairs, "between 1 and pairs"),
            ("pair_singletons", 0, self.pair_types, "between 0 and pair_types"),
        ):
            values = getattr(self, name)
            self._require(name, (values >= low) & (values <= high) if high is not None else values >= low, what)

    def _check_entropies(self) -> None:
        most_se, most_je = (np.log(np.maximum(distinct, 1)) for distinct in (self.types, self.pair_types))
        for name, high, what in (
            ("se", most_se, "between 0 and log(types) nats"),
            ("je", most_je, "between 0 and log(pair_types) nats"),
            ("ce", self.je, "between 0 and je"),
        ):
            values = getattr(self, name)
            if self.estimator == "plugin":
                self._require(name, (values >= -_SLACK) & (values <= high + _SLACK), what)
            else:  # a correction may carry it over any of these bounds
                self._require(name, np.isfinite(values), "a number of nats")
        for name in ERRORS:
            values = getattr(self, name)
            self._require(name, np.isnan(values) | ((values >= 0.0) & (values < np.inf)), "0 or more nats, or NaN")

    def _check_curve(self, name: str) -> None:
        values = getattr(self, name)
        sizes = self.curve_tokens if name in ("curve_tokens", "curve_se") else self.curve_pairs
        assert sizes is not None
        full = getattr(self, name.removeprefix("curve_"))
        if name in CURVE_SIZES:
            rising = (np.diff(values, axis=1, prepend=0) >= 0).all(axis=1)
            self._require(name, rising & (values[:, -1] == full), f"rising to {name.removeprefix('curve_')}")
            return
        self._require(name, (np.isfinite(values) | (sizes == 0)).all(axis=1), "numbers where there are observations")
        if self.equalized is None:
            last = np.isclose(values[:, -1], full, rtol=0.0, atol=_SLACK) | (sizes[:, -1] == 0)
            self._require(name, last, f"{name.removeprefix('curve_')} as its last")

    def _check_equal(self, name: str) -> None:
        values = getattr(self, name)
        counted = self.tokens if "token" in name else self.pairs
        if name in EQUAL_COVERAGES:
            inside = (values >= 0.0) & (values <= 1.0)
            self._require(name, inside | (np.isnan(values) & (counted == 0)), "a share")
        else:
            inside = (values >= np.minimum(counted, 1)) & (values <= counted)
            self._require(name, inside, f"between 1 and {name.removeprefix('equal_')}")

    def _require(self, name: str, right: npt.NDArray[np.bool_], what: str) -> None:
        if not right.all():
            i = int(np.argmin(right))
            value = getattr(self, name)[i]
            shown = value if value.ndim == 0 else value.tolist()
            raise InputError(f"domain {self.domains[i]!r}: {name} is {shown}; expected: {what}")

    @property
    def token_coverage(self) -> Floats:
        """Share of the domain's probability that the seen tokens hold, 1 - token_singletons / tokens, shape (m,)."""
        return 1.0 - self.token_singletons / self.tokens

    @property
    def pair_coverage(self) -> Floats:
        """The same of pairs, shape (m,); NaN for a domain without pairs."""
        return np.where(self.pairs > 0, 1.0 - self.pair_singletons / np.maximum(self.pairs, 1), np.nan)

    def mixture(self, proxy: str) -> Mixture:
        """Give the mixture r_i = e^{H_i} / sum_j e^{H_j} (BiMix, arXiv 2405.14908, Eq. 13).

        Parameters
        ----------
        proxy
            Which entropy H is: ``"se"``, ``"ce"`` or ``"je"``.

        Raises
        ------
        InputError
            If the proxy is unknown, or is one of pairs and a domain has none.
        """
        return Mixture.from_array(self.domains, proportions(self._entropies(proxy)))

    def mixture_bars(self, proxy: str) -> ProportionBars:
        """Error bars of `mixture(proxy)`, in the order of `domains`: standard errors, and ends of 90 % intervals.

        Entropies are taken for normal with their standard errors, and those of different domains for independent.

        Raises
        ------
        InputError
            As of `mixture`, and if the standard error of a domain's entropy is unknown.
        """
        entropies, errors = self._entropies(proxy), getattr(self, f"{proxy}_error")
        if np.isnan(errors).any():
            unknown = self.domains[int(np.argmax(np.isnan(errors)))]
            raise InputError(f"the standard error of {proxy} of domain {unknown!r} is unknown, so the mixture has none")
        return proportion_bars(entropies, normal_replicates(entropies, errors))

    def unsettled(self, proxy: str) -> list[Unsettled]:
        """Neighbours in the ranking of the domains whose order is not settled.

        Their difference is within 1.64 standard errors; or the curves say that with half of each sample, or at equal
        sizes, the order would be another. What is unknown, error bars or curve, settles and unsettles nothing. Domains
        without pairs are left out where the proxy is one of pairs.

        Raises
        ------
        InputError
            If the proxy is unknown.
        """
        _check_proxy(proxy)
        sizes, curve = (self.curve_tokens if proxy == "se" else self.curve_pairs), getattr(self, f"curve_{proxy}")
        there = np.flatnonzero(self.tokens if proxy == "se" else self.pairs)
        if self.equalized is not None:  # the curve is of other sizes
            sizes = None
        return unsettled(
            [self.domains[i] for i in there],
            getattr(self, proxy)[there],
            getattr(self, f"{proxy}_error")[there],
            None if sizes is None else sizes[there].astype(np.float64),
            None if sizes is None else curve[there],
        )

    def warnings(self) -> list[str]:
        """What is not settled, by any measure, a sentence each."""
        return [
            f"{proxy.upper()}: that {pair.higher!r} is above {pair.lower!r} is not settled: {pair.reason}"
            for proxy in MEASURES
            for pair in self.unsettled(proxy)
        ]

    def _entropies(self, proxy: str) -> Floats:
        """Entropies of a proxy that every domain has."""
        _check_proxy(proxy)
        if proxy != "se" and not self.pairs.all():
            lonely = self.domains[int(np.argmin(self.pairs))]
            raise InputError(f"domain {lonely!r} has no pairs of adjacent tokens, so no {proxy}; use the proxy 'se'")
        entropies: Floats = getattr(self, proxy)
        return entropies

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "EntropyTable":
        """Read a table that `write` made, ``.json`` or ``.csv``.

        Raises
        ------
        InputError
            If the file is unreadable or holds no entropy table; the message names file, domain and value.
        """
        head, rows = entropy_formats.read(path)
        try:
            names = next(iter(rows.values()), (*COUNTS, *MEASURES, *COVERAGES))
            columns: dict[str, Any] = {name: [row[name] for row in rows.values()] for name in names}
            coverages = {name: columns.pop(name) for name in COVERAGES}
            table = cls(domains=tuple(rows), **head, **columns)
            for name, column in coverages.items():
                for domain, found, value in zip(rows, column, getattr(table, name).tolist(), strict=True):
                    if not np.isclose(found, value, rtol=0.0, atol=_SLACK, equal_nan=True):
                        raise InputError(f"domain {domain!r}: {name} is {found}, but the counts give {value}")
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        return table

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table to ``.json`` or ``.csv``, atomically; it reads back exactly."""
        entropy_formats.write(self, path)

    def content(self) -> dict[str, Any]:
        """The table as JSON holds it, without schema and version."""
        return entropy_formats.content(self)

    def to_text(self) -> str:
        """The table as aligned text, one line a domain, entropies in nats; then the curve and the warnings."""
        return text(self)


def _check_proxy(proxy: str) -> None:
    if proxy not in MEASURES:
        raise InputError(f"unknown proxy {proxy!r}{did_you_mean(proxy, MEASURES)}")


def _array(name: str, values: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    try:
        given = np.asarray(values)
        with np.errstate(invalid="ignore"):  # NaN as a count; found below
            made = given.astype(dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{name}: expected numbers ({error})") from error
    if dtype is np.int64 and given.size and not (given.dtype.kind in "iuf" and np.array_equal(given, made)):
        raise InputError(f"{name}: expected whole numbers")
    return made
