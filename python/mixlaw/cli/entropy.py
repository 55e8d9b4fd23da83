"""``mixlaw entropy``: a corpus in, its entropies and the mixtures that follow from them out."""

from pathlib import Path

import click

from mixlaw.cli.output import json_option, show
from mixlaw.cli.vne import show_vne
from mixlaw.entropy.measure import measure_entropies
from mixlaw.entropy.vector_files import COLUMN
from mixlaw.entropy_table import MEASURES, EntropyTable
from mixlaw.layout import aligned
from mixlaw.mixture import Mixture
from mixlaw.reading import load_corpus

SCHEMA = "mixlaw.entropy/1"


@click.command()
@click.argument("corpus", required=False, type=click.Path(path_type=Path))
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
@click.option("--threads", type=click.IntRange(min=1), help="The most threads that count.  [default: all]")
@json_option
def entropy(
    corpus: Path | None,
    out: Path | None,
    proxy: str | None,
    embeddings: tuple[str, ...],
    embedding_column: str,
    embed_with: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure the entropies of every domain of a corpus, and the mixtures that follow from them.

    CORPUS is a corpus.yaml. Tokens and pairs of adjacent tokens inside a document are counted exactly; Shannon entropy
    (SE) is that of the tokens, joint entropy (JE) that of the pairs, and conditional entropy (CE) that of a pair's
    second token given its first, in nats. Each gives a mixture, r_i = exp(H_i) / sum_j exp(H_j).

    With --proxy vne, the von Neumann entropy (VNE) of vectors of passages takes their place: of hashed n-grams of the
    tokens, of a model, or of embeddings that there are.
    """
    if proxy == "vne":
        return show_vne(corpus, embeddings, embedding_column, embed_with, out, as_json)
    if embeddings or embed_with is not None:
        raise click.UsageError("--embeddings and --embed-with go with --proxy vne")
    if corpus is None:
        raise click.UsageError("Missing argument 'CORPUS'.")
    table = measure_entropies(load_corpus(corpus), threads=threads)
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
    }
    show(as_json, SCHEMA, content, _text(table, mixtures))


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
    rows = [["mixture", *(proxy.upper() for proxy in mixtures)]]
    rows += [[domain, *(f"{mixture[domain]:.4f}" for mixture in mixtures.values())] for domain in table.domains]
    return (
        f"{table.to_text()}\n\n{aligned(rows)}\n"
        "shares of training tokens, exp(entropy) / sum of exp(entropies)\n\n"
        "Plug-in entropies tend to grow with the number of tokens until coverage is near 1: "
        "compare domains of like coverage."
    )
