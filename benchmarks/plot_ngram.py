"""Draw the lengths of results/ngram.csv: ``python benchmarks/plot_ngram.py`` writes docs/counting.svg.

Tokens a second against the length of the synthetic stream, on two threads, with and without a cap on memory.
"""

import csv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(results: Path = ROOT / "benchmarks" / "results" / "ngram.csv", out: Path = ROOT / "docs") -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "mixlaw", "svg.fonttype": "none"})  # the same file for the same figures
    with results.open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["stream"], row["threads"], row["order"], row["status"]) == ("Zipf-Markov", "2", "2", "ok")
        ]
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for counter in dict.fromkeys(row["counter"] for row in rows):
        points = sorted(
            (int(row["tokens"]), float(row["Mtokens_per_second"])) for row in rows if row["counter"] == counter
        )
        axis.plot(*zip(*points, strict=True), label=counter, marker="o")
    axis.set(xscale="log", xlabel="tokens", ylabel="million tokens per second", ylim=(0, None))
    axis.legend(fontsize=8)
    figure.savefig(out / "counting.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
