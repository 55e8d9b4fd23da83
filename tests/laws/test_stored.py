import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixlaw import InputError, laws
from mixlaw.laws.bimix import BiMix, FittedBiMix


@pytest.fixture
def written(plant, tmp_path: Path) -> Path:
    _, runs = plant(row_sd=0.01, params=1e6)
    BiMix().fit(runs).write(tmp_path / "law.json")
    return tmp_path / "law.json"


def test_a_round_trip_keeps_every_bit(written: Path, tmp_path: Path) -> None:
    law = laws.read(written)
    assert isinstance(law, FittedBiMix)
    law.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == written.read_bytes()


def test_a_round_trip_keeps_predictions_report_and_covariance(plant, tmp_path: Path) -> None:
    _, runs = plant(mixtures=5, x=(3.0,), row_sd=0.01)
    law = BiMix().fit(runs)
    law.write(tmp_path / "law.json")
    back = laws.read(tmp_path / "law.json")
    np.testing.assert_array_equal(
        back.predict(runs.proportions, at=runs.tokens), law.predict(runs.proportions, at=runs.tokens)
    )
    assert back.report() == law.report()
    for domain, matrix in law.covariance.items():
        np.testing.assert_array_equal(back.covariance[domain], matrix)


def test_a_coefficient_without_a_standard_error_is_null_with_its_reason(plant, tmp_path: Path) -> None:
    _, runs = plant(mixtures=2)
    BiMix().fit(runs).write(tmp_path / "law.json")
    content = json.loads((tmp_path / "law.json").read_text())
    alpha = content["coefficients"]["web"]["alpha"]
    assert alpha["standard_error"] is None
    assert alpha["note"] == "not identified without run 'r0'"
    assert content["covariance"]["web"][1] == [None] * 5


OTHER_NAMES = {name: {"value": 1.0, "standard_error": None, "note": ""} for name in "ABCDE"}


def change(path: Path, *keys: str, to: Any) -> None:
    content = json.loads(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    if to is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "to", "message"),
    [
        (["law"], "bimx", r"no mixing law is called 'bimx'; did you mean 'bimix'\?"),
        (["law"], 3, "law: expected text, not 3"),
        (["coeficients"], {}, r"the law: unknown key 'coeficients'; did you mean 'coefficients'\?"),
        (["notes"], ..., "the law: the key 'notes' is absent"),
        (["notes"], "one", "notes: expected a list, not 'one'"),
        (["x"], [1], r"x: expected an object, not \[1\]"),
        (["x", "unit"], "bytes", "x: the unit is 'tokens' or 'steps', not 'bytes'"),
        (["x", "max"], None, "x, max: expected a finite number, not None"),
        (["sizes"], ["1e6"], "sizes: expected a finite number, not '1e6'"),
        (["coefficients", "web"], ..., "coefficients: the key 'web' is absent"),
        (
            ["coefficients", "web"],
            OTHER_NAMES,
            "domain 'web': bimix has the coefficients A, B, C, alpha, beta, not A, B, C, D, E",
        ),
        (["coefficients", "web", "C", "value"], True, "coefficients of 'web', C, value: expected a finite number"),
        (["coefficients", "web", "C", "sd"], 1.0, "coefficients of 'web', C: unknown key 'sd'"),
        (["covariance", "web"], [[1.0]], "covariance of 'web': expected rows of 5 numbers or nulls"),
        (["quality", "web", "rows"], 1.5, "quality of 'web', rows: expected a whole number, not 1.5"),
        (["quality", "web", "r2"], "good", "quality of 'web', r2: expected a finite number, not 'good'"),
        (["mixtures", 0], [1.0], "mixtures: expected rows of 3 numbers or nulls"),
        (["quality", "tree"], {}, "quality: unknown key 'tree'"),
        (["train_domains"], ["web", "books", "law"], "evaluation domain 'code' is no training domain"),
        (["schema"], "mixlaw.mixture/1", "expected a file of schema 'mixlaw.fitted-law/2', found 'mixlaw.mixture/1'"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(written: Path, keys: list[str], to: Any, message: str) -> None:
    change(written, *keys, to=to)
    with pytest.raises(InputError, match=rf"law\.json: {message}"):
        laws.read(written)


def test_an_infinite_number_in_the_file_is_refused(written: Path) -> None:
    change(written, "coefficients", "web", "B", "value", to=float("inf"))
    with pytest.raises(
        InputError, match=r"law\.json: coefficients of 'web', B, value: expected a finite number, not inf"
    ):
        laws.read(written)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: cannot be read"):
        laws.read(tmp_path / "none.json")
