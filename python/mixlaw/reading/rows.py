"""Documents that are rows of files: lines of text, JSON Lines, Parquet, Arrow; a few megabytes at a time.

`fsspec` opens the files of lines and, by the suffix (.gz, .bz2, .xz, .zst), this module decompresses them. The core
parses JSON Lines as long as each holds what it should; lines that it refuses are parsed again one by one by `json`,
which takes them or says what is wrong and where. Parquet and Arrow files are read by Arrow.
"""

import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mixlaw.compiled import _core
from mixlaw.corpus import Position
from mixlaw.errors import InputError, require
from mixlaw.reading.arrow import arrow_batches, column_type, opened_arrow, parquet_batches, parquet_type
from mixlaw.reading.documents import Texts, borders_of, check_utf8, groups, pack, remaining
from mixlaw.reading.tokenfiles import check_size, file_size

# Bytes of lines, or of rows of an Arrow file, that are read at a time; of a Parquet file, about as many. Enough for a
# tokenizer, so that blocks need not be put together, which would copy them.
BLOCK = 2**23
# Rows that are held at a time: of a dataset, and the fewest and the most of a Parquet file.
ROWS = 64
MOST_ROWS = 2**14
# What reading a damaged file raises, by its kind and compression; pyarrow's errors are ValueErrors.
_UNREADABLE = (OSError, EOFError, ValueError, NotImplementedError, zlib.error, lzma.LZMAError)
_BOM = b"\xef\xbb\xbf"
_LINE_END = ord("\n")


class TextLines:
    """Text files in UTF-8, each line that is not empty one document, without its line end.

    Parameters
    ----------
    paths
        The files, in reading order.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def read(self, start: Position | None) -> Iterator[Texts]:
        """See `Documents.read`; the offset counts lines."""
        for path, first in remaining(self._paths, start):
            for number, block in _blocks(path, first):
                _check_lines(path, number, block)
                lengths = np.diff(_line_ends(block), prepend=-1) - 1
                lines = np.flatnonzero(lengths)
                data = np.frombuffer(block.replace(b"\n", b""), np.uint8)
                yield Texts(path, number, number + lines, data, borders_of(lengths[lines]))

    def place(self, position: Position) -> str:
        """See `Documents.place`."""
        return _line(*position)


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
        # Half a surrogate pair in a name is no UTF-8, which no field of a file has then.
        self._key = field.encode(errors="surrogatepass")

    def read(self, start: Position | None) -> Iterator[Texts]:
        """See `Documents.read`; the offset counts lines."""
        for path, first in remaining(self._paths, start):
            for number, block in _blocks(path, first):
                yield self._parsed(path, number, block) or self._parsed_by_line(path, number, block)

    def place(self, position: Position) -> str:
        """See `Documents.place`."""
        return _line(*position)

    def _parsed(self, path: str, number: int, block: bytes) -> Texts | None:
        """Documents of a block of lines, all at once; None where `json` has to look at them."""
        found = _core.json_line_texts(block, self._key)
        if found is None:
            return None
        data, borders, lines = found
        return Texts(path, number, number + lines, data, borders)

    def _parsed_by_line(self, path: str, number: int, block: bytes) -> Texts:
        _check_lines(path, number, block)
        lines = block.decode().split("\n")[:-1]
        numbers = [number + k for k, line in enumerate(lines) if line and not line.isspace()]
        texts = [self._text(lines[k - number], _line(path, k)) for k in numbers]
        return pack(path, number, numbers, texts, self.place)

    def _text(self, line: str, place: str) -> str:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InputError(f"{place}: expected a JSON object, not {type(row).__name__}")
        if self._field not in row:
            raise InputError(f"{place}: no field {self._field!r}{_there_are(row)}")
        value = row[self._field]
        if not isinstance(value, str):
            found = "null" if value is None else type(value).__name__
            raise InputError(f"{place}, field {self._field!r}: expected text, found {found}")
        return value


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
        self._sizes = {path: file_size(path) for path in paths}
        for path in paths:
            _check_strings(parquet_type(path, field), field, path)

    def read(self, start: Position | None) -> Iterator[Texts]:
        """See `Documents.read`; the offset counts rows."""
        for path, first in remaining(self._paths, start):
            for row, column in parquet_batches(path, self._field, first, self._sizes[path], _rows_at_once):
                yield column_texts(path, row, column, self.place)

    def place(self, position: Position) -> str:
        """See `Documents.place`."""
        return f"{position.source}, row index {position.offset}"


def _rows_at_once(leaf: Any, rows: int) -> int:
    """How many rows of a row group hold about `BLOCK` bytes of text."""
    # Text that repeats is stored once, and longer than it seems.
    return int(np.clip(BLOCK * rows // max(leaf.total_uncompressed_size, 1), ROWS, MOST_ROWS))


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
                _check_strings(column_type(schema, field, path), field, path)

    def read(self, start: Position | None) -> Iterator[Texts]:
        """See `Documents.read`; the offset counts rows."""
        for path, first in remaining(self._paths, start):
            for row, column in arrow_batches(path, self._field, first, self._sizes[path]):
                _check_filled(path, row, column, self.place)
                texts = _texts(path, row, column)
                # A record batch may be as large as the file.
                for begin, end in groups(texts.borders, BLOCK):
                    check_size(path, self._sizes[path], f"row index {row + begin}")
                    borders = texts.borders[begin : end + 1]
                    # Copied, for a file that shrinks while text in its map waits for the tokenizer ends the process.
                    data = texts.data[borders[0] : borders[-1]].copy()
                    yield Texts(path, row + begin, texts.offsets[begin:end], data, borders - borders[0])

    def place(self, position: Position) -> str:
        """See `Documents.place`."""
        return f"{position.source}, row index {position.offset}"


def _check_strings(kind: Any, field: str, path: str) -> None:
    if not is_text(kind):
        raise InputError(f"{path}: column {field!r} holds {kind}, not strings")


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is one of strings."""
    types = require("pyarrow.types", "data")
    return any(test(kind) for test in (types.is_string, types.is_large_string, types.is_string_view))


def column_texts(source: str, first: int, column: Any, place: Callable[[Position], str]) -> Texts:
    """Documents of a column in Arrow, of which row `first` of `source` is the first, without copying the text.

    Raises
    ------
    InputError
        If a row is null, no string, or not UTF-8; the message names the row.
    """
    _check_filled(source, first, column, place)
    try:
        column.validate(full=True)
    except ValueError as damage:
        for number, cell in enumerate(column, first):
            try:
                cell.as_py()
            except UnicodeDecodeError as error:
                where = place(Position(source, number))
                raise InputError(f"{where}: not UTF-8 text ({error.reason})") from error
        raise InputError(f"{place(Position(source, first))}: cannot be read ({damage})") from damage
    return _texts(source, first, column)


def _check_filled(source: str, first: int, column: Any, place: Callable[[Position], str]) -> None:
    """Refuse a row that is no string."""
    if not is_text(column.type) or column.null_count:
        for number, cell in enumerate(column, first):
            if not isinstance(cell.as_py(), str):
                found = "null" if cell.as_py() is None else type(cell.as_py()).__name__
                raise InputError(f"{place(Position(source, number))}: expected text, found {found}")


def _texts(source: str, first: int, column: Any) -> Texts:
    """Documents of a column of strings without nulls, checked to be valid."""
    arrow = require("pyarrow", "data")
    column = column.cast(arrow.large_string())
    array = column.combine_chunks() if isinstance(column, arrow.ChunkedArray) else column
    _, offsets, data = array.buffers()
    borders = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    text = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    numbers = np.arange(first, first + len(array))
    return Texts(source, first, numbers, text[borders[0] : borders[-1]], borders - borders[0])


def _blocks(path: str, first: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file from line `first` on, some at a time, with the number of the first of them.

    Each ends with a line feed, whatever it ended with in the file.
    """
    number, held = 0, b""
    with _open(path) as file:
        held = _filled(file, b"", len(_BOM)).removeprefix(_BOM)
        while True:
            size = BLOCK
            held = _filled(file, held, size)
            while not (end := _whole_lines(held, size)):
                if not held:
                    return
                size *= 2
                held = _filled(file, held, size)
            block, held = held[:end], held[end:]
            if b"\r" in block:
                block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            if not block.endswith(b"\n"):
                block += b"\n"
            # Several times as fast as `bytes.count`.
            lines = int(np.count_nonzero(np.frombuffer(block, np.uint8) == _LINE_END))
            if number < first < number + lines:
                held = block[int(_line_ends(block)[first - number - 1]) + 1 :] + held
                number = first
            elif number < first:
                number += lines
            else:
                yield number, block
                number += lines


def _line_ends(block: bytes) -> npt.NDArray[np.int64]:
    return np.flatnonzero(np.frombuffer(block, np.uint8) == _LINE_END)


def _whole_lines(held: bytes, size: int) -> int:
    """How many of the first `size` bytes are whole lines; all of them where the file ends before."""
    if len(held) < size:
        return len(held)
    # A carriage return at the very end may belong to a line feed that is not read yet.
    return max(held.rfind(b"\n", 0, size), held.rfind(b"\r", 0, size - 1)) + 1


def _filled(file: Any, held: bytes, size: int) -> bytes:
    """Read on behind `held` until there are `size` bytes, or the file ends."""
    parts = [held]
    missing = size - len(held)
    while missing > 0 and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _check_lines(path: str, number: int, block: bytes) -> None:
    """Refuse a block of lines that is not UTF-8, naming the line."""
    try:
        check_utf8(block)
    except UnicodeDecodeError as bad:
        before = block.count(b"\n", 0, bad.start)
        try:
            block.split(b"\n")[before].decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{_line(path, number + before)}: not UTF-8 text ({error.reason})") from error
        raise


@contextmanager
def _open(path: str) -> Iterator[Any]:
    """Open a file, decompressing by its suffix; what goes wrong while it is read names it."""
    fsspec = require("fsspec", "data")
    try:
        with fsspec.open(path, "rb") as file:
            yield _DECOMPRESS.get(path[path.rfind(".") :], _as_it_is)(file)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _as_it_is(file: IO[bytes]) -> IO[bytes]:
    return file


def _zstd(file: IO[bytes]) -> Any:
    arrow = require("pyarrow", "data")
    return arrow.CompressedInputStream(arrow.PythonFile(file, "r"), "zstd")


# Suffix -> what makes a stream of the text of a stream of the file.
_DECOMPRESS: Mapping[str, Callable[[IO[bytes]], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _zstd,
}


def _line(path: str, number: int) -> str:
    return f"{path}, line {number + 1}"


def _there_are(known: Iterable[str]) -> str:
    return f"; there are {', '.join(map(repr, sorted(known))) or 'none'}"
