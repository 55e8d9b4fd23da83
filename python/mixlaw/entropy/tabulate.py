"""`tabulate`: from the counts of domains to their entropies, with error bars, a curve, and equal sizes if wanted.

symbol  meaning                                                                    shape
G       groups of documents that hold something                                    -
B       bootstrap replicates                                                       -
sample  histograms of tokens, of pairs, and of the first tokens of pairs           -

SE = H(tokens), JE = H(pairs), CE = H(pairs) - H(first tokens of pairs).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.entropy.bootstrap import replicate_weights, standard_error
from mixlaw.entropy.counter import NgramCounter
from mixlaw.entropy.estimators import estimate
from mixlaw.entropy.rarefaction import coverage_at, entropy_at, equal_sizes
from mixlaw.entropy_table import EQUALIZED, ESTIMATORS, EntropyTable
from mixlaw.errors import InputError, did_you_mean

REPLICATES = 50
# The curve's parts of the groups: an eighth, a quarter, a half, all.
_PARTS = (8, 4, 2, 1)

Counts = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
Weights = Sequence[Sequence[int]]


class _Sample(NamedTuple):
    """Histograms of a sample: of tokens, of pairs, and of the first tokens of pairs."""

    tokens: Counts
    pairs: Counts
    firsts: Counts


class _Sizes(NamedTuple):
    """How many tokens and pairs entropies are those of, None for all."""

    tokens: int | None = None
    pairs: int | None = None


def tabulate(
    counters: Mapping[str, NgramCounter],
    *,
    estimator: str = "plugin",
    equalize: str | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> EntropyTable:
    """Make a table of the entropies of domains from their counts.

    Counters with several groups give standard errors, by a bootstrap of documents, and a curve of an eighth, a quarter
    and a half of the documents; others give neither.

    Parameters
    ----------
    counters
        Domain to its counts, of an order of at least 2, one vocabulary and one tokenizer.
    estimator
        How entropies come from counts, one of `mixlaw.entropy.estimators`.
    equalize
        ``"tokens"`` or ``"coverage"``: give the entropies that are expected of equally many tokens, or at equal
        coverage, of every domain. The estimator is then ``"plugin"``.
    replicates, seed
        Of the bootstrap.

    Raises
    ------
    InputError
        If a domain holds no tokens, domains differ in vocabulary or tokenizer, or an argument is out of range.
    """
    _check(counters, estimator, equalize)
    samples = {}
    for name, counter in counters.items():
        samples[name] = _sample(counter)
        _leave_memory(counter)
    sizes = _equal_sizes(samples, equalize)
    rows = []
    for name, counter in counters.items():
        row: dict[str, Any] = _counts(samples[name]) | _entropies(samples[name], estimator, sizes[name])
        if estimator == "plugin" and equalize is None:
            row |= _exact(counter)
        row |= _bars(counter, row, estimator, sizes[name], replicates, seed) if counter.groups > 1 else {}
        if equalize is not None:
            row |= _equal(samples[name], sizes[name])
        rows.append(row)
        _leave_memory(counter)
    columns = set.intersection(*(set(row) for row in rows))
    first = next(iter(counters.values()))
    return EntropyTable(
        domains=tuple(counters),
        tokenizer=first.tokenizer,
        vocab_size=first.vocab_size,
        estimator=estimator,
        equalized=equalize,
        **{name: np.array([row[name] for row in rows]) for name in columns},
    )


def _check(counters: Mapping[str, NgramCounter], estimator: str, equalize: str | None) -> None:
    if estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator {estimator!r}{did_you_mean(estimator, ESTIMATORS)}")
    if equalize is not None and equalize not in EQUALIZED:
        raise InputError(f"domains are made equal by {' or '.join(EQUALIZED)}, not {equalize!r}")
    if equalize is not None and estimator != "plugin":
        raise InputError(f"equalized entropies are plug-in entropies: leave out the estimator {estimator!r}")
    first = next(iter(counters.items()), None)
    if first is None:
        raise InputError("an entropy table needs at least one domain")
    for name, counter in counters.items():
        if counter.order < 2:
            raise InputError(f"domain {name!r}: only tokens were counted, and entropies of pairs need order 2")
        if not counter.total(1):
            raise InputError(f"domain {name!r} holds no tokens")
        for what in ("vocab_size", "tokenizer"):
            here, there = getattr(counter, what), getattr(first[1], what)
            if here != there:
                raise InputError(
                    f"domains {first[0]!r} and {name!r} have {what} {there!r} and {here!r}: their entropies cannot be "
                    "compared"
                )


def _leave_memory(counter: NgramCounter) -> None:
    """Where memory is limited, it is for one domain at a time."""
    if counter.memory_limit is not None:
        counter._spill()


def _sample(counter: NgramCounter) -> _Sample:
    firsts = counter.weighted_counts_of_counts(2, [[1] * counter.groups], prefixes=True)[0]
    return _Sample(counter.count_of_counts(1), counter.count_of_counts(2), firsts)


def _total(histogram: Counts) -> int:
    counts, how_many = histogram
    return sum(map(int.__mul__, counts.tolist(), how_many.tolist()))


def _counts(sample: _Sample) -> dict[str, int]:
    """Sizes of a sample, under their names in an `EntropyTable`."""

    def once(histogram: Counts) -> int:
        counts, how_many = histogram
        return int(how_many[counts == 1].sum())

    return {
        "tokens": _total(sample.tokens),
        "types": int(sample.tokens[1].sum()),
        "token_singletons": once(sample.tokens),
        "pairs": _total(sample.pairs),
        "pair_types": int(sample.pairs[1].sum()),
        "pair_singletons": once(sample.pairs),
    }


def _entropies(sample: _Sample, estimator: str, sizes: _Sizes, nothing: float = 0.0) -> dict[str, float]:
    """Entropies of a sample; `nothing` are those of what was not counted."""

    def entropy(histogram: Counts, size: int | None) -> float:
        if size is None:
            return estimate(*histogram, estimator)
        return entropy_at(*histogram, min(size, _total(histogram)))

    se = entropy(sample.tokens, sizes.tokens) if len(sample.tokens[0]) else nothing
    if not len(sample.pairs[0]):
        return {"se": se, "ce": nothing, "je": nothing}
    je = entropy(sample.pairs, sizes.pairs)
    return {"se": se, "ce": je - entropy(sample.firsts, sizes.pairs), "je": je}


def _exact(counter: NgramCounter) -> dict[str, float]:
    """Plug-in entropies by the core: the same bytes on every machine."""
    values = {"se": counter.entropy(1)}
    if counter.total(2):
        values |= {"ce": counter.conditional_entropy(2), "je": counter.entropy(2)}
    return values


def _equal_sizes(samples: Mapping[str, _Sample], equalize: str | None) -> dict[str, _Sizes]:
    """At which sizes the domains are equal, each measure by its own coverage."""
    if equalize is None:
        return dict.fromkeys(samples, _Sizes())
    paired = [name for name, sample in samples.items() if len(sample.pairs[0])]
    try:
        of_tokens = equal_sizes([sample.tokens for sample in samples.values()], equalize)
        of_pairs = equal_sizes([samples[name].pairs for name in paired], equalize) if paired else []
    except InputError as error:
        worst = min(samples, key=lambda name: _coverage(samples[name]))
        raise InputError(f"domain {worst!r}: {error}: count more of it, or use --equalize tokens") from error
    by_name = dict(zip(paired, of_pairs, strict=True))
    return {name: _Sizes(size, by_name.get(name)) for name, size in zip(samples, of_tokens, strict=True)}


def _coverage(sample: _Sample) -> float:
    counts = _counts(sample)
    return min(
        1.0 - counts["token_singletons"] / counts["tokens"], 1.0 - counts["pair_singletons"] / max(counts["pairs"], 1)
    )


def _equal(sample: _Sample, sizes: _Sizes) -> dict[str, Any]:
    assert sizes.tokens is not None
    return {
        "equal_tokens": sizes.tokens,
        "equal_pairs": sizes.pairs or 0,
        "equal_token_coverage": coverage_at(*sample.tokens, sizes.tokens),
        "equal_pair_coverage": np.nan if sizes.pairs is None else coverage_at(*sample.pairs, sizes.pairs),
    }


def _bars(
    counter: NgramCounter, row: dict[str, Any], estimator: str, sizes: _Sizes, replicates: int, seed: int
) -> dict[str, Any]:
    """Standard errors and the curve of a domain."""
    groups = counter.groups
    alone = counter.weighted_counts_of_counts(1, np.eye(groups, dtype=np.int64).tolist())
    held = [g for g in range(groups) if len(alone[g][0])]
    parts = [[int(g < groups // part) for g in range(groups)] for part in _PARTS]
    if len(held) > 1:
        drawn = np.zeros((replicates, groups), np.int64)
        drawn[:, held] = replicate_weights(len(held), replicates, seed)
        samples = _weighted(counter, [*parts, *drawn.tolist()])
        spread = [_entropies(sample, estimator, sizes, np.nan) for sample in samples[len(_PARTS) :]]
        errors = {
            f"{name}_error": float(standard_error([values[name] for values in spread], len(held)))
            for name in ("se", "ce", "je")
        }
    else:
        samples = _weighted(counter, parts)
        errors = dict.fromkeys(("se_error", "ce_error", "je_error"), np.nan)
    curve = [
        {"tokens": _total(sample.tokens), "pairs": _total(sample.pairs)}
        | _entropies(sample, estimator, _Sizes(), np.nan)
        for sample in samples[: len(_PARTS)]
    ]
    return errors | {
        f"curve_{name}": [point[name] for point in curve] for name in ("tokens", "pairs", "se", "ce", "je")
    }


def _weighted(counter: NgramCounter, weights: Weights) -> list[_Sample]:
    columns = (
        counter.weighted_counts_of_counts(1, weights),
        counter.weighted_counts_of_counts(2, weights),
        counter.weighted_counts_of_counts(2, weights, prefixes=True),
    )
    return [_Sample(*histograms) for histograms in zip(*columns, strict=True)]
