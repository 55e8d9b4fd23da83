"""``mixlaw optimize``: the best mixture under a fitted law."""

from pathlib import Path

import click

from mixlaw import laws
from mixlaw.cli.named import bounds, named
from mixlaw.cli.output import json_option, show
from mixlaw.optimum import optimize as find_optimum
from mixlaw.optimum.result import SCHEMA


@click.command()
@click.argument("law", type=click.Path(path_type=Path))
@click.option("--at", type=float, required=True, metavar="X", help="Length of training, in the unit of the law.")
@click.option("--params", type=float, metavar="N", help="Model size, for a law of several sizes.")
@click.option(
    "--weight",
    "weights",
    metavar="DOMAIN=W",
    multiple=True,
    help="Weight of an evaluation domain in the objective, in any scale; repeatable. Domains without one then count "
    "for nothing. Without this option all count the same.",
)
@click.option(
    "--floor",
    "floors",
    metavar="[DOMAIN=]R",
    multiple=True,
    help="Least proportion of a domain, or of every domain that has none of its own; repeatable.",
)
@click.option(
    "--cap",
    "caps",
    metavar="[DOMAIN=]R",
    multiple=True,
    help="Largest proportion of a domain, or of every domain that has none of its own; repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the mixture to this file (JSON).")
@json_option
def optimize(
    law: Path,
    at: float,
    params: float | None,
    weights: tuple[str, ...],
    floors: tuple[str, ...],
    caps: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the mixture with the lowest predicted loss under floors and caps.

    LAW is a file that `mixlaw fit --out` wrote. Prints the mixture, the predicted losses, the bounds that hold it, and
    the residual of the optimality conditions.
    """
    fitted = laws.read(law)
    best = find_optimum(
        fitted,
        at=at,
        params=params,
        weights=named("--weight", weights) if weights else None,
        floors=bounds("--floor", floors, fitted.train_domains),
        caps=bounds("--cap", caps, fitted.train_domains),
    )
    if out is not None:
        best.mixture.write(out)
        click.echo(f"wrote {out}", err=True)
    show(as_json, SCHEMA, best.content(), best.to_text())
