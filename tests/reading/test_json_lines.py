"""The core's reader of JSON Lines against `json`: the same texts, and refused is what is strictly no such line."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixlaw._core import json_line_texts

UNICODE = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**600), 10**600)
    | st.floats(allow_nan=False, allow_infinity=False)
    | UNICODE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(UNICODE | st.just("text"), inner, max_size=4),
    max_leaves=12,
)
PIECES = [
    *rb'{ } [ ] : , " \ "text" "te\u0078t": "text":"a" {"text":"a"} \u \n \" \ud83d \ude00 \u0000'.split(),
    *b"0 - 1.5 e9 E+ 1e999 NaN -Infinity true null".split(),
    *[b"\n", b" ", b"\t", b"\r", b"\x00", b"\x1f", b"\x7f", b"[" * 65, b"]" * 65, b"1" * 641],
    *["\u00e9\u2028\u3000\U0001f600".encode(), b"\xef\xbb\xbf"],
    *[b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xe2\x82"],
]


class RefusedError(Exception):
    pass


def strictly(line: bytes, field: str) -> str:
    """Text of a line by `json`, or `RefusedError` by the rules of the core."""

    def pairs(items: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return items

    def constant(name: str) -> None:
        raise RefusedError(name)

    def number(digits: str) -> int:
        if len(digits) > 640:
            raise RefusedError(digits)
        return 0

    def check(value: Any, levels: int) -> None:
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, list):
            if value and levels == 65:
                raise RefusedError("levels")
            for item in value:
                check(item, levels if isinstance(item, tuple) else levels + 1)
        elif isinstance(value, tuple):
            key, inner = value
            check(key, levels)
            check(inner, levels + 1)

    if b"\r" in line:
        raise RefusedError("\\r")
    try:
        row = json.loads(
            line.decode(), object_pairs_hook=pairs, parse_constant=constant, parse_int=number, parse_float=number
        )
        check(row, 0)
    except (ValueError, RecursionError) as error:
        raise RefusedError(str(error)) from error
    if not line.strip().startswith(b"{"):
        raise RefusedError("no object")
    found = [value for key, value in row if key == field]
    if len(found) != 1 or not isinstance(found[0], str):
        raise RefusedError("field")
    return found[0]


def check(block: bytes, field: str = "text") -> bool:
    """Compare a block; whether it was taken."""
    found = json_line_texts(block, field.encode())
    try:
        expected = [
            (number, strictly(line, field)) for number, line in enumerate(block.split(b"\n")) if line.strip(b" \t")
        ]
    except RefusedError:
        assert found is None
        return False
    assert found is not None
    data, borders, lines = found
    assert (data.dtype, borders.dtype, lines.dtype) == (np.uint8, np.int64, np.int64)
    texts = [data[begin:end].tobytes().decode() for begin, end in pairwise(borders.tolist())]
    assert list(zip(lines.tolist(), texts, strict=True)) == expected
    assert borders[-1] == len(data)
    return True


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.dictionaries(UNICODE, VALUES, max_size=3), UNICODE, st.dictionaries(UNICODE, VALUES, max_size=3)),
        max_size=5,
    ),
    field=UNICODE,
    ascii_only=st.booleans(),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\t : ")]),
    ends=st.sampled_from(["\n", "\n\n", " \t\n \n"]),
    last=st.booleans(),
)
def test_every_line_that_json_writes_is_taken(
    rows: list[tuple[dict[str, Any], str, dict[str, Any]]],
    field: str,
    ascii_only: bool,
    separators: tuple[str, str],
    ends: str,
    last: bool,
) -> None:
    lines = [
        json.dumps(
            {key: value for key, value in before.items() if key != field}
            | {field: text}
            | {key: value for key, value in behind.items() if key != field},
            ensure_ascii=ascii_only,
            separators=separators,
        )
        for before, text, behind in rows
    ]
    assert check((ends.join(lines) + ends * last).encode(), field)


@settings(deadline=None, max_examples=1000)
@given(
    rows=st.lists(
        st.dictionaries(UNICODE | st.just("text"), VALUES, max_size=3) | UNICODE.map(lambda text: {"text": text}),
        max_size=3,
    ),
    ascii_only=st.booleans(),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(PIECES) | st.binary(max_size=3)), max_size=4
    ),
)
def test_lines_with_anything_put_in_are_taken_as_json_has_it(
    rows: list[dict[str, Any]], ascii_only: bool, edits: list[tuple[float, int, bytes]]
) -> None:
    block = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows).encode()
    for place, dropped, piece in edits:
        at = round(place * len(block))
        block = block[:at] + piece + block[at + dropped :]
    check(block)


@settings(deadline=None, max_examples=1000)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
@example(b'{"text":"a","x":' + b"[" * 64 + b"]" * 64 + b"}")
@example(b'{"text":"a","x":' + b"[" * 65 + b"]" * 65 + b"}")
@example(b'{"text":"a","x":' + b"[" * 64 + b"{}" + b"]" * 64 + b"}")
@example(b'{"text":"a","x":' + b"[" * 64 + b'{"":1}' + b"]" * 64 + b"}")
def test_lines_of_pieces_are_taken_as_json_has_it(block: bytes) -> None:
    check(block)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_bytes_in_a_string_are_taken_as_json_has_it(content: bytes) -> None:
    check(b'{"text": "' + content + b'"}')


def test_texts_hold_no_more_memory_than_they_need() -> None:
    line = json.dumps({"x": "x" * 10**6, "text": "abc"}).encode()
    found = json_line_texts(line, b"text")
    assert found is not None
    assert found[0].flags.owndata
    assert found[0].nbytes == 3


@pytest.mark.parametrize(
    ("block", "field"), [("{}", b"text"), (bytearray(b"{}"), b"text"), (b"{}", "text"), (None, b"")]
)
def test_what_is_no_bytes_is_refused(block: Any, field: Any) -> None:
    with pytest.raises(TypeError):
        json_line_texts(block, field)
