from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.corpus import Position
from mixlaw.reading import WholeFiles, documents
from mixlaw.reading.documents import Strings, check_utf8, remaining

ReadAll = Callable[..., list[tuple[str, int, str]]]
TextsOf = Callable[[Any], list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@settings(deadline=None)
@given(
    text=st.text(alphabet=st.sampled_from("ab\n\r\0é☃\U0001f600")) | st.text(),
    limit=st.integers(4, 20),
)
def test_pieces_of_a_file_are_its_bytes_in_order_and_can_be_entered_anywhere(
    folder: Path, read_all: ReadAll, text: str, limit: int
) -> None:
    content = text.encode(errors="ignore")
    path = folder / "file.txt"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "PIECE", limit)
        pieces = read_all(WholeFiles([str(path)]))
        assert "".join(piece for _, _, piece in pieces).encode() == content
        end = 0
        for number, (_, offset, piece) in enumerate(pieces):
            size = len(piece.encode())
            assert offset == end
            assert 0 < size <= limit
            end += size
            last = number == len(pieces) - 1
            assert last or piece.endswith("\n") or (b"\n" not in content[offset:][:limit] and size > limit - 4)
            assert read_all(WholeFiles([str(path)]), Position(str(path), offset)) == pieces[number:]


@pytest.mark.parametrize("size", [1, 63, 255, 1271])
def test_file_up_to_the_limit_is_one_document(
    tmp_path: Path, texts_of: TextsOf, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "PIECE", size)
    path = tmp_path / "file.txt"
    path.write_bytes(b"\n" * size)
    assert [len(text) for text in texts_of(WholeFiles([str(path)]))] == [size]
    path.write_bytes(b"\n" * (size + 1))
    assert [len(text) for text in texts_of(WholeFiles([str(path)]))] == [size, 1]


def test_line_ends_stay_as_they_stand(tmp_path: Path, texts_of: TextsOf) -> None:
    path = tmp_path / "dos.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert texts_of(WholeFiles([str(path)])) == ["\ufeffa\r\nb\rc\n"]


def test_empty_file_has_no_document(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt").write_text("b")
    files = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert read_all(WholeFiles(files)) == [(files[1], 0, "b")]


@pytest.mark.parametrize("before", [0, 3, 4, 5, 9])
def test_byte_that_is_not_utf8_is_named(tmp_path: Path, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "PIECE", 4)
    path = tmp_path / "bad.txt"
    path.write_bytes(b"x" * before + b"\xff" + b"yyyy")
    with pytest.raises(InputError, match=rf"bad\.txt: byte {before} is not UTF-8 text \(invalid start byte\)"):
        list(WholeFiles([str(path)]).read(None))


def test_character_cut_off_at_the_end_of_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.txt"
    path.write_bytes("caf\u00e9".encode()[:-1])
    with pytest.raises(InputError, match=r"cut\.txt: byte 3 is not UTF-8 text \(unexpected end of data\)"):
        list(WholeFiles([str(path)]).read(None))


def test_file_that_vanished_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.txt: cannot be read \(No such file"):
        list(WholeFiles([str(tmp_path / "gone.txt")]).read(None))


@pytest.mark.parametrize("at_a_time", [1, 2, 63])
def test_strings_are_documents_and_can_be_entered_anywhere(
    at_a_time: int, texts_of: TextsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "STRINGS", at_a_time)
    texts = ["a", "", "é☃"]
    assert texts_of(Strings(texts)) == texts


@given(
    parts=st.lists(st.sampled_from(["a", "é", "☃", "\U0001f600"]).map(str.encode) | st.binary(max_size=3)),
    glance=st.integers(1, 9),
)
def test_utf8_is_checked_as_decoding_does(parts: list[bytes], glance: int) -> None:
    def error(check: Callable[[bytes], Any]) -> tuple[Any, ...] | None:
        try:
            check(block)
        except UnicodeDecodeError as bad:
            return bad.start, bad.end, bad.reason, bad.object
        return None

    block = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        # The longest character has four bytes, of which three can wait for the next glance.
        patch.setattr(documents, "_GLANCE", glance + 3)
        assert error(check_utf8) == error(bytes.decode)


@pytest.mark.parametrize(
    ("texts", "message"),
    [("abc", "not one string: put it in a list"), (["a", None], "document 1: expected a string, not NoneType")],
)
def test_strings_refuse_what_is_no_sequence_of_strings(texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Strings(texts)


def test_remaining_sources_begin_where_asked() -> None:
    assert list(remaining(["a", "b"], None)) == [("a", 0), ("b", 0)]
    assert list(remaining(["a", "b", "c"], Position("b", 7))) == [("b", 7), ("c", 0)]
    with pytest.raises(InputError, match="cannot resume at d: the domain does not hold it"):
        list(remaining(["a"], Position("d", 0)))


def test_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "PIECE", 2**15)
    path = tmp_path / "a.txt"
    path.write_bytes(b"0123456789" * 99_999)
    pieces = WholeFiles([str(path)]).read(None)
    assert len(next(pieces).data) == 2**15
    path.write_bytes(b"0123456789" * 4000)
    with pytest.raises(InputError, match=r"a\.txt: shrank from 999990 bytes while it was read, found at byte \d+$"):
        list(pieces)
