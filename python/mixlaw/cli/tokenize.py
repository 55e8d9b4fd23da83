"""``mixlaw tokenize``: a corpus in, its token shards out."""

from pathlib import Path

import click

from mixlaw.cli.output import json_option, show
from mixlaw.layout import aligned
from mixlaw.reading import write_shards
from mixlaw.reading.shards import SCHEMA


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    required=True,
    help="Folder for the shards and the corpus.yaml that names them.",
)
@json_option
def tokenize(corpus: Path, out: Path, as_json: bool) -> None:
    """Write a corpus as token shards: arrays of token ids with document borders, for training and counting.

    CORPUS is a corpus.yaml. Use DIR/corpus.yaml in its place from then on. The same command goes on where an
    interrupted one stopped, and repeats nothing that is finished.
    """
    content = write_shards(corpus, out)
    rows = [["domain", "shards", "documents", "tokens"]]
    for name, domain in content["domains"].items():
        totals = (sum(shard[key] for shard in domain["shards"]) for key in ("documents", "tokens"))
        rows.append([name, f"{len(domain['shards']):,}", *(f"{total:,}" for total in totals)])
    click.echo(f"wrote {out / 'corpus.yaml'}", err=True)
    show(as_json, SCHEMA, content, aligned(rows))
