"""``mixlaw train``: a corpus of token shards and mixtures in, a run table out."""

from pathlib import Path

import click

from mixlaw.cli.output import json_option, show
from mixlaw.errors import InputError
from mixlaw.mixture import Mixture
from mixlaw.reading import load_corpus
from mixlaw.runs import RunTable
from mixlaw.train.campaign import DEVICES, train_proxies
from mixlaw.train.settings import ProxySettings
from mixlaw.train.split import CorpusSplit, split_corpus

SCHEMA = "mixlaw.trained/1"
WORDS = ("natural", "uniform")


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option(
    "--mixture",
    "words",
    metavar="MIXTURE",
    multiple=True,
    required=True,
    help="Mixture to train on, repeatable: a JSON file, whose name without .json names the mixture; `natural`, in "
    "proportion to the training tokens; or `uniform`.",
)
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    help="Settings of a run (YAML); docs/train.md lists them with their defaults.",
)
@click.option(
    "--seed", "seeds", type=int, multiple=True, default=(0,), show_default=True, help="Seed; repeatable: one run each."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the runs.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where to train.")
@click.option(
    "--workers", type=click.IntRange(1), metavar="N", help="Runs trained at a time.  [default: one a CPU core]"
)
@json_option
def train(
    corpus: Path,
    words: tuple[str, ...],
    settings: Path | None,
    seeds: tuple[int, ...],
    out: Path,
    device: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Train a small language model on each of several mixtures and record its losses in every domain.

    CORPUS is a corpus.yaml of token shards; `mixlaw tokenize` makes one. The same command goes on where an interrupted
    one stopped. Prints how the documents were divided and the last losses of every run; runs.csv in the output folder
    holds all of them.
    """
    wanted = ProxySettings() if settings is None else ProxySettings.read(settings)
    split = split_corpus(load_corpus(corpus), wanted)
    mixtures: dict[str, Mixture] = {}
    for word in words:
        name = word if word in WORDS else Path(word).stem
        if name in mixtures:
            raise InputError(f"two mixtures are called {name!r}; rename a file")
        mixtures[name] = _mixture(word, split)
    runs = train_proxies(split, mixtures, out=out, settings=wanted, seeds=seeds, device=device, workers=workers)
    # A folder may also hold runs of an earlier command that was interrupted.
    last = runs.select(runs.status == "done").final()
    content = {
        "table": str(out / "runs.csv"),
        "domains": split.counts(),
        "mixtures": {name: dict(mixture) for name, mixture in mixtures.items()},
        "epochs": {name: split.epochs(mixture, wanted) for name, mixture in mixtures.items()},
        "final_losses": {
            run: dict(zip(last.eval_domains, losses, strict=True))
            for run, losses in zip(last.run.tolist(), last.losses.tolist(), strict=True)
        },
    }
    show(as_json, SCHEMA, content, _text(split, wanted, last, out))


def _mixture(word: str, split: CorpusSplit) -> Mixture:
    if word == "natural":
        return split.natural()
    return split.uniform() if word == "uniform" else Mixture.read(word)


def _text(split: CorpusSplit, settings: ProxySettings, last: RunTable, out: Path) -> str:
    width = max(len("domain"), *map(len, split.domains))
    lines = [f"{'domain':{width}}  {'training tokens':>15}  {'validation tokens':>17}  {'duplicates':>10}"]
    lines += [
        f"{name:{width}}  {count['training_tokens']:15,}  {count['validation_tokens']:17,}  {count['duplicates']:10,}"
        for name, count in split.counts().items()
    ]
    width = max(len("run"), *map(len, last.runs))
    widths = [max(6, len(name)) for name in last.eval_domains]
    names = [f"{name:>{cell}}" for name, cell in zip(last.eval_domains, widths, strict=True)]
    lines += ["", "  ".join([f"{'run':{width}}", f"{'most epochs':>11}", *names])]
    for run, losses in zip(last.run.tolist(), last.losses, strict=True):
        epochs = max(split.epochs(last.mixture(run), settings).values())
        cells = [f"{loss:{cell}.4f}" for loss, cell in zip(losses, widths, strict=True)]
        lines.append("  ".join([f"{run:{width}}", f"{epochs:11.2f}", *cells]))
    notes = "losses in nats per token after", "tokens; most epochs: of the domain that a run repeats most"
    lines += ["", f"{notes[0]} {last.tokens[0]:,.0f} {notes[1]}", f"every evaluation is in {out / 'runs.csv'}"]
    return "\n".join(lines)
