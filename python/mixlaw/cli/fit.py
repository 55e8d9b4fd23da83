"""``mixlaw fit``: a run table in, a fitted law out."""

from pathlib import Path

import click

from mixlaw import laws
from mixlaw.cli.output import json_option, show
from mixlaw.cli.table import reads_runs, x_option
from mixlaw.errors import InputError
from mixlaw.fitted import SCHEMA, Axis
from mixlaw.runs import RunTable


@click.command()
@reads_runs
@click.option("--final", is_flag=True, help="Use only the last checkpoint of every run.")
@click.option("--law", "name", metavar="LAW", default=laws.default().name, show_default=True, help="Mixing law to fit.")
@x_option
@click.option("--robust", is_flag=True, help="Let rows that deviate much count less (Huber's loss).")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the starting points.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the fitted law to this file (JSON).")
@json_option
def fit(
    path: Path,
    table: RunTable,
    final: bool,
    name: str,
    x: Axis,
    robust: bool,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Fit a mixing law to the losses of proxy runs.

    RUNS is a table (.csv or .parquet) with one row a checkpoint: weights, losses, and tokens or steps. Prints the
    coefficients with standard errors and how well the law describes the runs.
    """
    law = laws.get(name)
    try:
        if final:
            table = table.final(x)
        fitted = law.fit(table, x=x, seed=seed, robust=robust)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if out is not None:
        fitted.write(out)
        click.echo(f"wrote {out}", err=True)
    show(as_json, SCHEMA, fitted.content(), fitted.report())
