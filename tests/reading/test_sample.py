import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mixlaw import Corpus, InputError, measure_entropies
from mixlaw.corpus import ArraySource, Position, TokenChunk, TokenShard, TokenSource, cut
from mixlaw.reading import (
    ArrowTokens,
    ByteTokenizer,
    DatasetRows,
    DatasetTokens,
    FileTokenizer,
    JsonLines,
    NpyFiles,
    ParquetTokens,
    RawFiles,
    TextSource,
    load_corpus,
    sample,
    sample_corpus,
    write_shards,
)
from mixlaw.reading.tokenfiles import index_path

Read = Callable[..., list[list[int]]]
Check = Callable[[TokenSource, int], int]


class Stream:
    """Documents of bytes that can only be read from the beginning, in chunks of a few tokens."""

    def __init__(self, documents: list[list[int]], size: int) -> None:
        self._shard = shard_of(documents)
        self._size = size

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        assert start is None
        yield from cut(self._shard, 0, context, context + self._size)

    def shards(self) -> list[TokenShard]:
        raise InputError("a stream")


class Pieces(Stream):
    """The same with random access, in several shards of whole documents."""

    def __init__(self, documents: list[list[int]], size: int) -> None:
        self._shards = [shard_of(documents[first : first + size]) for first in range(0, len(documents), size)]

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        assert start is None
        for shard in self._shards:
            yield from cut(shard, 0, context)

    def shards(self) -> list[TokenShard]:
        return self._shards


def shard_of(documents: list[list[int]]) -> TokenShard:
    offsets = np.concatenate([[0], np.cumsum([len(item) for item in documents], dtype=np.int64)])
    return TokenShard(np.array(list(itertools.chain(*documents)), np.uint16), offsets.astype(np.int64), "s")


def encoded(tokenizer: FileTokenizer, text: str) -> np.ndarray:
    data = np.frombuffer(text.encode(), np.uint8)
    return tokenizer.encode(data, np.array([0, len(data)]))[0]


def drawn(source: TokenSource, tokens: int, seed: int = 0) -> list[list[int]] | None:
    """Units of a sample, in order; None if the source was given back as it is."""
    found = sample_corpus(Corpus({"a": source}, vocab_size=300), tokens, seed=seed)["a"]
    if found.source is source:
        return None
    (shard,) = found.shards()
    return [shard.tokens[begin:end].tolist() for begin, end in itertools.pairwise(shard.offsets.tolist())]


def divided(documents: list[list[int]], piece: int) -> list[list[int]]:
    return [item[begin : begin + piece] for item in documents for begin in range(0, len(item), piece)]


def reference(
    documents: list[list[int]], tokens: int, seed: int = 0, piece: int = sample.PIECE
) -> list[list[int]] | None:
    """The units with the smallest random numbers, one after the other; None if those are all."""
    units = divided(documents, piece)
    order = np.argsort(np.random.PCG64(seed).random_raw(len(units)))
    found: list[list[int]] = []
    for index in order.tolist():
        if sum(map(len, found)) >= tokens:
            return found
        found.append(units[index])
    return None


# Lengths on both sides of a piece, here 5, and of twice that; empty documents in every place.
lengths = st.lists(st.sampled_from([0, 0, 1, 2, 4, 5, 6, 9, 10, 11, 23]), max_size=15)


@settings(deadline=None)
@given(lengths=lengths, tokens=st.integers(1, 90), seed=st.integers(0, 2**70), size=st.integers(1, 17))
def test_a_sample_is_what_the_reference_draws_however_the_domain_is_read(
    lengths: list[int], tokens: int, seed: int, size: int
) -> None:
    values = iter(itertools.cycle(range(251)))
    documents = [list(itertools.islice(values, length)) for length in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "PIECE", 5)
        patch.setattr(sample, "BLOCK", size)
        expected = reference(documents, tokens, seed, 5)
        assert drawn(Stream(documents, size), tokens, seed) == expected
        assert drawn(Pieces(documents, size), tokens, seed) == expected
        assert drawn(ArraySource([np.array(item, np.uint8) for item in documents]), tokens, seed) == expected


@settings(deadline=None)
@given(
    texts=st.lists(st.text("ab\né€", max_size=9), max_size=12),
    tokens=st.integers(1, 60),
    block=st.integers(1, 20),
    characters=st.integers(1, 8),
)
def test_text_gives_the_sample_of_its_tokens(texts: list[str], tokens: int, block: int, characters: int) -> None:
    documents = [list(text.encode()) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "BLOCK_BYTES", block)
        # Of 1 character a token too few are kept at first where there are line ends and letters of several bytes.
        patch.setattr(sample, "BYTES", characters)
        assert drawn(TextSource(texts, ByteTokenizer()), tokens) == drawn(Stream(documents, 3), tokens)


def test_texts_are_read_again_where_a_token_is_longer_than_expected(tokenizer_file: Path) -> None:
    tokenizer = FileTokenizer(tokenizer_file)
    # Nothing has more characters a token than a run of known words.
    texts = ["the cat and the dog"[: 3 + 2 * (number % 9)] for number in range(400)]
    wanted = [encoded(tokenizer, text).tolist() for text in texts]
    reads = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "BYTES", 1)
        patch.setattr(
            sample, "_text_blocks", lambda documents, plain=sample._text_blocks: reads.append(1) or plain(documents)
        )
        found = drawn(TextSource(texts, tokenizer), 300)
    assert len(reads) > 1
    assert found == reference(wanted, 300)


def test_long_texts_are_divided_behind_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "PIECE_BYTES", 8)
    text = "one\ntwo\nthree\nno line end for long\nx"
    parts = drawn(TextSource([text, "y" * 8, ""], ByteTokenizer()), len(text))
    pieces = ["one\ntwo\n", "three\n", "no line ", "end for ", "long\nx", "y" * 8]
    assert {bytes(part).decode() for part in parts} < set(pieces)
    assert len({bytes(part) for part in parts}) == len(parts)
    assert sum(map(len, parts)) >= len(text)


def test_every_document_is_as_likely_as_any_other() -> None:
    source = ArraySource([np.full(7, number, np.uint8) for number in range(25)])
    draws = 2000
    places = np.array([[item[0] for item in drawn(source, 50, seed)] for seed in range(draws)])
    assert places.shape == (draws, 8)
    # Of a fair draw, how often each of 25 documents is in a sample of 8 has the variance of 8/25 * 17/25 a draw, and
    # the documents share 24 degrees of freedom; first and last place are fair by themselves.
    found = np.bincount(places.ravel(), minlength=25)
    chi = ((found - draws * 8 / 25) ** 2).sum() / (draws * 8 / 25 * 17 / 25) * 24 / 25
    assert 1e-4 < stats.chi2.sf(chi, 24) < 1 - 1e-4
    for column in (places[:, 0], places[:, 7]):
        assert stats.chisquare(np.bincount(column, minlength=25)).pvalue > 1e-4


def test_documents_of_unlike_lengths_have_the_chances_of_a_random_order() -> None:
    sizes = [1, 2, 3, 5, 11]
    source = ArraySource([np.full(size, size, np.uint8) for size in sizes])
    expected: Counter[tuple[int, ...]] = Counter()
    for order in itertools.permutations(sizes):
        expected[next(order[:k] for k in range(1, 6) if sum(order[:k]) >= 8)] += 1
    draws = 4000
    found = Counter(tuple(item[0] for item in drawn(source, 8, seed)) for seed in range(draws))
    assert set(found) <= set(expected)
    observed = np.array([found[order] for order in expected])
    assert stats.chisquare(observed, np.array(list(expected.values())) / 120 * draws).pvalue > 1e-4


def test_expected_shares_are_those_of_the_domain_where_documents_are_many() -> None:
    # Documents of type 1 are ten times as long: a sample that left out the document which reaches its size would have
    # too few of them.
    source = ArraySource([np.full(10 if number % 2 else 1, number % 2, np.uint8) for number in range(2000)])
    samples = [list(itertools.chain(*drawn(source, 20, seed))) for seed in range(1000)]
    of_type = np.array([[item.count(0), item.count(1)] for item in samples], float)
    deviation = of_type[:, 1] - 10 * of_type[:, 0]
    assert abs(deviation.mean()) < 4 * deviation.std() / np.sqrt(len(samples))


def test_seeds_draw_different_documents_and_the_same_seed_the_same() -> None:
    source = ArraySource([np.full(3, number, np.uint8) for number in range(200)])
    samples = [drawn(source, 60, seed) for seed in range(20)]
    assert len({tuple(item[0] for item in found) for found in samples}) == 20
    assert samples == [drawn(source, 60, seed) for seed in range(20)]


def test_a_larger_sample_goes_on_where_a_smaller_one_ends() -> None:
    source = ArraySource([np.full(1 + number % 5, number, np.uint8) for number in range(200)])
    small, large = drawn(source, 60), drawn(source, 200)
    assert large[: len(small)] == small
    assert 60 <= sum(map(len, small)) < 65
    assert 200 <= sum(map(len, large)) < 205


@pytest.mark.parametrize("more", [0, 1, 10**12])
def test_a_domain_that_has_no_more_is_given_as_it_is(more: int, tokenizer_file: Path) -> None:
    texts = ["the cat", "", "the dog and the hat", "sat"]
    tokenizer = FileTokenizer(tokenizer_file)
    documents = [encoded(tokenizer, text).tolist() for text in texts]
    size = sum(map(len, documents)) + more
    for source in (TextSource(texts, tokenizer), Stream(documents, 2), Pieces(documents, 2)):
        corpus = Corpus({"a": source}, vocab_size=300)
        assert sample_corpus(corpus, size)["a"].source is source


def test_a_domain_without_tokens_is_given_as_it_is() -> None:
    for source in (TextSource([""], ByteTokenizer()), Stream([[], []], 3), Pieces([[]], 1), ArraySource([])):
        with pytest.raises(InputError, match="'a' holds no tokens"):
            measure_entropies(sample_corpus(Corpus({"a": source}, vocab_size=256), 3))


@pytest.mark.parametrize("context", [0, 1, 3])
def test_a_sample_is_a_source_like_others(
    context: int, documents_of: Read, check_resuming: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixlaw import corpus as nouns

    documents = [[number] * (1 + number % 9) for number in range(99)]
    found = sample_corpus(Corpus({"a": Stream(documents, 7)}, vocab_size=99, tokenizer="words"), 100)
    assert (found.vocab_size, found.tokenizer) == (99, "words")
    source = found["a"].source
    (shard,) = found["a"].shards()
    assert (shard.source, shard.tokens.dtype, shard.offsets.dtype) == ("sample", np.uint16, np.int64)
    cut_small = lambda shard, start, context: nouns.cut(shard, start, context, context + 5)  # noqa: E731
    monkeypatch.setattr(sample, "cut", cut_small)
    assert check_resuming(source, context) > 15
    whole = reference(documents, 100)
    if context:
        assert documents_of(source, context=context) == whole
    assert shard.tokens.tolist() == list(itertools.chain(*whole))
    with pytest.raises(InputError, match="cannot resume at elsewhere"):
        next(source.chunks(Position("elsewhere", 0), 0))


def write_tokens(folder: Path, documents: list[list[int]]) -> dict[str, TokenSource]:
    """The same documents in every format that gives tokens, and some that only stream."""
    shard = shard_of(documents)
    tokens = shard.tokens.astype(np.uint16)
    np.save(folder / "x.npy", tokens)
    np.save(index_path(str(folder / "x.npy")), shard.offsets)
    marked = np.concatenate([[*item, 300] for item in documents]).astype(np.uint16)
    (folder / "x.bin").write_bytes(marked.tobytes())
    table = pa.table({"input_ids": pa.array(documents, pa.list_(pa.uint16()))})
    pq.write_table(table, folder / "x.parquet", row_group_size=7)
    with pa.ipc.new_file(str(folder / "x.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=9)
    return {
        "npy": NpyFiles([str(folder / "x.npy")], 256),
        "raw": RawFiles([str(folder / "x.bin")], 256, "uint16", 300),
        "parquet": ParquetTokens([str(folder / "x.parquet")], 256),
        "arrow": ArrowTokens([str(folder / "x.arrow")], 256),
        "dataset": DatasetTokens(Dataset.from_dict({"input_ids": documents}), 256),
        "bytes": TextSource([bytes(item).decode() for item in documents], ByteTokenizer()),
        "rows": TextSource(
            DatasetRows(Dataset.from_dict({"text": [bytes(item).decode() for item in documents]})), ByteTokenizer()
        ),
    }


@pytest.mark.parametrize("tokens", [1, 63, 255, 1271])
def test_every_format_gives_the_same_sample(tmp_path: Path, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from mixlaw.reading import tokenfiles

    monkeypatch.setattr(tokenfiles, "BLOCK", 11)
    documents = [[97 + number % 26] * (number % 40) for number in range(100)]
    expected = reference(documents, tokens)
    for name, source in write_tokens(tmp_path, documents).items():
        assert drawn(source, tokens) == expected, name


def test_text_and_the_shards_made_of_it_give_the_same_sample(tmp_path: Path, tokenizer_file: Path) -> None:
    words = ["the", "cat", "dog", "", "hat and mat"]
    lines = [" ".join(itertools.islice(itertools.cycle(words), number % 7, number % 23)) for number in range(120)]
    (tmp_path / "x.jsonl").write_text("".join(f'{{"text": "{line}"}}\n' for line in lines))
    (tmp_path / "corpus.yaml").write_text(f"tokenizer: {tokenizer_file}\ndomains: {{x: {{paths: x.jsonl}}}}\n")
    write_shards(tmp_path / "corpus.yaml", tmp_path / "shards", shard_tokens=50)
    text, shards = load_corpus(tmp_path / "corpus.yaml"), load_corpus(tmp_path / "shards" / "corpus.yaml")
    assert len(shards["x"].shards()) > 3
    assert drawn(text["x"].source, 90, 5) == drawn(shards["x"].source, 90, 5)


def test_a_file_that_is_one_document_gives_stretches_from_everywhere(tmp_path: Path) -> None:
    tokens = np.arange(200 * sample.PIECE + 5, dtype=np.uint32)
    (tmp_path / "x.bin").write_bytes(tokens.tobytes())
    corpus = Corpus({"a": RawFiles([str(tmp_path / "x.bin")], len(tokens), "uint32")}, vocab_size=len(tokens))
    (shard,) = sample_corpus(corpus, 300_000)["a"].shards()
    firsts = shard.tokens[shard.offsets[:-1]]
    assert (firsts % sample.PIECE == 0).all()
    assert 19 <= len(firsts) <= 20
    assert firsts.max() - firsts.min() > 100 * sample.PIECE
    assert all((np.diff(part) == 1).all() for part in np.split(shard.tokens, shard.offsets[1:-1]))


def test_files_of_several_types_are_put_into_one(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full(40, 3, np.uint16))
    np.save(tmp_path / "b.npy", np.full(40, 70_000, np.uint32))
    paths = [str(tmp_path / f"{name}.npy") for name in "ab"] * 9
    (shard,) = sample_corpus(Corpus({"a": NpyFiles(paths, 70_001)}, vocab_size=70_001), 400)["a"].shards()
    assert shard.tokens.dtype == np.uint32
    assert set(shard.tokens.tolist()) == {3, 70_000}


@pytest.mark.parametrize(("tokens", "seed", "message"), [
    (0, 0, "a sample needs at least 1 token, not 0"),
    (-5, 0, "a sample needs at least 1 token, not -5"),
    (1, -1, "the seed must be at least 0, not -1"),
])  # fmt: skip
def test_arguments_out_of_range_are_refused(tokens: int, seed: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_corpus(Corpus({"a": np.zeros(9, np.uint8)}, vocab_size=1), tokens, seed=seed)


def test_an_id_outside_the_vocabulary_is_named_with_its_place(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, 2, 9, 4], np.uint16))
    np.save(tmp_path / "a.offsets.npy", np.array([0, 1, 4]))
    corpus = Corpus({"web": NpyFiles([str(tmp_path / "a.npy")], 5)}, vocab_size=5)
    with pytest.raises(InputError, match=r"domain 'web': .*a\.npy: token 2 is 9, which is no id of a vocabulary of 5"):
        sample_corpus(corpus, 3, seed=0)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(np.array([1, 0, 7, 0], np.uint16).tobytes())
    corpus = Corpus({"web": RawFiles([str(tmp_path / "x.bin")], 5, "uint16", 0)}, vocab_size=5)
    with pytest.raises(InputError, match=r"domain 'web': .*x\.bin: token 2 is 7"):
        sample_corpus(corpus, 1)


def test_half_a_surrogate_pair_is_named_with_its_line_where_it_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "\\ud83d"}\n' + '{"text": "fine"}\n' * 2)
    corpus = Corpus({"web": TextSource(JsonLines([str(path)]), ByteTokenizer())}, vocab_size=256)
    with pytest.raises(InputError, match=r"domain 'web': .*bad\.jsonl, line 1: the text is not Unicode"):
        sample_corpus(corpus, 8, seed=2)


def test_hardly_more_text_is_tokenised_than_was_drawn() -> None:
    seen = []

    class Counting(ByteTokenizer):
        def encode(self, data: np.ndarray, borders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            seen.append(len(data))
            return super().encode(data, borders)

    found = drawn(TextSource(["x" * 50] * 40_000, Counting()), 1000)
    assert found is not None
    assert len(found) == 20
    assert sum(seen) <= sample.BYTES * 1000


def test_tokens_that_are_not_drawn_are_not_read(tmp_path: Path) -> None:
    tokens = np.full(40, 9, np.uint16)
    order = np.argsort(np.random.PCG64(0).random_raw(10))
    for document in order[:3].tolist():
        tokens[4 * document : 4 * document + 4] = 1
    np.save(tmp_path / "a.npy", tokens)
    np.save(tmp_path / "a.offsets.npy", np.arange(0, 41, 4))
    corpus = Corpus({"a": NpyFiles([str(tmp_path / "a.npy")], 5)}, vocab_size=5)
    assert sample_corpus(corpus, 12)["a"].shards()[0].tokens.tolist() == [1] * 12
    with pytest.raises(InputError, match="is 9, which is no id of a vocabulary of 5"):
        sample_corpus(corpus, 13)
