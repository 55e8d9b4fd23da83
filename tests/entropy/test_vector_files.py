from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixlaw import InputError
from mixlaw.entropy import vector_files
from mixlaw.entropy.vector_files import read_vectors

VECTORS = np.random.default_rng(0).standard_normal((271, 5))


def write(path: Path, column: Any, name: str = "embedding") -> Path:
    table = pa.table({"id": pa.nulls(len(column)), name: column})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=100)
    else:
        make = pa.ipc.new_stream if "stream" in path.stem else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as sink, make(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
    return path


def lists(kind: str, dtype: Any) -> pa.Array:
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.astype(dtype).ravel()), 5)
    offsets = pa.array(np.arange(0, 271 * 5 + 1, 5), pa.int32() if kind == "list" else pa.int64())
    make = pa.ListArray if kind == "list" else pa.LargeListArray
    return make.from_arrays(offsets, pa.array(VECTORS.astype(dtype).ravel()))


@pytest.mark.parametrize("rows", [63, 2**14])
@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "stream.arrow"])
@pytest.mark.parametrize("kind", ["list", "large", "fixed"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_columns_of_lists_are_read_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, name: str, kind: str, dtype: Any
) -> None:
    monkeypatch.setattr(vector_files, "ROWS", rows)
    blocks = list(read_vectors(write(tmp_path / name, lists(kind, dtype), "v"), "v"))
    assert max(map(len, blocks)) <= rows
    found = np.concatenate(blocks)
    assert found.dtype == dtype
    assert np.array_equal(found, VECTORS.astype(dtype))


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "file.arrow", "stream.arrow"])
def test_reading_begins_at_any_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(vector_files, "ROWS", 63)
    if name == "a.npy":
        np.save(tmp_path / name, VECTORS)
    else:
        write(tmp_path / name, lists("list", np.float64))
    for start in (*range(0, 271, 17), 99, 100, 101, 200, 270):
        found = np.concatenate(list(read_vectors(tmp_path / name, start=start)))
        assert np.array_equal(found, VECTORS[start:])
    assert not list(read_vectors(tmp_path / name, start=271))
    if name != "a.npy":
        column = VECTORS.tolist()
        column[177] = [1.0] * 4
        with pytest.raises(InputError, match="row index 177: a vector of 4 numbers, others have 5"):
            list(read_vectors(write(tmp_path / name, pa.array(column)), start=150))


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files_are_mapped_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Any) -> None:
    monkeypatch.setattr(vector_files, "ROWS", 64)
    np.save(tmp_path / "a.npy", np.asarray(VECTORS, order=order))
    blocks = list(read_vectors(tmp_path / "a.npy"))
    assert [len(block) for block in blocks] == [64, 64, 64, 64, 15]
    assert all(isinstance(block, np.memmap) for block in blocks)
    assert np.array_equal(np.concatenate(blocks), VECTORS)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1.0, 2.0], None], "row index 1: null, where a vector is expected"),
        ([[1.0, 2.0], [1.0]], "row index 1: a vector of 1 numbers, others have 2"),
        ([[1.0, 2.0], [3.0, None]], "row index 1: null, where a number is expected"),
        ([[1, 2]], r"column 'embedding' holds list<.*int64>, not lists of floats"),
        (["a"], "column 'embedding' holds string, not lists of floats"),
    ],
)
@pytest.mark.parametrize("name", ["a.parquet", "stream.arrow"])
def test_rows_that_are_no_vectors_are_named(tmp_path: Path, name: str, column: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        list(read_vectors(write(tmp_path / name, pa.array(column))))


def test_a_bad_row_in_a_later_batch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_files, "ROWS", 10)
    column = VECTORS.tolist()
    column[177] = [1.0] * 4
    with pytest.raises(InputError, match="row index 177: a vector of 4 numbers, others have 5"):
        list(read_vectors(write(tmp_path / "a.parquet", pa.array(column))))


@pytest.mark.parametrize("name", ["a.parquet", "file.arrow", "stream.arrow"])
def test_absent_columns_and_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, lists("list", np.float32), "v")
    with pytest.raises(InputError, match=f"{name}: no column 'embedding'; there are 'id', 'v'"):
        list(read_vectors(path))
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        list(read_vectors(path))
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        list(read_vectors(path))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(3), r"expected floats of shape \(n, d\), found float64 of shape \(3,\)"),
        (np.ones((3, 2), int), "expected floats of shape .*, found int64"),
    ],
)
def test_npy_files_that_hold_no_vectors_are_named(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=rf"a\.npy: {message}"):
        list(read_vectors(tmp_path / "a.npy"))


def test_truncated_npy_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, VECTORS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"a\.npy: not a whole \.npy file"):
        list(read_vectors(path))
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.npy: not a whole \.npy file"):
        list(read_vectors(path))
