"""`Corpus` and `Domain`: named domains, and the streams of token ids that stand behind them.

symbol   meaning                                                             shape    unit
tokens   token ids of a stretch of a domain                                  (n,)     token ids, 0 <= id < vocab_size
offsets  document borders in `tokens`; offsets[0] == 0, offsets[-1] == n     (d+1,)   tokens, int64
context  leading tokens that are history: already given, not to be counted   -        tokens

A domain reads from a `TokenSource`. Arrays in memory are one (`ArraySource`, here); files and datasets are others
(`mixlaw.reading`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError, did_you_mean
from mixlaw.mixture import check_domains

MAX_CHUNK = 2**26
TOKEN_DTYPES = (np.uint8, np.uint16, np.uint32, np.int32, np.int64)

Tokens = npt.NDArray[Any]
Offsets = npt.NDArray[np.int64]


class Position(NamedTuple):
    """Where a chunk starts: a file (or other part) of the domain, and how far in it.

    `offset` counts tokens in tokenised sources and documents in text sources: whatever the source can seek by.
    """

    source: str
    offset: int


@dataclass(frozen=True)
class TokenChunk:
    """A stretch of at most 2**26 tokens of one domain, ready for `NgramCounter.update`.

    Attributes
    ----------
    tokens
        Token ids, shape (n,), C-contiguous, of a dtype in `TOKEN_DTYPES`.
    offsets
        Document borders, int64, shape (d + 1,).
    context
        The first `context` tokens repeat the end of the previous chunk, whose last document goes on here.
    source
        File (or other part) that the chunk comes from.
    start
        Where in `source` the chunk begins, behind the context; ``Position(source, start)`` resumes here.
    """

    tokens: Tokens
    offsets: Offsets
    context: int
    source: str
    start: int


@dataclass(frozen=True)
class TokenShard:
    """Tokens with random access, for training: arrays that may be memory-mapped.

    Attributes
    ----------
    tokens
        Token ids, shape (n,).
    offsets
        Document borders, int64, shape (d + 1,).
    source
        File that the shard comes from.
    """

    tokens: Tokens
    offsets: Offsets
    source: str


@runtime_checkable
class TokenSource(Protocol):
    """What a domain reads from."""

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        """Yield the tokens in order from `start`; a document cut by a chunk's end goes on behind `context` tokens."""
        ...

    def shards(self) -> list[TokenShard]:
        """Give random access to all tokens; `InputError` where the source is text and has to be tokenised first."""
        ...


class ArraySource:
    """Token ids in memory (or in memory maps), one array a document.

    Parameters
    ----------
    documents
        One array of token ids, which is one document, or a sequence of such arrays.

    Raises
    ------
    InputError
        If an array is not one-dimensional, its dtype is not in `TOKEN_DTYPES`, or the arrays differ in dtype.
    """

    def __init__(self, documents: Tokens | Sequence[Tokens]) -> None:
        if not isinstance(documents, Iterable):
            raise InputError(f"expected arrays of token ids, or a source of them, not {type(documents).__name__}")
        arrays = [documents] if isinstance(documents, np.ndarray) else list(documents)
        for number, array in enumerate(arrays):
            if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype not in TOKEN_DTYPES:
                what = (
                    f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
                )
                known = ", ".join(dtype.__name__ for dtype in TOKEN_DTYPES)
                raise InputError(f"document {number}: expected a one-dimensional array of {known}, not {what}")
        dtypes = {array.dtype for array in arrays}
        if len(dtypes) > 1:
            raise InputError(f"the documents have different dtypes: {', '.join(sorted(map(str, dtypes)))}")
        lengths = [len(array) for array in arrays]
        self._offsets: Offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        if len(arrays) == 1:
            self._tokens = np.ascontiguousarray(arrays[0])
        else:
            self._tokens = np.concatenate(arrays) if arrays else np.empty(0, np.uint8)

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        """See `TokenSource.chunks`; `start.offset` counts tokens."""
        if start and start.source != "array":
            raise InputError(f"cannot start at {start.source!r}: the tokens are one array, called 'array'")
        yield from cut(self.shards()[0], start.offset if start else 0, context)

    def shards(self) -> list[TokenShard]:
        """See `TokenSource.shards`."""
        return [TokenShard(self._tokens, self._offsets, "array")]


def cut(shard: TokenShard, start: int, context: int, size: int = MAX_CHUNK) -> Iterator[TokenChunk]:
    """Cut a shard into chunks of at most `size` tokens, context included, without copying tokens.

    Parameters
    ----------
    shard
        The tokens and their document borders.
    start
        First token to give.
    context
        How many tokens of a document that is cut are given again as history.
    size
        Most tokens a chunk, more than `context`.
    """
    tokens, offsets = shard.tokens, shard.offsets
    if not 0 <= context < size:
        raise InputError(f"context must be at least 0 and below the chunk size {size}, not {context}")
    if not 0 <= start <= len(tokens):
        raise InputError(f"{shard.source}: cannot start at token {start}, it holds {len(tokens)}")
    while start < len(tokens):
        document = int(np.searchsorted(offsets, start, side="right")) - 1
        history = min(context, start - int(offsets[document]))
        begin = start - history
        end = min(begin + size, len(tokens))
        last = int(np.searchsorted(offsets, end, side="left"))
        borders = np.clip(offsets[document : last + 1], begin, end) - begin
        yield TokenChunk(tokens[begin:end], borders, history, shard.source, start)
        start = end


class Domain:
    """One domain of a corpus.

    Parameters
    ----------
    name
        What the domain is called everywhere: in mixtures, run tables and reports.
    source
        Where its tokens come from.
    fingerprint
        What its tokens depend on, as JSON can hold it: work that was interrupted goes on only with the same one. None
        where that is not known.
    files
        What positions call the files that it reads, in their order.
    """

    def __init__(self, name: str, source: TokenSource, fingerprint: Any = None, files: Sequence[str] = ()) -> None:
        self.name = name
        self.source = source
        self.fingerprint = fingerprint
        self.files = tuple(files)

    def chunks(self, start: Position | None = None, *, context: int = 1) -> Iterator[TokenChunk]:
        """Stream the domain's tokens, at most 2**26 a chunk, in an order that never changes.

        Parameters
        ----------
        start
            Where to resume; the beginning if not given.
        context
            Tokens of history in front of a chunk whose first document began in an earlier one: n - 1 for n-grams.

        Raises
        ------
        InputError
            If the source cannot be read on; the message names the domain, and the file and place in it.
        """
        try:
            yield from self.source.chunks(start, context)
        except InputError as error:
            raise InputError(f"domain {self.name!r}: {error}") from error

    def to_number(self, position: Position) -> tuple[int, int]:
        """Name a position by the number of its file, to keep it: the file's path may be spelled otherwise next time."""
        return self.files.index(position.source), position.offset

    def from_number(self, number: int, offset: int) -> Position:
        """Give the position that `to_number` named.

        Raises
        ------
        InputError
            If the domain has no such file.
        """
        if not 0 <= number < len(self.files) or offset < 0:
            raise InputError(f"domain {self.name!r} has no position {offset} of file {number}")
        return Position(self.files[number], offset)

    def shards(self) -> list[TokenShard]:
        """Give random access to the domain's tokens, for training.

        Raises
        ------
        InputError
            If the domain is text: `mixlaw tokenize` makes shards of it.
        """
        try:
            return self.source.shards()
        except InputError as error:
            raise InputError(f"domain {self.name!r}: {error}") from error

    def __repr__(self) -> str:
        return f"Domain({self.name!r})"


class Corpus(Mapping[str, Domain]):
    """Named domains that share one vocabulary.

    Parameters
    ----------
    domains
        Domain name to where its tokens are: an array of token ids (one document), a sequence of arrays (one a
        document), or a `TokenSource` such as those of `mixlaw.reading`.
    vocab_size
        Token ids are below it.
    tokenizer
        What made the token ids, for the record: a name, or a path with a content hash.
    fingerprints
        Domain name to its `Domain.fingerprint`, where there is one.
    files
        Domain name to its `Domain.files`, where it reads such.

    Raises
    ------
    InputError
        If there is no domain, a domain's name is none, or an array is not one of token ids. The message names the
        domain.

    Examples
    --------
    >>> import numpy as np
    >>> corpus = Corpus({"a": np.array([1, 2, 1], np.uint16), "b": [np.array([0], np.uint16)]}, vocab_size=3)
    >>> list(corpus), corpus["a"].shards()[0].tokens.tolist()
    (['a', 'b'], [1, 2, 1])
    """

    def __init__(
        self,
        domains: Mapping[str, Tokens | Sequence[Tokens] | TokenSource],
        *,
        vocab_size: int,
        tokenizer: str | None = None,
        fingerprints: Mapping[str, Any] | None = None,
        files: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if not domains:
            raise InputError("a corpus needs at least one domain")
        check_domains(domains)
        if vocab_size < 1:
            raise InputError(f"vocab_size must be at least 1, not {vocab_size}")
        self.vocab_size = vocab_size
        self.tokenizer = tokenizer
        self._domains = {}
        for name, source in domains.items():
            try:
                made = source if isinstance(source, TokenSource) else ArraySource(source)
            except InputError as error:
                raise InputError(f"domain {name!r}: {error}") from error
            self._domains[name] = Domain(name, made, (fingerprints or {}).get(name), (files or {}).get(name, ()))

    def __getitem__(self, name: str) -> Domain:
        if name not in self._domains:
            raise KeyError(f"the corpus has no domain {name!r}{did_you_mean(name, self._domains)}")
        return self._domains[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)
