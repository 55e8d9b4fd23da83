import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import MixlawError
from mixlaw.corpus import Offsets, Tokens
from mixlaw.reading import ByteTokenizer, FastTokenizer, FileTokenizer, TextSource, fast_tokenizer, load_tokenizer
from mixlaw.reading.documents import Bytes, borders_of
from mixlaw.reading.fast_tokenizer import DifferentIdsError

Read = Callable[..., list[list[int]]]


def laid_out(texts: list[str]) -> tuple[Bytes, Offsets]:
    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), borders_of([len(text) for text in encoded])


def check_equal(found: tuple[Tokens, Offsets], expected: tuple[Tokens, Offsets]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def both(tokenizer_file: Path) -> tuple[FastTokenizer, FileTokenizer]:
    slow = FileTokenizer(tokenizer_file)
    return FastTokenizer(slow), slow


# What a version of Unicode does not know yet, another may take for a letter.
KNOWN = st.characters(codec="utf-8", exclude_categories=["Cn"])


@given(texts=st.lists(st.text(KNOWN) | st.sampled_from(["<s>", "the cat", " the<s>"])))
def test_ids_are_those_of_the_other_library(both: tuple[FastTokenizer, FileTokenizer], texts: list[str]) -> None:
    fast, slow = both
    assert (fast.name, fast.vocab_size) == (slow.name, slow.vocab_size)
    check_equal(fast.encode(*laid_out(texts)), slow.encode(*laid_out(texts)))
    assert fast._fast is not None


@pytest.mark.parametrize("texts", [[], [""], ["", "", ""], ["", "the cat " * 2**18 + "x", ""], ["é" * 1271] * 63])
def test_batches_of_any_shape_are_encoded(both: tuple[FastTokenizer, FileTokenizer], texts: list[str]) -> None:
    fast, slow = both
    check_equal(fast.encode(*laid_out(texts)), slow.encode(*laid_out(texts)))


@given(texts=st.lists(st.text(st.characters(codec="utf-8") | st.sampled_from('\U00016ed1\U0001f600a"'), max_size=5)))
def test_documents_with_characters_of_young_scripts_are_found(texts: list[str]) -> None:
    def young(character: str) -> bool:
        code = ord(character)
        return 0x10000 <= code < 0x1D000 or 0x1E000 <= code < 0x1F000 or 0x2F000 <= code < 0x40000

    found = fast_tokenizer.documents_with_young_scripts(*laid_out(texts))
    assert found.tolist() == [k for k, text in enumerate(texts) if any(map(young, text))]


def test_documents_with_characters_of_young_scripts_are_encoded_by_the_other_library(tokenizer_file: Path) -> None:
    slow = FileTokenizer(tokenizer_file)
    fast = FastTokenizer(slow)
    fast._fast = Wrong(fast._fast)
    for texts in (
        ["q", "\U00016ed1 q", "", "the q", "q\U00012000", "", "q"],
        ["\U00016ed1q"],
        ["", "q\U0003fffd\U0003fffd"],
    ):
        found, borders = fast._encode(*laid_out(texts))
        right, edges = slow.encode(*laid_out(texts))
        assert not np.array_equal(found, right)
        unsure = {k for k, text in enumerate(texts) if any(character > "\uffff" for character in text)}
        # The comparison of pieces is out of the way.
        fast._compare = lambda texts: None  # type: ignore[method-assign]
        found, borders = fast.encode(*laid_out(texts))
        assert borders.tolist() == edges.tolist()
        for k in range(len(texts)):
            same = np.array_equal(found[borders[k] : borders[k + 1]], right[borders[k] : borders[k + 1]])
            assert same == (k in unsure or "q" not in texts[k])


def test_memory_of_the_library_is_given_back_now_and_then(
    tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_tokenizer, "RENEW", 9)
    fast = FastTokenizer(FileTokenizer(tokenizer_file))
    libraries = []
    for _ in range(4):
        check_equal(fast.encode(*laid_out(["the cat"])), FileTokenizer(tokenizer_file).encode(*laid_out(["the cat"])))
        libraries.append(fast._fast)
    assert [a is b for a, b in pairwise(libraries)] == [True, False, True]


def test_load_tokenizer_takes_the_faster_library(tokenizer_file: Path) -> None:
    assert isinstance(load_tokenizer("bytes"), ByteTokenizer)
    assert isinstance(load_tokenizer(tokenizer_file), FastTokenizer)


def test_without_the_library_the_other_one_is_taken_in_silence(
    tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_tokenizer.importlib.util, "find_spec", lambda name: None)
    assert isinstance(load_tokenizer(tokenizer_file), FileTokenizer)
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    with pytest.raises(MixlawError, match=r"pip install 'mixlaw\[fast-tokenizer\]'"):
        FastTokenizer(FileTokenizer(tokenizer_file))


def test_tokenizer_that_the_library_does_not_know_is_read_by_the_other(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    path = tmp_path / "words.json"
    Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]")).save(str(path))
    with pytest.warns(UserWarning, match="gigatoken is not used, .* slower: it cannot read this tokenizer.json"):
        tokenizer = load_tokenizer(path)
    assert tokenizer.encode(*laid_out(["a", "b"]))[0].tolist() == [0, 1]


def test_added_token_that_the_library_takes_differently_is_found(tokenizer_file: Path, tmp_path: Path) -> None:
    content = json.loads(tokenizer_file.read_text())
    token = {**content["added_tokens"][0], "id": 300, "content": "cat", "single_word": True}
    content["added_tokens"].append(token)
    path = tmp_path / "single.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DifferentIdsError, match=r"it gives other ids for 'acatb cat catcat\\ncat1' \(at token \d: "):
        FastTokenizer(FileTokenizer(path))


class Wrong:
    """Stands in for the library, with another id for the letter q."""

    def __init__(self, right: Any) -> None:
        self._right = right

    def encode_batch(self, texts: Any) -> Any:
        import awkward

        ids = self._right.encode_batch(texts)
        flat = awkward.to_numpy(awkward.flatten(ids)).copy()
        flat[flat == self._right.encode("q")[0]] = 7
        return awkward.unflatten(flat, awkward.num(ids))


def test_batch_with_other_ids_is_encoded_by_the_other_library_as_is_what_follows(
    tokenizer_file: Path, documents_of: Read
) -> None:
    slow = FileTokenizer(tokenizer_file)
    fast = FastTokenizer(slow)
    fast._fast = Wrong(fast._fast)
    check_equal(fast.encode(*laid_out(["fine"])), slow.encode(*laid_out(["fine"])))
    message = r"slower: it gives other ids for 'a q' .*; what came before it was not seen to differ"
    with pytest.warns(UserWarning, match=message):
        assert documents_of(TextSource(["a q"], fast)) == documents_of(TextSource(["a q"], slow))
    check_equal(fast.encode(*laid_out(["q q"])), slow.encode(*laid_out(["q q"])))


def test_what_is_compared_of_a_batch_ends_with_a_whole_character(
    both: tuple[FastTokenizer, FileTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, slow = both
    for glance in range(9):
        monkeypatch.setattr(fast_tokenizer, "GLANCE", glance)
        check_equal(fast.encode(*laid_out(["é☃\U0001f600" * 3])), slow.encode(*laid_out(["é☃\U0001f600" * 3])))
