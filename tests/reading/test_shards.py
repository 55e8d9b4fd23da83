import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError, load_corpus
from mixlaw.corpus import TokenChunk
from mixlaw.reading import TextSource, rows, shards, text, tokenfiles, write_shards

Read = Callable[..., list[list[int]]]


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def corpus_of(folder: Path, **documents: list[str]) -> Path:
    for name, texts in documents.items():
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": item}) for item in texts))
    return write(folder, {"tokenizer": "bytes", "domains": {name: {"paths": f"{name}.jsonl"} for name in documents}})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 8), max_size=7), min_size=1, max_size=9).filter(any),
    shard_tokens=st.integers(1, 12),
    block=st.integers(1, 9),
)
def test_shards_hold_the_documents_whole_and_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    documents_of: Read,
    documents: list[list[int]],
    shard_tokens: int,
    block: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    np.array([token for document in documents for token in [*document, 9]], np.int64).tofile(folder / "a.bin")
    entry = {"paths": "a.bin", "format": "raw", "dtype": "int64", "eod": 9}
    path = write(folder, {"vocab_size": 9, "domains": {"a": entry}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenfiles, "BLOCK", block)
        manifest = write_shards(path, folder / "out", shard_tokens=shard_tokens)
    whole = [document for document in documents if document]
    corpus = load_corpus(folder / "out" / "corpus.yaml")
    assert documents_of(corpus["a"].source) == whole
    written = corpus["a"].shards()
    assert all(shard.tokens.dtype == np.uint8 and shard.offsets.dtype == np.int64 for shard in written)
    for shard in written[:-1]:
        # A shard ends with the first document that fills it.
        assert shard.offsets[-1] >= shard_tokens > shard.offsets[-2]
    assert written[-1].offsets[-2] < shard_tokens
    listed = manifest["domains"]["a"]["shards"]
    assert [(item["tokens"], item["documents"]) for item in listed] == [
        (len(shard.tokens), len(shard.offsets) - 1) for shard in written
    ]


def test_folder_stands_for_the_corpus(tmp_path: Path, tokenizer_file: Path, documents_of: Read) -> None:
    (tmp_path / "bpe.json").write_bytes(tokenizer_file.read_bytes())
    (tmp_path / "a.txt").write_text("the cat and the dog")
    domains = {"deep/ünï code": {"paths": "a.txt"}, "..": {"paths": "a.txt"}, "no": {"paths": "a.txt"}}
    path = write(tmp_path, {"tokenizer": "bpe.json", "vocab_size": 70000, "domains": domains})
    write_shards(path, tmp_path / "some" / "out")
    before, after = load_corpus(path), load_corpus(tmp_path / "some" / "out" / "corpus.yaml")
    assert (after.vocab_size, after.tokenizer) == (before.vocab_size, before.tokenizer)
    assert list(after) == list(before)
    for name in before:
        assert documents_of(after[name].source) == documents_of(before[name].source)
        assert after[name].shards()[0].tokens.dtype == np.uint32
    assert sorted(contents(tmp_path / "some" / "out")) == [
        "..-00000.offsets.npy",
        "..-00000.tokens.npy",
        "corpus.yaml",
        "deep%2F%C3%BCn%C3%AF%20code-00000.offsets.npy",
        "deep%2F%C3%BCn%C3%AF%20code-00000.tokens.npy",
        "no-00000.offsets.npy",
        "no-00000.tokens.npy",
        "shards.json",
        "tokenizer.json",
    ]


def test_written_arrays_are_plain_npy_files(tmp_path: Path) -> None:
    write_shards(corpus_of(tmp_path, a=["ab", "", "c"]), tmp_path / "out")
    assert np.load(tmp_path / "out" / "a-00000.tokens.npy").tolist() == list(b"abc")
    offsets = np.load(tmp_path / "out" / "a-00000.offsets.npy")
    assert (offsets.dtype, offsets.tolist()) == (np.int64, [0, 2, 3])


@pytest.mark.parametrize(("batch", "later"), [(1, 1), (1, 99), (99, 1)])
@pytest.mark.parametrize("after", range(9))
def test_interrupted_work_goes_on_behind_the_last_shard_and_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, batch: int, later: int
) -> None:
    monkeypatch.setattr(text, "BATCH_BYTES", batch)
    monkeypatch.setattr(rows, "BLOCK", batch)
    path = corpus_of(tmp_path, a=["one", "two", "three", "four", "five"], b=["six", "seven", "eight"])
    write_shards(path, tmp_path / "whole", shard_tokens=4)
    written: list[str] = []
    limit = after

    def stopping(name: str, *rest: Any) -> Any:
        if len(written) == limit:
            raise KeyboardInterrupt
        written.append(os.path.basename(name))
        return atomic_write(name, *rest)

    atomic_write = shards.atomic_write
    monkeypatch.setattr(shards, "atomic_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        write_shards(path, tmp_path / "out", shard_tokens=4)
    assert not (tmp_path / "out" / "corpus.yaml").exists()
    assert not list((tmp_path / "out").glob("*.part"))
    finished = written[: after // 2 * 2]
    written.clear()
    limit = -1
    monkeypatch.setattr(text, "BATCH_BYTES", later)
    monkeypatch.setattr(rows, "BLOCK", later)
    write_shards(path, tmp_path / "out", shard_tokens=4)
    assert not set(finished) & set(written)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_error_in_the_middle_keeps_what_is_done(tmp_path: Path) -> None:
    path = corpus_of(tmp_path, a=["one"], b=["two"])
    (tmp_path / "b.jsonl").write_text('{"text": "fine"}\n{"text": null}\n')
    with pytest.raises(InputError, match=r"domain 'b': .*b\.jsonl, line 2, field 'text': expected text, found null"):
        write_shards(path, tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == ["a-00000.offsets.npy", "a-00000.tokens.npy", "shards.json"]


def test_finished_work_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = corpus_of(tmp_path, a=["one"])
    first = write_shards(path, tmp_path / "out")

    def refuse(*_: object) -> Iterator[TokenChunk]:
        raise AssertionError("the text was read again")

    monkeypatch.setattr(TextSource, "chunks", refuse)
    before = contents(tmp_path / "out")
    assert write_shards(path, tmp_path / "out") == first
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda folder: (folder / "a.jsonl").write_text('{"text": "other"}'), "domain 'a'"),
        (lambda folder: os.utime(folder / "a.jsonl", ns=(1, 1)), "domain 'a'"),
        (lambda folder: write(folder, {"tokenizer": "bytes", "domains": {"a": {"paths": "a.jsonl"}}}), "domain 'b'"),
        (
            lambda folder: write(folder, {"tokenizer": "tokenizer.json", "domains": {"a": {"paths": "a.jsonl"}}}),
            "tokenizer",
        ),
        (
            lambda folder: write(
                folder, {"tokenizer": "bytes", "vocab_size": 300, "domains": {"a": {"paths": "a.jsonl"}}}
            ),
            "vocab_size",
        ),
    ],
)
def test_other_corpus_is_not_mixed_in(
    tmp_path: Path, tokenizer_file: Path, change: Callable[[Path], None], what: str
) -> None:
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_file.read_bytes())
    path = corpus_of(tmp_path, a=["one"], b=["two"])
    os.utime(tmp_path / "a.jsonl", ns=(10**18, 10**18))
    write_shards(path, tmp_path / "out")
    before = contents(tmp_path / "out")
    change(tmp_path)
    with pytest.raises(InputError, match=rf"out holds shards of another corpus, or of this one .*\({what}\): choose"):
        write_shards(path, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_other_index_of_a_token_file_is_not_mixed_in(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, 2, 3], np.uint8))
    path = write(tmp_path, {"vocab_size": 9, "domains": {"a": {"paths": "a.npy"}}})
    write_shards(path, tmp_path / "out")
    np.save(tmp_path / "a.offsets.npy", np.array([0, 1, 3]))
    with pytest.raises(InputError, match="out holds shards of another corpus"):
        write_shards(path, tmp_path / "out")


def test_shards_of_another_size_are_not_mixed_in(tmp_path: Path) -> None:
    path = corpus_of(tmp_path, a=["one"])
    write_shards(path, tmp_path / "out", shard_tokens=4)
    with pytest.raises(InputError, match=r"\(shard_tokens\)"):
        write_shards(path, tmp_path / "out", shard_tokens=5)


def test_folder_of_the_corpus_itself_is_refused(tmp_path: Path) -> None:
    path = corpus_of(tmp_path, a=["one"])
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"holds a corpus\.yaml that is not one of shards: choose another folder"):
        write_shards(path, tmp_path)
    assert contents(tmp_path) == before


def test_lost_shard_is_named(tmp_path: Path) -> None:
    path = corpus_of(tmp_path, a=["one"])
    write_shards(path, tmp_path / "out")
    (tmp_path / "out" / "a-00000.offsets.npy").unlink()
    with pytest.raises(InputError, match=r"a-00000\.offsets\.npy is gone: delete the folder and begin anew"):
        write_shards(path, tmp_path / "out")


def test_foreign_manifest_is_refused(tmp_path: Path) -> None:
    path = corpus_of(tmp_path, a=["one"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "shards.json").write_text('{"schema": "mixlaw.mixture/1"}')
    with pytest.raises(InputError, match=r"shards\.json: expected a file of schema 'mixlaw\.shards/1'"):
        write_shards(path, tmp_path / "out")


def test_domain_without_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="domain 'a' holds no tokens"):
        write_shards(corpus_of(tmp_path, a=["", ""]), tmp_path / "out")


def test_size_of_a_shard_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shard_tokens must be at least 1, not 0"):
        write_shards(corpus_of(tmp_path, a=["one"]), tmp_path / "out", shard_tokens=0)


def test_memory_is_bounded_by_a_batch_and_not_by_the_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes that stand unwritten between two chunks never exceed one chunk."""
    monkeypatch.setattr(text, "BATCH_BYTES", 63)
    monkeypatch.setattr(rows, "BLOCK", 99)
    path = corpus_of(tmp_path, a=["x" * 21] * 255)
    longest = max(len(chunk.tokens) for chunk in load_corpus(path)["a"].chunks())
    sizes: list[int] = []
    append = shards._Shard.append

    def watching(self: Any, tokens: np.ndarray, starts: np.ndarray) -> None:
        sizes.append(len(tokens))
        append(self, tokens, starts)

    monkeypatch.setattr(shards._Shard, "append", watching)
    write_shards(path, tmp_path / "out")
    assert sum(sizes) == 21 * 255
    assert max(sizes) <= longest < 100
