import bz2
import gzip
import json
import lzma
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError, MixlawError
from mixlaw.reading import JsonLines, ParquetFiles, TextLines, rows
from mixlaw.reading.documents import Documents

TextsOf = Callable[[Documents], list[str]]
ReadAll = Callable[..., list[tuple[str, int, str]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


def zstd(content: bytes) -> bytes:
    import pyarrow as pa

    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


def write_parquet(path: Path, cells: list[Any], kind: str = "string", **options: Any) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": pa.array(cells, getattr(pa, kind)()), "n": range(len(cells))}), path, **options)
    return str(path)


@settings(deadline=None)
@given(texts=st.lists(st.text(), max_size=9), ascii_only=st.booleans())
def test_json_lines_give_every_text_back(folder: Path, texts: list[str], ascii_only: bool, texts_of: TextsOf) -> None:
    path = folder / "any.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}, ensure_ascii=ascii_only) for text in texts), newline="")
    source = JsonLines([str(path)])
    assert texts_of(source) == texts


def test_json_lines_take_no_text_for_a_date_or_a_number(tmp_path: Path, texts_of: TextsOf) -> None:
    texts = ["2020-01-01", "2021-05-06 10:00:00", "12", "null", "NaN"]
    path = tmp_path / "dates.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    assert texts_of(JsonLines([str(path)])) == texts


def test_json_lines_pass_over_blank_lines_and_count_them(tmp_path: Path, read_all: ReadAll, texts_of: TextsOf) -> None:
    path = tmp_path / "blank.jsonl"
    path.write_bytes(b'\xef\xbb\xbf\n  \n{"body": "a"}\r\n\n{"body": "b", "n": 1}\n')
    source = JsonLines([str(path)], "body")
    assert [(text, offset) for _, offset, text in read_all(source)] == [("a", 2), ("b", 4)]
    assert texts_of(source) == ["a", "b"]


@pytest.mark.parametrize("name", ["a[1].jsonl", "a*.jsonl", "a b.jsonl", "é☃.jsonl", "a{1,2}.jsonl", "a?.jsonl"])
def test_names_that_look_like_patterns_are_the_files_of_that_name(tmp_path: Path, name: str, texts_of: TextsOf) -> None:
    (tmp_path / "a1.jsonl").write_text('{"text": "wrong"}\n')
    (tmp_path / name).write_text('{"text": "right"}\n')
    assert texts_of(JsonLines([str(tmp_path / name)])) == ["right"]


def test_relative_paths_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts_of: TextsOf) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    monkeypatch.chdir(tmp_path)
    assert texts_of(JsonLines(["a.jsonl"])) == ["a"]


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)]
)
def test_compressed_files_are_read(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes], texts_of: TextsOf
) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(pack(b'{"text": "one"}\n{"text": "two"}\n'))
    source = JsonLines([str(path)])
    assert texts_of(source) == ["one", "two"]
    path.write_bytes(pack(b'{"text": "one"}\n{"text": "\xff"}\n'))
    with pytest.raises(InputError, match=rf"a\.jsonl\{suffix}, line 2: not UTF-8 text"):
        texts_of(source)
    path.write_bytes(pack(b'{"text": "one"}\n')[:-9])
    with pytest.raises(InputError, match=rf"a\.jsonl\{suffix}: cannot be read \("):
        texts_of(source)
    path.write_bytes(b'{"text": "one"}\n')
    with pytest.raises(InputError, match=rf"a\.jsonl\{suffix}: cannot be read \("):
        texts_of(source)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"txt": "a", "id": 1}', "line 3: no field 'text'; there are 'id', 'txt'"),
        ("{}", "line 3: no field 'text'; there are none"),
        ('{"text": null}', "line 3, field 'text': expected text, found null"),
        ('{"text": ["a"]}', "line 3, field 'text': expected text, found list"),
        ('{"text": 12}', "line 3, field 'text': expected text, found int"),
        ('["text"]', "line 3: expected a JSON object, not list"),
        ('{"text": "a"', "line 3: not JSON \\(Expecting ',' delimiter"),
        ("[" * 100_000, "line 3: not JSON \\("),
        ('{"text": ' + "1" * 5000 + "}", "line 3: not JSON \\("),
    ],
)
def test_line_that_holds_no_document_is_named(tmp_path: Path, line: str, message: str, texts_of: TextsOf) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "a"}\n\n' + line + '\n{"text": "a"}\n')
    with pytest.raises(InputError, match=f"bad\\.jsonl, {message}"):
        texts_of(JsonLines([str(path)]))


@pytest.mark.parametrize("good", [0, 1, 63, 1271])
def test_line_that_is_not_utf8_is_named(tmp_path: Path, good: int, texts_of: TextsOf) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"good\n" * good + b"b\xff\n" + b"good\n" * 3)
    with pytest.raises(InputError, match=rf"bad\.txt, line {good + 1}: not UTF-8 text \(invalid start byte\)"):
        texts_of(TextLines([str(path)]))


@settings(deadline=None)
@given(
    texts=st.lists(st.text(max_size=9) | st.none(), max_size=9),
    block=st.integers(1, 99),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    last=st.booleans(),
)
def test_json_lines_are_the_same_whatever_is_read_at_a_time(
    folder: Path,
    read_all: ReadAll,
    texts_of: TextsOf,
    texts: list[str | None],
    block: int,
    end: str,
    last: bool,
) -> None:
    path = folder / "blocks.jsonl"
    lines = ["" if text is None else json.dumps({"n": [1, {"text": 2}], "text": text}) for text in texts]
    path.write_bytes((end.join(lines) + end * last).encode())
    source = JsonLines([str(path)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK", block)
        assert texts_of(source) == [text for text in texts if text is not None]
        assert [offset for _, offset, _ in read_all(source)] == [k for k, text in enumerate(texts) if text is not None]


@pytest.mark.parametrize(
    "lines",
    [
        [b'{"text": "a", "text": "b"}'],
        [b'{"m": {"text": 1}, "text": "b"}', b'{"text": "c", "m": {"text": "d"}}'],
        [b'{"x": 1, "text": "a"}', b'{"x": "s", "text": "b"}', b'{"x": [NaN], "text": "c"}'],
        [b'{"text": "a", "x": 1e999, "y": 123456789012345678901234567890}'],
        [b'{"te\\u0078t": "\\ud83d\\ude00\\u0000"}'],
        ['{"text": "\u2028\x85\u3000"}'.encode(), "\u3000".encode(), b"\x0c", b' {"text": "b"} '],
        [b'{"text": "a"}{"text": "b"}'],
        [b'{"text": "a"} {"text": "b"}', b"{", b'"text": "c"}'],
        [b'{"text":', b'"a"}'],
        [b'{"text": "a",}'],
        [b'{"text": "a"} // b'],
        [b"{'text': 'a'}"],
        [b'{"text": "a\tb"}'],
        [b'{"text": "a", "x": 01}'],
        [b"\x00"],
        [b"{}"],
        [b"12"],
    ],
)
def test_lines_are_taken_and_refused_as_json_has_it(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "any.jsonl"
    path.write_bytes(b"\n".join(lines))
    expected = []
    for line in (line.decode() for line in lines):
        if not line.isspace():
            try:
                expected.append(json.loads(line)["text"])
            except (ValueError, KeyError, TypeError):
                with pytest.raises(InputError, match=r"any\.jsonl, line \d: "):
                    list(JsonLines([str(path)]).read(None))
                return
    (texts,) = JsonLines([str(path)]).read(None)
    cuts = zip(texts.borders[:-1], texts.borders[1:], strict=True)
    assert [texts.data[begin:end].tobytes().decode() for begin, end in cuts] == expected


def test_lines_that_hold_what_they_should_are_not_parsed_one_by_one(
    tmp_path: Path, texts_of: TextsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows.json, "loads", None)
    path = tmp_path / "good.jsonl"
    path.write_text('{"id": 1, "text": "2020-01-01"}\r\n\n \t\n{"text": "\\u00e9☃", "id": null}')
    assert texts_of(JsonLines([str(path)])) == ["2020-01-01", "é☃"]


def test_json_lines_are_read_without_arrow(tmp_path: Path, texts_of: TextsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n{"text": "b", "x": NaN}\n'))
    assert texts_of(JsonLines([str(path)])) == ["a", "b"]


def test_name_of_a_field_may_be_any(tmp_path: Path, texts_of: TextsOf) -> None:
    path = tmp_path / "a.jsonl"
    for field in ("", "é☃", "a\0b", '"', "\ud800"):
        path.write_text(json.dumps({"text": "wrong", field: "right"}))
        assert texts_of(JsonLines([str(path)], field)) == ["right"]
        with pytest.raises(InputError, match=r"line 1: no field 'x'; there are"):
            texts_of(JsonLines([str(path)], "x"))


@settings(deadline=None)
@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\r\n\ufeff", codec="utf-8")), max_size=9),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    block=st.integers(1, 20),
)
def test_text_lines_are_the_lines_that_are_not_empty(
    folder: Path, texts_of: TextsOf, lines: list[str], end: str, block: int
) -> None:
    path = folder / "lines.txt"
    path.write_text(end.join(lines), newline="")
    source = TextLines([str(path)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK", block)
        assert texts_of(source) == [line for line in lines if line]


def test_several_files_are_read_in_their_order(tmp_path: Path, texts_of: TextsOf) -> None:
    paths = []
    for name in ("b", "a", "empty", "c"):
        path = tmp_path / f"{name}.txt"
        path.write_text("" if name == "empty" else f"{name}1\n{name}2\n")
        paths.append(str(path))
    source = TextLines(paths)
    assert texts_of(source) == ["b1", "b2", "a1", "a2", "c1", "c2"]


def test_file_that_vanished_is_named(tmp_path: Path, texts_of: TextsOf) -> None:
    with pytest.raises(InputError, match=r"gone\.txt: cannot be read \("):
        texts_of(TextLines([str(tmp_path / "gone.txt")]))


@pytest.mark.parametrize("kind", ["string", "large_string"])
@pytest.mark.parametrize("rows_at_a_time", [1, 2, 64])
def test_parquet_gives_every_row_across_row_groups(
    tmp_path: Path, kind: str, rows_at_a_time: int, monkeypatch: pytest.MonkeyPatch, texts_of: TextsOf
) -> None:
    monkeypatch.setattr(rows, "ROWS", 1)
    monkeypatch.setattr(rows, "MOST_ROWS", rows_at_a_time)
    texts = [f"row {number}\r\n" for number in range(7)] + ["", "2020-01-01"]
    first = write_parquet(tmp_path / "a.parquet", texts, kind, row_group_size=3)
    second = write_parquet(tmp_path / "b.parquet", ["last"], kind)
    source = ParquetFiles([first, second])
    assert texts_of(source) == [*texts, "last"]


def test_parquet_without_rows_has_no_documents(tmp_path: Path, texts_of: TextsOf) -> None:
    assert texts_of(ParquetFiles([write_parquet(tmp_path / "a.parquet", [])])) == []


def test_parquet_null_is_named(tmp_path: Path, texts_of: TextsOf) -> None:
    source = ParquetFiles([write_parquet(tmp_path / "a.parquet", ["a", "b", None], row_group_size=2)])
    with pytest.raises(InputError, match=r"a\.parquet, row index 2: expected text, found null"):
        texts_of(source)


def test_parquet_row_that_is_not_utf8_is_named(tmp_path: Path, texts_of: TextsOf) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array([b"ok", b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet, row index 1: not UTF-8 text \(invalid start byte\)"):
        texts_of(ParquetFiles([str(tmp_path / "a.parquet")]))


def test_parquet_without_the_column_says_which_there_are(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["a"])
    with pytest.raises(InputError, match=r"a\.parquet: no column 'body'; there are 'n', 'text'"):
        ParquetFiles([path], "body")


def test_parquet_column_of_another_type_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["a"])
    with pytest.raises(InputError, match=r"a\.parquet: column 'n' holds int64, not strings"):
        ParquetFiles([path], "n")


@pytest.mark.parametrize("keep", [0, 3, 100])
def test_truncated_parquet_is_named(tmp_path: Path, keep: int) -> None:
    path = Path(write_parquet(tmp_path / "a.parquet", ["a"]))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read as Parquet \("):
        ParquetFiles([str(path)])


def test_parquet_damaged_inside_is_named(tmp_path: Path, texts_of: TextsOf) -> None:
    path = Path(write_parquet(tmp_path / "a.parquet", ["some text"] * 1271, compression="snappy"))
    content = bytearray(path.read_bytes())
    content[4:90] = bytes(86)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet, from row index 0: cannot be read \("):
        texts_of(ParquetFiles([str(path)]))


def test_reading_stays_off_the_network_and_out_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts_of: TextsOf
) -> None:
    import datasets

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"text": "a"}\n')
    assert texts_of(JsonLines([str(lines)])) == ["a"]
    assert texts_of(ParquetFiles([write_parquet(tmp_path / "a.parquet", ["b"])])) == ["b"]
    assert not cache.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.parquet"]


def test_absent_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts_of: TextsOf) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MixlawError, match=r"pip install 'mixlaw\[data\]'"):
        texts_of(TextLines([str(tmp_path / "a.txt")]))
