"""One random corpus in every pre-tokenised format: the same documents, the same counts, the same shards."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import Corpus, InputError, NgramCounter, load_corpus
from mixlaw.corpus import TokenSource
from mixlaw.reading import columns, tokenfiles, write_shards

Read = Callable[..., list[list[int]]]
Check = Callable[[TokenSource, int], int]
VOCAB, EOD = 9, 8
DOCUMENTS = [[1, 2], [], [3], [0, 0, 4, 5], [7] * 9, [6, 1]]


def write_all(folder: Path, documents: list[list[int]]) -> Path:
    """Write the documents in every format, with a mark behind each where the format or its name has one."""
    marked = [[*document, EOD] for document in documents]
    ids = [token for document in documents for token in document]
    marked_ids = [token for document in marked for token in document]
    np.array(marked_ids, np.uint16).tofile(folder / "raw.bin")
    for name, items in (("npy", documents), ("npy-marked", marked)):
        np.save(folder / f"{name}.npy", np.array([token for item in items for token in item], np.uint32))
        np.save(folder / f"{name}.offsets.npy", np.cumsum([0, *map(len, items)]))
    header = struct.pack("<256i", 20240520, 1, len(marked_ids), *[0] * 253)
    (folder / "llmc.bin").write_bytes(header + struct.pack(f"<{len(marked_ids)}H", *marked_ids))
    for name, items, tokens in (("megatron", documents, ids), ("megatron-marked", marked, marked_ids)):
        lengths = [len(item) for item in items]
        begins = [4 * sum(lengths[:number]) for number in range(len(items))]
        index = struct.pack("<9sQBQQ", b"MMIDIDX", 1, 4, len(items), len(items) + 1)
        index += struct.pack(f"<{len(items)}i", *lengths) + struct.pack(f"<{len(items)}q", *begins)
        (folder / f"{name}.idx").write_bytes(index + struct.pack(f"<{len(items) + 1}q", *range(len(items) + 1)))
        (folder / f"{name}.bin").write_bytes(struct.pack(f"<{len(tokens)}i", *tokens))
    table = pa.table({"input_ids": pa.array(marked, pa.list_(pa.int64()))})
    pq.write_table(table, folder / "rows.parquet", row_group_size=2)
    with pa.ipc.new_file(folder / "rows.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    features = Features({"input_ids": List(Value("int32"))})
    Dataset.from_dict({"input_ids": documents}, features=features).save_to_disk(folder / "saved", num_shards=2)
    domains: dict[str, dict[str, Any]] = {
        "raw": {"paths": "raw.bin", "format": "raw", "dtype": "uint16", "eod": EOD},
        "npy": {"paths": "npy.npy"},
        "npy-marked": {"paths": "npy-marked.npy", "eod": EOD},
        "llmc": {"paths": "llmc.bin", "format": "llmc", "eod": EOD},
        "megatron": {"paths": "megatron.*", "format": "megatron"},
        "megatron-marked": {"paths": "megatron-marked.bin", "format": "megatron", "eod": EOD},
        "parquet": {"paths": "*.parquet", "ids": "input_ids", "eod": EOD},
        "arrow": {"paths": "rows.arrow", "ids": "input_ids", "eod": EOD},
        "dataset": {"paths": "saved", "format": "dataset", "ids": "input_ids"},
    }
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump({"vocab_size": VOCAB, "domains": domains}, sort_keys=False))
    return path


def counts(corpus: Corpus, name: str) -> list[Any]:
    counter = NgramCounter(VOCAB, threads=1)
    for chunk in corpus[name].chunks():
        counter.update(chunk.tokens, chunk.offsets, context=chunk.context)
    return [array.tolist() for n in (1, 2) for array in counter.counts(n)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


@settings(max_examples=25)
@given(
    documents=st.lists(st.lists(st.integers(0, 7), max_size=8), min_size=2, max_size=9).filter(any),
    block=st.integers(1, 9),
)
def test_same_documents_are_the_same_counts_in_every_format(
    folder: Path, documents_of: Read, check_resuming: Check, documents: list[list[int]], block: int
) -> None:
    corpus = load_corpus(write_all(folder, documents))
    plain = NgramCounter(VOCAB)
    for document in documents:
        plain.update(np.array(document, np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenfiles, "BLOCK", block)
        patch.setattr(tokenfiles, "MAX_CHUNK", block + 2)
        patch.setattr(columns, "BLOCK", block)
        for name in corpus:
            assert documents_of(corpus[name].source) == [item for item in documents if item], name
            assert counts(corpus, name) == [array.tolist() for n in (1, 2) for array in plain.counts(n)], name
            check_resuming(corpus[name].source, 1)


def test_every_format_can_be_written_as_shards_and_interrupted(
    tmp_path: Path, documents_of: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "BLOCK", 3)
    monkeypatch.setattr(tokenfiles, "BLOCK", 3)
    path = write_all(tmp_path, DOCUMENTS)
    write_shards(path, tmp_path / "shards", shard_tokens=4)
    corpus = load_corpus(tmp_path / "shards" / "corpus.yaml")
    assert len(list((tmp_path / "shards").glob("arrow-*.tokens.npy"))) > 2
    for name in corpus:
        assert documents_of(corpus[name].source) == [document for document in DOCUMENTS if document]


@pytest.mark.parametrize("name", ["npy", "megatron", "arrow", "dataset"])
def test_change_of_a_file_or_its_index_is_another_corpus(tmp_path: Path, name: str) -> None:
    path = write_all(tmp_path, DOCUMENTS)
    write_shards(path, tmp_path / "shards")
    changed = {
        "npy": "npy.offsets.npy",
        "megatron": "megatron.idx",
        "arrow": "rows.arrow",
        "dataset": "saved/data-00001-of-00002.arrow",
    }[name]
    file = tmp_path / changed
    file.write_bytes(bytes(file.read_bytes()))
    with pytest.raises(InputError, match=rf"before it changed \(domain '{name}'\)"):
        write_shards(path, tmp_path / "shards")


@pytest.mark.parametrize(
    "name", ["raw", "npy", "npy-marked", "llmc", "megatron", "megatron-marked", "parquet", "arrow", "dataset"]
)
@pytest.mark.parametrize("when", ["before", "between"])
@pytest.mark.parametrize("loss", ["gone", "shorter", "empty"])
def test_file_that_is_gone_or_shorter_is_named_with_the_place(
    tmp_path: Path, name: str, when: str, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, limit in ((tokenfiles, "BLOCK"), (tokenfiles, "MAX_CHUNK"), (columns, "BLOCK")):
        monkeypatch.setattr(module, limit, 4)
    source = load_corpus(write_all(tmp_path, DOCUMENTS))[name]
    chunks = source.chunks()
    if when == "between":
        first = next(chunks)
        assert len(first.tokens)
    file = (
        tmp_path
        / {
            "raw": "raw.bin",
            "npy": "npy.npy",
            "npy-marked": "npy-marked.npy",
            "llmc": "llmc.bin",
            "megatron": "megatron.bin",
            "megatron-marked": "megatron-marked.bin",
            "parquet": "rows.parquet",
            "arrow": "rows.arrow",
            "dataset": "saved/data-00000-of-00002.arrow",
        }[name]
    )
    if loss == "gone":
        file.unlink()
    else:
        with file.open("r+b") as handle:
            handle.truncate(0 if loss == "empty" else file.stat().st_size - 4)
    place = r"(token|row index) \d+"
    message = rf"{file.name}: (cannot be read on at {place} \(No such file|shrank from \d+ to \d+ bytes .* at {place})"
    with pytest.raises(InputError, match=rf"^domain '{name}': .*{message}"):
        list(chunks)
