"""The benchmark of counting, at a size that shows only that it works and that it sees a wrong answer."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import bench_ngram

    return bench_ngram


@pytest.fixture
def write_stream(bench: ModuleType, tmp_path: Path) -> Callable[..., object]:
    def write(lengths: list[int], vocab_size: int = 19) -> object:
        tokens = np.random.default_rng(0).integers(0, vocab_size, sum(lengths))
        tokens.astype(np.uint16).tofile(tmp_path / "tokens.u16")
        np.cumsum([0, *lengths]).astype(np.int64).tofile(tmp_path / "offsets.i64")
        return bench.Stream("drawn", tmp_path, vocab_size, len(lengths))

    return write


def naive_pairs(stream: object) -> list[tuple[int, int]]:
    tokens = stream.tokens().tolist()
    documents = itertools.pairwise(stream.offsets().tolist())
    return [pair for first, last in documents for pair in itertools.pairwise(tokens[first:last])]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10**6])
def test_a_stream_is_the_same_in_pieces_of_any_size(write_stream: Callable[..., object], size: int) -> None:
    stream = write_stream([3, 1, 1, 40, 2, 7, 1])
    pieces = list(stream.chunks(size))
    assert np.array_equal(np.concatenate([tokens for tokens, _ in pieces]), stream.tokens())
    lengths = np.concatenate([np.diff(offsets) for _, offsets in pieces])
    assert np.array_equal(lengths, np.diff(stream.offsets()))
    assert all(len(tokens) <= size or len(offsets) == 2 for tokens, offsets in pieces)
    keys = np.concatenate(list(stream.packed(size))).tolist()
    assert [divmod(key, 1 << 16) for key in keys] == naive_pairs(stream)


def test_a_short_synthetic_stream_is_the_beginning_of_a_long_one(bench: ModuleType, tmp_path: Path) -> None:
    short = np.array(bench.zipf_markov(3000, tmp_path).tokens())
    long = bench.zipf_markov(8000, tmp_path)
    assert len(long.tokens()) == 8000
    assert np.array_equal(long.tokens()[:3000], short)
    file = long.folder / "tokens.u16"
    made = file.stat().st_mtime_ns
    assert np.array_equal(bench.zipf_markov(3000, tmp_path).tokens(), short)
    assert file.stat().st_mtime_ns == made


def test_every_contender_counts_right_or_says_that_it_is_absent(
    bench: ModuleType, write_stream: Callable[..., object]
) -> None:
    stream = write_stream([1, 500, 2, 1497])
    bench.check_every_count(stream)
    expected = bench.reference(stream)
    assert expected["distinct"] == len(set(naive_pairs(stream)))
    rows = list(bench.compare(bench.MIXLAW + bench.PEERS, stream, 1, expected=expected))
    assert [row["counter"] for row in rows] == [each.name for each in bench.MIXLAW + bench.PEERS]
    for row in rows:
        if row["status"] == "ok":
            assert row["distinct"] == expected["distinct"]
            assert row["seconds"] > 0.0
            assert row["peak_RSS_MB"] >= row["peak_anonymous_MB"] > 0.0
        else:
            assert row["status"].startswith("absent: ")
    by_name = {(row["counter"], row["threads"]): row for row in rows}
    for name in (
        ("mixlaw", 1),
        ("mixlaw", 2),
        ("mixlaw, 256 MB", 2),
        ("np.sort(uint64)", 1),
        ("np.unique(uint32, counts)", 1),
    ):
        assert by_name[name]["status"] == "ok"
    assert by_name["mixlaw", 2]["ratio"] == 1.0


def test_the_reference_is_the_same_in_parts(
    bench: ModuleType, write_stream: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = write_stream([700, 1, 300])
    whole = bench.reference(stream)
    monkeypatch.setattr(bench, "PART", 50)
    assert bench.reference(stream) == whole


@pytest.mark.parametrize("name", ["distinct", "digest", "joint", "conditional"])
def test_a_wrong_answer_stops_the_benchmark(bench: ModuleType, write_stream: Callable[..., object], name: str) -> None:
    expected = bench.reference(write_stream([90, 60]))
    wrong = {"digest": "0" * 64, "distinct": expected["distinct"] + 1}.get(name) or expected[name] * (1 + 1e-11)
    bench.check(bench.PEERS[0], expected, expected)
    with pytest.raises(AssertionError, match="wrong"):
        bench.check(bench.PEERS[0], expected | {name: wrong}, expected)


def test_a_capped_counter_that_takes_more_stops_the_benchmark(bench: ModuleType) -> None:
    with pytest.raises(AssertionError, match="300 MB"):
        bench.check(bench.MIXLAW[2], {"peak_RSS_MB": 300.0}, {})


def test_real_text_is_each_content_once(bench: ModuleType, tmp_path: Path) -> None:
    import gzip

    from tokenizers import Tokenizer

    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.md").write_text("one two, one three\n" * 50)
    (texts / "b.txt").write_text("Straße ✓ 数\n")
    (texts / "copy.rst").write_text("Straße ✓ 数\n")
    (texts / "c.txt.gz").write_bytes(gzip.compress(b"import this\n"))
    (texts / "broken.gz").write_bytes(b"no gzip")
    (texts / "latin.txt").write_bytes(b"Stra\xdfe")
    (texts / "empty.py").write_text("")
    (texts / "code.cpp").write_text("int x;")
    stream = bench.real_text(tmp_path, [texts], 300)
    tokenizer = Tokenizer.from_file(str(stream.folder / "tokenizer.json"))
    tokens, offsets = stream.tokens().tolist(), stream.offsets().tolist()
    decoded = [tokenizer.decode(tokens[first:last]) for first, last in itertools.pairwise(offsets)]
    assert decoded == ["one two, one three\n" * 50, "Straße ✓ 数\n", "import this\n"]
    assert json.loads((stream.folder / "about.json").read_text())["tokens"] == len(tokens)
    assert bench.reference(stream)["distinct"] == len(set(naive_pairs(stream)))


def test_the_picture_shows_every_counter_on_two_threads(
    bench: ModuleType, write_stream: Callable[..., object], tmp_path: Path
) -> None:
    import plot_ngram
    from table import Table

    stream = write_stream([200, 300])._replace(name="Zipf-Markov")
    Table(tmp_path / "ngram.csv", {}).add(*bench.compare(bench.MIXLAW[:2], stream, 1))
    plot_ngram.main(tmp_path / "ngram.csv", tmp_path)
    assert "million tokens per second" in (tmp_path / "counting.svg").read_text()
