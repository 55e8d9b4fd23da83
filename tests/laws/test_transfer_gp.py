import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError, RunTable, laws
from mixlaw.laws.returns import returns
from mixlaw.laws.transfer import Transfer
from mixlaw.laws.transfer_gp import FittedTransferGP, TransferGP

Array = npt.NDArray[np.float64]


def wavy(
    mixtures: int, *, depth: float = 0.03, noise: float = 0.001, seed: int = 0, s: tuple[float, ...] = (1e9,)
) -> RunTable:
    """Runs of a transfer law with a bend that no transfer law has."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(3, 1.5), mixtures)
    r = np.repeat(shares, len(s), axis=0)
    at = np.tile(s, mixtures)
    T = np.array([[1.0, 0.1, 0.02], [0.05, 1.0, 0.1], [0.01, 0.2, 1.0]])
    losses = (2.0 + 0.5 * (at[:, None] / 1e9) ** -0.4) * (r @ T.T) ** -np.array([0.1, 0.08, 0.15])
    losses *= np.exp(depth * np.sin(7.0 * r[:, [0]] + np.arange(3)))
    run_noise = np.repeat(rng.normal(size=(mixtures, 3)), len(s), axis=0)
    losses *= np.exp(noise * (run_noise + rng.normal(size=losses.shape)))
    names = ["web", "code", "books"]
    run = [f"r{i}" for i in np.repeat(np.arange(mixtures), len(s))]
    return RunTable.from_arrays(r, losses, train_domains=names, eval_domains=names, tokens=at, run=run)


def split(runs: RunTable, k: int) -> tuple[RunTable, RunTable]:
    first = np.isin(runs.run, runs.runs[:k])
    return runs.select(first), runs.select(~first)


def error(law: Any, test: RunTable) -> float:
    return float(np.abs(law.predict(test.proportions, at=test.tokens) / test.losses - 1.0).mean())


def test_a_smooth_deviation_is_learnt_where_there_is_one() -> None:
    train, test = split(wavy(80), 50)
    law = TransferGP().fit(train)
    assert law.extra["share"] > 0.8
    assert error(law, test) < 0.4 * error(Transfer().fit(train), test)
    assert any("is a smooth deviation" in note for note in law.notes)


@pytest.mark.parametrize("seed", range(3))
def test_it_costs_next_to_nothing_where_there_is_none(seed: int) -> None:
    train, test = split(wavy(60, depth=0.0, noise=0.005, seed=seed), 30)
    assert error(TransferGP().fit(train), test) < 1.15 * error(Transfer().fit(train), test)


def test_intervals_cover_what_they_say_and_draws_vary_as_much() -> None:
    inside, ratios = [], []
    for seed in range(6):
        train, test = split(wavy(60, noise=0.004, seed=seed), 25)
        law = TransferGP().fit(train)
        low, high = law.interval(test.proportions, at=1e9)
        inside.append((low <= test.losses) & (test.losses <= high))
        drawn = np.log([one.predict(test.proportions, at=1e9) for one in law.draws(200, seed=seed)])
        ratios.append(drawn.std(axis=0) / np.sqrt(law.log_variance(test.proportions, at=1e9)))
    assert 0.85 <= np.mean(inside) <= 0.95
    assert 0.85 <= np.median(ratios) <= 1.15


def test_the_covariance_between_mixtures_has_the_variances_on_its_diagonal() -> None:
    train, test = split(wavy(40), 25)
    law = TransferGP().fit(train)
    covariance = law.log_covariance(test.proportions, at=1e9)
    expected = law.log_variance(test.proportions, at=1e9)
    np.testing.assert_allclose(np.einsum("eqq->qe", covariance), expected, rtol=1e-6, atol=1e-12)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9


def test_uncertainty_is_least_at_the_runs() -> None:
    train, _ = split(wavy(40), 25)
    law = TransferGP().fit(train)
    near = law.log_variance(train.proportions, at=1e9).mean()
    corners = law.log_variance(np.eye(3), at=1e9).mean()
    assert near < 0.5 * corners


LAW = TransferGP().fit(wavy(30, s=(1e9, 2e9, 4e9)))


@settings(max_examples=30)
@given(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3), st.floats(1e9, 1e10), st.booleans())
def test_gradients_are_those_of_the_predictions(weights: list[float], at: float, drawn: bool) -> None:
    law = DRAWN if drawn else LAW
    r = np.array(weights) / sum(weights)
    gradient = law.gradient([r], at=at)[0]
    h = 1e-6
    for j in range(3):
        step = np.zeros(3)
        step[j], step[(j + 1) % 3] = h, -h
        ahead, behind = (law.predict([r + sign * step], at=at)[0] for sign in (1, -1))
        np.testing.assert_allclose((ahead - behind) / 2.0, gradient @ step, rtol=1e-4, atol=1e-11)


DRAWN = LAW.draws(1, seed=3)[0]


def test_it_has_power_terms_only_without_a_smooth_part() -> None:
    assert LAW.power_terms(at=1e9) is None
    flat = replace(LAW, extra={**LAW.extra, "share": 0.0})
    terms = flat.power_terms(at=1e9)
    r = np.array([[0.2, 0.3, 0.5]])
    assert terms is not None
    totals = np.einsum("ej,qej->qe", terms.matrix, returns(r[:, None, :], terms.rho[:, None]))
    np.testing.assert_allclose(terms.scale * totals**-terms.alpha, flat.predict(r, at=1e9), rtol=1e-12)


def test_units_and_order_change_nothing() -> None:
    runs = wavy(20, s=(1e9, 2e9, 4e9))
    order = np.random.default_rng(0).permutation(len(runs))
    other = TransferGP().fit(
        RunTable.from_arrays(
            runs.proportions[order][:, [2, 0, 1]],
            runs.losses[order] / np.log(2.0),
            train_domains=["books", "web", "code"],
            eval_domains=runs.eval_domains,
            tokens=runs.tokens[order] * 1e-6,
            run=runs.run[order],
        )
    )
    law = TransferGP().fit(runs)
    r = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
    expected = law.predict(r, at=2e9) / np.log(2.0)
    np.testing.assert_allclose(other.predict(r[:, [2, 0, 1]], at=2e3), expected, rtol=1e-5)


def test_a_round_trip_keeps_every_bit(tmp_path: Any) -> None:
    LAW.write(tmp_path / "law.json")
    back = laws.read(tmp_path / "law.json")
    assert isinstance(back, FittedTransferGP)
    back.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "law.json").read_bytes()
    r = [[0.2, 0.3, 0.5]]
    np.testing.assert_array_equal(back.predict(r, at=2e9), LAW.predict(r, at=2e9))
    np.testing.assert_array_equal(back.interval(r, at=2e9), LAW.interval(r, at=2e9))


def test_a_draw_is_not_written_as_if_it_were_the_law(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="this law is a draw, which cannot be written"):
        DRAWN.write(tmp_path / "law.json")
    assert not (tmp_path / "law.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda extra: extra.pop("share"), "incomplete"),
        (lambda extra: extra["residuals"].pop("web"), "incomplete"),
        (lambda extra: extra["residuals"]["web"].pop(), "finite numbers for 30 runs of 3 domains"),
        (lambda extra: extra["own"].__setitem__(0, None), "finite numbers"),
        (lambda extra: extra.__setitem__("length", "long"), "incomplete or no numbers"),
    ],
)
def test_a_damaged_smooth_part_is_refused(tmp_path: Any, change: Any, message: str) -> None:
    LAW.write(tmp_path / "law.json")
    content = json.loads((tmp_path / "law.json").read_text())
    change(content["extra"])
    (tmp_path / "law.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"law\.json: extra: .*{message}"):
        laws.read(tmp_path / "law.json")
