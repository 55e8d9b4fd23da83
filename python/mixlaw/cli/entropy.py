"""``mixlaw entropy``: a corpus in, its entropies and the mixtures that follow from them out."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from mixlaw.cli.counting import counting_options, open_counts
from mixlaw.cli.given import refuse
from mixlaw.cli.output import json_option, show
from mixlaw.cli.vne import show_vne
from mixlaw.entropy.counter import NgramCounter
from mixlaw.entropy.measure import measure_entropies
from mixlaw.entropy.tabulate import tabulate
from mixlaw.entropy.vector_files import COLUMN
from mixlaw.entropy_table import EQUALIZED, ESTIMATORS, MEASURES, EntropyTable
from mixlaw.errors import InputError
from mixlaw.layout import aligned
from mixlaw.mixture import Mixture
from mixlaw.proxy_mixture import ProportionBars
from mixlaw.reading import load_corpus, sample_corpus

SCHEMA = "mixlaw.entropy/1"
# Options that --proxy vne does not read.
COUNTING = ("estimator", "equalize", "sample_tokens", "seed", "groups", "threads", "memory")


@click.command()
@click.argument("corpus", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write entropy.json, and the mixtures as se.json, ce.json and je.json, to this folder.",
)
@click.option(
    "--proxy", type=click.Choice(["vne"]), help="Measure von Neumann entropies of vectors, and no entropies of counts."
)
@click.option(
    "--embeddings",
    metavar="DOMAIN=PATH",
    multiple=True,
    help="With --proxy vne, and instead of CORPUS: the vectors of a domain, in .npy, .parquet or .arrow; repeatable.",
)
@click.option(
    "--embedding-column",
    metavar="NAME",
    default=COLUMN,
    show_default=True,
    help="Column of the vectors in .parquet and .arrow.",
)
@click.option(
    "--embed-with",
    metavar="KIND:PATH",
    help="With --proxy vne: embed text with a model, model2vec:, sentence-transformers: or fasttext: and its path.  "
    "[default: hashed n-grams of tokens, without a model]",
)
@click.option(
    "--estimator",
    type=click.Choice(ESTIMATORS),
    default="plugin",
    show_default=True,
    help="How entropies come from counts.",
)
@click.option(
    "--equalize",
    type=click.Choice(EQUALIZED),
    help="Compare the domains at equally many tokens, or at equal coverage.",
)
@click.option(
    "--sample-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure a random sample of whole documents, of about N tokens of each domain.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the sample.")
@counting_options
@json_option
def entropy(
    corpus: tuple[Path, ...],
    out: Path | None,
    proxy: str | None,
    embeddings: tuple[str, ...],
    embedding_column: str,
    embed_with: str | None,
    estimator: str,
    equalize: str | None,
    sample_tokens: int | None,
    seed: int,
    groups: int,
    threads: int | None,
    memory: int | None,
    resume: str | None,
    as_json: bool,
) -> None:
    """Measure the entropies of every domain of a corpus, and the mixtures that follow from them.

    CORPUS is a corpus.yaml, or the count files (.mlc) of all domains. Tokens and pairs of adjacent tokens inside a
    document are counted exactly; Shannon entropy (SE) is that of the tokens, joint entropy (JE) that of the pairs, and
    conditional entropy (CE) that of a pair's second token given its first, in nats. Each gives a mixture,
    r_i = exp(H_i) / sum_j exp(H_j). Error bars are standard errors over documents.

    With --proxy vne, the von Neumann entropy (VNE) of vectors of passages takes their place: of hashed n-grams of the
    tokens, of a model, or of embeddings that there are.

    Options that have no effect on what is measured are refused.
    """
    if proxy == "vne":
        refuse(**dict.fromkeys(COUNTING, "is for entropies of counts, which --proxy vne does not measure"))
        if len(corpus) > 1:
            raise click.UsageError("--proxy vne takes one CORPUS")
        return show_vne(corpus[0] if corpus else None, embeddings, embedding_column, embed_with, out, resume, as_json)
    if embeddings or embed_with is not None:
        raise click.UsageError("--embeddings and --embed-with go with --proxy vne")
    refuse(embedding_column="goes with --proxy vne")
    if not corpus:
        raise click.UsageError("Missing argument 'CORPUS'.")
    are_counts = corpus[0].suffix == ".mlc"
    if are_counts:
        refuse(
            resume="is for counting a corpus.yaml: count files are counted already",
            groups="is for counting a corpus.yaml: count files bring their own",
        )
    if are_counts or resume is not None:
        refuse(sample_tokens="draws from a corpus.yaml, without --resume: a sample is counted in seconds")
    if sample_tokens is None:
        refuse(seed="goes with --sample-tokens")
    if are_counts:
        table = tabulate(_read_counts(corpus, threads, memory), estimator=estimator, equalize=equalize)
    elif len(corpus) > 1:
        raise click.UsageError("give one corpus.yaml, or count files (.mlc) alone")
    else:
        opened = load_corpus(corpus[0])
        table = measure_entropies(
            opened if sample_tokens is None else sample_corpus(opened, sample_tokens, seed=seed),
            estimator=estimator,
            equalize=equalize,
            groups=groups,
            threads=threads,
            memory_limit=memory,
            checkpoint_dir=resume,
        )
    mixtures = _mixtures(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        table.write(out / "entropy.json")
        for proxy, mixture in mixtures.items():
            mixture.write(out / f"{proxy}.json")
        click.echo(f"wrote {', '.join(str(out / f'{name}.json') for name in ('entropy', *mixtures))}", err=True)
    content = {
        "table": table.content(),
        "mixtures": {proxy: dict(mixtures[proxy]) if proxy in mixtures else None for proxy in MEASURES},
        "mixture_errors": {
            proxy: dict(zip(table.domains, bars.error.tolist(), strict=True)) for proxy, bars in _bars(table, mixtures)
        },
        "warnings": table.warnings(),
    }
    show(as_json, SCHEMA, content, _text(table, mixtures))


def _read_counts(files: Sequence[Path], threads: int | None, memory: int | None) -> dict[str, NgramCounter]:
    """Open the count files of all domains."""
    counters: dict[str, NgramCounter] = {}
    for file in files:
        domain, counter = open_counts(file, threads, memory)
        if domain in counters:
            raise InputError(f"{file}: another file counts domain {domain!r}, too: use `mixlaw merge` first")
        counters[domain] = counter
    return counters


def _bars(table: EntropyTable, mixtures: Iterable[str]) -> Iterator[tuple[str, ProportionBars]]:
    """The error bars of mixtures, where all domains have such."""
    for proxy in mixtures:
        if not np.isnan(getattr(table, f"{proxy}_error")).any():
            yield proxy, table.mixture_bars(proxy)


def _mixtures(table: EntropyTable) -> dict[str, Mixture]:
    """The mixture of every measure that all domains have."""
    lonely = [domain for domain, pairs in zip(table.domains, table.pairs, strict=True) if not pairs]
    for domain in lonely:
        click.echo(
            f"mixlaw: domain {domain!r} has no pairs, for no document of it has two tokens: no CE and JE mixtures",
            err=True,
        )
    return {proxy: table.mixture(proxy) for proxy in MEASURES if proxy == "se" or not lonely}


def _text(table: EntropyTable, mixtures: dict[str, Mixture]) -> str:
    bars = dict(_bars(table, mixtures))
    rows = [["mixture"]]
    for proxy in mixtures:
        rows[0] += [proxy.upper(), "s.e."] if proxy in bars else [proxy.upper()]
    for i, domain in enumerate(table.domains):
        row = [domain]
        for proxy, mixture in mixtures.items():
            row += [f"{mixture[domain]:.4f}"] + ([f"{bars[proxy].error[i]:.4f}"] if proxy in bars else [])
        rows.append(row)
    text = f"{table.to_text()}\n\n{aligned(rows)}\nshares of training tokens, exp(entropy) / sum of exp(entropies)"
    if table.estimator != "plugin" or table.equalized is not None:
        return text
    return (
        f"{text}\n\n"
        "Plug-in entropies tend to grow with the number of tokens until coverage is near 1: "
        "compare domains of like coverage, or use --equalize."
    )
