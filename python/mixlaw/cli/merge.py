"""``mixlaw merge``: count files of shards in, count files of domains out."""

import os
from pathlib import Path

import click

from mixlaw.cli.counting import memory_option, open_counts
from mixlaw.cli.output import json_option, show
from mixlaw.engine.count_files import count_file_name
from mixlaw.entropy.counter import NgramCounter
from mixlaw.layout import aligned

SCHEMA = "mixlaw.merge/1"


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    required=True,
    help="Folder for the merged count files, one a domain: DOMAIN.mlc.",
)
@click.option("--threads", type=click.IntRange(min=1), help="The most threads that merge.  [default: all]")
@memory_option
@json_option
def merge(files: tuple[Path, ...], out: Path, threads: int | None, memory: int | None, as_json: bool) -> None:
    """Add up count files, those of each domain by themselves.

    FILES are what `mixlaw count` wrote, in any order: the result is the same bytes as if one machine had counted
    everything. Files of different tokenizers, vocabularies, orders or groups are refused, and so is input that was
    counted twice.
    """
    merged: dict[str, NgramCounter] = {}
    for file in files:
        domain, counter = open_counts(file, threads, memory)
        if domain not in merged:
            merged[domain] = counter
        else:
            merged[domain].merge_file(file)
    out.mkdir(parents=True, exist_ok=True)
    content = {}
    for name in list(merged):
        counter = merged.pop(name)  # which ends with its turn, and gives its memory back
        path = out / count_file_name(name)
        counter.write(path)
        content[name] = {
            "file": str(path),
            "inputs": len(counter.inputs),
            "tokens": counter.total(1),
            "distinct": counter.distinct(counter.order),
            "bytes": os.path.getsize(path),
        }
    rows = [["domain", "file", "inputs", "tokens", "distinct", "bytes"]]
    for name, row in content.items():
        rows.append([name, str(row["file"]), *(f"{row[key]:,}" for key in ("inputs", "tokens", "distinct", "bytes"))])
    show(as_json, SCHEMA, {"domains": content}, aligned(rows))
