"""What ``mixlaw entropy --proxy vne`` does: vectors of every domain in, entropies and their mixture out."""

from collections.abc import Sequence
from pathlib import Path

import click

from mixlaw.cli.given import refuse
from mixlaw.cli.output import show
from mixlaw.entropy.text_models import load_model
from mixlaw.entropy.von_neumann import measure_vne
from mixlaw.reading import load_corpus
from mixlaw.vne_table import VneTable

SCHEMA = "mixlaw.vne/1"


def show_vne(
    corpus: Path | None,
    embeddings: Sequence[str],
    column: str,
    model: str | None,
    out: Path | None,
    resume: str | None,
    as_json: bool,
) -> None:
    """Measure von Neumann entropies, of vectors in files where `embeddings` names them, and print or write them.

    Parameters
    ----------
    corpus
        A corpus.yaml; None where `embeddings` takes its place.
    embeddings
        ``DOMAIN=PATH`` words.
    column
        Column of the vectors, in Parquet and Arrow.
    model
        What embeds the corpus (see `load_model`); None: hashed n-grams.
    out
        Folder to write to.
    resume
        Folder of checkpoints.
    as_json
        Print JSON.
    """
    if (corpus is None) == (not embeddings):
        raise click.UsageError("either a CORPUS or --embeddings for every domain says what to measure")
    paths = _paths(embeddings)
    if not any(path.endswith((".parquet", ".arrow")) for path in paths.values()):
        refuse(embedding_column="goes with --embeddings of .parquet or .arrow")
    if corpus is None:
        if model is not None:
            raise click.UsageError("--embed-with is for a CORPUS: --embeddings are vectors already")
        table = measure_vne(paths, column=column, checkpoint_dir=resume)
    else:
        embedder = None if model is None else load_model(model)
        table = measure_vne(load_corpus(corpus), embedder=embedder, checkpoint_dir=resume)
    mixture = table.mixture()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        table.write(out / "vne-table.json")
        mixture.write(out / "vne.json")
        click.echo(f"wrote {out / 'vne-table.json'}, {out / 'vne.json'}", err=True)
    show(as_json, SCHEMA, {"table": table.content(), "mixtures": {"vne": dict(mixture)}}, _text(table))


def _paths(words: Sequence[str]) -> dict[str, str]:
    paths: dict[str, str] = {}
    for word in words:
        domain, _, path = word.partition("=")
        if not domain or not path:
            raise click.BadParameter(f"{word!r} is not DOMAIN=PATH", param_hint="--embeddings")
        if domain in paths:
            raise click.BadParameter(f"{domain!r} is given twice", param_hint="--embeddings")
        paths[domain] = path
    return paths


def _text(table: VneTable) -> str:
    return (
        f"{table.to_text()}\n"
        "e^VNE: effective number of different vectors; mixture: shares of training tokens, e^VNE / sum of e^VNE\n\n"
        "Von Neumann entropies grow with the number of vectors until that is some ten times e^VNE: "
        "compare domains of like numbers."
    )
