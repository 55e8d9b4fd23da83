from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.corpus import Position, TokenSource
from mixlaw.reading import (
    ArrowFiles,
    ArrowTokens,
    ByteTokenizer,
    ParquetFiles,
    ParquetTokens,
    TextSource,
    columns,
    rows,
    text,
)
from mixlaw.reading.documents import decoded

Read = Callable[..., list[list[int]]]
Check = Callable[[TokenSource, int], int]
TextsOf = Callable[[Any], list[str]]
IDS = [[1, 2], [], [3], [4, 5, 6], [], [0] * 9, [1]]
KINDS = ("parquet", "file", "stream")


def write(path: Path, column: Any, kind: str, rows: int = 3, name: str = "input_ids", **options: Any) -> str:
    """Write a column and another one; `rows` a row group or record batch."""
    table = pa.table({"n": pa.array(range(len(column))), name: column})
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=rows, **options)
    else:
        make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with make(path, table.schema, **options) as writer:
            writer.write_table(table, max_chunksize=rows)
    return str(path)


def source(kind: str, paths: list[str], vocab_size: int = 9, column: str = "input_ids", eod: int | None = None) -> Any:
    return (ParquetTokens if kind == "parquet" else ArrowTokens)(paths, vocab_size, column, eod)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("columns")


@settings(max_examples=60)
@given(
    files=st.lists(st.lists(st.lists(st.integers(0, 8), max_size=6), max_size=9), min_size=1, max_size=3),
    rows=st.integers(1, 5),
    block=st.integers(1, 12),
    eod=st.none() | st.integers(0, 9),
    kind=st.sampled_from(KINDS),
)
def test_rows_are_documents_and_can_be_entered_at_any_chunk(
    folder: Path,
    documents_of: Read,
    check_resuming: Check,
    files: list[list[list[int]]],
    rows: int,
    block: int,
    eod: int | None,
    kind: str,
) -> None:
    paths = [
        write(folder / f"{number}.{kind}", pa.array(ids, pa.list_(pa.int32())), kind, rows)
        for number, ids in enumerate(files)
    ]
    expected: list[list[int]] = []
    for row in (row for ids in files for row in ids):
        parts: list[list[int]] = [[]]
        for token in row:
            parts.append([]) if token == eod else parts[-1].append(token)
        expected += [part for part in parts if part]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BLOCK", block)
        assert documents_of(source(kind, paths, eod=eod)) == expected
        check_resuming(source(kind, paths, eod=eod), 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type_", [pa.uint8(), pa.uint16(), pa.uint32(), pa.int32(), pa.int64()])
@pytest.mark.parametrize("make", [pa.list_, pa.large_list])
def test_ids_of_every_type_are_read(
    tmp_path: Path, documents_of: Read, kind: str, type_: Any, make: Callable[[Any], Any]
) -> None:
    path = write(tmp_path / "a", pa.array(IDS, make(type_)), kind)
    assert documents_of(source(kind, [path])) == [ids for ids in IDS if ids]
    assert {str(chunk.tokens.dtype) for chunk in source(kind, [path]).chunks(None, 1)} == {str(type_)}


@pytest.mark.parametrize("kind", KINDS)
def test_lists_of_one_length_are_documents(tmp_path: Path, documents_of: Read, kind: str) -> None:
    path = write(tmp_path / "a", pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int32(), 2)), kind, 2)
    assert documents_of(source(kind, [path])) == [[1, 2], [3, 4], [5, 6]]
    assert documents_of(source(kind, [path]), Position(path, 1)) == [[3, 4], [5, 6]]


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_tokens_of_arrow_files_are_used_where_they_lie(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a", pa.array([list(range(10_000))] * 100, pa.list_(pa.int32())), kind, 30)
    before = pa.total_allocated_bytes()
    chunks = list(ArrowTokens([path], 10_000).chunks(None, 1))
    shards = ArrowTokens([path], 10_000).shards()
    assert pa.total_allocated_bytes() - before < 10_000
    assert (
        [len(chunk.tokens) for chunk in chunks] == [len(shard.tokens) for shard in shards] == [300_000] * 3 + [100_000]
    )
    assert not any(item.tokens.flags.owndata for item in (*chunks, *shards))
    assert [shard.source for shard in shards] == [f"{path}, rows from index {row}" for row in (0, 30, 60, 90)]
    assert np.array_equal(shards[3].tokens, np.tile(np.arange(10_000), 10))


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_arrow_files_are_unpacked(tmp_path: Path, documents_of: Read, compression: str) -> None:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    path = write(tmp_path / "a.feather", pa.array([[1] * 999, [2]], pa.list_(pa.int32())), "file", options=options)
    assert documents_of(ArrowTokens([path], 9)) == [[1] * 999, [2]]


def test_large_row_group_is_decoded_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "BLOCK", 1000)
    path = write(tmp_path / "a", pa.array([[1] * 10] * 5000, pa.list_(pa.int32())), "parquet", 5000)
    chunks = list(ParquetTokens([path], 9).chunks(None, 1))
    assert [len(chunk.tokens) for chunk in chunks] == [1000] * 50
    assert [chunk.start for chunk in chunks] == list(range(0, 5000, 100))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[1], [2], [3], [4], None], "row index 4: expected a list of token ids, found null"),
        ([[1], [2], [3], [], [1, 2, None]], "row index 4: token 2 is null"),
        ([[1], [2], [3], [], [1, 2, 9]], "row index 4: token 2 is 9, which is no id of a vocabulary of 9"),
        ([[1], [2], [3], [], [-7, 2, 9]], "row index 4: token 0 is -7, which is no id of a vocabulary of 9"),
    ],
)
@pytest.mark.parametrize("start", [0, 4])
def test_wrong_row_is_named(tmp_path: Path, kind: str, ids: list[Any], message: str, start: int) -> None:
    path = write(tmp_path / "a", pa.array(ids, pa.list_(pa.int32())), kind)
    made = source(kind, [path])
    with pytest.raises(InputError, match=rf"/a, {message}$"):
        list(made.chunks(Position(path, start), 1))


@pytest.mark.parametrize("kind", KINDS)
def test_row_that_is_too_long_is_named(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MAX_CHUNK", 3)
    monkeypatch.setattr(columns, "BLOCK", 2)
    path = write(tmp_path / "a", pa.array([[1], [1, 2, 3], [1, 2, 3, 4]], pa.list_(pa.int32())), kind)
    with pytest.raises(InputError, match="/a, row index 2: a document of more than 3 tokens: split it"):
        list(source(kind, [path]).chunks(None, 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["a"]), "expected lists of token ids, found string"),
        (pa.array([1]), "expected lists of token ids, found int64"),
        (pa.array([[0.5]]), "expected token ids of type uint8, uint16, uint32, int32, int64, found double"),
        (pa.array([[1]], pa.list_(pa.int16())), "expected token ids of type .*, found int16"),
        (pa.array([[1]], pa.list_(pa.uint64())), "expected token ids of type .*, found uint64"),
        (pa.array([[[1]]]), "expected token ids of type .*, found list"),
    ],
)
def test_column_that_holds_no_token_ids_is_refused(tmp_path: Path, kind: str, column: Any, message: str) -> None:
    path = write(tmp_path / "a", column, kind)
    with pytest.raises(InputError, match=rf"/a, column 'input_ids': {message}"):
        source(kind, [path])


@pytest.mark.parametrize("kind", KINDS)
def test_absent_column_says_which_there_are(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a", pa.array([[1]]), kind, name="ids")
    with pytest.raises(InputError, match="/a: no column 'input_ids'; there are 'ids', 'n'"):
        source(kind, [path])


@pytest.mark.parametrize("kind", KINDS)
def test_file_cut_off_anywhere_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a", pa.array(IDS, pa.list_(pa.int32())), kind)
    whole = (tmp_path / "a").read_bytes()
    for keep in range(0, len(whole), 8):
        (tmp_path / "a").write_bytes(whole[:keep])
        with pytest.raises(InputError, match=r"/a: (cannot be read|no Arrow file)"):
            source(kind, [path])


@settings(max_examples=200)
@given(data=st.data(), kind=st.sampled_from(["file", "stream"]))
def test_damaged_arrow_file_is_refused_or_read_but_never_crashes(folder: Path, data: st.DataObject, kind: str) -> None:
    path = write(folder / "damaged", pa.array(IDS, pa.list_(pa.int32())), kind)
    content = bytearray((folder / "damaged").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "damaged").write_bytes(content)
    try:
        for chunk in ArrowTokens([path], 9).chunks(None, 1):
            assert chunk.tokens.max() < 9
    except InputError as error:
        assert "damaged" in str(error)  # noqa: PT017 - both ends are allowed


def test_random_access_to_what_has_none_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a", pa.array([[1]]), "parquet")
    with pytest.raises(InputError, match="Parquet files have no token shards: write them with `mixlaw tokenize`"):
        ParquetTokens([path], 9).shards()
    path = write(tmp_path / "a", pa.array([[1]]), "file")
    with pytest.raises(InputError, match=r"eod: 0\) have no token shards: write them with `mixlaw tokenize`"):
        ArrowTokens([path], 9, eod=0).shards()


@pytest.mark.parametrize("kind", KINDS)
def test_start_in_a_file_that_is_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a", pa.array([[1]]), kind)
    with pytest.raises(InputError, match="cannot resume at b: the domain does not hold it"):
        list(source(kind, [path]).chunks(Position("b", 0), 1))


@pytest.mark.parametrize("kind", KINDS)
def test_absent_files_are_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match=r"/a: cannot be read \(No such file"):
        source(kind, [str(tmp_path / "a")])


@pytest.mark.parametrize("kind", KINDS)
def test_many_files_are_not_held_open(tmp_path: Path, kind: str) -> None:
    paths = [write(tmp_path / str(number), pa.array([[1]]), kind) for number in range(63)]
    chunks = source(kind, paths).chunks(None, 1)
    before = len(list(Path("/proc/self/fd").iterdir()))
    held = [next(chunks) for _ in range(60)]
    assert len(held) == 60
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 20


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()])
@pytest.mark.parametrize("block", [1, 6, 99])
def test_texts_of_arrow_files_can_be_entered_at_any_chunk(
    tmp_path: Path,
    documents_of: Read,
    texts_of: TextsOf,
    check_resuming: Check,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    type_: Any,
    block: int,
) -> None:
    monkeypatch.setattr(rows, "BLOCK", block)
    monkeypatch.setattr(text, "BATCH_BYTES", 4)
    texts = ["a", "", "2020-01-01", "été\r\n"] * 3
    path = write(tmp_path / "a", pa.array(texts, type_), kind, 5, name="body")
    made = TextSource(ArrowFiles([path], "body"), ByteTokenizer())
    assert documents_of(made) == [list(item.encode()) for item in texts if item]
    assert texts_of(ArrowFiles([path], "body")) == [text for _, part in made.texts() for text in part] == texts
    assert check_resuming(made, 1) == (3 if block == 99 else 6)


def test_large_record_batch_of_text_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK", 100)
    path = write(tmp_path / "a", pa.array(["0123456789"] * 995 + ["x" * 999]), "file", 5000, name="text")
    parts = list(ArrowFiles([path]).read(None))
    assert [len(texts.data) for texts in parts] == [100] * 99 + [50, 999]
    assert [texts.start for texts in parts] == [*range(0, 1000, 10)[:100], 995]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["gone", "shorter", "empty"])
def test_file_of_text_that_is_gone_or_shorter_is_named_with_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, loss: str
) -> None:
    monkeypatch.setattr(rows, "BLOCK", 9)
    path = tmp_path / "a"
    write(path, pa.array([f"{number:09d}" for number in range(999)]), kind, 500, name="text")
    parts = (ParquetFiles if kind == "parquet" else ArrowFiles)([str(path)]).read(None)
    first = next(parts)
    if loss == "gone":
        path.unlink()
    else:
        with path.open("r+b") as handle:
            handle.truncate(0 if loss == "empty" else path.stat().st_size - 4)
    with pytest.raises(
        InputError, match=r"/a: (cannot be read on at|shrank from \d+ to \d+ bytes .* at) row index \d+"
    ):
        list(parts)
    assert first.data[:9].tobytes() == b"000000000"


@settings(max_examples=200)
@given(data=st.data(), kind=st.sampled_from(["file", "stream"]), type_=st.sampled_from(["string", "string_view"]))
def test_damaged_arrow_file_of_text_is_refused_or_read_but_never_crashes(
    folder: Path, data: st.DataObject, kind: str, type_: str
) -> None:
    texts = pa.array(["one", "", "three and more than twelve bytes", "été"], getattr(pa, type_)())
    path = write(folder / "damaged", texts, kind, name="text")
    content = bytearray((folder / "damaged").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "damaged").write_bytes(content)
    try:
        for part in ArrowFiles([path]).read(None):
            assert "".join(decoded(part.data, part.borders)).encode() == part.data.tobytes()
    except InputError as error:
        assert "damaged" in str(error)  # noqa: PT017 - both ends are allowed


def test_text_that_is_none_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a", pa.array(["a", "b", "c", "d", None]), "stream", name="text")
    with pytest.raises(InputError, match="/a, row index 4: expected text, found null"):
        list(TextSource(ArrowFiles([path]), ByteTokenizer()).chunks(None, 1))
    raw = pa.array([b"a", b"\xff"]).view(pa.string())
    path = write(tmp_path / "b", raw, "file", name="text")
    with pytest.raises(InputError, match=r"/b, (from )?row index [01]: .*(UTF|utf)"):
        list(TextSource(ArrowFiles([path]), ByteTokenizer()).chunks(None, 1))
    with pytest.raises(InputError, match="/a: column 'n' holds int64, not strings"):
        ArrowFiles([str(tmp_path / "a")], "n")


def test_shuffled_and_filtered_datasets_are_saved_in_their_order(tmp_path: Path, documents_of: Read) -> None:
    ids = [[number] * (number % 3 + 1) for number in range(50)]
    dataset = Dataset.from_dict({"input_ids": ids}).shuffle(seed=1).filter(lambda row: row["input_ids"][0] % 2 == 0)
    dataset.save_to_disk(tmp_path / "saved", num_shards=3)
    paths = sorted(str(path) for path in (tmp_path / "saved").glob("*.arrow"))
    assert len(paths) == 3
    assert documents_of(ArrowTokens(paths, 50)) == dataset["input_ids"][:]
    assert sorted(map(tuple, dataset["input_ids"])) != list(map(tuple, dataset["input_ids"]))
