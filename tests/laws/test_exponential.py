import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mixlaw import InputError, RunTable, laws
from mixlaw.errors import FitError
from mixlaw.fitted import FittedLaw
from mixlaw.laws.bimix import BiMix
from mixlaw.laws.exponential import Exponential

Array = npt.NDArray[np.float64]
S = (1e9, 2e9, 4e9, 8e9, 1.6e10)
BETA, ALPHA = 0.5, 0.3


def losses_of(truth: dict[str, Array], r: Array, s: Array, N: Array) -> Array:
    mixed = truth["k"] * np.exp(r @ truth["t"].T)
    return truth["c"] + mixed + truth["B"] * (s[:, None] / 1e9) ** -BETA + truth["A"] * (N[:, None] / 1e8) ** -ALPHA


def planted(
    *,
    mixtures: int = 30,
    s: tuple[float, ...] = S,
    sizes: tuple[float, ...] = (),
    noise: float = 0.0,
    train: int = 3,
    seed: int = 0,
) -> tuple[dict[str, Array], RunTable]:
    """Runs that obey the nested laws: every mixture at every size."""
    rng = np.random.default_rng(seed)
    e = 3
    t = rng.normal(0.0, 1.0, (e, train))
    t[range(min(e, train)), range(min(e, train))] -= 4.0
    truth = {
        "c": rng.uniform(1.5, 2.5, e),
        "k": rng.uniform(0.2, 0.5, e),
        "t": t - t.mean(axis=1, keepdims=True),
        "B": rng.uniform(0.5, 1.0, e),
        "A": rng.uniform(0.2, 0.4, e) * bool(sizes),
    }
    shares = rng.dirichlet(np.ones(train), mixtures)
    models = sizes or (np.nan,)
    r = np.repeat(shares, len(s) * len(models), axis=0)
    params = np.tile(np.repeat(models, len(s)), mixtures)
    at = np.tile(s, mixtures * len(models))
    losses = losses_of(truth, r, at, np.where(np.isnan(params), 1.0, params))
    losses *= np.exp(noise * rng.normal(size=losses.shape))
    names = [f"d{j}" for j in range(max(train, e))]
    return truth, RunTable.from_arrays(
        r, losses, train_domains=names[:train], eval_domains=names[:e], tokens=at, params=params,
        run=[f"r{i}" for i in np.repeat(np.arange(mixtures * len(models)), len(s))],
    )  # fmt: skip


def values(law: FittedLaw, name: str) -> Array:
    rows = [
        [one.value for key, one in law.coefficients[d].items() if key.split("/")[0] == name] for d in law.eval_domains
    ]
    return np.array(rows).squeeze()


# The fit


@pytest.mark.parametrize("seed", range(4))
def test_planted_coefficients_are_found_at_the_last_checkpoint(seed: int) -> None:
    truth, runs = planted(seed=seed)
    law = Exponential().fit(runs)
    np.testing.assert_allclose(values(law, "c"), truth["c"] + truth["B"] * 16.0**-BETA, rtol=2e-3)
    np.testing.assert_allclose(values(law, "k"), truth["k"], rtol=0.02)
    np.testing.assert_allclose(values(law, "t"), truth["t"], atol=0.05)
    np.testing.assert_allclose(values(law, "t").sum(axis=1), 0.0, atol=1e-12)
    assert any(
        "The coefficients are those at 1.6e+10 tokens, of losses that the step law" in note for note in law.notes
    )


@pytest.mark.parametrize("seed", range(3))
def test_other_lengths_come_from_the_step_laws(seed: int) -> None:
    truth, runs = planted(seed=seed)
    law = Exponential().fit(runs)
    r = np.random.default_rng(9).dirichlet(np.ones(3), 20)
    s = np.geomspace(1e9, 1e11, 20)
    np.testing.assert_allclose(law.predict(r, at=s), losses_of(truth, r, s, np.ones(20)), rtol=2e-3)
    one_by_one = [law.predict(r[[k]], at=s[k])[0] for k in range(20)]
    np.testing.assert_array_equal(law.predict(r, at=s), one_by_one)


def test_between_checkpoints_the_law_is_that_of_a_fit_there() -> None:
    _, runs = planted(noise=1e-4)
    law = Exponential().fit(runs)
    there = Exponential().fit(runs.select(runs.tokens == 2e9))
    r = np.random.default_rng(9).dirichlet(np.ones(3), 20)
    np.testing.assert_allclose(law.predict(r, at=2e9), there.predict(r, at=2e9), rtol=1e-3)


def test_other_sizes_come_from_the_size_law() -> None:
    truth, runs = planted(sizes=(1e8, 2e8, 4e8))
    law = Exponential().fit(runs)
    assert law.sizes == (1e8, 2e8, 4e8)
    assert any("those at 1.6e+10 tokens and 4e+08 parameters" in note for note in law.notes)
    r = np.random.default_rng(9).dirichlet(np.ones(3), 20)
    for size in (1e8, 2e8, 4e8, 3e8, 1e10):
        found = law.predict(r, at=5e10, params=size)
        np.testing.assert_allclose(found, losses_of(truth, r, np.full(20, 5e10), np.full(20, size)), rtol=3e-3)
    with pytest.raises(InputError, match="3 model sizes, so say for which"):
        law.predict(r, at=5e10)


def test_the_sizes_of_the_runs_are_the_only_ones_where_there_is_no_size_law() -> None:
    truth, runs = planted(sizes=(1e8, 2e8))
    law = Exponential().fit(runs)
    r = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(
        law.predict(r, at=1e10, params=1e8), losses_of(truth, r, np.array([1e10]), np.array([1e8])), rtol=2e-3
    )
    with pytest.raises(InputError, match=r"no mixture was trained on at 3 model sizes.*say nothing of 1e\+09"):
        law.predict(r, at=1e10, params=1e9)


def test_mixtures_that_are_missing_at_a_size_do_not_enter_the_size_law_without_three() -> None:
    truth, runs = planted(sizes=(1e8, 2e8, 4e8, 8e8))
    rng = np.random.default_rng(0)
    kept = [run for run in runs.runs if rng.random() < 0.7]
    law = Exponential().fit(runs.select(np.isin(runs.run, kept)))
    r = rng.dirichlet(np.ones(3), 20)
    expected = losses_of(truth, r, np.full(20, 1e10), np.full(20, 3e9))
    np.testing.assert_allclose(law.predict(r, at=1e10, params=3e9), expected, rtol=3e-3)


def test_runs_of_too_few_checkpoints_are_left_out_by_name() -> None:
    _, runs = planted(mixtures=10)
    short = runs.select(~(np.isin(runs.run, ["r2", "r7"]) & (runs.tokens > 2e9)))
    law = Exponential().fit(short)
    assert "Runs of fewer than 3 checkpoints are left out: r2, r7." in law.notes
    assert law.quality["d0"].runs == 8
    others = Exponential().fit(runs.select(~np.isin(runs.run, ["r2", "r7"])))
    np.testing.assert_array_equal(law.predict(runs.proportions, at=8e9), others.predict(runs.proportions, at=8e9))
    few = runs.select((runs.run == "r0") | (runs.tokens <= 2e9))
    with pytest.raises(FitError, match="two mixtures of one model size, each with 3 checkpoints"):
        Exponential().fit(few)


def test_sizes_with_one_mixture_are_left_out() -> None:
    _, runs = planted(sizes=(1e8, 2e8))
    big = RunTable.from_arrays(
        runs.proportions[:5], runs.losses[:5], train_domains=runs.train_domains, eval_domains=runs.eval_domains,
        tokens=runs.tokens[:5], params=1e9, run="big",
    )  # fmt: skip
    law = Exponential().fit(RunTable.concat([runs, big]))
    assert law.sizes == (1e8, 2e8)
    assert "Model sizes with one mixture only are left out: 1e+09." in law.notes
    other = runs.select(runs.run == runs.run[np.flatnonzero(np.ptp(runs.proportions - runs.proportions[0], axis=1))[0]])
    with pytest.raises(FitError, match="two mixtures of one model size"):
        Exponential().fit(RunTable.concat([other, big]))


def test_coefficient_counts_are_those_of_the_bimix_paper() -> None:
    # At each of n points (m**2 + 2m) numbers, of which k is redundant by one a domain; BiMix has 5m for all points.
    _, runs = planted()
    m = 3
    count = sum(map(len, Exponential().fit(runs).coefficients.values()))
    assert count == m**2 + 2 * m
    assert sum(map(len, BiMix().fit(runs).coefficients.values())) == 5 * m


def test_the_change_of_coefficients_moves_the_law_everywhere() -> None:
    _, runs = planted(noise=2e-3)
    law = Exponential().fit(runs)
    r = np.array([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]])
    for at in (1.6e10, 5e10):
        low, high = law.interval(r, at=at)
        assert (low < high).all()
        np.testing.assert_allclose(
            np.sqrt(law.log_variance(r, at=at)), np.sqrt(law.log_variance(r, at=1.6e10)), rtol=0.5
        )
    drawn = law.draws(3)[0]
    assert drawn.nested is law.nested
    assert (drawn.predict(r, at=5e10) != law.predict(r, at=5e10)).all()


# Files


@pytest.fixture
def written(tmp_path: Path) -> Path:
    Exponential().fit(planted(mixtures=5)[1]).write(tmp_path / "law.json")
    return tmp_path / "law.json"


def test_a_law_that_was_read_says_the_same_at_other_lengths(written: Path) -> None:
    law = Exponential().fit(planted(mixtures=5)[1])
    r = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_allclose(laws.read(written).predict(r, at=3e10), law.predict(r, at=3e10), rtol=1e-12)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda extra: extra.clear(), "not the step laws of the exponential law"),
        (lambda extra: extra["runs"][0].pop("beta"), "not the step laws of the exponential law"),
        (lambda extra: extra["runs"][0]["E"].pop(), "not the step laws|not those of 3 training and 3 evaluation"),
        (lambda extra: extra["runs"][0]["E"].append("x"), "not the step laws of the exponential law"),
        (lambda extra: [run["E"].pop() for run in extra["runs"]], "not those of 3 training and 3 evaluation domains"),
        (lambda extra: extra["reference"]["log_c"].pop(), "not those of 3 training and 3 evaluation domains"),
        (lambda extra: extra.update(runs=3), "not the step laws of the exponential law"),
    ],
)
def test_damaged_step_laws_are_refused(written: Path, damage: Any, message: str) -> None:
    content = json.loads(written.read_text())
    damage(content["extra"])
    written.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"law\.json: extra: .*({message})"):
        laws.read(written)


def test_other_coefficients_are_refused(written: Path) -> None:
    written.write_text(written.read_text().replace('"t/d1"', '"u/d1"'))
    with pytest.raises(
        InputError, match="exponential has the coefficients c, k, t/d0, t/d1, t/d2, not c, k, t/d0, u/d1"
    ):
        laws.read(written)


# Public data


@pytest.mark.parametrize(
    ("k", "error", "rank"), [(10, 1.03, 0.77), (12, 0.82, 0.88), (16, 0.61, 0.925), (48, 0.475, 0.945)]
)
def test_a_few_runs_of_slimpajama_predict_the_others(slimpajama, few_runs, k: int, error: float, rank: float) -> None:
    found = few_runs(Exponential(), slimpajama(310e6), k)
    assert found.error < error
    assert found.rank > rank


@pytest.mark.parametrize(("size", "error", "r2", "later"), [(122e6, 0.62, 0.994, 0.65), (310e6, 0.63, 0.995, 0.70)])
def test_all_checkpoints_of_slimpajama(
    slimpajama, five_folds, size: float, error: float, r2: float, later: float
) -> None:
    runs = slimpajama(size)
    found = five_folds(Exponential(), runs)
    assert found.error < error
    assert found.r2 > r2
    # The last checkpoint, at 20 billion tokens, from the first 12.
    last = runs.final()
    ahead = Exponential().fit(runs.select(runs.tokens < 1.21e10)).predict(last.proportions, at=last.tokens)
    assert 100 * np.abs(ahead / last.losses - 1.0).mean() < later
