import json
from pathlib import Path

import numpy as np
import pytest

import mixlaw as package
from mixlaw import Mixture, RunTable, laws

DOMAINS = ["web", "code", "a=b"]


@pytest.fixture
def law(tmp_path: Path) -> Path:
    shares = np.array([[0.2, 0.3, 0.5], [0.5, 0.2, 0.3], [0.3, 0.5, 0.2], [0.6, 0.3, 0.1]])
    r, tokens = np.repeat(shares, 4, axis=0), np.tile([100.0, 200.0, 400.0, 800.0], 4)
    losses = r ** [-0.1, -0.3, -0.05] * (2.0 + 30.0 * tokens[:, None] ** -0.5)
    runs = RunTable.from_arrays(r, losses, train_domains=DOMAINS, eval_domains=DOMAINS, tokens=tokens)
    laws.get("bimix").fit(runs).write(tmp_path / "law.json")
    return tmp_path / "law.json"


def test_the_optimum_is_printed_and_the_mixture_written(mixlaw, law: Path, tmp_path: Path) -> None:
    done = mixlaw("optimize", law, "--at", "1e4", "--out", tmp_path / "best.json")
    best = package.optimize(laws.read(law), at=1e4)
    assert done.code == 0
    assert done.stdout == best.to_text() + "\n"
    assert done.stderr == f"wrote {tmp_path / 'best.json'}\n"
    assert Mixture.read(tmp_path / "best.json") == best.mixture


def test_floors_caps_and_weights_are_those_given(mixlaw, law: Path) -> None:
    done = mixlaw(
        "optimize", law, "--at", "1e4", "--floor", "0.05", "--floor", "a=b=0.2", "--cap", "0.7", "--cap", "code=0.4",
        "--weight", "web=1", "--weight", "code=3", "--json",
    )  # fmt: skip
    assert done.code == 0
    content = json.loads(done.stdout)
    assert content["schema"] == "mixlaw.optimum/1"
    assert content["floors"] == {"web": 0.05, "code": 0.05, "a=b": 0.2}
    assert content["caps"] == {"web": 0.7, "code": 0.4, "a=b": 0.7}
    assert content["weights"] == {"web": 0.25, "code": 0.75, "a=b": 0.0}
    assert content["mixture"] == pytest.approx({"web": 0.4, "code": 0.4, "a=b": 0.2})
    assert content["kkt_residual"] <= 1e-10


def test_an_optimum_that_was_written_can_be_predicted(mixlaw, law: Path, tmp_path: Path) -> None:
    best = json.loads(mixlaw("optimize", law, "--at", "1e4", "--out", tmp_path / "best.json", "--json").stdout)
    words = ["predict", law, "--mixture", tmp_path / "best.json", "--at", "1e4", "--json"]
    (prediction,) = json.loads(mixlaw(*words).stdout)["predictions"]
    assert prediction["losses"] == best["losses"]
    assert prediction["mean"] == pytest.approx(best["objective"], rel=1e-15)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--floor", "0.5"], "the floors of 3 domains sum to 1.5, more than 1"),
        (["--floor", "code=0.5", "--cap", "code=0.4"], "domain 'code': the floor 0.5 is above the cap 0.4"),
        (["--cap", "cod=0.4"], "cap of 'cod': no training domain; did you mean 'code'?"),
        (["--weight", "wbe=1"], "weight of 'wbe': no evaluation domain; did you mean 'web'?"),
        (["--weight", "web=1"], "nothing speaks for any tokens of 'code' (its weight is 0), 'a=b' (its weight is 0)"),
        (["--weight", "web"], "Invalid value for --weight: 'web' is not DOMAIN=NUMBER"),
        (["--floor", "web=much"], "Invalid value for --floor: 'web=much': 'much' is not a number"),
        (["--floor", "much"], "Invalid value for --floor: 'much': 'much' is not a number"),
        (["--cap", "0.5", "--cap", "0.6"], "Invalid value for --cap: '0.5' and '0.6' are both for every domain"),
        (["--cap", "web=0.5", "--cap", "web=0.6"], "Invalid value for --cap: 'web' is given twice"),
        (["--floor", "web=nan"], "floor of 'web': expected a finite number, not nan"),
        (["--at", "-3"], "at: tokens must be positive and finite"),
    ],
)
def test_what_has_no_optimum_is_bad_input(mixlaw, law: Path, words: list[str], message: str) -> None:
    done = mixlaw("optimize", law, "--at", "1e4", *words)
    assert done.code == 2
    assert done.stdout == ""
    assert message in done.stderr


def test_the_length_of_training_is_required(mixlaw, law: Path) -> None:
    done = mixlaw("optimize", law)
    assert done.code == 2
    assert "Missing option '--at'" in done.stderr


def test_an_absent_law_is_bad_input(mixlaw, tmp_path: Path) -> None:
    done = mixlaw("optimize", tmp_path / "none.json", "--at", "1e4")
    assert done.code == 2
    assert "none.json: cannot be read" in done.stderr
