"""Reading the JSON that `FittedLaw.write` writes: every key and value is checked, and the message says where."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from mixlaw.errors import InputError, did_you_mean
from mixlaw.files import check_schema, read_json
from mixlaw.fitted import SCHEMA, Array, Coefficient, DomainFit, FittedLaw

_KEYS = (
    *("schema", "mixlaw_version", "law", "x", "sizes", "mixtures", "train_domains", "eval_domains"),
    *("fingerprint", "coefficients", "covariance", "quality", "spearman", "notes", "extra"),
)


def read_as(path: str | os.PathLike[str], class_of: Callable[[str], type[FittedLaw]]) -> FittedLaw:
    """Read a fitted law; `class_of` gives the class for the name of a law. See `mixlaw.laws.read`."""
    content = check_schema(path, read_json(path), SCHEMA)
    try:
        _object(content, "the law", _KEYS)
        return _law(content, class_of(_text(content["law"], "law")))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _law(content: Mapping[str, Any], kind: type[FittedLaw]) -> FittedLaw:
    x = _object(content["x"], "x", ("unit", "min", "max"))
    if x["unit"] not in ("tokens", "steps"):
        raise InputError(f"x: the unit is 'tokens' or 'steps', not {x['unit']!r}")
    domains = _texts(content["eval_domains"], "eval_domains")
    by_domain = {key: _object(content[key], key, domains) for key in ("coefficients", "covariance", "quality")}
    coefficients = {
        domain: _coefficients(by_domain["coefficients"][domain], f"coefficients of {domain!r}") for domain in domains
    }
    trained = _texts(content["train_domains"], "train_domains")
    return kind(
        train_domains=trained,
        eval_domains=domains,
        x=x["unit"],
        x_range=(_number(x["min"], "x, min"), _number(x["max"], "x, max")),
        sizes=tuple(_number(size, "sizes") for size in _list(content["sizes"], "sizes")),
        mixtures=_rows(content["mixtures"], len(trained), "mixtures"),
        fingerprint=_text(content["fingerprint"], "fingerprint"),
        coefficients=coefficients,
        covariance={
            domain: _matrix(by_domain["covariance"][domain], len(coefficients[domain]), f"covariance of {domain!r}")
            for domain in domains
        },
        quality={domain: _domain_fit(by_domain["quality"][domain], f"quality of {domain!r}") for domain in domains},
        spearman=_optional(content["spearman"], "spearman"),
        notes=_texts(content["notes"], "notes"),
        extra=_object(content["extra"], "extra"),
    )


def _coefficients(value: Any, where: str) -> dict[str, Coefficient]:
    read = {}
    for name, entry in _object(value, where).items():
        one = _object(entry, f"{where}, {name}", Coefficient._fields)
        error = _optional(one["standard_error"], f"{where}, {name}, standard_error")
        read[name] = Coefficient(
            _number(one["value"], f"{where}, {name}, value"),
            math.nan if error is None else error,
            _text(one["note"], f"{where}, {name}, note"),
        )
    return read


def _matrix(value: Any, size: int, where: str) -> Array:
    rows = _rows(value, size, where)
    if len(rows) != size:
        raise InputError(f"{where}: expected {size} rows of {size} numbers or nulls")
    return rows


def _rows(value: Any, size: int, where: str) -> Array:
    rows = [_list(row, where) for row in _list(value, where)]
    if any(len(row) != size for row in rows):
        raise InputError(f"{where}: expected rows of {size} numbers or nulls")
    numbers = [[_optional(entry, where) for entry in row] for row in rows]
    return np.array(numbers, dtype=np.float64).reshape(len(rows), size)  # None becomes NaN


def _domain_fit(value: Any, where: str) -> DomainFit:
    one = _object(value, where, tuple(field.name for field in fields(DomainFit)))
    for name in ("rows", "runs", "left_out"):
        if not isinstance(one[name], int) or isinstance(one[name], bool):
            raise InputError(f"{where}, {name}: expected a whole number, not {one[name]!r}")
    _number(one["mean_relative_error"], f"{where}, mean_relative_error")
    for name in ("residual_sd", "r2", "pearson"):
        _optional(one[name], f"{where}, {name}")
    return DomainFit(**one)


def _object(value: Any, where: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    """`value` as an object which, if `keys` are given, has these and no others."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, not {value!r}")
    if keys is not None:
        for key in value:
            if key not in keys:
                raise InputError(f"{where}: unknown key {key!r}{did_you_mean(key, keys)}")
        for key in keys:
            if key not in value:
                raise InputError(f"{where}: the key {key!r} is absent")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, not {value!r}")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(one, where) for one in _list(value, where))


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: expected text, not {value!r}")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where}: expected a finite number, not {value!r}")
    return float(value)


def _optional(value: Any, where: str) -> float | None:
    return None if value is None else _number(value, where)
