"""Token ids in a column of lists, one document a row: Parquet files, and Arrow files, those of saved datasets too.

symbol   meaning                                               shape  unit
lists    a column of a batch of rows, an Arrow array           (d,)   lists of token ids
tokens   their token ids, where Arrow has them, not copied     (n,)   token ids
offsets  document borders in `tokens`                          (d+1,) tokens, int64
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mixlaw.corpus import MAX_CHUNK, TOKEN_DTYPES, Offsets, Position, TokenChunk, Tokens, TokenShard
from mixlaw.errors import InputError, require
from mixlaw.reading.documents import remaining
from mixlaw.reading.tokenfiles import check_size, file_size, find_bad, refuse_marks, without_marks

# Tokens of a chunk, unless one row holds more, and about as many as are decoded of a Parquet file at a time.
BLOCK = 2**22
# What pyarrow raises on damaged files; its own errors are ValueErrors and OSErrors.
_UNREADABLE = (OSError, ValueError, NotImplementedError)
_FILE_MAGIC = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class _TokenColumn(ABC):
    """A source of tokens in a column of files, of which one batch of rows is read at a time.

    Parameters
    ----------
    paths
        The files, in reading order.
    vocab_size
        Token ids are below it.
    column
        The column that holds the lists of ids.
    eod
        The id that marks the end of a document, itself no token of one, beside the ends of rows; None where there is
        none.

    Raises
    ------
    InputError
        If a file cannot be opened, lacks the column, or holds no lists of token ids in it.
    """

    def __init__(
        self, paths: Sequence[str], vocab_size: int, column: str = "input_ids", eod: int | None = None
    ) -> None:
        self._paths = paths
        self._vocab_size = vocab_size
        self._column = column
        self._eod = eod
        self._sizes = {path: file_size(path) for path in paths}
        for path in paths:
            check_type(self._type(path), f"{path}, column {column!r}")

    @abstractmethod
    def _type(self, path: str) -> Any:
        """Arrow type of the column."""

    @abstractmethod
    def _batches(self, path: str, first: int) -> Iterator[tuple[int, Any]]:
        """Yield batches of the column from row `first` on, each with its first row; they end where they always end."""

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        """See `TokenSource.chunks`; a chunk holds whole rows, and `start.offset` counts rows of the file."""
        for path, first in remaining(self._paths, start):
            check_size(path, self._sizes[path], f"row index {first}")
            for row, lists in self._batches(path, first):
                yield from self._chunks_of(*tokens_of(lists, path, row), path, row)

    def _chunks_of(self, tokens: Tokens, offsets: Offsets, path: str, row: int) -> Iterator[TokenChunk]:
        """Cut a batch whose first row is `row` into chunks."""
        begin = 0
        while begin < len(offsets) - 1:
            fitting = int(np.searchsorted(offsets, offsets[begin] + BLOCK, side="right")) - 1
            end = max(fitting, begin + 1)
            check_size(path, self._sizes[path], f"row index {row + begin}")
            inside = offsets[begin : end + 1] - offsets[begin]
            if inside[-1] > MAX_CHUNK:
                raise InputError(
                    f"{path}, row index {row + begin}: a document of more than {MAX_CHUNK} tokens: split it"
                )
            chunk = TokenChunk(tokens[offsets[begin] : offsets[end]], inside, 0, path, row + begin)
            is_mark = None if self._eod is None else chunk.tokens == self._eod
            bad = find_bad(chunk.tokens, self._vocab_size, is_mark)
            if bad is not None:
                at = int(np.searchsorted(inside, bad, side="right")) - 1
                raise InputError(
                    f"{path}, row index {row + begin + at}: token {bad - inside[at]} is {chunk.tokens[bad]}, "
                    f"which is no id of a vocabulary of {self._vocab_size}"
                )
            if is_mark is not None:
                chunk = without_marks(chunk, is_mark)
            if len(chunk.tokens):
                yield chunk
            begin = end

    @abstractmethod
    def shards(self) -> list[TokenShard]:
        """See `TokenSource.shards`."""


class ParquetTokens(_TokenColumn):
    """Parquet files with token ids in a column of lists, decoded some four million tokens at a time."""

    def _type(self, path: str) -> Any:
        try:
            return column_type(require("pyarrow.parquet", "data").read_schema(path), self._column, path)
        except InputError:
            raise
        except _UNREADABLE as error:
            raise InputError(f"{path}: cannot be read as Parquet ({error})") from error

    def _batches(self, path: str, first: int) -> Iterator[tuple[int, Any]]:
        row = 0
        try:
            # Read through a buffer, or a whole row group is in memory at once.
            with require("pyarrow.parquet", "data").ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
                for group in range(file.num_row_groups):
                    end = row + file.metadata.row_group(group).num_rows
                    if end <= first:
                        row = end
                        continue
                    size = _batch_rows(file.metadata.row_group(group), self._column)
                    for batch in file.iter_batches(size, row_groups=[group], columns=[self._column]):
                        skip = min(max(first - row, 0), len(batch))
                        if skip < len(batch):
                            yield row + skip, batch.column(0)[skip:]
                        row += len(batch)
                    # Where bytes are missing, pyarrow may end without an error.
                    check_size(path, self._sizes[path], f"row index {max(row, first)}")
                    if row < end:
                        raise InputError(f"{path}: row group {group} ends at row index {row}, expected {end}")
        except InputError:
            raise
        except _UNREADABLE as error:
            raise InputError(f"{path}, from row index {max(row, first)}: cannot be read ({error})") from error

    def shards(self) -> list[TokenShard]:
        """Refuse: what is packed in Parquet has no random access to tokens."""
        raise InputError(
            "Parquet files have no token shards: write them with `mixlaw tokenize` and use the corpus.yaml it makes"
        )


class ArrowTokens(_TokenColumn):
    """Arrow files with token ids in a column of lists: IPC files and streams, Feather, the files of a saved dataset.

    The files are memory-mapped, and the tokens used where they lie, unless they are compressed.
    """

    def _type(self, path: str) -> Any:
        with opened_arrow(path) as (schema, _):
            return column_type(schema, self._column, path)

    def _batches(self, path: str, first: int) -> Iterator[tuple[int, Any]]:
        return arrow_batches(path, self._column, first, self._sizes[path])

    def shards(self) -> list[TokenShard]:
        """See `TokenSource.shards`; one a record batch."""
        refuse_marks(self._eod)
        return [
            TokenShard(*tokens_of(lists, path, row), f"{path}, rows from index {row}")
            for path in self._paths
            for row, lists in self._batches(path, 0)
        ]


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
                if row + len(batch) > first:
                    skip = max(first - row, 0)
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


def check_type(kind: Any, place: str) -> None:
    """Refuse a column that holds no lists of token ids."""
    types = require("pyarrow.types", "data")
    if not any(test(kind) for test in (types.is_list, types.is_large_list, types.is_fixed_size_list)):
        raise InputError(f"{place}: expected lists of token ids, found {kind}")
    value = kind.value_type
    if not types.is_integer(value) or value.to_pandas_dtype() not in TOKEN_DTYPES:
        known = ", ".join(dtype.__name__ for dtype in TOKEN_DTYPES)
        raise InputError(f"{place}: expected token ids of type {known}, found {value}")


def tokens_of(lists: Any, source: str, row: int) -> tuple[Tokens, Offsets]:
    """Turn a checked column of lists, whose first row has the index `row`, into tokens and borders.

    Raises
    ------
    InputError
        If a list, or a token id in one, is null.
    """
    if lists.null_count:
        at = int(lists.is_null().to_numpy(zero_copy_only=False).argmax())
        raise InputError(f"{source}, row index {row + at}: expected a list of token ids, found null")
    values = lists.flatten()
    lengths = lists.value_lengths().to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    if values.null_count:
        bad = int(values.is_null().to_numpy(zero_copy_only=False).argmax())
        at = int(np.searchsorted(offsets, bad, side="right")) - 1
        raise InputError(f"{source}, row index {row + at}: token {bad - offsets[at]} is null")
    return values.to_numpy(), offsets


def _batch_rows(group: Any, column: str) -> int:
    """Rows of a row group that hold about `BLOCK` tokens, by their mean length."""
    for number in range(group.num_columns):
        leaf = group.column(number)
        if leaf.path_in_schema.startswith(f"{column}."):
            return int(np.clip(BLOCK * group.num_rows // max(leaf.num_values, 1), 1, max(group.num_rows, 1)))
    return 1
