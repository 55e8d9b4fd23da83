"""``mixlaw predict``: what a fitted law says about mixtures."""

import math
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from mixlaw import laws
from mixlaw.cli.output import json_option, show
from mixlaw.errors import InputError
from mixlaw.fitted import FittedLaw
from mixlaw.layout import aligned
from mixlaw.mixture import Mixture

SCHEMA = "mixlaw.prediction/1"
# Of the intervals.
LEVEL = 0.9


@click.command()
@click.argument("law", type=click.Path(path_type=Path))
@click.option(
    "--mixture",
    "mixtures",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Mixture to predict for (JSON); repeatable.",
)
@click.option("--at", type=float, required=True, metavar="X", help="Length of training, in the unit of the law.")
@click.option("--params", type=float, metavar="N", help="Model size, for a law of several sizes.")
@json_option
def predict(law: Path, mixtures: tuple[Path, ...], at: float, params: float | None, as_json: bool) -> None:
    """Predict the loss of every domain for one or more mixtures.

    LAW is a file that `mixlaw fit --out` wrote. Losses are in nats per token, with the interval in which that of a new
    run falls with a probability of 90 %, if the law has standard errors. A mixture that gives a domain no tokens may
    have no finite prediction: `inf` in the table, null in JSON.
    """
    fitted = laws.read(law)
    read, losses = [], []
    for path in mixtures:
        read.append(Mixture.read(path))
        try:
            losses.append(fitted.predict(read[-1], at=at, params=params)[0].tolist())
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    means = [math.fsum(row) / len(row) for row in losses]
    intervals, unsure = _intervals(fitted, read, at, params)
    content = {
        "law": fitted.law,
        "fingerprint": fitted.fingerprint,
        "at": at,
        "x": fitted.x,
        "level": LEVEL,
        "unsure": unsure,
        "predictions": [
            {
                "mixture": str(path),
                "losses": {domain: _finite(loss) for domain, loss in zip(fitted.eval_domains, row, strict=True)},
                "intervals": {domain: list(map(_finite, bounds)) for domain, bounds in own.items()},
                "mean": _finite(mean),
            }
            for path, row, own, mean in zip(mixtures, losses, intervals, means, strict=True)
        ],
    }
    table = [["domain"], *([domain] for domain in fitted.eval_domains), ["mean"]]
    for path, row, own, mean in zip(mixtures, losses, intervals, means, strict=True):
        columns = [[str(path), *(f"{loss:.4f}" for loss in row), f"{mean:.4f}"]]
        if own:
            columns.append(["90 % interval", *map(_shown, own.values()), "-"])
        for column in columns:
            for cells, cell in zip(table, column, strict=True):
                cells.append(cell)
    note = f"Without intervals: {unsure}." if unsure else "The intervals are for a single new run."
    head = f"{fitted.law} at {at:.6g} {fitted.x}, nats per token"
    show(as_json, SCHEMA, content, f"{head}\n\n{aligned(table)}\n\n- {note}")


def _intervals(
    law: FittedLaw, mixtures: Sequence[Mixture], at: float, params: float | None
) -> tuple[list[dict[str, tuple[float, float]]], str]:
    """Bounds by domain for each mixture, infinite where the loss is; or none, and why."""
    try:
        with np.errstate(invalid="ignore"):  # where a loss is infinite
            bounds = np.array(law.interval(mixtures, at=at, params=params, level=LEVEL))
    except InputError as error:
        return [{} for _ in mixtures], str(error)
    low, high = np.where(np.isnan(bounds), np.inf, bounds).tolist()
    return [
        dict(zip(law.eval_domains, zip(*pair, strict=True), strict=True)) for pair in zip(low, high, strict=True)
    ], ""


def _shown(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{low:.3f} to {high:.3f}" if math.isfinite(high) else "-"


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
