"""Token ids in a column of lists, one document a row: Parquet files, and Arrow files, those of saved datasets too.

symbol   meaning                                               shape  unit
lists    a column of a batch of rows, an Arrow array           (d,)   lists of token ids
tokens   their token ids, where Arrow has them, not copied     (n,)   token ids
offsets  document borders in `tokens`                          (d+1,) tokens, int64
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mixlaw.corpus import MAX_CHUNK, TOKEN_DTYPES, Offsets, Position, TokenChunk, Tokens, TokenShard
from mixlaw.errors import InputError, require
from mixlaw.reading.arrow import arrow_batches, column_type, opened_arrow, parquet_batches, parquet_type
from mixlaw.reading.documents import groups, remaining
from mixlaw.reading.tokenfiles import check_size, file_size, find_bad, refuse_marks, without_marks

# Tokens of a chunk, unless one row holds more, and about as many as are decoded of a Parquet file at a time.
BLOCK = 2**22


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
            for row, lists in self._batches(path, first):
                yield from self._chunks_of(*tokens_of(lists, path, row), path, row)

    def _chunks_of(self, tokens: Tokens, offsets: Offsets, path: str, row: int) -> Iterator[TokenChunk]:
        """Cut a batch whose first row is `row` into chunks."""
        for begin, end in groups(offsets, BLOCK):
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

    @abstractmethod
    def shards(self) -> list[TokenShard]:
        """See `TokenSource.shards`."""


class ParquetTokens(_TokenColumn):
    """Parquet files with token ids in a column of lists, decoded some four million tokens at a time."""

    def _type(self, path: str) -> Any:
        return parquet_type(path, self._column)

    def _batches(self, path: str, first: int) -> Iterator[tuple[int, Any]]:
        return parquet_batches(path, self._column, first, self._sizes[path], _rows_at_once)

    def shards(self) -> list[TokenShard]:
        """Refuse: what is packed in Parquet has no random access to tokens."""
        raise InputError(
            "Parquet files have no token shards: write them with `mixlaw tokenize` and use the corpus.yaml it makes"
        )


def _rows_at_once(leaf: Any, rows: int) -> int:
    """Rows of a row group that hold about `BLOCK` tokens, by their mean length."""
    return int(np.clip(BLOCK * rows // max(leaf.num_values, 1), 1, max(rows, 1)))


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
