import json
from pathlib import Path

import pytest

import mixlaw as package
from mixlaw import Mixture, RunTable, laws

TABLE = """\
run,tokens,step,params,weight/web,weight/code,loss/web,loss/code
a,1e9,10,1e6,0.2,0.8,3.0,2.0
b,1e9,10,1e6,0.5,0.5,2.9,2.1
c,1e9,10,1e6,0.8,0.2,2.8,2.3
d,1e9,10,1e6,0.8,0.2,2.8,2.3
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs.csv").write_text(TABLE)
    return tmp_path / "runs.csv"


def test_findings_are_printed_and_are_no_failure(mixlaw, runs: Path) -> None:
    done = mixlaw("diagnose", runs)
    assert (done.code, done.stderr) == (0, "")
    first, *_ = done.stdout.split("\n\n")
    assert first.startswith("problem (copies): Runs c and d have the same mixture")
    assert len(done.stdout.split("\n\n")) == len(package.diagnose(RunTable.read(runs)))


def test_json_holds_the_findings(mixlaw, runs: Path) -> None:
    content = json.loads(mixlaw("diagnose", runs, "--json").stdout)
    assert content["schema"] == "mixlaw.diagnosis/1"
    assert content["fingerprint"] == RunTable.read(runs).fingerprint()
    expected = [finding._asdict() for finding in package.diagnose(RunTable.read(runs))]
    assert content["findings"] == expected


def test_law_mixture_and_length_are_looked_at(mixlaw, runs: Path, tmp_path: Path) -> None:
    laws.get("linear").fit(RunTable.read(runs), x="steps").write(tmp_path / "law.json")
    Mixture({"web": 0.9, "code": 0.1}).write(tmp_path / "mixture.json")
    words = ["--law", tmp_path / "law.json", "--mixture", tmp_path / "mixture.json", "--at", 1000, "--x", "steps"]
    content = json.loads(mixlaw("diagnose", runs, *words, "--json").stdout)
    kinds = [finding["kind"] for finding in content["findings"]]
    assert "mixture outside" in kinds
    assert "length outside" in kinds
    assert "other runs" not in kinds
    refused = mixlaw("diagnose", runs, *words[:2])
    assert refused.code == 2
    assert "runs.csv: law: it is fitted to steps, not to tokens" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--at", "-1"], "runs.csv: at: tokens must be positive and finite, not -1.0"),
        (["--at", "soon"], "'soon' is not a valid float"),
        (["--law", "none.json"], "none.json"),
        (["--mixture", "none.json"], "none.json"),
        (["--params", "2e6"], "no run has 2e+06 parameters"),
    ],
)
def test_bad_options_are_bad_usage(mixlaw, runs: Path, words: list[str], message: str) -> None:
    done = mixlaw("diagnose", runs, *words)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_mixture_of_other_domains_is_bad_input(mixlaw, runs: Path, tmp_path: Path) -> None:
    Mixture({"web": 0.9, "cod": 0.1}).write(tmp_path / "mixture.json")
    done = mixlaw("diagnose", runs, "--mixture", tmp_path / "mixture.json")
    assert done.code == 2
    assert "runs.csv: " in done.stderr
