"""``mixlaw count``: a corpus in, count files out."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from mixlaw.cli.counting import counting_options
from mixlaw.cli.output import json_option, show
from mixlaw.entropy.count import count_domain
from mixlaw.errors import InputError, did_you_mean
from mixlaw.layout import aligned
from mixlaw.reading.config import CorpusConfig, read_config
from mixlaw.reading.load import open_corpus

SCHEMA = "mixlaw.count/1"


class Shard(click.ParamType[tuple[int, int]]):
    """One of so many shards of a corpus: 3/100 is the third of a hundred."""

    name = "shard"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Give the number of the shard, from 1, and how many there are."""
        if isinstance(value, tuple):
            return value
        number, slash, shards = str(value).partition("/")
        if not slash or not number.isdecimal() or not shards.isdecimal() or not 1 <= int(number) <= int(shards):
            self.fail(f"{value!r} is no shard; write the third of a hundred as 3/100", param, ctx)
        return int(number), int(shards)


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    required=True,
    help="Folder for the count files, one a domain: DOMAIN.mlc.",
)
@click.option("--domain", "domains", metavar="NAME", multiple=True, help="Count this domain alone; repeatable.")
@click.option(
    "--shard",
    type=Shard(),
    metavar="I/N",
    help="Count every N-th file of each domain alone, from the I-th on; files are DOMAIN.I-of-N.mlc.",
)
@click.option("--order", type=click.IntRange(1, 5), default=2, show_default=True, help="Length of the longest n-grams.")
@counting_options
@json_option
def count(
    corpus: Path,
    out: Path,
    domains: tuple[str, ...],
    shard: tuple[int, int] | None,
    order: int,
    groups: int,
    threads: int | None,
    memory: int | None,
    resume: str | None,
    as_json: bool,
) -> None:
    """Count the n-grams of every domain of a corpus, and write them to count files.

    CORPUS is a corpus.yaml. `mixlaw merge` adds up the count files of shards, and `mixlaw entropy` takes count files in
    the place of a corpus: so the work spreads over machines, and what was counted once need not be counted again.
    """
    config = _chosen(read_config(corpus), domains, shard)
    folder = Path(config.path).parent
    if not config.domains:
        click.echo("mixlaw: no domain has a file in this shard", err=True)
        show(as_json, SCHEMA, {"domains": {}}, "")
        return
    opened = open_corpus(config)
    suffix = "" if shard is None else f".{shard[0]}-of-{shard[1]}"
    out.mkdir(parents=True, exist_ok=True)
    content: dict[str, dict[str, Any]] = {}
    for domain in config.domains:
        counter = count_domain(
            opened[domain.name],
            opened.vocab_size,
            order=order,
            groups=groups,
            threads=threads,
            memory_limit=memory,
            checkpoint_dir=None if resume is None else f"{resume}{suffix}",
            tokenizer=opened.tokenizer,
        )
        if not counter.inputs:  # those of a finished checkpoint stand there
            for file in domain.files:
                counter.add_input(os.path.relpath(file, folder), 0, os.path.getsize(file))
        path = out / f"{quote(domain.name, safe='')}{suffix}.mlc"
        counter.write(path)
        content[domain.name] = {
            "file": str(path),
            "counted": [counter.total(n) for n in range(1, order + 1)],
            "distinct": [counter.distinct(n) for n in range(1, order + 1)],
            "bytes": os.path.getsize(path),
        }
    rows = [["domain", "file", "tokens", f"distinct {order}-grams", "bytes"]]
    for name, row in content.items():
        rows.append([name, row["file"], f"{row['counted'][0]:,}", f"{row['distinct'][-1]:,}", f"{row['bytes']:,}"])
    show(as_json, SCHEMA, {"domains": content}, aligned(rows))


def _chosen(config: CorpusConfig, names: tuple[str, ...], shard: tuple[int, int] | None) -> CorpusConfig:
    """The domains, and the files of each, that this call is to count."""
    known = [domain.name for domain in config.domains]
    for name in names:
        if name not in known:
            raise InputError(f"{config.path}: no domain {name!r}{did_you_mean(name, known)}")
    chosen = [domain for domain in config.domains if not names or domain.name in names]
    if shard is not None:
        number, shards = shard
        chosen = [replace(domain, files=domain.files[number - 1 :: shards]) for domain in chosen]
        chosen = [domain for domain in chosen if domain.files]
    return replace(config, domains=tuple(chosen))
