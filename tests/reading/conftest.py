"""Fixtures for the readers: a small trained tokenizer, and the promise that every source keeps about resuming."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixlaw.corpus import Position, TokenSource
from mixlaw.reading import Documents


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE, with a special token and a wish to truncate, pad and add to what it encodes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat and the dog sat on the mat and then the hat"] * 9, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=9)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def unpacked(source: Documents, start: Position | None = None) -> list[tuple[str, int, str]]:
    """Read documents one by one: source, offset and text of each."""
    found = []
    for texts in source.read(start):
        assert (texts.data.dtype, texts.offsets.dtype, texts.borders.dtype) == (np.uint8, np.int64, np.int64)
        assert len(texts.borders) == len(texts.offsets) + 1
        assert (texts.borders[0], texts.borders[-1]) == (0, len(texts.data))
        for offset, begin, end in zip(texts.offsets.tolist(), texts.borders[:-1], texts.borders[1:], strict=True):
            assert offset >= texts.start
            found.append((texts.source, offset, texts.data[begin:end].tobytes().decode()))
    return found


@pytest.fixture(scope="session")
def read_all() -> Callable[..., list[tuple[str, int, str]]]:
    """Documents one by one: source, offset and text of each."""
    return unpacked


@pytest.fixture(scope="session")
def texts_of() -> Callable[[Documents], list[str]]:
    """Texts one by one, after a check that each can be entered, and that groups depend on where they start alone."""

    def read(source: Documents) -> list[str]:
        found = unpacked(source)
        for number, (name, offset, _) in enumerate(found):
            assert unpacked(source, Position(name, offset)) == found[number:]
        starts = [(texts.source, texts.start) for texts in source.read(None)]
        for number, start in enumerate(starts):
            assert [(texts.source, texts.start) for texts in source.read(Position(*start))] == starts[number:]
        return [text for _, _, text in found]

    return read


@pytest.fixture(scope="session")
def documents_of() -> Callable[..., list[list[int]]]:
    """Read a source to its end and put the documents together again; documents without tokens are left out."""

    def read(source: TokenSource, start: Position | None = None, context: int = 1) -> list[list[int]]:
        documents: list[list[int]] = []
        tail: list[int] = []
        for chunk in source.chunks(start, context):
            tokens = chunk.tokens.tolist()
            assert chunk.offsets.dtype == np.int64
            assert chunk.offsets[0] == 0
            assert chunk.offsets[-1] == len(tokens)
            assert (np.diff(chunk.offsets) >= 0).all()
            assert tokens[: chunk.context] == tail[len(tail) - chunk.context :] or start is not None
            for begin, end in zip(chunk.offsets[:-1], chunk.offsets[1:], strict=True):
                if begin < chunk.context and documents:
                    documents[-1] += tokens[chunk.context : end]
                else:
                    documents.append(tokens[max(begin, chunk.context) : end])
            tail = tokens
        return [document for document in documents if document]

    return read


@pytest.fixture(scope="session")
def check_resuming() -> Callable[[TokenSource, int], int]:
    """Check that a source entered at any of its chunks gives exactly the chunks that are left; how many there are."""

    def check(source: TokenSource, context: int) -> int:
        chunks = list(source.chunks(None, context))
        for number, chunk in enumerate(chunks):
            again = list(source.chunks(Position(chunk.source, chunk.start), context))
            assert len(again) == len(chunks) - number
            for left, right in zip(again, chunks[number:], strict=True):
                assert left.tokens.tolist() == right.tokens.tolist()
                assert left.offsets.tolist() == right.offsets.tolist()
                assert (left.context, left.source, left.start) == (right.context, right.source, right.start)
        return len(chunks)

    return check
