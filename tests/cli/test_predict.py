import json
from pathlib import Path

import numpy as np
import pytest

from mixlaw import Mixture, RunTable, laws


@pytest.fixture
def law(tmp_path: Path) -> Path:
    web = np.repeat([0.2, 0.4, 0.6, 0.8], 4)
    tokens = np.tile([100.0, 200.0, 400.0, 800.0], 4)
    r = np.column_stack([web, 1.0 - web])
    losses = r**-0.1 * (2.0 + 30.0 * tokens[:, None] ** -0.5)
    runs = RunTable.from_arrays(r, losses, train_domains=["web", "code"], eval_domains=["web", "code"], tokens=tokens)
    laws.get("bimix").fit(runs).write(tmp_path / "law.json")
    return tmp_path / "law.json"


def mixture(path: Path, web: float) -> Path:
    Mixture({"code": 1.0 - web, "web": web}).write(path)
    return path


def test_predictions_stand_by_domain_and_mixture(mixlaw, law: Path, tmp_path: Path) -> None:
    half, most = mixture(tmp_path / "half.json", 0.5), mixture(tmp_path / "most.json", 0.9)
    done = mixlaw("predict", law, "--mixture", half, "--mixture", most, "--at", "1600")
    assert done.code == 0
    table = [line.split() for line in done.stdout.splitlines()]
    level = 2.0 + 30.0 / 40.0
    web, code = [0.5**-0.1 * level, 0.9**-0.1 * level], [0.5**-0.1 * level, 0.1**-0.1 * level]
    assert table[0] == ["bimix", "at", "1600", "tokens,", "nats", "per", "token"]
    assert table[2] == ["domain", str(half), str(most)]
    for row, name, values in (
        (3, "web", web),
        (4, "code", code),
        (5, "mean", [(a + b) / 2 for a, b in zip(web, code, strict=True)]),
    ):
        assert table[row] == [name, *(f"{value:.4f}" for value in values)]


def test_json_is_alone_on_stdout(mixlaw, law: Path, tmp_path: Path) -> None:
    half = mixture(tmp_path / "half.json", 0.5)
    done = mixlaw("predict", law, "--mixture", half, "--at", "1600", "--json")
    content = json.loads(done.stdout)
    assert (content["schema"], content["law"], content["at"], content["x"]) == (
        "mixlaw.prediction/1", "bimix", 1600.0, "tokens",
    )  # fmt: skip
    (prediction,) = content["predictions"]
    expected = laws.read(law).predict([[0.5, 0.5]], at=1600.0)[0].tolist()
    assert prediction == {
        "mixture": str(half),
        "losses": dict(zip(["web", "code"], expected, strict=True)),
        "mean": pytest.approx(np.mean(expected)),
    }
    assert done.stderr == ""


def test_a_domain_without_tokens_has_no_finite_prediction(mixlaw, law: Path, tmp_path: Path) -> None:
    every = mixture(tmp_path / "every.json", 1.0)
    shown = mixlaw("predict", law, "--mixture", every, "--at", "1600").stdout
    assert ["code", "inf"] in [line.split() for line in shown.splitlines()]
    (prediction,) = json.loads(mixlaw("predict", law, "--mixture", every, "--at", "1600", "--json").stdout)[
        "predictions"
    ]
    assert prediction["losses"]["code"] is None
    assert prediction["losses"]["web"] == pytest.approx(2.75)
    assert prediction["mean"] is None


@pytest.mark.parametrize("at", ["0", "-5", "nan", "inf"])
def test_a_length_of_training_that_is_none_is_bad_input(mixlaw, law: Path, tmp_path: Path, at: str) -> None:
    done = mixlaw("predict", law, "--mixture", mixture(tmp_path / "half.json", 0.5), "--at", at)
    assert done.code == 2
    assert "at: tokens must be positive and finite" in done.stderr


def test_a_mixture_of_other_domains_is_bad_input_with_its_file(mixlaw, law: Path, tmp_path: Path) -> None:
    Mixture({"web": 0.5, "cod": 0.5}).write(tmp_path / "other.json")
    done = mixlaw("predict", law, "--mixture", tmp_path / "other.json", "--at", "1600")
    assert done.code == 2
    assert "other.json: the mixture has no domain 'code'; did you mean 'cod'?" in done.stderr


@pytest.mark.parametrize("words", [["--at", "1600"], ["--mixture", "m.json"]])
def test_a_missing_option_is_bad_usage(mixlaw, law: Path, words: list[str]) -> None:
    done = mixlaw("predict", law, *words)
    assert done.code == 2
    assert "Missing option" in done.stderr


def test_a_file_that_is_no_law_is_bad_input(mixlaw, tmp_path: Path) -> None:
    half = mixture(tmp_path / "half.json", 0.5)
    done = mixlaw("predict", half, "--mixture", half, "--at", "1600")
    assert done.code == 2
    assert "expected a file of schema 'mixlaw.fitted-law/2', found 'mixlaw.mixture/1'" in done.stderr
