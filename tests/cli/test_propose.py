import json
from pathlib import Path

import numpy as np
import pytest

import mixlaw as package
from mixlaw import Mixture, RunTable, laws

DOMAINS = ("web", "code", "a=b")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    r = np.random.default_rng(0).dirichlet(np.ones(3), 7)
    losses = (r + 0.05 * r[:, ::-1]) ** [-0.1, -0.3, -0.05] * 2.0
    RunTable.from_arrays(r, losses, train_domains=DOMAINS, eval_domains=DOMAINS, tokens=1e9).write(
        tmp_path / "runs.csv"
    )
    return tmp_path / "runs.csv"


@pytest.fixture
def law(runs: Path, tmp_path: Path) -> Path:
    laws.get("transfer").fit(RunTable.read(runs)).write(tmp_path / "law.json")
    return tmp_path / "law.json"


def test_mixtures_are_printed_and_written_under_the_name_of_the_folder(mixlaw, tmp_path: Path) -> None:
    words = ["--domain", "web", "--domain", "code", "--floor", "0.1", "--cap", "code=0.5"]
    done = mixlaw("propose", "11", *words, "--out", tmp_path / "deep" / "first")
    assert (done.code, done.stderr) == (0, f"wrote 11 mixtures to {tmp_path / 'deep' / 'first'}\n")
    expected = package.propose(11, domains=["web", "code"], floors=0.1, caps={"code": 0.5})
    names = [f"first-{k:02}" for k in range(1, 12)]
    assert sorted(path.name for path in (tmp_path / "deep" / "first").iterdir()) == [f"{name}.json" for name in names]
    assert [Mixture.read(tmp_path / "deep" / "first" / f"{name}.json") for name in names] == expected
    header, web, code = [line.split() for line in done.stdout.splitlines()]
    assert header == ["domain", *names]
    assert web == ["web", *(f"{mixture['web']:.4f}" for mixture in expected)]
    assert code == ["code", *(f"{mixture['code']:.4f}" for mixture in expected)]


def test_a_folder_that_holds_something_is_left_alone(mixlaw, tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("mine")
    done = mixlaw("propose", "1", "--domain", "web", "--out", tmp_path)
    assert done.code == 2
    assert "the folder is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def test_a_law_or_a_table_of_runs_gives_active_proposals(mixlaw, runs: Path, law: Path) -> None:
    words = ["--floor", "0.02", "--weight", "code=2", "--weight", "a=b=1", "--seed", "3"]
    content = json.loads(mixlaw("propose", "2", "--law", law, *words, "--at", "1e9", "--json").stdout)
    expected = package.propose(2, law=laws.read(law), floors=0.02, weights={"code": 2, "a=b": 1}, seed=3)
    assert (content["schema"], content["method"], content["seed"]) == ("mixlaw.proposal/1", "active", 3)
    assert content["mixtures"] == {f"mixture-{k}": dict(mixture) for k, mixture in enumerate(expected, start=1)}
    content = json.loads(mixlaw("propose", "2", "--runs", runs, "--method", "space-filling", "--json").stdout)
    filling = package.propose(2, runs=RunTable.read(runs), method="space-filling")
    assert content["mixtures"] == {f"mixture-{k}": dict(mixture) for k, mixture in enumerate(filling, start=1)}


def test_a_prior_is_read(mixlaw, tmp_path: Path) -> None:
    prior = Mixture({"web": 0.9, "code": 0.1})
    prior.write(tmp_path / "prior.json")
    words = ["--domain", "web", "--domain", "code", "--method", "dirichlet", "--prior", tmp_path / "prior.json"]
    content = json.loads(mixlaw("propose", "3", *words, "--json").stdout)
    expected = package.propose(3, domains=["web", "code"], method="dirichlet", prior=prior)
    assert list(content["mixtures"].values()) == [dict(mixture) for mixture in expected]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1"], "give one of --domain (for each domain), --runs and --law"),
        (["1", "--domain", "web", "--law", "law.json"], "give one of --domain"),
        (["0", "--domain", "web"], "0 is not in the range x>=1"),
        (["1", "--domain", "web", "--method", "active"], "method='active' needs runs or a law"),
        (["1", "--domain", "web", "--method", "random"], "'random' is not one of"),
        (["1", "--domain", "web", "--at", "1"], "at: no argument of the method 'space-filling'"),
        (["1", "--domain", "web", "--floor", "cod=1"], "floor of 'cod'"),
        (["1", "--domain", "web", "--floor", "0.1", "--floor", "0.2"], "'0.1' and '0.2' are both for every domain"),
        (["1", "--domain", "web", "--domain", "web"], "training domain 'web' stands twice"),
        (["1", "--law", "absent.json"], "absent.json"),
    ],
)
def test_wrong_words_are_bad_usage_or_bad_input(mixlaw, words: list[str], message: str) -> None:
    done = mixlaw("propose", *words)
    assert done.code == 2
    assert message in done.stderr
    assert done.stdout == ""
