"""``mixlaw compare``: which law predicts runs that it has not seen, and which one to use."""

from pathlib import Path

import click

from mixlaw.cli.named import weight_option
from mixlaw.cli.output import json_option, show
from mixlaw.cli.table import reads_runs, x_option
from mixlaw.errors import InputError
from mixlaw.fitted import Axis
from mixlaw.laws.compare import compare as compare_laws
from mixlaw.laws.comparison import SCHEMA
from mixlaw.runs import RunTable


@click.command()
@reads_runs
@click.option("--law", "laws", metavar="LAW", multiple=True, help="Law to compare; repeatable. Without it, all are.")
@x_option
@weight_option
@click.option("--folds", type=int, default=10, show_default=True, help="Folds of the cross-validation.")
@click.option(
    "--draws", type=int, default=6, show_default=True, help="Draws for each point of the learning curve; 0: no curve."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of folds and draws.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the comparison to this file (JSON).")
@json_option
def compare(
    path: Path,
    table: RunTable,
    laws: tuple[str, ...],
    x: Axis,
    weights: dict[str, float] | None,
    folds: int,
    draws: int,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare mixing laws on runs that they have not seen, and name the one to use.

    RUNS is a table (.csv or .parquet) with one row a checkpoint. Every law is fitted to some of the mixtures and
    predicts the others; to the earlier checkpoints, and predicts the last; and to ever fewer mixtures.
    """
    try:
        found = compare_laws(
            table,
            laws=laws or None,
            x=x,
            weights=weights,
            folds=folds,
            draws=draws,
            seed=seed,
            progress=True,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if out is not None:
        found.write(out)
        click.echo(f"wrote {out}", err=True)
    show(as_json, SCHEMA, found.content(), found.to_text())
