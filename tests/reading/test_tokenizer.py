import hashlib
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError, MixlawError
from mixlaw.corpus import Offsets, Tokens
from mixlaw.reading import ByteTokenizer, FileTokenizer, Tokenizer
from mixlaw.reading import tokenizer as module
from mixlaw.reading.documents import Strings
from mixlaw.reading.tokenizer import token_dtype


def encode(tokenizer: Tokenizer, texts: list[str]) -> tuple[Tokens, Offsets]:
    data, borders = [np.empty(0, np.uint8)], [0]
    for group in Strings(texts).read(None):
        data.append(group.data)
        borders += (group.borders[1:] + borders[-1]).tolist()
    return tokenizer.encode(np.concatenate(data), np.array(borders))


TEXTS = ["the cat", "", "été \U0001f600 \x00", "<s>", "a" * 1271]


@settings(deadline=None)
@given(st.lists(st.text()))
def test_byte_tokenizer_gives_back_every_text(texts: list[str]) -> None:
    tokens, offsets = encode(ByteTokenizer(), texts)
    assert tokens.dtype == np.uint8
    assert offsets.dtype == np.int64
    pieces = [tokens[begin:end] for begin, end in pairwise(offsets)]
    assert [piece.tobytes().decode() for piece in pieces] == texts


@pytest.mark.parametrize("at_a_time", [1, 2, 63])
def test_file_tokenizer_gives_the_ids_of_the_library_and_nothing_more(
    tokenizer_file: Path, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tokenizers

    monkeypatch.setattr(module, "BATCH", at_a_time)
    reference = tokenizers.Tokenizer.from_file(str(tokenizer_file))
    reference.no_truncation()
    reference.no_padding()
    expected = [reference.encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert len(expected[-1]) > 5
    assert expected[1] == []
    tokens, offsets = encode(FileTokenizer(tokenizer_file), TEXTS)
    assert tokens.dtype == np.uint16
    assert [tokens[b:e].tolist() for b, e in pairwise(offsets)] == expected


def test_file_tokenizer_encodes_an_empty_batch(tokenizer_file: Path) -> None:
    tokens, offsets = encode(FileTokenizer(tokenizer_file), [])
    assert (len(tokens), offsets.tolist()) == (0, [0])


def test_vocabulary_reaches_to_the_largest_id_even_with_gaps(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    path = tmp_path / "gaps.json"
    Tokenizer(models.WordLevel({"a": 0, "b": 70000}, unk_token="a")).save(str(path))
    tokenizer = FileTokenizer(path)
    tokens, _ = encode(tokenizer, ["b"])
    assert (tokens.dtype, tokens.tolist(), tokenizer.vocab_size) == (np.uint32, [70000], 70001)


def test_record_is_the_hash_of_the_content_wherever_it_lies(tokenizer_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    copy.write_bytes(tokenizer_file.read_bytes())
    digest = hashlib.sha256(tokenizer_file.read_bytes()).hexdigest()
    assert FileTokenizer(copy).name == FileTokenizer(tokenizer_file).name == f"tokenizer.json sha256:{digest}"
    copy.write_bytes(tokenizer_file.read_bytes() + b"\n")
    assert FileTokenizer(copy).name != FileTokenizer(tokenizer_file).name


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2]", b"\xff\xfe", b'{"model": {"type": "BPE"}}'])
def test_file_that_is_no_tokenizer_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer\.json: not a tokenizer\.json \("):
        FileTokenizer(path)


def test_tokenizer_without_ids_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    path = tmp_path / "none.json"
    Tokenizer(models.BPE()).save(str(path))
    with pytest.raises(InputError, match=r"none\.json: the tokenizer has an empty vocabulary"):
        FileTokenizer(path)


def test_absent_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json: the tokenizer cannot be read \(No such file"):
        FileTokenizer(tmp_path / "absent.json")


def test_absent_library_names_the_extra(tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MixlawError, match=r"pip install 'mixlaw\[data\]'"):
        FileTokenizer(tokenizer_file)


@pytest.mark.parametrize(
    ("vocab_size", "dtype"),
    [
        (1, np.uint8),
        (256, np.uint8),
        (257, np.uint16),
        (2**16, np.uint16),
        (2**16 + 1, np.uint32),
        (2**32, np.uint32),
        (2**32 + 1, np.int64),
    ],
)
def test_token_dtype_is_the_smallest_that_fits(vocab_size: int, dtype: type) -> None:
    assert token_dtype(vocab_size) == dtype
