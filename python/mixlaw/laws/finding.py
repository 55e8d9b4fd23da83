"""`Finding`: one thing that a reader of runs or laws should know."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Severity = Literal["problem", "caution", "note"]


class Finding(NamedTuple):
    """One thing that a reader of runs or laws should know.

    Attributes
    ----------
    severity
        ``"problem"``: mend it before fitting a law; ``"caution"``: it limits what a law can say; ``"note"``: a fact.
    kind
        What it is about, in one or two words that do not change: see docs/cli/diagnose.md.
    text
        A sentence or two, with numbers.
    """

    severity: Severity
    kind: str
    text: str


def listed(names: Sequence[str], most: int = 6) -> str:
    """Name the first few, and count the others."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
