"""``mixlaw propose``: which mixtures to train proxies on next."""

from pathlib import Path

import click

from mixlaw import laws
from mixlaw.cli.named import bounds, weight_option
from mixlaw.cli.output import json_option, show
from mixlaw.design import propose as propose_mixtures
from mixlaw.design.proposal import METHODS, Method
from mixlaw.errors import InputError
from mixlaw.layout import aligned
from mixlaw.mixture import Mixture
from mixlaw.runs import RunTable

SCHEMA = "mixlaw.proposal/1"


@click.command()
@click.argument("n", type=click.IntRange(min=1))
@click.option("--domain", "domains", metavar="DOMAIN", multiple=True, help="Training domain; one for each domain.")
@click.option("--runs", type=click.Path(path_type=Path), help="Table of the runs that there are (.csv or .parquet).")
@click.option("--law", type=click.Path(path_type=Path), help="Law fitted to the runs that there are.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    help="`active` is the default after runs, `space-filling` before any.",
)
@click.option("--prior", type=click.Path(path_type=Path), help="Mixture around which `dirichlet` draws.  [uniform]")
@click.option(
    "--floor", "floors", metavar="[DOMAIN=]R", multiple=True, help="Least proportion, as of `mixlaw optimize`."
)
@click.option("--cap", "caps", metavar="[DOMAIN=]R", multiple=True, help="Largest proportion, as of `mixlaw optimize`.")
@click.option(
    "--at", type=float, metavar="X", help="Length of training that `active` is about.  [that of the longest run]"
)
@click.option("--params", type=float, metavar="N", help="Model size that `active` is about.")
@weight_option
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Equal seeds give equal mixtures."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the mixtures to this new folder, one JSON file each, for `mixlaw train`.",
)
@json_option
def propose(
    n: int,
    domains: tuple[str, ...],
    runs: Path | None,
    law: Path | None,
    method: Method | None,
    prior: Path | None,
    floors: tuple[str, ...],
    caps: tuple[str, ...],
    at: float | None,
    params: float | None,
    weights: dict[str, float] | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Propose N mixtures to train proxies on.

    Give what is known: the names of the domains, a table of runs, or a law that `mixlaw fit --out` wrote. The mixtures
    are called after the folder that they are written to.
    """
    if bool(domains) + (runs is not None) + (law is not None) != 1:
        raise click.UsageError("give one of --domain (for each domain), --runs and --law")
    if out is not None and out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: the folder is not empty; name a new one, after which the mixtures are called")
    table = None if runs is None else RunTable.read(runs)
    fitted = None if law is None else laws.read(law)
    names = next((known.train_domains for known in (table, fitted) if known is not None), domains)
    method = method or ("space-filling" if domains else "active")
    mixtures = propose_mixtures(
        n,
        domains=domains or None,
        runs=table,
        law=fitted,
        method=method,
        prior=None if prior is None else Mixture.read(prior),
        floors=bounds("--floor", floors, names),
        caps=bounds("--cap", caps, names),
        at=at,
        params=params,
        weights=weights,
        seed=seed,
    )
    width = len(str(n))
    called = {f"{out.name if out else 'mixture'}-{k:0{width}}": mixture for k, mixture in enumerate(mixtures, start=1)}
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, mixture in called.items():
            mixture.write(out / f"{name}.json")
        click.echo(f"wrote {n} mixtures to {out}", err=True)
    rows = [("domain", *called), *((domain, *(f"{mix[domain]:.4f}" for mix in mixtures)) for domain in names)]
    content = {"method": method, "seed": seed, "mixtures": {name: dict(mixture) for name, mixture in called.items()}}
    show(as_json, SCHEMA, content, aligned(rows))
