from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import Corpus, InputError
from mixlaw.corpus import Position, TokenSource
from mixlaw.reading import ByteTokenizer, FileTokenizer, JsonLines, TextSource, WholeFiles, documents, rows, text

Read = Callable[..., list[list[int]]]
Check = Callable[[TokenSource, int], int]


@settings(deadline=None)
@given(texts=st.lists(st.text(max_size=9)), characters=st.integers(1, 30), most=st.integers(1, 5))
def test_documents_stay_whole_however_they_are_batched(
    documents_of: Read, check_resuming: Check, texts: list[str], characters: int, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BATCH_BYTES", characters)
        patch.setattr(documents, "STRINGS", most)
        source = TextSource(texts, ByteTokenizer())
        assert documents_of(source) == [list(item.encode()) for item in texts if item]
        check_resuming(source, 1)


def test_groups_of_documents_are_put_together_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BATCH_BYTES", 10)
    monkeypatch.setattr(documents, "STRINGS", 2)
    source = TextSource(["a"] * 7 + ["b" * 9, "cc", "d" * 10, "e"], ByteTokenizer())
    assert [np.diff(chunk.offsets).tolist() for chunk in source.chunks(None, 1)] == [
        [1, 1, 1, 1, 1, 1, 1, 9],
        [2, 10],
        [1],
    ]


def test_chunks_can_be_entered_in_the_middle_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_resuming: Check
) -> None:
    monkeypatch.setattr(text, "BATCH_BYTES", 5)
    monkeypatch.setattr(documents, "PIECE", 7)
    monkeypatch.setattr(rows, "BLOCK", 9)
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("one two three\nfour five\n")
        (tmp_path / f"{name}.jsonl").write_text('{"text": "one"}\n\n{"text": "two three"}\n{"text": "four five"}\n')
    for source in (
        WholeFiles([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]),
        JsonLines([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]),
    ):
        assert check_resuming(TextSource(source, ByteTokenizer()), 1) > 2


def test_tokens_have_the_smallest_dtype_of_the_tokenizer(tokenizer_file: Path) -> None:
    chunk = next(TextSource(["the cat"], FileTokenizer(tokenizer_file)).chunks(None, 1))
    assert (chunk.tokens.dtype, chunk.context, chunk.source, chunk.start) == (np.uint16, 0, "list", 0)


def test_no_documents_give_no_chunks() -> None:
    assert list(TextSource([], ByteTokenizer()).chunks(None, 1)) == []


def test_half_a_surrogate_pair_is_named_with_its_line(tmp_path: Path, tokenizer_file: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine"}\n{"text": "\\ud83d"}\n')
    for tokenizer in (ByteTokenizer(), FileTokenizer(tokenizer_file)):
        source = TextSource(JsonLines([str(path)]), tokenizer)
        with pytest.raises(InputError, match=r"bad\.jsonl, line 2: the text is not Unicode \(.*surrogates not allowed"):
            list(source.chunks(None, 1))


def test_document_that_exceeds_a_chunk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_CHUNK", 8)
    with pytest.raises(InputError, match="document 1: a document of more than 8 tokens: split it"):
        list(TextSource(["a", "b" * 9, "c"], ByteTokenizer()).chunks(None, 1))


def test_text_has_no_shards_and_says_how_to_make_them() -> None:
    corpus = Corpus({"web": TextSource(["a"], ByteTokenizer())}, vocab_size=256)
    with pytest.raises(InputError, match="domain 'web': text has no token shards: write them with `mixlaw tokenize`"):
        corpus["web"].shards()


def test_documents_are_given_as_text_too() -> None:
    source = TextSource(["one", "", "été"], ByteTokenizer())
    assert list(source.texts()) == [(Position("list", 0), ["one", "", "été"])]
    assert list(source.texts(Position("list", 1))) == [(Position("list", 1), ["", "été"])]
