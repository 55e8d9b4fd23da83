"""``mixlaw predict``: what a fitted law says about mixtures."""

import math
from pathlib import Path

import click

from mixlaw import laws
from mixlaw.cli.output import json_option, show
from mixlaw.errors import InputError
from mixlaw.mixture import Mixture

SCHEMA = "mixlaw.prediction/1"


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

    LAW is a file that `mixlaw fit --out` wrote. Losses are in nats per token. A mixture that gives a domain no tokens
    may have no finite prediction: `inf` in the table, null in JSON.
    """
    fitted = laws.read(law)
    rows = []
    for path in mixtures:
        mixture = Mixture.read(path)
        try:
            rows.append(fitted.predict(mixture, at=at, params=params)[0].tolist())
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    means = [math.fsum(row) / len(row) for row in rows]
    content = {
        "law": fitted.law,
        "fingerprint": fitted.fingerprint,
        "at": at,
        "x": fitted.x,
        "predictions": [
            {
                "mixture": str(path),
                "losses": {domain: _finite(loss) for domain, loss in zip(fitted.eval_domains, row, strict=True)},
                "mean": _finite(mean),
            }
            for path, row, mean in zip(mixtures, rows, means, strict=True)
        ],
    }
    width = max(map(len, (*fitted.eval_domains, "domain")))
    names = [str(path) for path in mixtures]
    lines = [f"{fitted.law} at {at:.6g} {fitted.x}, nats per token", ""]
    for first, *cells in (
        ("domain", *names),
        *((domain, *(f"{row[k]:.4f}" for row in rows)) for k, domain in enumerate(fitted.eval_domains)),
        ("mean", *(f"{mean:.4f}" for mean in means)),
    ):
        lines.append(
            "  ".join([f"{first:<{width}}", *(f"{c:>{max(len(n), 8)}}" for c, n in zip(cells, names, strict=True))])
        )
    show(as_json, SCHEMA, content, "\n".join(lines))


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
