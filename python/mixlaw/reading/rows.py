"""Documents that are rows of files: lines of text, JSON Lines, Parquet, read as streams by `datasets`; Arrow, mapped.

`datasets` opens and, by the suffix (.gz, .bz2, .xz, ...), decompresses the files. It reads JSON Lines here as lines of
text, which this module parses: its own JSON reader infers types, so that the text "2020-01-01" comes back as a date.
"""

import glob
import json
import lzma
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mixlaw.corpus import Position
from mixlaw.errors import InputError, require
from mixlaw.reading.columns import arrow_batches, column_type, opened_arrow
from mixlaw.reading.documents import Document, remaining
from mixlaw.reading.tokenfiles import check_size, file_size

# Rows that are held at a time.
ROWS = 64
# What reading a damaged file raises, by its kind and compression; pyarrow's errors are ValueErrors.
_UNREADABLE = (OSError, EOFError, ValueError, NotImplementedError, zlib.error, lzma.LZMAError)


class TextLines:
    """Text files in UTF-8, each line that is not empty one document, without its line end.

    Parameters
    ----------
    paths
        The files, in reading order.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def read(self, start: Position | None) -> Iterator[Document]:
        """See `Documents.read`; the offset counts lines."""
        for path, first in remaining(self._paths, start):
            for number, line in _lines(path, first):
                if line:
                    yield Document(path, number, line)

    def place(self, document: Document) -> str:
        """See `Documents.place`."""
        return _line(document.source, document.offset)


class JsonLines:
    """JSON Lines files, each line one object with the document in one of its fields. Blank lines are passed over.

    Parameters
    ----------
    paths
        The files, in reading order.
    field
        The field that holds the text.
    """

    def __init__(self, paths: Sequence[str], field: str = "text") -> None:
        self._paths = paths
        self._field = field

    def read(self, start: Position | None) -> Iterator[Document]:
        """See `Documents.read`; the offset counts lines."""
        for path, first in remaining(self._paths, start):
            for number, line in _lines(path, first):
                if line and not line.isspace():
                    yield Document(path, number, self._text(line, _line(path, number)))

    def place(self, document: Document) -> str:
        """See `Documents.place`."""
        return _line(document.source, document.offset)

    def _text(self, line: str, place: str) -> str:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InputError(f"{place}: expected a JSON object, not {type(row).__name__}")
        if self._field not in row:
            raise InputError(f"{place}: no field {self._field!r}{_there_are(row)}")
        return checked_text(row[self._field], f"{place}, field {self._field!r}")


class ParquetFiles:
    """Parquet files with one document a row, in one of the columns.

    Parameters
    ----------
    paths
        The files, in reading order.
    field
        The column that holds the text.

    Raises
    ------
    InputError
        If a file is not Parquet, or lacks the column, or the column holds no strings.
    """

    def __init__(self, paths: Sequence[str], field: str = "text") -> None:
        self._paths = paths
        self._field = field
        parquet = require("pyarrow.parquet", "data")
        for path in paths:
            try:
                schema = parquet.read_schema(path)
            except _UNREADABLE as error:
                raise InputError(f"{path}: cannot be read as Parquet ({error})") from error
            _check_strings(schema, field, path)

    def read(self, start: Position | None) -> Iterator[Document]:
        """See `Documents.read`; the offset counts rows."""
        for path, first in remaining(self._paths, start):
            number = first
            try:
                for cell in _column("parquet", path, self._field, first, columns=[self._field], batch_size=ROWS):
                    yield Document(path, number, checked_text(cell, f"{path}, row index {number}"))
                    number += 1
            except UnicodeDecodeError as error:
                raise InputError(f"{path}, row index {number}: not UTF-8 text ({error.reason})") from error

    def place(self, document: Document) -> str:
        """See `Documents.place`."""
        return f"{document.source}, row index {document.offset}"


class ArrowFiles:
    """Arrow files with one document a row, in one of the columns: IPC files and streams, the files of a saved dataset.

    Parameters
    ----------
    paths
        The files, in reading order.
    field
        The column that holds the text.

    Raises
    ------
    InputError
        If a file is not Arrow, or lacks the column, or the column holds no strings.
    """

    def __init__(self, paths: Sequence[str], field: str = "text") -> None:
        self._paths = paths
        self._field = field
        self._sizes = {path: file_size(path) for path in paths}
        for path in paths:
            with opened_arrow(path) as (schema, _):
                _check_strings(schema, field, path)

    def read(self, start: Position | None) -> Iterator[Document]:
        """See `Documents.read`; the offset counts rows."""
        for path, first in remaining(self._paths, start):
            for row, part in arrow_batches(path, self._field, first, self._sizes[path]):
                for number, scalar in enumerate(part, row):
                    place = f"{path}, row index {number}"
                    check_size(path, self._sizes[path], f"row index {number}")
                    try:
                        yield Document(path, number, checked_text(scalar.as_py(), place))
                    except UnicodeDecodeError as error:
                        raise InputError(f"{place}: not UTF-8 text ({error.reason})") from error

    def place(self, document: Document) -> str:
        """See `Documents.place`."""
        return f"{document.source}, row index {document.offset}"


def cells(dataset: Any, column: str, first: int) -> Iterator[Any]:
    """Yield the values of a column of a `datasets.Dataset` or `IterableDataset` from row `first` on."""
    for table in dataset.skip(first).with_format("arrow").iter(ROWS):
        for scalar in table[column]:
            yield scalar.as_py()


def checked_text(value: Any, place: str) -> str:
    """Return `value` if it is a string.

    Raises
    ------
    InputError
        If it is not.
    """
    if not isinstance(value, str):
        raise InputError(f"{place}: expected text, found {'null' if value is None else type(value).__name__}")
    return value


def _check_strings(schema: Any, field: str, path: str) -> None:
    types = require("pyarrow.types", "data")
    kind = column_type(schema, field, path)
    if not any(test(kind) for test in (types.is_string, types.is_large_string, types.is_string_view)):
        raise InputError(f"{path}: column {field!r} holds {kind}, not strings")


def _lines(path: str, first: int) -> Iterator[tuple[int, str]]:
    number = first
    try:
        for line in _column("text", path, "text", first, encoding="utf-8-sig"):
            yield number, line
            number += 1
    except UnicodeDecodeError:
        _refuse_undecodable_line(path)
        raise


def _column(kind: str, path: str, column: str, first: int, **options: Any) -> Iterator[Any]:
    """Yield the values of a column of a file from row `first` on; `UnicodeDecodeError` is left to the caller."""
    datasets = require("datasets", "data")
    try:
        # The library leaves lock files in its cache, and takes paths for patterns.
        with tempfile.TemporaryDirectory() as scratch:
            reader = getattr(datasets.IterableDataset, f"from_{kind}")
            dataset = reader(glob.escape(path), cache_dir=scratch, **options)
        yield from cells(dataset, column, first)
    except UnicodeDecodeError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _refuse_undecodable_line(path: str) -> None:
    """Name the first line that is not UTF-8: `datasets` decodes large blocks and does not say which line it was."""
    with require("fsspec", "data").open(path, "rb", compression="infer") as file:
        for number, line in enumerate(file):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise InputError(f"{_line(path, number)}: not UTF-8 text ({error.reason})") from error


def _line(path: str, number: int) -> str:
    return f"{path}, line {number + 1}"


def _there_are(known: Iterable[str]) -> str:
    return f"; there are {', '.join(map(repr, sorted(known))) or 'none'}"
