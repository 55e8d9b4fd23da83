"""`sample_corpus`: random documents of every domain, about as many tokens of each.

symbol   meaning                                                                        shape   unit
unit     what is drawn: a document, or a piece of a long one; empty documents are none  -       -
sizes    of the units of a block                                                        (u,)    tokens, or bytes
borders  of units in a stretch of tokens                                                (u+1,)  tokens, int64
keys     random numbers below 2**64, the n-th that of the domain's n-th unit            (u,)    -

A sample is the units with the smallest keys, in the order of their keys, up to the one with which it reaches its size.
Keys follow from the seed and the place of a unit in its domain alone, and so does the sample, however the domain is
read; and what is kept while a domain streams by is the sample of what was read so far.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mixlaw.corpus import Corpus, Offsets, Position, TokenChunk, Tokens, TokenShard, TokenSource, cut
from mixlaw.errors import InputError
from mixlaw.reading.documents import Bytes, Documents, Texts, borders_of, groups, remaining
from mixlaw.reading.text import TextSource
from mixlaw.reading.tokenfiles import checked

# Tokens of the longest document that is not divided. Few long ones would make a sample that varies much with the seed;
# of pairs, pieces lose one each.
PIECE = 2**14
# As `PIECE`, for texts, whose tokens are not known before they are drawn.
PIECE_BYTES = 2**16
# Bytes kept for a token that is wanted, more than most texts have; where they are too few, texts are read again.
BYTES = 8
# Documents of a shard, and bytes of texts, whose keys are drawn together.
BLOCK = 2**16
BLOCK_BYTES = 2**20

_LINE_END = ord("\n")

Item = TypeVar("Item")
Sizes = npt.NDArray[np.int64]


def sample_corpus(corpus: Corpus, tokens: int, *, seed: int = 0) -> Corpus:
    """Draw documents of every domain at random, until they hold `tokens` tokens.

    Documents are drawn without replacement, each of those left with the same chance, and the one that reaches `tokens`
    is the last. So every token of a domain is as likely to be in the sample as any other, but for the correction that
    is due where the sample is a large part of the domain. Documents of more than 16,384 tokens, and texts of more than
    65,536 bytes, are divided into pieces of at most that, which are drawn like documents: so are the stretches of
    a file that is one document. The same seed draws the same documents, also of text and of the shards that
    `mixlaw tokenize` makes of it, as long as no document is so long and none has text but no tokens.

    Token shards are read where documents were drawn; everything else is read once, and of text hardly more is tokenised
    than was drawn. A sample is held in memory, twice while it is put together: `tokens` ids a domain, and while text is
    drawn, of one domain at a time, 8 bytes for each.

    Parameters
    ----------
    corpus
        The domains.
    tokens
        Size of each domain's sample, in tokens; at least 1. A domain that has no more is given whole, as it is.
    seed
        What the choice follows from; at least 0.

    Returns
    -------
    Corpus
        Same domains, vocabulary and tokenizer. Samples are one source each, "sample", with random access.

    Raises
    ------
    InputError
        If an argument is out of range, a domain cannot be read, or a drawn document holds a token id outside the
        vocabulary; the message names domain, file and place.

    Examples
    --------
    >>> import numpy as np
    >>> corpus = Corpus({"a": [np.full(10, i, np.uint8) for i in range(100)]}, vocab_size=100)
    >>> sample_corpus(corpus, 25)["a"].shards()[0].tokens[::10].tolist()
    [11, 92, 3]
    """
    if tokens < 1:
        raise InputError(f"a sample needs at least 1 token, not {tokens}")
    if seed < 0:
        raise InputError(f"the seed must be at least 0, not {seed}")
    sources = {}
    for name, domain in corpus.items():
        try:
            with tqdm(desc=f"{name}, sample", unit=" documents", unit_scale=True, disable=None) as bar:
                drawn = _sample(domain.source, tokens, seed, corpus.vocab_size, bar)
        except InputError as error:
            raise InputError(f"domain {name!r}: {error}") from error
        sources[name] = domain.source if drawn is None else _Sample(drawn)
    return Corpus(sources, vocab_size=corpus.vocab_size, tokenizer=corpus.tokenizer)


class _Sample:
    """Documents in memory, one behind the other."""

    def __init__(self, documents: list[Tokens]) -> None:
        lengths = [len(document) for document in documents]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self._shard = TokenShard(np.concatenate(documents), offsets, "sample")

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        """See `TokenSource.chunks`; `start.offset` counts tokens."""
        for _, first in remaining([self._shard.source], start):
            yield from cut(self._shard, first, context)

    def shards(self) -> list[TokenShard]:
        """See `TokenSource.shards`."""
        return [self._shard]


class _Text(NamedTuple):
    """A text, or a piece of one, and where it stands."""

    place: Position
    data: Bytes


class _Chosen:
    """Texts that were drawn, for a `TextSource` that reads them once."""

    def __init__(self, documents: Documents, chosen: list[_Text]) -> None:
        self._documents = documents
        self._chosen = chosen

    def read(self, start: Position | None) -> Iterator[Texts]:
        """Yield them in the order in which they were drawn."""
        assert start is None
        borders = borders_of([len(text.data) for text in self._chosen])
        for begin, end in groups(borders, BLOCK_BYTES):
            data = np.concatenate([text.data for text in self._chosen[begin:end]])
            yield Texts("sample", begin, np.arange(begin, end), data, borders[begin : end + 1] - borders[begin])

    def place(self, position: Position) -> str:
        """See `Documents.place`."""
        return self._documents.place(self._chosen[position.offset].place)


def _sample(source: TokenSource, tokens: int, seed: int, vocab_size: int, bar: "tqdm[Any]") -> list[Tokens] | None:
    """Token ids of the units that are drawn, in order; None if those are all."""
    if isinstance(source, TextSource):
        return _sample_texts(source, tokens, seed, bar)
    try:
        shards = source.shards()
    except InputError:
        # Without random access, the domain is read once; if that is impossible too, the reader says why.
        units, whole = _draw(_stream_blocks(source), tokens, seed, bar)
        return None if whole else units
    if sum(len(shard.tokens) for shard in shards) <= tokens:
        return None
    stretches, whole = _draw(_shard_blocks(shards), tokens, seed, bar)
    # Ids are read, and have to be checked, only here.
    return None if whole else [checked(stretch, vocab_size).tokens for stretch in stretches]


def _sample_texts(source: TextSource, tokens: int, seed: int, bar: "tqdm[Any]") -> list[Tokens] | None:
    size = BYTES * tokens
    while True:
        chosen, whole = _draw(_text_blocks(source.documents), size, seed, bar)
        units, reached = _tokenised(TextSource(_Chosen(source.documents, chosen), source.tokenizer), tokens)
        if whole and len(units) == len(chosen):
            return None
        if reached:
            return units
        # The first of them, by their keys, are those of the last time.
        size *= 2


def _tokenised(source: TextSource, tokens: int) -> tuple[list[Tokens], bool]:
    """Encode documents up to the one with which they hold `tokens` tokens; whether they do."""
    units: list[Tokens] = []
    held = 0
    for chunk in source.chunks(None, 0):
        for begin, end in pairwise(chunk.offsets.tolist()):
            units.append(chunk.tokens[begin:end])
            held += end - begin
            if held >= tokens:
                return units, True
    return units, False


def _draw(
    blocks: Iterable[tuple[Sizes, Callable[[int], Item]]], target: int, seed: int, bar: "tqdm[Any]"
) -> tuple[list[Item], bool]:
    """Draw units until they have a size of `target`.

    Parameters
    ----------
    blocks
        The units in their order: the sizes of some, and what gives the one of an index among them.
    target
        Size to reach.
    seed
        What the keys follow from.
    bar
        Shows how many units were read.

    Returns
    -------
    list
        The units drawn, in the order of their keys.
    bool
        Whether those are all.
    """
    generator = np.random.PCG64(seed)
    # The largest key first; equal keys, if ever, are told apart by the place.
    heap: list[tuple[int, int, int, Item]] = []
    held = 0
    seen = 0
    for sizes, unit in blocks:
        keys = generator.random_raw(len(sizes))
        order = np.argsort(keys, kind="stable")
        # Those behind the ones that reach the target by themselves are in no sample.
        reach = int(np.searchsorted(np.cumsum(sizes[order]), target)) + 1
        for index in order[:reach].tolist():
            key, size = int(keys[index]), int(sizes[index])
            if held >= target and key > -heap[0][0]:
                break
            heapq.heappush(heap, (-key, -(seen + index), size, unit(index)))
            held += size
            while held - heap[0][2] >= target:
                held -= heapq.heappop(heap)[2]
        seen += len(sizes)
        bar.update(len(sizes))
    return [unit for *_, unit in sorted(heap, key=lambda entry: entry[:2], reverse=True)], len(heap) == seen


def _shard_blocks(shards: Iterable[TokenShard]) -> Iterator[tuple[Sizes, Callable[[int], TokenChunk]]]:
    for shard in shards:
        for first in range(0, len(shard.offsets) - 1, BLOCK):
            borders = _divided(shard.offsets[first : first + BLOCK + 1])
            yield np.diff(borders), partial(_stretch, shard, borders)


def _stretch(shard: TokenShard, borders: Offsets, index: int) -> TokenChunk:
    begin, end = borders[index : index + 2].tolist()
    return TokenChunk(shard.tokens[begin:end], np.array([0, end - begin], np.int64), 0, shard.source, begin)


def _stream_blocks(source: TokenSource) -> Iterator[tuple[Sizes, Callable[[int], Tokens]]]:
    """Read a stream, of which the last unit of a chunk may go on in the next."""
    rest: Tokens | None = None
    for chunk in source.chunks(None, 1):
        tokens = chunk.tokens[chunk.context :]
        if not len(tokens):
            continue
        borders = np.maximum(chunk.offsets - chunk.context, 0)
        if rest is not None:
            tokens = np.concatenate([rest, tokens])
            # History says that the document goes on: then its border is not at the chunk's, but at that of the rest.
            borders = np.concatenate([[0], borders[1 if chunk.context else 0 :] + len(rest)])
        borders = _divided(borders)
        # A copy, or all of the chunk would be kept.
        rest = tokens[borders[-2] :].copy()
        yield np.diff(borders[:-1]), partial(_copy, tokens, borders)
    if rest is not None:
        yield np.array([len(rest)], np.int64), partial(_copy, rest, np.array([0, len(rest)], np.int64))


def _copy(tokens: Tokens, borders: Offsets, index: int) -> Tokens:
    return tokens[borders[index] : borders[index + 1]].copy()


def _text_blocks(documents: Documents) -> Iterator[tuple[Sizes, Callable[[int], _Text]]]:
    block: list[_Text] = []
    size = 0
    for texts in documents.read(None):
        for offset, (begin, end) in zip(texts.offsets.tolist(), pairwise(texts.borders.tolist()), strict=True):
            block.extend(_pieces(Position(texts.source, offset), texts.data[begin:end]))
        size += len(texts.data)
        if size >= BLOCK_BYTES or len(block) >= BLOCK:
            yield np.array([len(piece.data) for piece in block], np.int64), partial(_copied, block)
            block, size = [], 0
    yield np.array([len(piece.data) for piece in block], np.int64), partial(_copied, block)


def _copied(block: list[_Text], index: int) -> _Text:
    # A view would keep all of what was read with it.
    return block[index]._replace(data=block[index].data.copy())


def _pieces(place: Position, data: Bytes) -> Iterator[_Text]:
    """Divide a text, behind line ends where there are some, else between characters; an empty one has no pieces."""
    begin = 0
    while begin < len(data):
        end = begin + PIECE_BYTES
        if end < len(data):
            lines = np.flatnonzero(data[begin:end] == _LINE_END)
            if len(lines):
                end = begin + int(lines[-1]) + 1
            else:
                while data[end] & 0xC0 == 0x80:  # inside a character
                    end -= 1
        yield _Text(place, data[begin:end])
        begin = end


def _divided(borders: Offsets) -> Offsets:
    """Borders of units: those of documents that are not empty, and in long ones one behind every piece."""
    pieces = -(-np.diff(borders) // PIECE)
    firsts = np.cumsum(pieces) - pieces
    inside = np.arange(pieces.sum()) - np.repeat(firsts, pieces)
    return np.append(np.repeat(borders[:-1], pieces) + PIECE * inside, borders[-1])
