"""`Documents`: what a `TextSource` encodes, and the documents that need no reader: strings and whole text files."""

import codecs
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from mixlaw.corpus import Position
from mixlaw.errors import InputError

# Longest document that a file is read as, in bytes.
PIECE = 2**24


class Document(NamedTuple):
    """One text, and the `Position` that it has in its domain."""

    source: str
    offset: int
    text: str


@runtime_checkable
class Documents(Protocol):
    """An ordered supply of texts that can be entered anywhere."""

    def read(self, start: Position | None) -> Iterator[Document]:
        """Yield the documents in order from `start`, the beginning if it is None."""
        ...

    def place(self, document: Document) -> str:
        """Word where `document` stands, for messages."""
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

    def read(self, start: Position | None) -> Iterator[Document]:
        """See `Documents.read`; the offset counts strings."""
        for source, first in remaining(["list"], start):
            for number in range(first, len(self._texts)):
                yield Document(source, number, self._texts[number])

    def place(self, document: Document) -> str:
        """See `Documents.place`."""
        return f"document {document.offset}"


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

    def read(self, start: Position | None) -> Iterator[Document]:
        """See `Documents.read`; the offset counts bytes."""
        for path, first in remaining(self._paths, start):
            yield from _pieces(path, first)

    def place(self, document: Document) -> str:
        """See `Documents.place`."""
        return f"{document.source}, byte {document.offset}"


def _pieces(path: str, first: int) -> Iterator[Document]:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(first)
            while block := file.read(PIECE + 1):
                complete = len(block) <= PIECE
                if not complete:
                    line_end = block.rfind(b"\n", 0, PIECE) + 1
                    complete = line_end > 0
                    block = block[: line_end or PIECE]
                text, used = codecs.utf_8_decode(block, "strict", complete)
                yield Document(path, first, text)
                first += used
                file.seek(first)
            if first < size:
                raise InputError(f"{path}: shrank from {size} bytes while it was read, found at byte {first}")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {first + error.start} is not UTF-8 text ({error.reason})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
