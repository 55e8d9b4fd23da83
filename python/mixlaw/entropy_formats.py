"""The files of an `EntropyTable`: JSON, and CSV with one line a domain; what stands in them, and how it is read.

Some columns come together or not at all: error bars, the curve, and the sizes at which samples were made equal. A file
without them is read as a table that does not know them.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixlaw.errors import InputError, did_you_mean
from mixlaw.files import check_schema, read_json, write_json
from mixlaw.sheet import Sheet, write_sheet

if TYPE_CHECKING:
    from mixlaw.entropy_table import EntropyTable

SCHEMA = "mixlaw.entropy-table/1"
MEASURES = ("se", "ce", "je")
COUNTS = ("tokens", "types", "token_singletons", "pairs", "pair_types", "pair_singletons")
COVERAGES = ("token_coverage", "pair_coverage")
HEAD = ("tokenizer", "vocab_size", "estimator")
ERRORS = ("se_error", "ce_error", "je_error")
CURVE_SIZES, CURVE_ENTROPIES = ("curve_tokens", "curve_pairs"), ("curve_se", "curve_ce", "curve_je")
CURVE = (*CURVE_SIZES, *CURVE_ENTROPIES)
# Points of the curve: parts of the sample, the last of them all of it.
PARTS = ("1/8", "1/4", "1/2", "1")
EQUAL_SIZES, EQUAL_COVERAGES = ("equal_tokens", "equal_pairs"), ("equal_token_coverage", "equal_pair_coverage")
EQUAL = (*EQUAL_SIZES, *EQUAL_COVERAGES)

_ALWAYS = (*COUNTS, *MEASURES, *COVERAGES)
_TOGETHER = (ERRORS, CURVE, EQUAL)
# What a domain may not have, and so null or a blank may stand for.
_BLANK = ("pair_coverage", *ERRORS, *CURVE_ENTROPIES, "equal_pair_coverage")

Row = dict[str, Any]


class Contents(NamedTuple):
    """What a file holds: values of the whole table, and domain -> name -> value, with lists for the curve."""

    head: dict[str, Any]
    rows: dict[str, Row]


def columns(table: "EntropyTable") -> tuple[str, ...]:
    """Names of the columns that a table has, as files hold them."""
    known = (
        ERRORS if any(np.isfinite(getattr(table, name)).any() for name in ERRORS) else (),
        CURVE if table.curve_tokens is not None else (),
        EQUAL if table.equalized is not None else (),
    )
    return (*_ALWAYS, *(name for group in known for name in group))


def content(table: "EntropyTable") -> dict[str, Any]:
    """The table as JSON holds it, without schema and version."""
    values = {name: getattr(table, name).tolist() for name in columns(table)}
    rows = {
        domain: {name: _numbers(column[i]) for name, column in values.items()} for i, domain in enumerate(table.domains)
    }
    head = {name: getattr(table, name) for name in HEAD}
    if table.equalized is not None:
        head["equalized"] = table.equalized
    return {**head, "domains": rows}


def write(table: "EntropyTable", path: str | os.PathLike[str]) -> None:
    """Write a table to ``.json`` or ``.csv``, atomically."""
    if _suffix(path) == ".json":
        write_json(path, SCHEMA, content(table))
        return
    sheet: dict[str, Any] = {"domain": np.array(table.domains)}
    for name in columns(table):
        values = getattr(table, name)
        sheet |= {name: values} if values.ndim == 1 else dict(zip(_points(name), values.T, strict=True))
    head = {"tokenizer": table.tokenizer or "", "vocab_size": table.vocab_size, "estimator": table.estimator}
    if table.equalized is not None:
        head["equalized"] = table.equalized
    write_sheet(path, SCHEMA, sheet | {name: np.full(len(table.domains), value) for name, value in head.items()})


def read(path: str | os.PathLike[str]) -> Contents:
    """Read what `write` wrote.

    Raises
    ------
    InputError
        If the file is unreadable, or has other names or values of another kind; the message names file and domain.
    """
    return _from_json(path) if _suffix(path) == ".json" else _from_csv(path)


def _points(name: str) -> list[str]:
    """Names of a curve's columns in a CSV file."""
    return [f"{name} {part}" for part in PARTS]


def _numbers(value: Any) -> Any:
    """NaN as None, as JSON has none."""
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    return None if value != value else value


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in (".json", ".csv"):
        raise InputError(f"{path}: expected a file that ends in .json or .csv")
    return suffix


def _closed(
    path: str | os.PathLike[str],
    where: str,
    found: Any,
    known: tuple[str, ...],
    together: Iterable[tuple[str, ...]] = (),
) -> Mapping[str, Any]:
    """`found`, if it has all the keys `known`, of each group of `together` all or none, and no other."""
    if not isinstance(found, dict):
        raise InputError(f"{path}: {where}: expected an object with {', '.join(known)}")
    every = (*known, *(name for group in together for name in group))
    for name in found:
        if name not in every:
            raise InputError(f"{path}: {where}: unknown key {name!r}{did_you_mean(name, every)}")
    for group in (known, *(group for group in together if any(name in found for name in group))):
        for name in group:
            if name not in found:
                raise InputError(f"{path}: {where}: no {name!r}")
    return found


def _from_json(path: str | os.PathLike[str]) -> Contents:
    file = check_schema(path, read_json(path), SCHEMA)
    _closed(path, "the table", file, ("schema", "mixlaw_version", *HEAD, "domains"), [("equalized",)])
    if not isinstance(file["domains"], dict):
        raise InputError(f"{path}: domains: expected an object of domain -> counts and entropies")
    rows = {}
    for domain, found in file["domains"].items():
        row = _closed(path, f"domain {domain!r}", found, _ALWAYS, _TOGETHER)
        rows[domain] = {name: _json_value(f"{path}: domain {domain!r}", name, value) for name, value in row.items()}
    first = next(iter(rows.items()), None)
    for domain, row in rows.items():
        if first is not None and row.keys() != first[1].keys():
            [name, *_] = row.keys() ^ first[1].keys()
            raise InputError(f"{path}: {name!r} stands in only one of the domains {first[0]!r} and {domain!r}")
    return Contents({name: file[name] for name in (*HEAD, "equalized") if name in file}, rows)


def _json_value(where: str, name: str, value: Any) -> Any:
    if name in CURVE:
        if not isinstance(value, list) or len(value) != len(PARTS):
            raise InputError(f"{where}: {name} is {value!r}; expected a list of {len(PARTS)} numbers")
        return [_json_number(where, name, each) for each in value]
    return _json_number(where, name, value)


def _json_number(where: str, name: str, value: Any) -> Any:
    if value is None and name in _BLANK:
        return np.nan
    if type(value) not in (int, float):
        raise InputError(f"{where}: {name} is {value!r}, no number")
    return value


def _from_csv(path: str | os.PathLike[str]) -> Contents:
    sheet = Sheet.read(path)
    curve = tuple(point for name in CURVE for point in _points(name))
    places = _closed(
        path,
        "the header",
        {name: i for i, name in enumerate(sheet.header)},
        ("domain", *_ALWAYS, *HEAD),
        [ERRORS, curve, EQUAL, ("equalized",)],
    )
    texts = ("domain", *HEAD, "equalized")
    values = {name: sheet.floats(place).tolist() for name, place in places.items() if name not in texts}
    for name, column in values.items():
        for i, value in enumerate(column):
            if np.isnan(value) and name.split(" ")[0] not in _BLANK:
                raise InputError(f"{sheet.cell(places[name], i)}: blank or NaN; expected a number")
    for name in CURVE if curve[0] in values else ():
        values[name] = list(zip(*(values.pop(point) for point in _points(name)), strict=True))
    rows: dict[str, Row] = {}
    for i, domain in enumerate(sheet.texts(places["domain"])):
        if domain in rows:
            raise InputError(f"{sheet.row(i)}: domain {domain!r} stands twice")
        rows[domain] = {name: column[i] for name, column in values.items()}
    head: dict[str, Any] = {}
    for name in (name for name in texts[1:] if name in places):
        column = sheet.floats(places[name]).tolist() if name == "vocab_size" else sheet.texts(places[name])
        if any(value != column[0] for value in column):
            raise InputError(f"{path}: column {name!r}: a table has one {name}, not several")
        head[name] = column[0]
    head["tokenizer"] = head["tokenizer"] or None
    return Contents(head, rows)
