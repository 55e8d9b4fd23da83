"""A column of Parquet and Arrow files as Arrow arrays, some rows at a time; `columns` and `rows` say what they hold."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from mixlaw.errors import InputError, require
from mixlaw.reading.tokenfiles import check_size

# What pyarrow raises on damaged files; its own errors are ValueErrors and OSErrors.
# IndexError: a view of a string that lies outside of its buffer.
_UNREADABLE = (OSError, ValueError, IndexError, NotImplementedError)
_FILE_MAGIC = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def parquet_type(path: str, column: str) -> Any:
    """Arrow type of a column of a Parquet file; `InputError` if it is none, or as for `column_type`."""
    try:
        schema = require("pyarrow.parquet", "data").read_schema(path)
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error})") from error
    return column_type(schema, column, path)


def parquet_batches(
    path: str, column: str, first: int, size: int, rows: Callable[[Any, int], int]
) -> Iterator[tuple[int, Any]]:
    """Yield parts of a column of a Parquet file from row `first` on, each with its first row.

    None crosses a row group, and they end where they always end, wherever reading begins. The file had `size` bytes
    when it was first opened. `rows` says how many rows to decode at a time, by the metadata that a row group has of the
    column, and its number of rows.
    """
    row = 0
    check_size(path, size, f"row index {first}")
    try:
        # Read through a buffer, or a whole row group is in memory at once.
        with require("pyarrow.parquet", "data").ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                end = row + group.num_rows
                if end <= first:
                    row = end
                    continue
                at_once = rows(_leaf(group, column), group.num_rows)
                for batch in file.iter_batches(at_once, [number], [column], use_threads=False):
                    skip = min(max(first - row, 0), len(batch))
                    if skip < len(batch):
                        yield row + skip, batch.column(0)[skip:]
                    row += len(batch)
                # Where bytes are missing, pyarrow may end without an error.
                check_size(path, size, f"row index {max(row, first)}")
                if row < end:
                    raise InputError(f"{path}: row group {number} ends at row index {row}, expected {end}")
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{path}, from row index {max(row, first)}: cannot be read ({error})") from error


def _leaf(group: Any, column: str) -> Any:
    """Metadata that a row group has of the values of a column, of lists or not."""
    leaves = map(group.column, range(group.num_columns))
    return next(leaf for leaf in leaves if f"{leaf.path_in_schema}.".startswith(f"{column}."))


@contextlib.contextmanager
def opened_arrow(path: str) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Map an Arrow IPC file or stream: its schema and its record batches.

    Raises
    ------
    InputError
        If it is neither, or ends before its end.
    """
    pa, ipc = require("pyarrow", "data"), require("pyarrow.ipc", "data")
    try:
        with pa.memory_map(path) as source:
            if source.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
                reader = ipc.open_file(source)
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            else:
                # Cut off between two batches, a stream still reads well; every writer that finishes leaves the mark.
                source.seek(max(source.size() - len(_END_OF_STREAM), 0))
                if source.read() != _END_OF_STREAM:
                    raise InputError(
                        f"{path}: no Arrow file, and no Arrow stream that is complete: it is truncated, or was not "
                        "finished"
                    )
                source.seek(0)
                reader = ipc.open_stream(source)
                batches = iter(reader)
            yield reader.schema, batches
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read as Arrow ({error})") from error


def arrow_batches(path: str, column: str, first: int, size: int) -> Iterator[tuple[int, Any]]:
    """Yield the parts that a column has in the record batches, from row `first` on, each with its first row.

    The file had `size` bytes when it was first opened.
    """
    row = 0
    check_size(path, size, f"row index {first}")
    with opened_arrow(path) as (_, batches):
        try:
            for batch in batches:
                skip = max(first - row, 0)
                if skip < len(batch):
                    part = batch.column(column)[skip:]
                    # Damaged borders would lead outside the file.
                    part.validate(full=True)
                    yield row + skip, part
                row += len(batch)
                # The next batch's borders lie in the map too.
                check_size(path, size, f"row index {max(row, first)}")
        except InputError:
            raise
        except _UNREADABLE as error:
            raise InputError(f"{path}, from row index {max(row, first)}: cannot be read ({error})") from error


def column_type(schema: Any, column: str, path: str) -> Any:
    """Arrow type of a column.

    Raises
    ------
    InputError
        If there is no such column, or more than one.
    """
    if schema.names.count(column) != 1:
        known = ", ".join(map(repr, sorted(schema.names))) or "none"
        raise InputError(
            f"{path}: {'several columns' if column in schema.names else 'no column'} {column!r}; there are {known}"
        )
    return schema.field(column).type
