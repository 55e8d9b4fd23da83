"""`read_vectors`: vectors in files that the user has, ``.npy``, Parquet or Arrow, a block of rows at a time."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError, require

# Rows that are given at a time: progress is seen, and memory stays small.
ROWS = 2**14
COLUMN = "embedding"

Vectors = npt.NDArray[np.floating[Any]]


def read_vectors(path: str | os.PathLike[str], column: str = COLUMN, start: int = 0) -> Iterator[Vectors]:
    """Yield the vectors of a file in blocks of shape (rows, d), in the file's order and constant memory.

    Parameters
    ----------
    path
        A ``.npy`` file of shape (n, d), which is memory-mapped; or a ``.parquet`` or ``.arrow`` file with lists of
        floats in a column (extra `data`).
    column
        That column, in Parquet and Arrow.
    start
        Row to begin with.

    Raises
    ------
    InputError
        If the file cannot be read, has another suffix, lacks the column, or a row of it is null, holds a null or is of
        another length; the message names file and row.
    """
    suffix = Path(path).suffix
    if suffix == ".npy":
        yield from _npy(path, start)
    elif suffix in (".parquet", ".arrow"):
        yield from _arrow(path, column, start)
    else:
        raise InputError(f"{path}: expected vectors in a file that ends in .npy, .parquet or .arrow")


def _npy(path: str | os.PathLike[str], start: int) -> Iterator[Vectors]:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        raise InputError(f"{path}: not a whole .npy file ({error})") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise InputError(f"{path}: expected floats of shape (n, d), found {array.dtype} of shape {array.shape}")
    for begin in range(start, len(array), ROWS):
        yield array[begin : begin + ROWS]


def _arrow(path: str | os.PathLike[str], column: str, start: int) -> Iterator[Vectors]:
    pyarrow, parquet = require("pyarrow", "data"), require("pyarrow.parquet", "data")
    first, dimension = 0, None
    try:
        with contextlib.ExitStack() as stack:
            if Path(path).suffix == ".parquet":
                file = stack.enter_context(parquet.ParquetFile(path))
                names = file.schema_arrow.names
                _check_column(path, column, names)
                group = 0
                while group < file.num_row_groups and first + file.metadata.row_group(group).num_rows <= start:
                    first += file.metadata.row_group(group).num_rows
                    group += 1
                batches = file.iter_batches(ROWS, list(range(group, file.num_row_groups)), [column])
            else:
                source = stack.enter_context(pyarrow.memory_map(str(path)))
                try:
                    reader = stack.enter_context(pyarrow.ipc.open_stream(source))
                    batches = iter(reader)
                except pyarrow.ArrowInvalid:
                    source.seek(0)
                    reader = stack.enter_context(pyarrow.ipc.open_file(source))
                    batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
                _check_column(path, column, reader.schema.names)
            for batch in batches:
                for begin in range(max(start - first, 0), len(batch), ROWS):
                    rows = batch.column(column)[begin : begin + ROWS]
                    block = _matrix(rows, path, column, first + begin, dimension)
                    yield block
                    dimension = block.shape[1]
                first += len(batch)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: cannot be read as {Path(path).suffix[1:]} ({error})") from error


def _check_column(path: str | os.PathLike[str], column: str, names: list[str]) -> None:
    if column not in names:
        raise InputError(f"{path}: no column {column!r}; there are {', '.join(map(repr, sorted(names))) or 'none'}")


def _matrix(lists: Any, path: str | os.PathLike[str], column: str, first: int, dimension: int | None) -> Vectors:
    """Lists of one length as the rows of a matrix; `first` is the number of the first row."""
    types, compute = require("pyarrow.types", "data"), require("pyarrow.compute", "data")
    kind = lists.type
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list or not types.is_floating(kind.value_type):
        raise InputError(f"{path}: column {column!r} holds {kind}, not lists of floats")
    if lists.null_count:
        row = first + int(np.asarray(lists.is_null()).argmax())
        raise InputError(f"{path}, row index {row}: null, where a vector is expected")
    lengths = np.asarray(compute.list_value_length(lists))
    expected = dimension if dimension is not None else int(lengths[0])
    if (lengths != expected).any():
        i = int((lengths != expected).argmax())
        raise InputError(f"{path}, row index {first + i}: a vector of {lengths[i]} numbers, others have {expected}")
    values = lists.flatten()
    if values.null_count:
        row = first + int(np.asarray(values.is_null()).argmax()) // expected
        raise InputError(f"{path}, row index {row}: null, where a number is expected")
    matrix: Vectors = np.asarray(values).reshape(len(lists), expected)
    return matrix
