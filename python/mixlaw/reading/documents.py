"""`Documents`: what a `TextSource` encodes, and the documents that need no library: strings and whole text files.

symbol   meaning                                              shape    unit
data     UTF-8 text of several documents, end to end          (n,)     bytes, uint8
borders  where they begin and end in `data`                   (d+1,)   bytes, int64; borders[0] == 0, borders[-1] == n
offsets  where they begin in their source                     (d,)     what `Position.offset` counts, int64

Text travels as bytes, many documents at a time, so that no Python object has to be made for each of them.
"""

import codecs
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mixlaw.corpus import Offsets, Position
from mixlaw.errors import InputError

# Longest document that a file is read as, in bytes.
PIECE = 2**24
# Strings that are packed at a time.
STRINGS = 2**8
# Bytes that are looked at together: as text of four bytes a character they still fit in a cache.
_GLANCE = 2**14

Bytes = npt.NDArray[np.uint8]


class Texts(NamedTuple):
    """Some documents that follow each other in one source; reading from `Position(source, start)` on begins with them.

    The first may stand behind `start`, where blank lines do.
    """

    source: str
    start: int
    offsets: Offsets
    data: Bytes
    borders: Offsets


@runtime_checkable
class Documents(Protocol):
    """An ordered supply of texts that can be entered anywhere."""

    def read(self, start: Position | None) -> Iterator[Texts]:
        """Yield the documents in order from `start`, the beginning if it is None, some at a time.

        How they are grouped depends on nothing but where a group starts, so that reading on from there gives the same
        groups. `data` is valid UTF-8.
        """
        ...

    def place(self, position: Position) -> str:
        """Word where the document at `position` stands, for messages."""
        ...


def remaining(sources: Sequence[str], start: Position | None) -> Iterator[tuple[str, int]]:
    """Yield the sources that are left to read from `start`, each with the offset to begin at.

    Raises
    ------
    InputError
        If `start` names a source that is not there.
    """
    if start is not None and start.source not in sources:
        raise InputError(f"cannot resume at {start.source}: the domain does not hold it")
    first = sources.index(start.source) if start else 0
    for source in sources[first:]:
        yield source, start.offset if start and source == start.source else 0


def pack(
    source: str, start: int, offsets: Sequence[int], texts: Sequence[str], place: Callable[[Position], str]
) -> Texts:
    """Lay strings end to end as UTF-8, in the `Texts` that they are.

    Raises
    ------
    InputError
        If one is not Unicode (it holds half a surrogate pair); the message names its `place`.
    """
    encoded = []
    for offset, text in zip(offsets, texts, strict=True):
        try:
            encoded.append(text.encode())
        except UnicodeEncodeError as error:
            raise InputError(f"{place(Position(source, offset))}: the text is not Unicode ({error})") from error
    data = np.frombuffer(b"".join(encoded), np.uint8)
    return Texts(source, start, np.array(offsets, np.int64), data, borders_of([len(text) for text in encoded]))


def borders_of(lengths: Sequence[int] | Offsets) -> Offsets:
    """Borders of parts of these lengths that stand end to end."""
    borders = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=borders[1:])
    return borders


def groups(borders: Offsets, most: int) -> Iterator[tuple[int, int]]:
    """Yield where groups of documents begin and end: as many as are no longer than `most` together, at least one."""
    begin = 0
    while begin < len(borders) - 1:
        fitting = int(np.searchsorted(borders, borders[begin] + most, side="right")) - 1
        end = max(fitting, begin + 1)
        yield begin, end
        begin = end


def decoded(data: Bytes, borders: Offsets) -> list[str]:
    """Documents as strings, one by one."""
    return [str(data[begin:end].data, "utf-8") for begin, end in pairwise(borders.tolist())]


def check_utf8(block: bytes) -> None:
    """Raise the `UnicodeDecodeError` of ``block.decode()``, if there is one, without making the text."""
    begin = 0
    while begin < len(block):
        part = block[begin : begin + _GLANCE]
        if part.isascii():
            begin += len(part)
            continue
        try:
            begin += codecs.utf_8_decode(part, "strict", begin + len(part) == len(block))[1]
        except UnicodeDecodeError as error:
            raise UnicodeDecodeError(
                error.encoding, block, begin + error.start, begin + error.end, error.reason
            ) from error


class Strings:
    """Texts in memory, one string a document.

    Parameters
    ----------
    texts
        The documents.

    Raises
    ------
    InputError
        If `texts` is one string, or one of its items is not a string.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        if isinstance(texts, str):
            raise InputError("expected a sequence of strings, one a document, not one string: put it in a list")
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"document {number}: expected a string, not {type(text).__name__}")
        self._texts = texts

    def read(self, start: Position | None) -> Iterator[Texts]:
        """See `Documents.read`; the offset counts strings."""
        for source, first in remaining(["list"], start):
            for begin in range(first, len(self._texts), STRINGS):
                texts = self._texts[begin : begin + STRINGS]
                yield pack(source, begin, range(begin, begin + len(texts)), texts, self.place)

    def place(self, position: Position) -> str:
        """See `Documents.place`."""
        return f"document {position.offset}"


class WholeFiles:
    """Text files in UTF-8, each one document, byte for byte as it stands.

    A file of more than 16 MiB is read as several documents, so that memory stays bounded: each ends behind the last
    line end within 16 MiB or, where there is none, behind the last whole character.

    Parameters
    ----------
    paths
        The files, in reading order.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def read(self, start: Position | None) -> Iterator[Texts]:
        """See `Documents.read`; the offset counts bytes."""
        for path, first in remaining(self._paths, start):
            yield from _pieces(path, first)

    def place(self, position: Position) -> str:
        """See `Documents.place`."""
        return f"{position.source}, byte {position.offset}"


def _pieces(path: str, first: int) -> Iterator[Texts]:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(first)
            while block := file.read(PIECE + 1):
                if len(block) > PIECE:
                    block = block[: block.rfind(b"\n", 0, PIECE) + 1 or _last_character(block, PIECE)]
                check_utf8(block)
                data = np.frombuffer(block, np.uint8)
                yield Texts(path, first, np.array([first]), data, np.array([0, len(block)]))
                first += len(block)
                file.seek(first)
            if first < size:
                raise InputError(f"{path}: shrank from {size} bytes while it was read, found at byte {first}")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {first + error.start} is not UTF-8 text ({error.reason})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _last_character(block: bytes, end: int) -> int:
    """Where the last character that begins before `end` has to be cut off, if it goes on there; else `end`."""
    begin = end
    # Bytes 10xxxxxx go on with a character, which has at most three of them.
    while begin > end - 3 and block[begin] & 0xC0 == 0x80:
        begin -= 1
    return begin
