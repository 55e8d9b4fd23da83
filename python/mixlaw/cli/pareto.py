"""``mixlaw pareto``: mixtures between the best for one group of evaluation domains and the best for another."""

from pathlib import Path
from typing import Any

import click

from mixlaw import laws
from mixlaw.cli.constraints import constraint_arguments, constraint_options
from mixlaw.cli.named import named
from mixlaw.cli.output import json_option, show
from mixlaw.optimum import pareto as find_front
from mixlaw.optimum.pareto import SCHEMA


@click.command()
@click.argument("law", type=click.Path(path_type=Path))
@click.option("--at", type=float, required=True, metavar="X", help="Length of training, in the unit of the law.")
@click.option("--params", type=float, metavar="N", help="Model size in parameters; by default that of the runs.")
@click.option(
    "--first",
    metavar="DOMAIN=W",
    multiple=True,
    required=True,
    help="Weight of an evaluation domain in the first group, in any scale; repeatable.",
)
@click.option("--second", metavar="DOMAIN=W", multiple=True, required=True, help="The same in the second group.")
@click.option("--points", type=int, default=11, show_default=True, metavar="N", help="Mixtures to look for.")
@constraint_options
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all that is drawn.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the front to this file (JSON).")
@json_option
def pareto(
    law: Path,
    at: float,
    params: float | None,
    first: tuple[str, ...],
    second: tuple[str, ...],
    points: int,
    seed: int,
    out: Path | None,
    as_json: bool,
    **constraints: Any,
) -> None:
    """Find the mixtures that trade the losses of two groups of evaluation domains off against each other.

    LAW is a file that `mixlaw fit --out` wrote. Prints one line a mixture, from the best for the first group to the
    best for the second.
    """
    fitted = laws.read(law)
    front = find_front(
        fitted,
        at=at,
        params=params,
        first=named("--first", first),
        second=named("--second", second),
        points=points,
        seed=seed,
        **constraint_arguments(fitted, **constraints),
    )
    if out is not None:
        front.write(out)
        click.echo(f"wrote {out}", err=True)
    show(as_json, SCHEMA, front.content(), front.to_text())
