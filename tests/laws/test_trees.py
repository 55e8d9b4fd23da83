import csv
import json
import sys
from pathlib import Path

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from mixlaw import InputError, RunTable, laws
from mixlaw.errors import MissingDependencyError
from mixlaw.laws.trees import LEAF, ROUNDS, SETTINGS, Trees

Array = npt.NDArray[np.float64]


def planted(mixtures: int, seed: int = 0) -> RunTable:
    rng = np.random.default_rng(seed)
    r = rng.dirichlet(np.ones(3), mixtures)
    losses = 2.0 + np.exp(-3.0 * r) + 0.5 * (r[:, [1, 2, 0]] > 0.4)
    names = ["web", 'co"de', "books"]
    return RunTable.from_arrays(r, losses, train_domains=names, eval_domains=names, tokens=1e9)


def test_trees_are_those_of_lightgbm_with_the_settings() -> None:
    runs = planted(250)
    law = Trees().fit(runs)
    data = lightgbm.Dataset(runs.proportions, np.log(runs.losses[:, 1]))
    plain = {"objective": "regression", "learning_rate": 0.01, "seed": 42, "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(plain, data, 1000)
    r = planted(50, seed=1).proportions
    np.testing.assert_allclose(law.predict(r, at=1e9)[:, 1], np.exp(booster.predict(r)), rtol=1e-9)
    assert law.coefficients == {domain: {} for domain in runs.eval_domains}


def test_jumps_are_found() -> None:
    runs, new = planted(300), planted(200, seed=1)
    predicted = Trees().fit(runs).predict(new.proportions, at=1e9)
    assert np.abs(predicted / new.losses - 1.0).mean() < 0.02


@pytest.mark.parametrize(("mixtures", "leaf"), [(5, 1), (12, 1), (64, 6), (200, LEAF), (512, LEAF)])
def test_leaves_hold_a_tenth_of_the_runs_up_to_those_of_regmix(mixtures: int, leaf: int) -> None:
    law = Trees().fit(planted(mixtures))
    assert any(f"their leaves of {leaf} runs or more" in note for note in law.notes)
    if mixtures > 5:
        assert np.ptp(law.predict(planted(mixtures).proportions, at=1e9), axis=0).min() > 0.0


def test_predictions_stay_near_the_losses_of_the_runs() -> None:
    runs = planted(60)
    predicted = Trees().fit(runs).predict(np.eye(3), at=1e9)
    assert (predicted <= 1.05 * runs.losses.max(axis=0)).all()
    assert (predicted >= 0.95 * runs.losses.min(axis=0)).all()


def test_without_lightgbm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = planted(30)
    Trees().fit(runs).write(tmp_path / "law.json")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mixlaw\[trees\]'"):
        Trees().fit(runs)
    law = laws.read(tmp_path / "law.json")
    with pytest.raises(MissingDependencyError, match=r"pip install 'mixlaw\[trees\]'"):
        law.predict(runs.proportions, at=1e9)


@pytest.mark.parametrize(
    ("boosters", "message"),
    [
        (None, "expected the boosters of the trees, as text"),
        ([1, 2, 3], "expected the boosters of the trees, as text"),
        (["", ""], "2 boosters for 3 evaluation domains"),
    ],
)
def test_damaged_boosters_are_refused(tmp_path: Path, boosters: object, message: str) -> None:
    path = tmp_path / "law.json"
    Trees().fit(planted(30)).write(path)
    content = json.loads(path.read_text())
    content["extra"] = {} if boosters is None else {"boosters": boosters}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"law\.json: extra: {message}"):
        laws.read(path)


def test_a_booster_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "law.json"
    Trees().fit(planted(30)).write(path)
    content = json.loads(path.read_text())
    content["extra"]["boosters"][1] = "no trees"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="extra: a booster that LightGBM cannot read"):
        laws.read(path).predict(np.eye(3), at=1e9)


def test_fitting_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Trees().fit(planted(30)).predict(np.eye(3), at=1e9)
    assert capfd.readouterr() == ("", "")


def read(path: Path) -> tuple[list[str], Array]:
    with path.open() as file:
        header, *rows = csv.reader(file)
    return header[1:], np.array(rows, dtype=np.float64)[:, 1:]


def test_the_figure_that_regmix_published(shared_data) -> None:
    """98.92 on Pile-CC at 1M, from weights as they are written, and with the test set choosing when to stop."""
    folder = shared_data / "regmix"
    (_, r), (names, losses) = read(folder / "train_mixture_1m.csv"), read(folder / "train_pile_loss_1m.csv")
    (_, new_r), (_, new) = read(folder / "test_mixture_1m.csv"), read(folder / "test_pile_loss_1m.csv")
    [k] = [k for k, name in enumerate(names) if "pile_cc" in name]
    data = lightgbm.Dataset(r, losses[:, k])
    booster = lightgbm.train(
        SETTINGS,
        data,
        ROUNDS,
        valid_sets=[lightgbm.Dataset(new_r, new[:, k], reference=data)],
        callbacks=[lightgbm.early_stopping(3, verbose=False)],
    )
    assert 100.0 * spearmanr(booster.predict(new_r), new[:, k])[0] == pytest.approx(98.92, abs=0.005)


def test_regmix_without_a_look_at_the_test_set(regmix) -> None:
    train, test = (part.keep_losses(part.eval_domains[:4]) for part in (regmix("train"), regmix("test")))
    order = np.random.default_rng(0).permutation(len(train))
    for count, rank in ((32, 0.90), (512, 0.988)):
        predicted = Trees().fit(train.select(order[:count])).predict(test.proportions, at=1e9)
        ranks = [spearmanr(predicted[:, i], test.losses[:, i])[0] for i in range(len(test.eval_domains))]
        assert np.mean(ranks) > rank
