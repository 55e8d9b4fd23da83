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
    assert content["schema"] == "mixlaw.optimum/2"
    assert content["constraints"]["floors"] == {"web": 0.05, "code": 0.05, "a=b": 0.2}
    assert content["constraints"]["caps"] == {"web": 0.7, "code": 0.4, "a=b": 0.7}
    assert content["weights"] == {"web": 0.25, "code": 0.75, "a=b": 0.0}
    assert content["mixture"] == pytest.approx({"web": 0.4, "code": 0.4, "a=b": 0.2})
    assert content["gap"] <= 1e-10


def test_every_other_option_reaches_the_optimum(mixlaw, law: Path, tmp_path: Path) -> None:
    natural = Mixture({"web": 0.5, "code": 0.3, "a=b": 0.2})
    natural.write(tmp_path / "natural.json")
    done = mixlaw(
        "optimize", law, "--at", "1e4", "--prior", tmp_path / "natural.json", "--pull", "0.2", "--fix", "a=b=0.25",
        "--group", "code,a=b=0.3:0.6", "--group", "web=:0.9", "--ratio", "code,web=0.5:", "--ratio", "web,code=:3",
        "--available", "code=2e3", "--available", "a=b=1e5", "--max-epochs", "4", "--max-epochs", "a=b=2",
        "--budget", "2e4", "--repetition", "--baseline", f"natural={tmp_path / 'natural.json'}",
        "--draws", "7", "--seed", "3", "--worst-case", "--json",
    )  # fmt: skip
    assert done.code == 0
    best = package.optimize(
        laws.read(law), at=1e4, prior=natural, pull=0.2, fixed={"a=b": 0.25}, worst_case=True,
        groups=[package.GroupBound(("code", "a=b"), 0.3, 0.6), package.GroupBound(("web",), cap=0.9)],
        ratios=[package.RatioBound("code", "web", floor=0.5), package.RatioBound("web", "code", cap=3.0)],
        available={"code": 2e3, "a=b": 1e5}, max_epochs={"code": 4.0, "a=b": 2.0}, budget=2e4, repetition=15.39,
        baselines={"natural": natural}, draws=7, seed=3, floors={}, caps={},
    )  # fmt: skip
    content = json.loads(done.stdout)
    assert {key: content[key] for key in best.content()} == best.content()
    assert content["draws"] == 7
    assert content["constraints"]["repetition"] == 15.39


def test_risk_and_model_size_are_passed_on(mixlaw, law: Path) -> None:
    done = mixlaw("optimize", law, "--at", "1e4", "--risk", "0.5", "--draws", "0", "--json")
    content = json.loads(done.stdout)
    assert content["goal"] == "weighted mean loss + 0.5 sd"
    assert content["error_bars"] == {}
    assert mixlaw("optimize", law, "--at", "1e4", "--params", "1e9").code == 2
    given = mixlaw("optimize", law, "--at", "1e4", "--available", "code=1e3", "--repetition", "4", "--json")
    assert json.loads(given.stdout)["constraints"]["repetition"] == 4.0


def test_an_optimum_that_was_written_can_be_predicted(mixlaw, law: Path, tmp_path: Path) -> None:
    best = json.loads(mixlaw("optimize", law, "--at", "1e4", "--out", tmp_path / "best.json", "--json").stdout)
    words = ["predict", law, "--mixture", tmp_path / "best.json", "--at", "1e4", "--json"]
    (prediction,) = json.loads(mixlaw(*words).stdout)["predictions"]
    assert prediction["losses"] == best["losses"]
    assert prediction["mean"] == pytest.approx(best["objective"], rel=1e-15)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--floor", "0.5"],
            "no mixture satisfies floor of 'web' 0.5, floor of 'code' 0.5 and floor of 'a=b' 0.5; all",
        ),
        (
            ["--floor", "code=0.5", "--cap", "code=0.4"],
            "no mixture satisfies floor of 'code' 0.5 and cap of 'code' 0.4",
        ),
        (["--group", "web,code=0.3:0.4", "--cap", "a=b=0.5"], "cap of group {web, code} 0.4 and cap of 'a=b' 0.5"),
        (["--group", "web,code=0.3"], "Invalid value for --group: 'web,code=0.3' is not A,B=MIN:MAX"),
        (["--group", "web,code=:"], "Invalid value for --group: 'web,code=:' is not A,B=MIN:MAX"),
        (["--group", "web,code=a:b"], "Invalid value for --group: 'web,code=a:b': 'a' is not a number"),
        (["--group", "web,cod=0.3:"], "group {web, cod} of 'cod': no training domain; did you mean 'code'?"),
        (["--ratio", "web=0.3:"], "Invalid value for --ratio: 'web' are not two domains"),
        (["--ratio", "web,web=0.3:"], "ratio web / web: a ratio needs two domains"),
        (["--fix", "0.3"], "Invalid value for --fix: '0.3' is not DOMAIN=NUMBER"),
        (["--available", "1e9"], "Invalid value for --available: '1e9' is not DOMAIN=NUMBER"),
        (["--max-epochs", "4"], "max_epochs: give the tokens of the domains as well (available)"),
        (["--repetition"], "repetition: give the tokens of the domains as well (available)"),
        (["--pull", "1"], "prior and pull: give both"),
        (["--prior", "none.json", "--pull", "1"], "none.json: cannot be read"),
        (["--baseline", "natural"], "Invalid value for --baseline: 'natural' is not NAME=FILE"),
        (["--draws", "1"], "draws: expected 0 or a whole number above 1, not 1"),
        (["--draws", "few"], "Invalid value for '--draws'"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--risk", "1", "--worst-case"], "risk: the standard deviation is that of the mean loss"),
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
