"""``mixlaw diagnose``: what is wrong with runs, or limits what a law can say of them."""

from pathlib import Path

import click

from mixlaw import laws
from mixlaw.cli.output import json_option, show
from mixlaw.cli.table import reads_runs, x_option
from mixlaw.errors import InputError
from mixlaw.fitted import Axis
from mixlaw.laws.diagnose import diagnose as findings_of
from mixlaw.mixture import Mixture
from mixlaw.runs import RunTable

SCHEMA = "mixlaw.diagnosis/1"


@click.command()
@reads_runs
@x_option
@click.option(
    "--law", "law_file", type=click.Path(path_type=Path), help="Fitted law whose coefficients to look at too."
)
@click.option(
    "--mixture", "mixture_file", type=click.Path(path_type=Path), help="Mixture that is to be predicted (JSON)."
)
@click.option("--at", type=float, metavar="X", help="Length of training that is to be predicted.")
@json_option
def diagnose(
    path: Path,
    table: RunTable,
    x: Axis,
    law_file: Path | None,
    mixture_file: Path | None,
    at: float | None,
    as_json: bool,
) -> None:
    """Say what is wrong with runs, or limits what a law can say of them.

    RUNS is a table (.csv or .parquet) with one row a checkpoint. Prints problems first, which are to be mended before a
    law is fitted, then cautions, then notes. Findings are advice: the exit code is 0 with them.
    """
    law = None if law_file is None else laws.read(law_file)
    mixture = None if mixture_file is None else Mixture.read(mixture_file)
    try:
        found = findings_of(table, x=x, law=law, mixture=mixture, at=at)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    content = {"fingerprint": table.fingerprint(), "findings": [finding._asdict() for finding in found]}
    lines = [f"{finding.severity} ({finding.kind}): {finding.text}" for finding in found]
    show(as_json, SCHEMA, content, "\n\n".join(lines) if lines else "nothing to report")
