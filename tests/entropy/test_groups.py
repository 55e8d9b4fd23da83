"""Counters that count documents in groups."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mixlaw import NgramCounter

SIZE = 40_000


def stream(vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(vocab_size)
    tokens = (rng.random(SIZE) ** 4 * vocab_size).astype(np.uint32)
    return tokens, np.unique(np.r_[0, rng.integers(0, SIZE, 400), SIZE]).astype(np.int64)


@pytest.mark.parametrize("vocab_size", [5, 300, 60_000, 300_000])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_groups_change_no_count(order: int, vocab_size: int, tmp_path: Path) -> None:
    tokens, offsets = stream(vocab_size)
    plain = NgramCounter(vocab_size, order=order)
    plain.update(tokens, offsets)
    parts = NgramCounter(vocab_size, order=order, groups=16, threads=2)
    for begin, end in pairwise(offsets.tolist()):
        middle = (begin + end) // 2
        context = min(order - 1, middle - begin)
        parts.update(tokens[begin:middle])
        parts.update(tokens[middle - context : end], context=context)
    limited = NgramCounter(vocab_size, order=order, groups=16, memory_limit=400 << 20)
    limited.update(tokens, offsets)
    limited.write(tmp_path / "a.mlc")
    for counter in (parts, limited, NgramCounter.read(tmp_path / "a.mlc")):
        for n in range(1, order + 1):
            for found, expected in zip(counter.counts(n), plain.counts(n), strict=True):
                assert np.array_equal(found, expected)
            assert counter.total(n) == plain.total(n)
            assert counter.entropy(n) == plain.entropy(n)
            assert counter.conditional_entropy(n) == plain.conditional_entropy(n)
        assert counter.count_of(tokens[:order].tolist()) == plain.count_of(tokens[:order].tolist())


@pytest.mark.parametrize(("order", "vocab_size"), [(1, 300), (2, 60_000), (3, 300)])
def test_weights_multiply_the_counts_of_groups(order: int, vocab_size: int) -> None:
    tokens, offsets = stream(vocab_size)
    counter = NgramCounter(vocab_size, order=order, groups=9)
    counter.update(tokens, offsets)
    rows = [*np.eye(9, dtype=int).tolist(), [1] * 9, [3] * 9, [0] * 9]
    for n in range(1, order + 1):
        found = counter.weighted_counts_of_counts(n, rows)
        sums = [int((counts * how_many).sum()) for counts, how_many in found]
        assert sum(sums[:9]) == sums[9] == counter.total(n)
        assert min(sums[:9]) > 0
        counts, how_many = counter.count_of_counts(n)
        for (these, how_often), factor in ((found[9], 1), (found[10], 3)):
            assert np.array_equal(these, factor * counts)
            assert np.array_equal(how_often, how_many)
        assert len(found[11][0]) == 0
        if n > 1:
            prefixes = counter.weighted_counts_of_counts(n, rows, prefixes=True)
            assert [int((counts * how_many).sum()) for counts, how_many in prefixes] == sums


def test_a_long_document_is_divided_among_groups() -> None:
    counter = NgramCounter(100, groups=8)
    counter.update(np.random.default_rng(0).integers(0, 100, 2**20))
    found = counter.weighted_counts_of_counts(2, np.eye(8, dtype=int).tolist())
    assert sum(int((counts * how_many).sum()) for counts, how_many in found) == 2**20 - 1
    assert sum(len(counts) > 0 for counts, _ in found) > 4


def test_bad_groups_and_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="groups must be from 1 to 256, not 0"):
        NgramCounter(10, groups=0)
    with pytest.raises(ValueError, match="order 5 in 16 groups takes a vocab_size of at most 16777216"):
        NgramCounter(2**25, order=5, groups=16)
    counter = NgramCounter(10, groups=2)
    with pytest.raises(ValueError, match="weights have 3 numbers a row, but there are 2 groups"):
        counter.weighted_counts_of_counts(1, [[1, 1, 1]])
    with pytest.raises(ValueError, match="a weight is 4294967296"):
        counter.weighted_counts_of_counts(1, [[1, 2**32]])
    with pytest.raises(ValueError, match="prefixes are of n-grams from n = 2 on, not 1"):
        counter.weighted_counts_of_counts(1, [[1, 1]], prefixes=True)
    with pytest.raises(ValueError, match="2 groups into counts of order 2, vocab_size 10 and 1 group"):
        NgramCounter(10).merge(counter)
