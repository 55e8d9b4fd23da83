import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mixlaw import InputError, MixlawError, load_corpus

Read = Callable[..., list[list[int]]]
DOCUMENTS = ["the cat sat", "on the mat\nand the hat", "été \U0001f600"]


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def write_everything(folder: Path, encode: Callable[[str], list[int]], eod: int) -> dict[str, dict[str, Any]]:
    """Write the same documents in every format; the entry of each for a corpus.yaml."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number, text in enumerate(DOCUMENTS):
        (folder / f"{number}.txt").write_text(text)
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in DOCUMENTS))
    pq.write_table(pa.table({"text": DOCUMENTS}), folder / "a.parquet")
    ids = [encode(text) for text in DOCUMENTS]
    np.save(folder / "a.tokens.npy", np.concatenate([np.array(document, np.uint16) for document in ids]))
    np.save(folder / "a.offsets.npy", np.cumsum([0, *map(len, ids)]))
    marked = np.array([token for document in ids for token in [*document, eod]], np.uint32)
    np.save(folder / "marked.npy", marked)
    marked.tofile(folder / "a.bin")
    return {
        "text": {"paths": "*.txt"},
        "jsonl": {"paths": "a.jsonl"},
        "parquet": {"paths": "a.parquet"},
        "npy": {"paths": "a.tokens.npy"},
        "marked": {"paths": "marked.npy", "eod": eod},
        "raw": {"paths": "a.bin", "format": "raw", "dtype": "uint32", "eod": eod},
    }


def test_same_documents_are_the_same_tokens_in_every_format(
    tmp_path: Path, tokenizer_file: Path, documents_of: Read
) -> None:
    from mixlaw.reading import FileTokenizer

    tokenizer = FileTokenizer(tokenizer_file)

    def ids(text: str) -> list[int]:
        data = np.frombuffer(text.encode(), np.uint8)
        found: list[int] = tokenizer.encode(data, np.array([0, len(data)]))[0].tolist()
        return found

    domains = write_everything(tmp_path, ids, tokenizer.vocab_size)
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_file.read_bytes())
    corpus = load_corpus(write(tmp_path, {"tokenizer": "tokenizer.json", "domains": domains}))
    assert (corpus.vocab_size, corpus.tokenizer) == (tokenizer.vocab_size, tokenizer.name)
    assert list(corpus) == list(domains)
    expected = [ids(text) for text in DOCUMENTS]
    assert {name: documents_of(domain.source) for name, domain in corpus.items()} == dict.fromkeys(domains, expected)


def test_lines_of_text_are_documents_on_request(tmp_path: Path, documents_of: Read) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\n\r\ntwo\n")
    corpus = load_corpus(write(tmp_path, {"tokenizer": "bytes", "domains": {"a": {"paths": "a.txt", "split": "line"}}}))
    assert documents_of(corpus["a"].source) == [list(b"one"), list(b"two")]


def test_field_of_a_row_is_the_document(tmp_path: Path, documents_of: Read) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "no", "body": "yes"}\n')
    corpus = load_corpus(
        write(tmp_path, {"tokenizer": "bytes", "domains": {"a": {"paths": "a.jsonl", "field": "body"}}})
    )
    assert documents_of(corpus["a"].source) == [list(b"yes")]


def test_bytes_and_text_files_and_token_files_need_no_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("datasets", "tokenizers", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a.txt").write_text("abc")
    np.save(tmp_path / "a.npy", np.array([1, 2], np.uint8))
    corpus = load_corpus(
        write(tmp_path, {"tokenizer": "bytes", "domains": {"a": {"paths": "a.txt"}, "b": {"paths": "a.npy"}}})
    )
    assert [sum(len(chunk.tokens) for chunk in domain.chunks()) for domain in corpus.values()] == [3, 2]


def test_known_vocabulary_of_token_files_needs_no_tokenizer_library(
    tmp_path: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixlaw.reading import FileTokenizer

    expected = FileTokenizer(tokenizer_file).name
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    np.save(tmp_path / "a.npy", np.array([1, 2], np.uint8))
    content = {"tokenizer": str(tokenizer_file), "vocab_size": 9, "domains": {"a": {"paths": "a.npy"}}}
    corpus = load_corpus(write(tmp_path, content))
    assert (corpus.vocab_size, corpus.tokenizer) == (9, expected)
    with pytest.raises(MixlawError, match=r"pip install 'mixlaw\[data\]'"):
        load_corpus(write(tmp_path, {**content, "vocab_size": None}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"tokenizer": "bytes", "vocab_size": 255, "domains": {"a": {"paths": "a.txt"}}},
            r"corpus\.yaml: `vocab_size` is 255, but the ids of the tokenizer bytes go up to 255$",
        ),
        (
            {"tokenizer": "absent.json", "domains": {"a": {"paths": "a.txt"}}},
            r"absent\.json: the tokenizer cannot be read \(No such file",
        ),
        (
            {"tokenizer": "a.txt", "domains": {"a": {"paths": "a.txt"}}},
            r"a\.txt: not a tokenizer\.json \(",
        ),
        (
            {"vocab_size": 9, "domains": {"a": {"paths": "a.txt", "format": "npy"}}},
            r"corpus\.yaml, domain 'a': .*a\.txt: not a whole \.npy file \(",
        ),
        (
            {"vocab_size": 9, "domains": {"a": {"paths": "a.txt", "format": "raw", "dtype": "uint16"}}},
            r"corpus\.yaml, domain 'a': .*a\.txt: its 3 bytes are no multiple of the 2 of dtype uint16",
        ),
        (
            {"tokenizer": "bytes", "domains": {"a": {"paths": "a.txt", "format": "parquet"}}},
            r"corpus\.yaml, domain 'a': .*a\.txt: cannot be read as Parquet \(",
        ),
    ],
)
def test_file_that_is_not_what_it_should_be_is_refused_at_once(
    tmp_path: Path, content: dict[str, Any], message: str
) -> None:
    (tmp_path / "a.txt").write_text("abc")
    with pytest.raises(InputError, match=message):
        load_corpus(write(tmp_path, content))


def test_what_is_wrong_inside_a_file_names_its_domain_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"txt": "a"}\n')
    corpus = load_corpus(write(tmp_path, {"tokenizer": "bytes", "domains": {"web": {"paths": "a.jsonl"}}}))
    with pytest.raises(InputError, match=r"^domain 'web': .*a\.jsonl, line 1: no field 'text'; there are 'txt'$"):
        list(corpus["web"].chunks())


def test_vocabulary_may_be_larger_than_the_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abc")
    content = {"tokenizer": "bytes", "vocab_size": 300, "domains": {"a": {"paths": "a.txt"}}}
    assert load_corpus(write(tmp_path, content)).vocab_size == 300
