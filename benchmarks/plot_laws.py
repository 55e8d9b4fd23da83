"""Draw the learning curves of results/laws.csv: ``python benchmarks/plot_laws.py`` writes docs/laws.svg.

Mean relative error and Spearman correlation of unseen mixtures against the number of runs, with two standard errors.
"""

import csv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ("SlimPajama 122M, last checkpoint", "SlimPajama 310M, last checkpoint")


def main() -> None:
    """Write the picture."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "mixlaw", "svg.fonttype": "none"})  # the same file for the same figures
    with (ROOT / "benchmarks" / "results" / "laws.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["data"] in DATA]
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), sharex=True, layout="constrained")
    for column, data in enumerate(DATA):
        mine = [row for row in rows if row["data"] == data]
        for law in dict.fromkeys(row["law"] for row in mine):
            points = [row for row in mine if row["law"] == law]
            for axis, measure in zip(axes[:, column], ("MRE_%", "Spearman"), strict=True):
                drawn = [row for row in points if row[measure] not in ("", "nan")]
                error = measure.replace("_%", "") + "_se"
                axis.errorbar(
                    [int(row["runs"]) for row in drawn],
                    [float(row[measure]) for row in drawn],
                    [2.0 * float(row[error]) for row in drawn],
                    label=law,
                    marker=".",
                    capsize=2,
                )
        axes[0, column].set(title=data, yscale="log")
    axes[0, 0].set_ylabel("mean relative error, percent")
    axes[1, 0].set_ylabel("Spearman correlation of the mean loss")
    for axis in axes[1]:
        axis.set(xlabel="runs", xscale="log", xticks=[3, 6, 12, 24, 48], xticklabels=["3", "6", "12", "24", "48"])
    axes[0, 0].legend(fontsize=8)
    figure.savefig(ROOT / "docs" / "laws.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
