"""The reader of docs/count-format.md reads what `NgramCounter.write` wrote."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import NgramCounter

PAGE = Path(__file__).resolve().parents[2] / "docs" / "count-format.md"
Reader = Callable[[Path], tuple[list[int], list[Counter[tuple[int, ...]]]]]


@pytest.fixture(scope="module")
def read_counts() -> Reader:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(program.splitlines()) <= 60
    names: dict[str, Any] = {}
    exec(compile(program, str(PAGE), "exec"), names)
    return names["read_counts"]


def check(read_counts: Reader, counter: NgramCounter, path: Path) -> None:
    counter.write(path)
    totals, counts = read_counts(path)
    assert totals == [counter.total(n) for n in range(1, counter.order + 1)]
    for n, found in enumerate(counts, 1):
        ngrams, how_often = counter.counts(n)
        assert found == dict(zip(map(tuple, ngrams.tolist()), how_often.tolist(), strict=True))


@given(
    st.integers(1, 5),
    st.sampled_from([1, 2, 3, 256, 257, 50_257, 2**25]),
    st.lists(st.tuples(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 4)), max_size=6),
)
def test_any_counts_are_read(
    tmp_path_factory: pytest.TempPathFactory,
    read_counts: Reader,
    order: int,
    vocab_size: int,
    calls: list[tuple[list[int], int]],
) -> None:
    counter = NgramCounter(vocab_size, order=order, tokenizer="é")
    for tokens, context in calls:
        # The largest token is among them.
        array = np.array([vocab_size - 1 if token == 5 else token % vocab_size for token in tokens], np.int64)
        counter.update(array, context=min(context, order - 1, len(tokens)))
    check(read_counts, counter, tmp_path_factory.mktemp("counts") / "a.mlc")


@pytest.mark.parametrize(("vocab_size", "order"), [(2**31, 2), (2**25, 5)])
def test_many_segments_are_read(tmp_path: Path, read_counts: Reader, vocab_size: int, order: int) -> None:
    rng = np.random.default_rng(1)
    counter = NgramCounter(vocab_size, order=order)
    counter.update(rng.integers(0, vocab_size, 60_000), np.append(np.arange(0, 60_000, 63), 60_000))
    check(read_counts, counter, tmp_path / "a.mlc")
    assert (tmp_path / "a.mlc").stat().st_size > 4 * 2**16


def test_counts_of_one_counter_are_huge(tmp_path: Path, read_counts: Reader) -> None:
    counter = NgramCounter(3, order=3)
    counter.update(np.array([0, 1, 2, 0]))
    for _ in range(60):
        counter.merge(counter)
    check(read_counts, counter, tmp_path / "a.mlc")
