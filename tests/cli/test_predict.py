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
    interval = ["90", "%", "interval"]
    assert table[2] == ["domain", str(half), *interval, str(most), *interval]
    for row, name, values in (
        (3, "web", web),
        (4, "code", code),
        (5, "mean", [(a + b) / 2 for a, b in zip(web, code, strict=True)]),
    ):
        # The runs obey the law to the last bit, so that nothing is unsure.
        shown = [["-"] if name == "mean" else [f"{value:.3f}", "to", f"{value:.3f}"] for value in values]
        assert table[row] == [name, f"{values[0]:.4f}", *shown[0], f"{values[1]:.4f}", *shown[1]]
    assert done.stdout.endswith("\n\n- The intervals are for a single new run.\n")


def test_json_is_alone_on_stdout(mixlaw, law: Path, tmp_path: Path) -> None:
    half = mixture(tmp_path / "half.json", 0.5)
    done = mixlaw("predict", law, "--mixture", half, "--at", "1600", "--json")
    content = json.loads(done.stdout)
    assert (content["schema"], content["law"], content["at"], content["x"]) == (
        "mixlaw.prediction/1", "bimix", 1600.0, "tokens",
    )  # fmt: skip
    (prediction,) = content["predictions"]
    assert (content["level"], content["unsure"]) == (0.9, "")
    fitted = laws.read(law)
    expected = fitted.predict([[0.5, 0.5]], at=1600.0)[0].tolist()
    bounds = np.array(fitted.interval([[0.5, 0.5]], at=1600.0))[:, 0].T.tolist()
    assert prediction == {
        "mixture": str(half),
        "losses": dict(zip(["web", "code"], expected, strict=True)),
        "intervals": dict(zip(["web", "code"], bounds, strict=True)),
        "mean": pytest.approx(np.mean(expected)),
    }
    assert done.stderr == ""


def test_a_domain_without_tokens_has_no_finite_prediction(mixlaw, law: Path, tmp_path: Path) -> None:
    every = mixture(tmp_path / "every.json", 1.0)
    shown = mixlaw("predict", law, "--mixture", every, "--at", "1600").stdout
    assert ["code", "inf", "-"] in [line.split() for line in shown.splitlines()]
    (prediction,) = json.loads(mixlaw("predict", law, "--mixture", every, "--at", "1600", "--json").stdout)[
        "predictions"
    ]
    assert prediction["losses"]["code"] is None
    assert prediction["losses"]["web"] == pytest.approx(2.75)
    assert prediction["mean"] is None
    assert prediction["intervals"]["code"] == [None, None]
    assert prediction["intervals"]["web"] == pytest.approx([2.75, 2.75])


def noisy_runs(mixtures: int) -> RunTable:
    rng = np.random.default_rng(0)
    web = np.linspace(0.1, 0.9, mixtures)
    r = np.column_stack([web, 1.0 - web])
    losses = 2.0 * r**-0.1 * np.exp(0.01 * rng.normal(size=(mixtures, 2)))
    return RunTable.from_arrays(r, losses, train_domains=["web", "code"], eval_domains=["web", "code"], tokens=1e9)


@pytest.mark.parametrize("name", ["bimix", "transfer", "transfer-gp", "exponential", "additive", "joint", "linear"])
def test_intervals_are_those_of_the_law_whichever_it_is(mixlaw, tmp_path: Path, name: str) -> None:
    fitted = laws.get(name).fit(noisy_runs(10))
    fitted.write(tmp_path / "law.json")
    paths = [mixture(tmp_path / f"{web}.json", web) for web in (0.3, 0.7)]
    words = ["predict", tmp_path / "law.json", "--at", "1e9", *(w for path in paths for w in ("--mixture", path))]
    shown, content = mixlaw(*words).stdout, json.loads(mixlaw(*words, "--json").stdout)
    low, high = fitted.interval([[0.3, 0.7], [0.7, 0.3]], at=1e9, level=0.9)
    for k, prediction in enumerate(content["predictions"]):
        for i, domain in enumerate(("web", "code")):
            bounds = prediction["intervals"][domain]
            assert bounds == pytest.approx([low[k, i], high[k, i]], rel=1e-12)
            assert bounds[0] < prediction["losses"][domain] < bounds[1]
            assert f"{bounds[0]:.3f} to {bounds[1]:.3f}" in shown


@pytest.mark.parametrize(
    ("name", "runs", "why"), [("trees", 12, "trees has none"), ("bimix", 2, "not identified without run")]
)
def test_a_law_without_standard_errors_says_so(mixlaw, tmp_path: Path, name: str, runs: int, why: str) -> None:
    laws.get(name).fit(noisy_runs(runs)).write(tmp_path / "law.json")
    half = mixture(tmp_path / "half.json", 0.5)
    words = ["predict", tmp_path / "law.json", "--mixture", half, "--at", "1e9"]
    shown, content = mixlaw(*words), json.loads(mixlaw(*words, "--json").stdout)
    assert shown.code == 0
    assert "interval" not in shown.stdout.splitlines()[2]
    last = shown.stdout.splitlines()[-1]
    assert last.startswith("- Without intervals: domain 'web'")
    assert why in last
    (prediction,) = content["predictions"]
    assert prediction["intervals"] == {}
    assert content["unsure"] in last


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
