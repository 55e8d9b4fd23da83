"""NgramCounter against plain counting in Python, and entropies against exact values and math.fsum."""

import itertools
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixlaw
from mixlaw import NgramCounter

DTYPES = [np.uint8, np.uint16, np.uint32, np.int32, np.int64]
# Each way of counting (a table, a partition, sorting), and the sizes at which one gives way to the next.
VOCAB_SIZES = [1, 2, 63, 255, 1024, 1025, 1271, 2**16, 2**16 + 1, 2**18, 2**18 + 1, 2**20, 2**20 + 1, 2**31]
# Inputs from 2**22 tokens on are counted where they lie.
LONG = 2**22 + 1271

Documents = list[list[int]]


def flat(documents: Documents, dtype: npt.DTypeLike) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.int64]]:
    tokens = np.array([token for document in documents for token in document], dtype)
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    return tokens, offsets


def plain_counts(documents: Documents, n: int) -> dict[tuple[int, ...], int]:
    grams = (tuple(document[i : i + n]) for document in documents for i in range(len(document) - n + 1))
    return dict(sorted(Counter(grams).items()))


def counts_of(counter: NgramCounter, n: int) -> dict[tuple[int, ...], int]:
    ngrams, counts = counter.counts(n)
    assert (ngrams.dtype, counts.dtype) == (np.uint32, np.uint64)
    assert ngrams.shape == (len(counts), n)
    rows = [tuple(row) for row in ngrams.tolist()]
    assert rows == sorted(set(rows))
    return dict(zip(rows, counts.tolist(), strict=True))


def plain_entropy(counts: Iterable[int]) -> float:
    counts = list(counts)
    total = sum(counts)
    return math.fsum(count / total * math.log(total / count) for count in counts)


def exact_entropy(counts: Iterable[int]) -> Decimal:
    with localcontext(prec=60):
        counts = [Decimal(count) for count in counts]
        total = sum(counts)
        return sum((count / total * (total / count).ln() for count in counts), Decimal(0))


def check(counter: NgramCounter, documents: Documents) -> None:
    for n in range(1, counter.order + 1):
        expected = plain_counts(documents, n)
        assert counts_of(counter, n) == expected
        assert counter.total(n) == sum(expected.values())
        assert counter.distinct(n) == len(expected)
        values, how_many = counter.count_of_counts(n)
        assert (values.dtype, how_many.dtype) == (np.uint64, np.uint64)
        assert list(zip(values.tolist(), how_many.tolist(), strict=True)) == sorted(Counter(expected.values()).items())


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, Documents]:
    vocab_size = draw(st.sampled_from(VOCAB_SIZES))
    # Few different tokens, so that they repeat; the largest is often among them.
    some = [*draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=6)), vocab_size - 1]
    documents = draw(st.lists(st.lists(st.sampled_from(some), max_size=20), max_size=8))
    return vocab_size, documents


def orders(vocab_size: int) -> st.SearchStrategy[int]:
    return st.integers(1, 5 if vocab_size <= 2**25 else 4)


@given(streams(), st.data(), st.integers(1, 4))
def test_counts_agree_with_plain_counting(stream: tuple[int, Documents], data: st.DataObject, threads: int) -> None:
    vocab_size, documents = stream
    dtype = data.draw(st.sampled_from([d for d in DTYPES if vocab_size - 1 <= np.iinfo(d).max]))
    counter = NgramCounter(vocab_size, order=data.draw(orders(vocab_size)), threads=threads)
    counter.update(*flat(documents, dtype))
    check(counter, documents)


@given(streams(), st.integers(1, 4))
def test_counts_of_a_long_stream_agree_with_plain_counting(stream: tuple[int, Documents], threads: int) -> None:
    vocab_size, documents = stream
    ids, offsets = flat(documents, np.uint32)
    # Short inputs are sorted, whatever the vocabulary; these are long enough for the other ways.
    repeats = 20000 // max(len(ids), 1)
    borders = np.append((np.arange(repeats)[:, None] * len(ids) + offsets[:-1]).ravel(), repeats * len(ids))
    counter = NgramCounter(vocab_size, threads=threads)
    counter.update(np.tile(ids, repeats), borders)
    for n in (1, 2):
        assert counts_of(counter, n) == {gram: repeats * c for gram, c in plain_counts(documents, n).items()}


@given(streams(), st.data())
def test_a_stream_cut_into_calls_counts_the_same(stream: tuple[int, Documents], data: st.DataObject) -> None:
    vocab_size, documents = stream
    order = data.draw(orders(vocab_size))
    whole = NgramCounter(vocab_size, order=order)
    whole.update(*flat(documents, np.int64))
    parts = NgramCounter(vocab_size, order=order, threads=data.draw(st.integers(1, 4)))
    others = NgramCounter(vocab_size, order=order)
    for document in documents:
        cuts = sorted(data.draw(st.sets(st.integers(0, len(document)))) | {0, len(document)})
        for begin, end in itertools.pairwise(cuts):
            context = min(begin, order - 1)
            counter = data.draw(st.sampled_from([parts, others]))
            counter.update(np.array(document[begin - context : end]), context=context)
            if data.draw(st.booleans()):
                counter.distinct(order)  # reading in between changes nothing
    parts.merge(others)
    check(parts, documents)
    for n in range(1, order + 1):
        if whole.total(n):
            assert parts.entropy(n) == whole.entropy(n)
            assert parts.conditional_entropy(n) == whole.conditional_entropy(n)


@given(streams(), st.data())
def test_merging_is_counting_together(stream: tuple[int, Documents], data: st.DataObject) -> None:
    vocab_size, documents = stream
    order, cut = data.draw(orders(vocab_size)), data.draw(st.integers(0, 8))
    left, right = NgramCounter(vocab_size, order=order), NgramCounter(vocab_size, order=order)
    left.update(*flat(documents[:cut], np.uint32))
    right.update(*flat(documents[cut:], np.uint32))
    left.merge(right)
    check(left, documents)
    check(right, documents[cut:])


@given(streams(), st.data())
def test_what_is_asked_of_ngrams_agrees_with_plain_counting(stream: tuple[int, Documents], data: st.DataObject) -> None:
    vocab_size, documents = stream
    counter = NgramCounter(vocab_size, order=data.draw(orders(vocab_size)))
    counter.update(*flat(documents, np.uint32))
    for n in range(1, counter.order + 1):
        expected = plain_counts(documents, n)
        for gram in [*list(expected)[:5], *data.draw(st.lists(st.tuples(*[st.integers(0, vocab_size - 1)] * n)))]:
            assert counter.count_of(gram) == expected.get(gram, 0)
        k = data.draw(st.integers(1, 30))
        grams, counts = counter.top(n, k)
        best = sorted(expected.items(), key=lambda item: (-item[1], item[0]))[:k]
        assert (grams.dtype, counts.dtype, grams.shape) == (np.uint32, np.uint64, (len(best), n))
        assert list(zip(map(tuple, grams.tolist()), counts.tolist(), strict=True)) == best


def test_the_most_frequent_are_found_in_more_rows_than_are_read_at_once() -> None:
    rng = np.random.default_rng(3)
    counter = NgramCounter(2**31)
    counter.update((rng.random(2**22) ** 2 * 2**31).astype(np.uint32))
    for n in (1, 2):
        ngrams, counts = counter.counts(n)
        assert len(counts) > 2 * 2**20
        best = np.argsort(-counts.astype(np.int64), kind="stable")[:1271]
        found, how_often = counter.top(n, 1271)
        assert np.array_equal(found, ngrams[best])
        assert np.array_equal(how_often, counts[best])


@given(streams(), st.data())
def test_entropies_of_every_order_agree_with_fsum(stream: tuple[int, Documents], data: st.DataObject) -> None:
    vocab_size, documents = stream
    counter = NgramCounter(vocab_size, order=data.draw(orders(vocab_size)))
    counter.update(*flat(documents, np.uint32))
    for n in range(1, counter.order + 1):
        expected = plain_counts(documents, n)
        if not expected:
            missing = "no tokens were counted" if not any(documents) else "were counted, since every document"
            with pytest.raises(ValueError, match=missing):
                counter.entropy(n)
            with pytest.raises(ValueError, match=missing):
                counter.conditional_entropy(n)
            continue
        prefixes = Counter[tuple[int, ...]]()
        for gram, count in expected.items():
            prefixes[gram[:-1]] += count
        total = sum(expected.values())
        conditional = math.fsum(c / total * math.log(prefixes[gram[:-1]] / c) for gram, c in expected.items())
        assert counter.entropy(n) == pytest.approx(plain_entropy(expected.values()), rel=1e-12, abs=1e-14)
        assert counter.conditional_entropy(n) == pytest.approx(conditional, rel=1e-12, abs=1e-14)


@given(streams())
def test_a_counter_merged_with_itself_doubles(stream: tuple[int, Documents]) -> None:
    vocab_size, documents = stream
    counter = NgramCounter(vocab_size)
    counter.update(*flat(documents, np.uint32))
    counter.merge(counter)
    check(counter, documents * 2)


@given(streams())
def test_entropies_agree_with_fsum(stream: tuple[int, Documents]) -> None:
    vocab_size, documents = stream
    tokens, pairs = plain_counts(documents, 1), plain_counts(documents, 2)
    if not pairs:
        return
    ids, offsets = flat(documents, np.int64)
    found = mixlaw.entropies(ids, vocab_size, offsets)
    firsts = Counter[int]()
    for (first, _), count in pairs.items():
        firsts[first] += count
    total = sum(pairs.values())
    conditional = math.fsum(count / total * math.log(firsts[first] / count) for (first, _), count in pairs.items())
    assert found.shannon == pytest.approx(plain_entropy(tokens.values()), rel=1e-12)
    assert found.joint == pytest.approx(plain_entropy(pairs.values()), rel=1e-12)
    assert found.conditional == pytest.approx(conditional, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_entropies_are_right_to_the_last_digits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = np.minimum(rng.zipf(1.2, 20000), 1271).astype(np.uint16) - 1
    pairs = Counter(itertools.pairwise(tokens.tolist()))
    joint = exact_entropy(pairs.values())
    first = exact_entropy(Counter(tokens[:-1].tolist()).values())
    found = mixlaw.entropies(tokens, 1271)
    for value, exact in [
        (found.shannon, exact_entropy(Counter(tokens.tolist()).values())),
        (found.joint, joint),
        (found.conditional, joint - first),
    ]:
        assert abs(Decimal(value) - exact) <= Decimal(math.ulp(value))


@pytest.mark.parametrize("states", [1, 2, 63, 255, 1271])
def test_a_cycle_has_no_conditional_entropy(states: int) -> None:
    # 200 whole rounds, and the first state again, so that all transitions are equally frequent.
    tokens = np.append(np.tile(np.arange(states), 200), 0)
    found = mixlaw.entropies(tokens, states)
    assert found.conditional == 0.0
    assert found.joint == pytest.approx(math.log(states), rel=1e-15)


@pytest.mark.parametrize("states", [2, 3, 63, 255])
def test_a_fair_chain_has_the_entropy_of_its_states(states: int) -> None:
    # A de Bruijn sequence takes every transition once: the Lyndon words of lengths 1 and 2 in order, and back to 0.
    words = [[a, *itertools.chain.from_iterable((a, b) for b in range(a + 1, states))] for a in range(states)]
    tokens = np.array([*itertools.chain.from_iterable(words), 0])
    assert len(set(itertools.pairwise(tokens.tolist()))) == states**2 == len(tokens) - 1
    found = mixlaw.entropies(tokens, states)
    assert found.joint == pytest.approx(2 * math.log(states), rel=1e-15)
    assert found.conditional == pytest.approx(math.log(states), rel=1e-15)


def test_a_rare_event_is_not_lost_to_rounding() -> None:
    tokens = np.zeros(LONG, np.uint8)
    tokens[-1] = 1
    exact = exact_entropy([LONG - 1, 1])
    assert abs(Decimal(mixlaw.entropies(tokens, 2).shannon) / exact - 1) < Decimal("1e-15")


@pytest.fixture(scope="module")
def long_tokens() -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(7)
    return (rng.random(LONG) ** 3 * 50000).astype(np.int64)


# The four ways of counting a long input: a table, a partition with 16 and more bits a token, sorting.
@pytest.mark.parametrize("vocab_size", [255, 50000, 2**18, 2**31])
@pytest.mark.parametrize("threads", [1, 3])
def test_long_inputs_agree_with_numpy(long_tokens: npt.NDArray[np.int64], vocab_size: int, threads: int) -> None:
    tokens = long_tokens % vocab_size
    offsets = np.array([0, 0, 1, 2, 1271, 2**20, 2**20, LONG])
    counter = NgramCounter(vocab_size, threads=threads)
    counter.update(tokens.astype(np.uint32), offsets)
    inside = np.delete(np.arange(LONG), offsets[:-1])
    keys, expected = np.unique(tokens[inside - 1] << 32 | tokens[inside], return_counts=True)
    found, counts = counter.counts(2)
    assert np.array_equal(found[:, 0], keys >> 32)
    assert np.array_equal(found[:, 1], keys & 0xFFFFFFFF)
    assert np.array_equal(counts, expected)
    ids, expected = np.unique(tokens, return_counts=True)
    found, counts = counter.counts(1)
    assert np.array_equal(found[:, 0], ids)
    assert np.array_equal(counts, expected)


def test_entropies_are_the_same_bytes_for_any_threads_cut_and_vocabulary(long_tokens: npt.NDArray[np.int64]) -> None:
    tokens = long_tokens.astype(np.uint16)
    expected = mixlaw.entropies(tokens, 50000)
    for vocab_size, threads, cuts in [(50000, 4, 1), (2**18, 2, 7), (2**20, 3, 63), (2**31, 1, 2)]:
        counter = NgramCounter(vocab_size, threads=threads)
        for part in range(cuts):
            begin, end = LONG * part // cuts, LONG * (part + 1) // cuts
            context = 1 if begin else 0
            counter.update(tokens[begin - context : end], context=context)
        assert counter.entropies() == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_token_repeated_is_one_huge_count(dtype: type) -> None:
    counter = NgramCounter(100)
    counter.update(np.full(LONG, 63, dtype))
    assert counts_of(counter, 2) == {(63, 63): LONG - 1}
    assert counts_of(counter, 1) == {(63,): LONG}
    assert counter.entropies() == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("size", [0, 1, 63, 255, 1271])
def test_many_tiny_calls_equal_one(size: int) -> None:
    tokens = np.arange(size) * 31 % 255
    counter = NgramCounter(255)
    for i in range(size):
        counter.update(tokens[max(i - 1, 0) : i + 1], context=min(i, 1))
    check(counter, [tokens.tolist()])


def test_context_is_paired_and_not_counted() -> None:
    counter = NgramCounter(10)
    counter.update(np.array([7, 1, 2]), context=1)
    assert counts_of(counter, 1) == {(1,): 1, (2,): 1}
    assert counts_of(counter, 2) == {(1, 2): 1, (7, 1): 1}
    # History that no pair begins: the document ends with it.
    alone = NgramCounter(10)
    alone.update(np.array([7, 1]), np.array([0, 0, 1, 2]), context=1)
    assert counts_of(alone, 1) == {(1,): 1}
    assert counts_of(alone, 2) == {}
    with pytest.raises(ValueError, match="context must be from 0 to 1, below the order, not 2"):
        counter.update(np.array([1, 2, 3]), context=2)
    with pytest.raises(ValueError, match="context must be from 0 to 1, below the order, not -1"):
        counter.update(np.array([1, 2, 3]), context=-1)
    with pytest.raises(ValueError, match="context is 1 but tokens hold 0"):
        counter.update(np.array([], np.uint8), context=1)
    with pytest.raises(ValueError, match="context must be from 0 to 0, below the order, not 1"):
        NgramCounter(10, order=1).update(np.array([1, 2, 3]), context=1)


def test_iteration_gives_the_rows_in_pieces_as_they_were() -> None:
    counter = NgramCounter(1271)
    counter.update(np.arange(1271) * 7 % 1271)
    for n in (1, 2):
        ngrams, counts = counter.counts(n)
        pieces = counter.iter_counts(n, rows=63)
        counter.update(np.zeros(5, np.uint8))
        found = list(pieces)
        assert [len(piece) for _, piece in found] == [63] * (len(counts) // 63) + [len(counts) % 63]
        assert np.array_equal(np.concatenate([piece for piece, _ in found]), ngrams)
        assert np.array_equal(np.concatenate([piece for _, piece in found]), counts)
    assert list(NgramCounter(5).iter_counts(2)) == []
    with pytest.raises(ValueError, match="rows must be at least 1, not 0"):
        counter.iter_counts(1, 0)


def test_a_memory_map_is_counted_where_it_lies(tmp_path: Path) -> None:
    tokens = (np.arange(LONG) * 31 % 1271).astype(np.uint16)
    np.save(tmp_path / "tokens.npy", tokens)
    mapped = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    assert mixlaw.entropies(mapped, 1271) == mixlaw.entropies(tokens, 1271)
    # A raw file whose header leaves the ids at an odd address.
    (tmp_path / "raw.bin").write_bytes(b"?" + tokens[:1271].tobytes())
    odd = np.memmap(tmp_path / "raw.bin", np.uint16, mode="r", offset=1)
    assert mixlaw.entropies(odd, 1271) == mixlaw.entropies(tokens[:1271], 1271)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([1, 2], "tokens must be a numpy array, not list"),
        (np.zeros((2, 2), int), "tokens must have one dimension, not 2"),
        (np.zeros((), int), "tokens must have one dimension, not 0"),
        (np.arange(10)[::2], "tokens must be contiguous: each element is 8 bytes, but they lie 16 bytes apart"),
        (np.arange(10)[::-1], "but they lie -8 bytes apart"),
        (np.zeros(3), "must be uint8, uint16, uint32, int32 or int64 in native byte order, not float64"),
        (np.zeros(3, np.uint64), "not uint64"),
        (np.zeros(3, np.int16), "not int16"),
        (np.zeros(3, bool), "not bool"),
        (np.zeros(3, ">i4"), "not >i4"),
    ],
)
def test_arrays_that_would_need_a_copy_are_refused(tokens: object, message: str) -> None:
    counter = NgramCounter(10)
    with pytest.raises(TypeError, match=message):
        counter.update(tokens)  # type: ignore[arg-type]
    assert counter.total(1) == 0


@pytest.mark.parametrize(
    ("offsets", "error", "message"),
    [
        (np.array([0, 12]), ValueError, "offsets end at 12 but tokens hold 10"),
        (np.array([0, 9]), ValueError, "offsets end at 9 but tokens hold 10"),
        (np.array([0]), ValueError, "offsets end at 0 but tokens hold 10"),
        (np.array([1, 10]), ValueError, "offsets must begin at 0, not at 1"),
        (np.array([0, 7, 3, 10]), ValueError, r"offsets must not decrease: offsets\[2\] is 3 after 7"),
        (np.array([0, -1, 10]), ValueError, r"offsets\[1\] is -1 after 0"),
        (np.array([], np.int64), ValueError, "offsets are empty"),
        (np.array([0, 10], np.int32), TypeError, "offsets must be aligned int64 in native byte order, not int32"),
        (np.array([0, 5, 10])[::2], TypeError, "offsets must be contiguous"),
        (np.array([[0, 10]]), TypeError, "offsets must have one dimension, not 2"),
        ([0, 10], TypeError, "offsets must be a numpy array, not list"),
    ],
)
def test_offsets_that_are_none_are_refused(offsets: object, error: type[Exception], message: str) -> None:
    counter = NgramCounter(10)
    with pytest.raises(error, match=message):
        counter.update(np.arange(10), offsets)  # type: ignore[arg-type]
    assert counter.total(1) == 0


@pytest.mark.parametrize("size", [1271, LONG])
@pytest.mark.parametrize(
    ("bad", "dtype", "message"),
    [
        (300, np.uint16, "is not below vocab_size 300"),
        (-1, np.int32, "is negative"),
        (-(2**63), np.int64, "is negative"),
        (2**63 - 1, np.int64, "is not below vocab_size 300"),
        # Its low 32 bits alone would pass.
        (2**32 + 1, np.int64, "is not below vocab_size 300"),
    ],
)
def test_a_token_out_of_range_is_named_and_changes_nothing(size: int, bad: int, dtype: type, message: str) -> None:
    before = [[1, 2, 3, 1, 2]]
    counter = NgramCounter(300, threads=2)
    counter.update(*flat(before, np.uint8))
    for position in (0, size // 2, size - 1):
        tokens = np.zeros(size, dtype)
        tokens[position:] = bad
        with pytest.raises(ValueError, match=f"^token {bad} at position {position} {message}$"):
            counter.update(tokens)
    check(counter, before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NgramCounter(0), "vocab_size must be from 1 to 2147483648"),
        (lambda: NgramCounter(2**31 + 1), "not 2147483649"),
        (lambda: NgramCounter(10, order=6), "order must be from 1 to 5, not 6"),
        (lambda: NgramCounter(10, order=0), "order must be from 1 to 5, not 0"),
        (lambda: NgramCounter(10, threads=0), "threads must be from 1 to 4096, not 0"),
        (lambda: NgramCounter(2**25 + 1, order=5), "order 5 takes a vocab_size of at most 33554432, not 33554433"),
        (lambda: NgramCounter(10, memory_limit=0), "memory_limit must be at least 1 byte, not 0"),
        (lambda: NgramCounter(10, threads=1, memory_limit=2**20), "vocab_size 10 and 1 threads need at least [0-9]+"),
        (lambda: NgramCounter(10, spill_dir="x"), "spill_dir without memory_limit would never be used"),
        (lambda: NgramCounter(10, memory_limit=2**30, spill_dir="x", checkpoint_dir="x"), "cannot both be given"),
        (lambda: NgramCounter(10).checkpoint(), "a counter without checkpoint_dir has no checkpoints"),
        (lambda: NgramCounter(10).count_of([]), "n must be from 1 to the counter's order 2, not 0"),
        (lambda: NgramCounter(10).count_of([1, 2, 3]), "not 3"),
        (lambda: NgramCounter(10).count_of([1, 10]), "token 10 at position 1 is not below vocab_size 10"),
        (lambda: NgramCounter(10).count_of([-1]), "token -1 at position 0 is negative"),
        (lambda: NgramCounter(10).top(1, 0), "k must be at least 1, not 0"),
        (lambda: NgramCounter(10).top(3, 1), "n must be from 1 to the counter's order 2, not 3"),
        (lambda: NgramCounter(10).counts(3), "n must be from 1 to the counter's order 2, not 3"),
        (lambda: NgramCounter(10).total(0), "not 0"),
        (lambda: NgramCounter(10, order=1).distinct(2), "the counter's order 1, not 2"),
        (
            lambda: NgramCounter(10).merge(NgramCounter(11)),
            "vocab_size 11 and 1 group into counts of order 2, vocab_size 10",
        ),
        (
            lambda: NgramCounter(10).merge(NgramCounter(10, order=1)),
            "counts of order 1, vocab_size 10 and 1 group into counts of order 2",
        ),
        (lambda: NgramCounter(10).entropies(), "no tokens were counted"),
        (lambda: mixlaw.entropies(np.array([3]), 10), "no pairs were counted"),
    ],
)
def test_arguments_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_only_a_counter_with_a_limit_needs_a_folder_to_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    assert mixlaw.entropies(np.array([0, 1, 0]), 2).conditional == 0.0
    with pytest.raises(FileNotFoundError):
        NgramCounter(2, memory_limit=2**30)


def test_sizes_must_be_integers() -> None:
    with pytest.raises(TypeError):
        NgramCounter(2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        NgramCounter(np.float32(2.5))  # type: ignore[arg-type]
    assert NgramCounter(int(np.int64(7))).vocab_size == NgramCounter(np.int64(7)).vocab_size == 7  # type: ignore[arg-type]


def test_a_counter_of_order_1_gives_the_shannon_entropy_alone() -> None:
    counter = NgramCounter(4, order=1)
    counter.update(np.array([0, 1, 2, 3]))
    found = counter.entropies()
    assert found.shannon == pytest.approx(math.log(4), rel=1e-15)
    assert math.isnan(found.joint)
    assert math.isnan(found.conditional)


def test_a_counter_shows_what_it_counts() -> None:
    counter = NgramCounter(50254, threads=3)
    assert repr(counter) == "NgramCounter(vocab_size=50254, order=2, threads=3)"
    assert (counter.vocab_size, counter.order, counter.threads) == (50254, 2, 3)
    assert NgramCounter(5).threads == len(os.sched_getaffinity(0))


def test_threads_may_share_a_counter(long_tokens: npt.NDArray[np.int64]) -> None:
    tokens = long_tokens.astype(np.uint16)
    shared = NgramCounter(50000, threads=2)
    totals = []

    def produce(part: npt.NDArray[np.uint16]) -> None:
        shared.update(part)
        shared.update(part[:1000])
        totals.append(shared.total(1))

    producers = [threading.Thread(target=produce, args=(tokens[i:],)) for i in range(4)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    expected = NgramCounter(50000)
    for i in range(4):
        expected.update(tokens[i:])
        expected.update(tokens[i:][:1000])
    assert max(totals) == shared.total(1) == expected.total(1)
    assert shared.entropies() == expected.entropies()
    assert all(np.array_equal(*pair) for pair in zip(shared.counts(2), expected.counts(2), strict=True))


def test_counters_that_merge_each_other_do_not_wait_forever() -> None:
    one, two = NgramCounter(100), NgramCounter(100)
    one.update(np.arange(100))
    two.update(np.arange(100))
    threads = [threading.Thread(target=a.merge, args=(b,)) for a, b in [(one, two), (two, one)] * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert one.distinct(2) == two.distinct(2) == 99


# About ten seconds of counting that costs no memory: the pages of a fresh array of zeros are all the same one.
ENDLESS = "np.zeros(2**32, np.uint8)"


def run_and_interrupt(program: str) -> tuple[str, float]:
    """Start a program, send SIGINT half a second after it said "go"; give the rest of its output and the delay."""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        sent = time.monotonic()
        output = child.stdout.readline()
        delay = time.monotonic() - sent
        output += child.stdout.read()
    assert child.returncode == 0
    return output, delay


def test_ctrl_c_ends_an_update_within_a_second_and_changes_nothing() -> None:
    output, delay = run_and_interrupt(f"""if True:
        import numpy as np, mixlaw
        counter = mixlaw.NgramCounter(256, threads=2)
        counter.update(np.arange(100))
        before = [array.tolist() for n in (1, 2) for array in counter.counts(n)], counter.total(1), counter.entropies()
        endless = {ENDLESS}
        print("go", flush=True)
        try:
            counter.update(endless)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        after = [array.tolist() for n in (1, 2) for array in counter.counts(n)], counter.total(1), counter.entropies()
        print(before == after)
        """)
    assert output == "interrupted\nTrue\n"
    assert delay < 1.0


def test_ctrl_c_ends_the_wait_for_another_thread() -> None:
    output, delay = run_and_interrupt(f"""if True:
        import os, threading
        import numpy as np, mixlaw
        counter = mixlaw.NgramCounter(256, threads=1)
        endless = {ENDLESS}
        threading.Thread(target=counter.update, args=(endless,), daemon=True).start()
        print("go", flush=True)
        try:
            while True:
                counter.total(1)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        os._exit(0)
        """)
    assert output == "interrupted\n"
    assert delay < 1.0


def test_other_threads_run_while_one_counts() -> None:
    tokens = np.zeros(2**29, np.uint8)
    worker = threading.Thread(target=NgramCounter(2, threads=1).update, args=(tokens,))
    worker.start()
    steps = 0
    while worker.is_alive():
        time.sleep(0.01)
        steps += 1
    worker.join()
    # About a second of counting; with the interpreter locked, there would be no step before its end.
    assert steps > 5


def test_a_missing_core_says_how_to_get_it() -> None:
    program = """if True:
        import sys
        sys.modules["mixlaw._core"] = None
        import mixlaw
        mixlaw.NgramCounter
        """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("mixlaw.errors.MissingDependencyError: the compiled core of mixlaw")
    assert "pip install ." in done.stderr
