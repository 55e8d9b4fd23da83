"""`TextSource`: documents and a tokenizer as a source of tokens."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import numpy as np

from mixlaw.corpus import MAX_CHUNK, Offsets, Position, TokenChunk, TokenShard
from mixlaw.errors import InputError
from mixlaw.reading.ahead import ahead
from mixlaw.reading.documents import Bytes, Documents, Strings, Texts, borders_of, decoded
from mixlaw.reading.tokenizer import Tokenizer

# Groups of documents are put together up to this many bytes: enough for a tokenizer to share among the cores.
BATCH_BYTES = 2**22


class TextSource:
    """Texts that are tokenised as they are read, in constant memory.

    Reading and tokenising run in threads of their own, ahead of whoever takes the chunks.

    Parameters
    ----------
    documents
        Where the texts come from: `WholeFiles`, `TextLines`, `JsonLines`, `ParquetFiles`, `ArrowFiles`, `DatasetRows`,
        or a sequence of strings.
    tokenizer
        What makes token ids of them.

    Examples
    --------
    >>> from mixlaw import Corpus
    >>> from mixlaw.reading import ByteTokenizer
    >>> source = TextSource(["one", "two"], ByteTokenizer())
    >>> corpus = Corpus({"numbers": source}, vocab_size=256, tokenizer="bytes")
    >>> next(corpus["numbers"].chunks()).offsets.tolist()
    [0, 3, 6]
    """

    def __init__(self, documents: Documents | Sequence[str], tokenizer: Tokenizer) -> None:
        self._documents = documents if isinstance(documents, Documents) else Strings(documents)
        self._tokenizer = tokenizer

    @property
    def documents(self) -> Documents:
        """Where the texts come from."""
        return self._documents

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes token ids of them."""
        return self._tokenizer

    def chunks(self, start: Position | None, context: int) -> Generator[TokenChunk, None, None]:
        """See `TokenSource.chunks`; a chunk holds whole documents, and `start.offset` counts as they do."""
        # `closing` ends the threads when the caller does, not when the garbage collector comes by.
        with closing(ahead(self._encoded(start))) as chunks:
            yield from chunks

    def texts(self, start: Position | None = None) -> Iterator[tuple[Position, list[str]]]:
        """Yield the documents from `start` as text, some at a time and with the place where these begin.

        This is for what embeds text and not tokens. How documents are grouped depends on where a group starts alone.
        """
        for texts in self._documents.read(start):
            yield Position(texts.source, texts.start), decoded(texts.data, texts.borders)

    def shards(self) -> list[TokenShard]:
        """Refuse: text has no random access to tokens."""
        raise InputError("text has no token shards: write them with `mixlaw tokenize` and use the corpus.yaml it makes")

    def _encoded(self, start: Position | None) -> Generator[TokenChunk, None, None]:
        with closing(ahead(self._batches(start))) as batches:
            for batch in batches:
                data, borders = _joined(batch)
                tokens, offsets = self._tokenizer.encode(data, borders)
                if len(tokens) > MAX_CHUNK:
                    longest = max(batch, key=lambda texts: int(np.diff(texts.borders).max()))
                    offset = int(longest.offsets[np.diff(longest.borders).argmax()])
                    place = self._documents.place(Position(longest.source, offset))
                    raise InputError(f"{place}: a document of more than {MAX_CHUNK} tokens: split it")
                yield TokenChunk(tokens, offsets, 0, batch[0].source, batch[0].start)

    def _batches(self, start: Position | None) -> Generator[list[Texts], None, None]:
        batch: list[Texts] = []
        size = 0
        for texts in self._documents.read(start):
            if not len(texts.offsets):
                continue
            batch.append(texts)
            size += len(texts.data)
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def _joined(batch: Sequence[Texts]) -> tuple[Bytes, Offsets]:
    if len(batch) == 1:
        return batch[0].data, batch[0].borders
    lengths = np.concatenate([np.diff(texts.borders) for texts in batch])
    return np.concatenate([texts.data for texts in batch]), borders_of(lengths)
