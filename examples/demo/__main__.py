"""The main job, end to end, on real text: corpora, entropies, proxy runs, a mixing law, and an optimised mixture.

``python examples/demo --scale full --out demo-out`` writes every table, law, mixture and picture to the output folder.
The work is fixed in tokens, so the time depends on the machine; it is reported.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import figures
import numpy as np
import validation
from harvest import Harvest, harvest
from tokenizers import ByteLevelBPETokenizer

import mixlaw
from mixlaw import Corpus, EntropyTable, FittedLaw, Mixture, RunTable
from mixlaw.reading import write_shards


@dataclass(frozen=True)
class Scale:
    """How much work the demo does; everything else is the same code."""

    domain_bytes: int
    vocab_size: int
    hidden: int
    layers: int
    tokens: int
    checkpoints: int
    evaluation_tokens: int
    drawn_mixtures: int


SCALES = {
    "full": Scale(3_000_000, 2048, 64, 2, 2**20, 8, 8_192, 4),
    "tiny": Scale(1_000_000, 512, 16, 1, 2**15, 4, 4_096, 3),
}
SEED = 0
FRESH_SEEDS = (101, 102)
FLOOR = 0.02
MARKER = ".made-by-the-mixlaw-demo"


def main() -> None:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="full", help="full: minutes; tiny: the same path in seconds")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="output folder")
    arguments = parser.parse_args()
    begin_anew(arguments.out)
    begun = time.perf_counter()
    run(SCALES[arguments.scale], arguments.out)
    print(f"\nDone in {time.perf_counter() - begun:.0f} s on {os.cpu_count()} CPU cores.")
    print(f"Tables, runs, law, mixture and pictures are in {arguments.out}/.")


def begin_anew(out: Path) -> None:
    """Make the output folder, or empty it if an earlier demo made it."""
    marker = out / MARKER
    if out.exists() and any(out.iterdir()) and not marker.exists():
        raise SystemExit(f"{out} holds files that are not the demo's: choose another folder with --out")
    if marker.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    marker.touch()


def run(scale: Scale, out: Path) -> None:
    """Do the whole job and write what it made to `out`."""
    with step("1. Harvest real text from this environment"):
        domains = harvest(scale.domain_bytes)
        show_harvest(domains)
        text = write_corpus(domains, scale.vocab_size, out / "text")
    with step("2. Tokenise it"):
        corpus = tokenise(text, out / "tokens")
    with step("3. Level one, no training: entropies, and the mixtures that follow from them"):
        entropies = mixlaw.measure_entropies(corpus)
        entropies.write(out / "entropies.json")
        print(entropies.to_text())
        mixtures = candidates(domains, entropies, scale.drawn_mixtures)
        show_mixtures(mixtures)
    with step("4. Level two, a few small runs: train a proxy on every mixture"):
        runs = train(corpus, mixtures, scale, out / "proxies", seeds=(SEED,))
        runs.write(out / "runs.csv")
    with step("5. Fit the transfer law, and test it on what it has not seen"):
        law = fit(runs, "transfer")
        law.write(out / "law.json")
        print(law.report())
        tests = test(runs)
    with step("6. Optimise the mixture"):
        at = float(runs.x("tokens").max())
        optimum = mixlaw.optimize(law, at=at, floors=FLOOR)
        optimum.mixture.write(out / "optimum.json")
        print(optimum.to_text())
    with step("7. Train the optimised mixture against the others, on fresh seeds"):
        best = best_observed(runs, mixtures)
        print(f"Best observed: {best}, by the mean loss over domains at the end of its run.")
        finalists = {"optimised": optimum.mixture}
        finalists |= {name: mixtures[name] for name in ("natural", "uniform", best)}
        realised = train(corpus, finalists, scale, out / "finalists", seeds=FRESH_SEEDS)
        realised.write(out / "finalists.csv")
        verdict = compare(realised, finalists, law, at)
    with step("8. Draw the fit"):
        figures.loss_against_proportion(runs, law, out / "loss-against-proportion.png")
        figures.loss_against_tokens(runs, law, out / "loss-against-tokens.png")
        (out / "summary.json").write_text(json.dumps({"tests": tests, "finalists": verdict}, indent=2) + "\n")


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print a title in front of a step, and its time behind."""
    print(f"\n=== {title}", flush=True)
    begun = time.perf_counter()
    yield
    print(f"    ({time.perf_counter() - begun:.1f} s)", flush=True)


def show_harvest(domains: dict[str, Harvest]) -> None:
    """Print what was found, and where."""
    for name, domain in domains.items():
        print(
            f"{name:12} {domain.kept_bytes / 1e6:5.1f} MB of {domain.found_bytes / 1e6:6.1f} MB, "
            f"{len(domain.documents):5} documents: {domain.origin}"
        )


def write_corpus(domains: dict[str, Harvest], vocab_size: int, folder: Path) -> Path:
    """Write the documents as JSON lines, a BPE tokenizer trained on them, and the corpus.yaml that names both."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["tokenizer: tokenizer.json", "domains:"]
    for name, domain in domains.items():
        with open(folder / f"{name}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": document}) + "\n" for document in domain.documents)
        lines.append(f"  {name}: {{paths: {name}.jsonl, format: jsonl, field: text}}")
    bpe = ByteLevelBPETokenizer()
    sample = (document for domain in domains.values() for document in domain.documents[::4])
    bpe.train_from_iterator(sample, vocab_size=vocab_size, show_progress=False)
    bpe.save(str(folder / "tokenizer.json"))
    (folder / "corpus.yaml").write_text("\n".join(lines) + "\n")
    return folder / "corpus.yaml"


def tokenise(text: Path, folder: Path) -> Corpus:
    """Write token shards, as ``mixlaw tokenize`` does, and open them."""
    write_shards(text, folder)
    corpus = mixlaw.load_corpus(folder / "corpus.yaml")
    for name, domain in corpus.items():
        print(f"{name:12} {sum(len(shard.tokens) for shard in domain.shards()):>9,} tokens")
    return corpus


def candidates(domains: dict[str, Harvest], entropies: EntropyTable, drawn: int) -> dict[str, Mixture]:
    """Natural, uniform, the three entropy proxies, and some drawn at random."""
    names = list(domains)
    m = len(names)
    random = np.random.default_rng(SEED)
    return {
        "natural": Mixture.proportional({name: domain.found_bytes for name, domain in domains.items()}),
        "uniform": Mixture.proportional(dict.fromkeys(names, 1.0)),
        **{proxy: entropies.mixture(proxy) for proxy in ("se", "ce", "je")},
        **{
            # A tenth of each is uniform, so that no domain is as good as absent.
            f"drawn-{number}": Mixture.from_array(names, 0.9 * random.dirichlet(np.ones(m)) + 0.1 / m)
            for number in range(drawn)
        },
    }


def show_mixtures(mixtures: dict[str, Mixture]) -> None:
    """Print mixtures as a table, one a row."""
    print("\nMixtures (shares of training tokens). natural: by the bytes that each domain was found to have, above;")
    print("se, ce, je: by e^entropy; drawn: 0.9 Dirichlet(1) + 0.1 uniform.")
    domains = list(next(iter(mixtures.values())))
    print(f"{'':12}" + "".join(f"{domain:>13}" for domain in domains))
    for name, mixture in mixtures.items():
        print(f"{name:12}" + "".join(f"{mixture[domain]:13.3f}" for domain in domains))


def train(corpus: Corpus, mixtures: dict[str, Mixture], scale: Scale, out: Path, seeds: tuple[int, ...]) -> RunTable:
    """Train a proxy on every mixture with every seed."""
    settings = mixlaw.ProxySettings(
        layers=scale.layers,
        hidden=scale.hidden,
        tokens=scale.tokens,
        evaluate_every=scale.tokens // scale.checkpoints,
        evaluation_tokens=scale.evaluation_tokens,
    )
    return mixlaw.train_proxies(corpus, mixtures, settings=settings, out=out, seeds=seeds)


def fit(runs: RunTable, name: str) -> FittedLaw:
    """Fit a law over tokens."""
    return mixlaw.laws.get(name).fit(runs, x="tokens")


def test(runs: RunTable) -> dict[str, dict[str, float]]:
    """Print the true errors of two laws on held-out losses beside those of a trivial predictor."""
    tests = {
        "last checkpoint (trivial: the one before)": validation.last_checkpoint,
        "each mixture left out (trivial: mean of the others)": validation.each_mixture,
    }
    print(f"\n{'held out':54}{'losses':>8}{'transfer':>10}{'BiMix':>9}{'trivial':>9}   mean relative error")
    found = {}
    for title, run_test in tests.items():
        errors = {name: run_test(runs, partial(fit, name=name)) for name in ("transfer", "bimix")}
        held_out, trivial = errors["bimix"].held_out, errors["bimix"].trivial
        ours, bimix = (each.law for each in errors.values())
        print(f"{title:54}{held_out:>8}{ours:>10.2%}{bimix:>9.2%}{trivial:>9.2%}")
        found[title] = {"held_out": held_out, "transfer": ours, "bimix": bimix, "trivial": trivial}
    return found


def best_observed(runs: RunTable, mixtures: dict[str, Mixture]) -> str:
    """Name of the mixture with the lowest mean loss at the last checkpoint."""
    final = runs.final()
    return list(mixtures)[int(final.losses.mean(axis=1).argmin())]


def compare(realised: RunTable, finalists: dict[str, Mixture], law: FittedLaw, at: float) -> dict[str, dict[str, Any]]:
    """Print predicted against realised mean loss, and whether differences exceed the spread between seeds."""
    final = realised.final()
    rows = {}
    for name, mixture in finalists.items():
        shares = mixture.to_array(final.train_domains)
        own = [int(np.flatnonzero(final.run == f"{name}-seed{seed}")[0]) for seed in FRESH_SEEDS]
        losses = final.losses[own].mean(axis=1)
        rows[name] = {
            "predicted": float(law.predict(shares[None], at=at).mean()),
            "realised": float(losses.mean()),
            "spread": float(losses.max() - losses.min()),
            "by_seed": losses.tolist(),
        }
    print(f"Mean loss over domains, nats per token; realised: mean of {len(FRESH_SEEDS)} fresh seeds.\n")
    print(f"{'':28}{'predicted':>10}{'realised':>10}{'spread between seeds':>22}")
    for name, row in rows.items():
        print(f"{name:28}{row['predicted']:>10.4f}{row['realised']:>10.4f}{row['spread']:>22.4f}")
    spread = max(row["spread"] for row in rows.values())
    print()
    for name, row in rows.items():
        if name != "optimised":
            gain = row["realised"] - rows["optimised"]["realised"]
            size = "more than" if abs(gain) > spread else "no more than"
            side = "better" if gain > 0 else "worse"
            each = ", ".join(f"{b - a:+.4f}" for a, b in zip(rows["optimised"]["by_seed"], row["by_seed"], strict=True))
            print(f"optimised is {abs(gain):.4f} {side} than {name} ({each} seed by seed):")
            print(f"    {size} the largest spread between seeds, {spread:.4f}")
    return rows


if __name__ == "__main__":
    main()
