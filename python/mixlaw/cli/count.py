"""``mixlaw count``: a corpus in, count files out."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mixlaw.cli.counting import Size, counting_options
from mixlaw.cli.output import json_option, show
from mixlaw.engine.count_files import count_file_name, count_files, summary
from mixlaw.errors import InputError, did_you_mean
from mixlaw.layout import aligned
from mixlaw.reading.addresses import is_address
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
    metavar="DIR",
    required=True,
    help="Folder for the count files, one a domain: DOMAIN.mlc. With --engine ray, all machines see it, or it is an "
    "address such as s3://bucket/counts.",
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
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Count in this process, or in tasks on a Ray cluster, each on one thread unless --threads says more.",
)
@click.option(
    "--ray-address",
    metavar="ADDRESS",
    help="With --engine ray: the cluster, auto on one of its machines.  [default: one started here for the time]",
)
@click.option(
    "--task-size",
    type=Size(),
    metavar="SIZE",
    help="With --engine ray: a task counts files of so many bytes, or one file.  [default: 4GiB]",
)
@json_option
def count(
    corpus: Path,
    out: str,
    domains: tuple[str, ...],
    shard: tuple[int, int] | None,
    order: int,
    groups: int,
    threads: int | None,
    memory: int | None,
    resume: str | None,
    engine: str,
    ray_address: str | None,
    task_size: int | None,
    as_json: bool,
) -> None:
    """Count the n-grams of every domain of a corpus, and write them to count files.

    CORPUS is a corpus.yaml. `mixlaw merge` adds up the count files of shards, and `mixlaw entropy` takes count files in
    the place of a corpus: so the work spreads over machines, and what was counted once need not be counted again.
    """
    if engine == "ray":
        if shard is not None or resume is not None:
            raise click.UsageError("--shard and --resume are for --engine local; with Ray, repeat the command to go on")
    elif ray_address is not None or task_size is not None:
        raise click.UsageError("--ray-address and --task-size go with --engine ray")
    elif is_address(out):
        raise click.UsageError(f"--out {out} is an address, which goes with --engine ray")
    config = _chosen(read_config(corpus), domains, shard)
    if not config.domains:
        click.echo("mixlaw: no domain has a file in this shard", err=True)
        show(as_json, SCHEMA, {"domains": {}}, "")
        return
    if engine == "ray":
        from mixlaw.engine.on_ray import TASK_BYTES, count_with_ray

        content = count_with_ray(
            config,
            out,
            order=order,
            groups=groups,
            threads=threads or 1,
            memory_limit=memory,
            task_bytes=TASK_BYTES if task_size is None else task_size,
            address=ray_address or "local",
        )
    else:
        suffix = "" if shard is None else f".{shard[0]}-of-{shard[1]}"
        content = _count_here(config, Path(out), suffix, order, groups, threads, memory, resume)
    rows = [["domain", "file", "tokens", f"distinct {order}-grams", "bytes"]]
    for name, row in content.items():
        rows.append([name, row["file"], f"{row['counted'][0]:,}", f"{row['distinct'][-1]:,}", f"{row['bytes']:,}"])
    show(as_json, SCHEMA, {"domains": content}, aligned(rows))


def _count_here(
    config: CorpusConfig,
    out: Path,
    suffix: str,
    order: int,
    groups: int,
    threads: int | None,
    memory: int | None,
    resume: str | None,
) -> dict[str, dict[str, Any]]:
    opened = open_corpus(config)
    out.mkdir(parents=True, exist_ok=True)
    content = {}
    for domain in config.domains:
        counter = count_files(
            opened,
            domain,
            [os.path.relpath(file, Path(config.path).parent) for file in domain.files],
            order=order,
            groups=groups,
            threads=threads,
            memory_limit=memory,
            checkpoint_dir=None if resume is None else f"{resume}{suffix}",
        )
        path = out / count_file_name(domain.name, suffix)
        counter.write(path)
        content[domain.name] = {"file": str(path), **summary(counter, os.path.getsize(path))}
    return content


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
