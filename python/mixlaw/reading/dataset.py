"""A `datasets.Dataset` as a domain: a column of texts, or a column of token ids."""

from collections.abc import Iterator
from typing import Any

from mixlaw.corpus import Position, TokenChunk, TokenShard, cut
from mixlaw.errors import InputError
from mixlaw.reading import rows
from mixlaw.reading.columns import check_type, tokens_of
from mixlaw.reading.documents import Texts, remaining
from mixlaw.reading.rows import column_texts
from mixlaw.reading.tokenfiles import checked


class DatasetRows:
    """Texts in a column of a `datasets.Dataset` or `datasets.IterableDataset`, one a row, for a `TextSource`.

    Parameters
    ----------
    dataset
        The dataset.
    column
        The column that holds the text.

    Raises
    ------
    InputError
        If the dataset has no such column.
    """

    def __init__(self, dataset: Any, column: str = "text") -> None:
        _check_column(dataset, column)
        self._dataset = dataset
        self._column = column

    def read(self, start: Position | None) -> Iterator[Texts]:
        """See `Documents.read`; the offset counts rows."""
        for source, first in remaining(["dataset"], start):
            for table in self._dataset.skip(first).with_format("arrow").iter(rows.ROWS):
                yield column_texts(source, first, table[self._column], self.place)
                first += len(table)

    def place(self, position: Position) -> str:
        """See `Documents.place`."""
        return f"{position.source}, row index {position.offset}"


class DatasetTokens:
    """Token ids in a column of lists of a `datasets.Dataset`, one document a row.

    The tokens are used where the dataset has them, mapped from disk or in memory, except that a dataset which was
    shuffled or filtered is gathered into memory: write such a one with `flatten_indices` first if it is large.

    Parameters
    ----------
    dataset
        The dataset.
    vocab_size
        Token ids are below it.
    column
        The column that holds the ids.

    Raises
    ------
    InputError
        If the dataset has no such column, or it holds no lists of token ids, or a row is null.
    """

    def __init__(self, dataset: Any, vocab_size: int, column: str = "input_ids") -> None:
        _check_column(dataset, column)
        self._vocab_size = vocab_size
        self._shards = []
        row = 0
        lists = dataset.with_format("arrow")[:][column]
        check_type(lists.type, f"dataset, column {column!r}")
        for part in lists.chunks:
            tokens, offsets = tokens_of(part, "dataset", row)
            self._shards.append(TokenShard(tokens, offsets, f"dataset, rows from index {row}"))
            row += len(part)

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        """See `TokenSource.chunks`; `start.offset` counts tokens."""
        by_source = {shard.source: shard for shard in self._shards}
        for source, first in remaining(list(by_source), start):
            for chunk in cut(by_source[source], first, context):
                yield checked(chunk, self._vocab_size)

    def shards(self) -> list[TokenShard]:
        """See `TokenSource.shards`."""
        return self._shards


def _check_column(dataset: Any, column: str) -> None:
    names = dataset.column_names
    if names is not None and column not in names:
        raise InputError(f"the dataset has no column {column!r}; there are {', '.join(map(repr, sorted(names)))}")
