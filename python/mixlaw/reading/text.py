"""`TextSource`: documents and a tokenizer as a source of tokens."""

from collections.abc import Iterator, Sequence

from mixlaw.corpus import MAX_CHUNK, Offsets, Position, TokenChunk, Tokens, TokenShard
from mixlaw.errors import InputError
from mixlaw.reading.documents import Document, Documents, Strings
from mixlaw.reading.tokenizer import Tokenizer

# What is encoded together: enough work for every core, while `tokenizers` needs about 100 bytes a token.
BATCH_CHARACTERS = 2**21
BATCH_DOCUMENTS = 2**14


class TextSource:
    """Texts that are tokenised as they are read, in constant memory.

    Parameters
    ----------
    documents
        Where the texts come from: `WholeFiles`, `TextLines`, `JsonLines`, `ParquetFiles`, `DatasetRows`, or a sequence
        of strings.
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

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        """See `TokenSource.chunks`; a chunk holds whole documents, and `start.offset` counts as they do."""
        for batch in self._batches(start):
            tokens, offsets = self._encode(batch)
            if len(tokens) > MAX_CHUNK:
                longest = max(batch, key=lambda document: len(document.text))
                raise InputError(
                    f"{self._documents.place(longest)}: a document of more than {MAX_CHUNK} tokens: split it"
                )
            yield TokenChunk(tokens, offsets, 0, batch[0].source, batch[0].offset)

    def texts(self) -> Iterator[str]:
        """Yield the documents as text, for what embeds text and not tokens."""
        for document in self._documents.read(None):
            yield document.text

    def shards(self) -> list[TokenShard]:
        """Refuse: text has no random access to tokens."""
        raise InputError("text has no token shards: write them with `mixlaw tokenize` and use the corpus.yaml it makes")

    def _batches(self, start: Position | None) -> Iterator[list[Document]]:
        batch: list[Document] = []
        size = 0
        for document in self._documents.read(start):
            batch.append(document)
            size += len(document.text)
            if size >= BATCH_CHARACTERS or len(batch) == BATCH_DOCUMENTS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _encode(self, batch: list[Document]) -> tuple[Tokens, Offsets]:
        try:
            return self._tokenizer.encode([document.text for document in batch])
        except (ValueError, TypeError):
            for document in batch:
                try:
                    document.text.encode()
                except UnicodeEncodeError as error:
                    raise InputError(f"{self._documents.place(document)}: the text is not Unicode ({error})") from error
            raise
