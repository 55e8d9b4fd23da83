"""An `EntropyTable` as text: one line a domain, then the curve, then what is not settled."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mixlaw.entropy_formats import MEASURES, PARTS
from mixlaw.layout import aligned

if TYPE_CHECKING:
    from mixlaw.entropy_table import EntropyTable


def text(table: "EntropyTable") -> str:
    """All that a table holds, in nats."""
    parts = [_domains(table), _below(table)]
    if table.equalized is not None:
        parts += ["", _equal(table)]
    if table.curve_tokens is not None:
        parts += ["", _curve(table)]
    warnings = table.warnings()
    return "\n".join([*parts, *([""] if warnings else []), *warnings])


def _domains(table: "EntropyTable") -> str:
    lines = [["domain", "tokens", "types", "coverage", "pairs", "pair types", "pair coverage", "SE", "CE", "JE"]]
    for i, domain in enumerate(table.domains):
        tokens, types, pairs, pair_types = (
            f"{values[i]:,}" for values in (table.tokens, table.types, table.pairs, table.pair_types)
        )
        coverage, pair_coverage = (_share(values[i]) for values in (table.token_coverage, table.pair_coverage))
        entropies = (_with_error(getattr(table, name)[i], getattr(table, f"{name}_error"), i) for name in MEASURES)
        lines.append([domain, tokens, types, coverage, pairs, pair_types, pair_coverage, *entropies])
    return aligned(lines)


def _below(table: "EntropyTable") -> str:
    line = f"entropies in nats, {table.estimator} estimator, vocabulary of {table.vocab_size:,}"
    if any(np.isfinite(getattr(table, f"{name}_error")).any() for name in MEASURES):
        line += "; ± one standard error"
    return line


def _equal(table: "EntropyTable") -> str:
    rows = [["entropies of", "tokens", "coverage", "pairs", "pair coverage"]]
    columns = [
        getattr(table, name) for name in ("equal_tokens", "equal_token_coverage", "equal_pairs", "equal_pair_coverage")
    ]
    for i, domain in enumerate(table.domains):
        tokens, coverage, pairs, pair_coverage = (column[i] for column in columns)
        rows.append([domain, f"{tokens:,}", _share(coverage), f"{pairs:,}", _share(pair_coverage)])
    equal = "numbers of tokens and of pairs" if table.equalized == "tokens" else "coverage"
    return f"{aligned(rows)}\nexpected of so many, drawn from all documents: equal {equal}"


def _curve(table: "EntropyTable") -> str:
    rows = [["curve", "", *("n" if part == "1" else f"n/{part[2:]}" for part in PARTS)]]
    for i, domain in enumerate(table.domains):
        for name in MEASURES:
            values = getattr(table, f"curve_{name}")[i]
            cells = ("-" if np.isnan(value) else f"{value:.4f}" for value in values)
            rows.append([domain if name == "se" else "", name.upper(), *cells])
    return aligned(rows)


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def _with_error(value: float, errors: npt.NDArray[np.float64], i: int) -> str:
    # The cells of a column are of one width, so that decimal points stand below each other.
    if not np.isfinite(errors).any():
        return f"{value:.4f}"
    error = "   -  " if np.isnan(errors[i]) else f"{errors[i]:.4f}"
    return f"{value:.4f} ± {error}"
