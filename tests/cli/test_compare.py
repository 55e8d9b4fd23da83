import json
from pathlib import Path

import numpy as np
import pytest

import mixlaw as package
from mixlaw import RunTable


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Six mixtures of two domains, which help each other, at one checkpoint."""
    web = np.array([0.1, 0.25, 0.4, 0.55, 0.7, 0.85])
    r = np.column_stack([web, 1.0 - web])
    losses = (r @ [[1.0, 0.3], [0.2, 1.0]]) ** [-0.2, -0.1] * [2.0, 3.0]
    names = ["web", "code"]
    table = RunTable.from_arrays(
        r, losses, train_domains=names, eval_domains=names, tokens=1e9, steps=100.0, params=1e6, run=list("abcdef")
    )
    table.write(tmp_path / "runs.csv")
    return tmp_path / "runs.csv"


def test_the_comparison_is_printed_and_written(mixlaw, runs: Path, tmp_path: Path) -> None:
    words = ["compare", runs, "--law", "transfer", "--law", "bimix", "--draws", 2, "--seed", 3]
    done = mixlaw(*words, "--out", tmp_path / "found.json")
    assert done.code == 0
    assert done.stderr == f"wrote {tmp_path / 'found.json'}\n"
    found = package.compare(RunTable.read(runs), laws=["transfer", "bimix"], draws=2, seed=3)
    assert done.stdout == found.to_text() + "\n"
    assert found.law == "transfer"
    as_json = mixlaw(*words, "--json")
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "found.json").read_text())
    assert json.loads(as_json.stdout)["schema"] == "mixlaw.comparison/1"


def test_options_reach_the_comparison(mixlaw, runs: Path) -> None:
    words = ["--law", "linear", "--draws", 0, "--folds", 3, "--x", "steps", "--weight", "code=2", "--params", 1e6]
    content = json.loads(mixlaw("compare", runs, *words, "--json").stdout)
    assert (content["folds"], content["draws"], content["x"]) == (3, 0, "steps")
    assert content["weights"] == {"web": 0.0, "code": 1.0}
    assert content["learning_curve"] == []
    assert content["extrapolation"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--law", "bimx"], "runs.csv: no mixing law is called 'bimx'; did you mean 'bimix'?"),
        (["--folds", "1"], "folds: at least 2, not 1"),
        (["--draws", "1"], "draws: 0, or at least 2"),
        (["--weight", "web"], "'web' is not DOMAIN=NUMBER"),
        (["--weight", "wbe=1"], "weight of 'wbe': no evaluation domain"),
        (["--params", "3e6"], "no run has 3e+06 parameters"),
        (["--x", "epochs"], "'epochs' is not one of 'tokens', 'steps'"),
    ],
)
def test_bad_options_are_bad_usage(mixlaw, runs: Path, words: list[str], message: str) -> None:
    done = mixlaw("compare", runs, *words)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr


def test_two_mixtures_are_bad_input(mixlaw, runs: Path) -> None:
    runs.write_text("".join(line + "\n" for line in runs.read_text().splitlines()[:3]))
    done = mixlaw("compare", runs)
    assert done.code == 2
    assert "runs.csv: compare holds out mixtures and needs at least 3; the runs have 2" in done.stderr
