import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixlaw
from mixlaw import InputError, RunTable, laws
from mixlaw.errors import FitError
from mixlaw.laws import held_out
from mixlaw.laws.compare import choose, compare
from mixlaw.laws.comparison import Comparison, Result, Table
from mixlaw.laws.held_out import MEAN, PREVIOUS, Trial, mean_of_runs

S = (1e9, 2e9, 4e9, 8e9, 1.6e10)
TWO = ("bimix", "transfer")


def transfer_runs(mixtures: int = 16, noise: float = 0.0, seed: int = 1, s: tuple[float, ...] = S) -> RunTable:
    """Runs of three domains that help each other, under the transfer law."""
    rng = np.random.default_rng(seed)
    T = np.array([[1.0, 0.5, 0.05], [0.3, 1.0, 0.4], [0.02, 0.3, 1.0]])
    r = np.repeat(rng.dirichlet(np.ones(3), mixtures), len(s), axis=0)
    at = np.tile(s, mixtures)
    losses = (r @ T.T) ** -np.array([0.2, 0.1, 0.3]) * (2.0 + 3.0 * (at[:, None] / s[0]) ** -0.5)
    losses *= np.exp(noise * np.repeat(rng.normal(size=(mixtures, 3)), len(s), axis=0))
    return table(r, losses, at, [f"r{i}" for i in np.repeat(np.arange(mixtures), len(s))])


def noise_runs(mixtures: int, seed: int) -> RunTable:
    """Losses that have nothing to do with the mixture."""
    rng = np.random.default_rng(seed)
    losses = 3.0 * np.exp(0.02 * rng.normal(size=(mixtures, 3)))
    return table(rng.dirichlet(np.ones(3), mixtures), losses, 1e9, [f"r{i}" for i in range(mixtures)])


def table(r: Any, losses: Any, tokens: Any, run: Any, **columns: Any) -> RunTable:
    train, evaluate = (["web", "code", "books", "exam"][: np.shape(one)[1]] for one in (r, losses))
    return RunTable.from_arrays(
        r, losses, train_domains=train, eval_domains=evaluate, tokens=tokens, run=run, **columns
    )


def row(table: Table | None, law: str) -> Result:
    assert table is not None
    return next(one for one in table.results if one.law == law)


class Spy(NamedTuple):
    """A law that says of every question what its runs' mean loss is, and remembers fits and questions."""

    seen: list[tuple[RunTable, np.ndarray, np.ndarray]]

    def fit(self, runs: RunTable, *, x: str, seed: int) -> Any:
        seen = self.seen

        class Fitted:
            sizes = ()

            def predict(self, proportions: np.ndarray, *, at: np.ndarray, params: float | None) -> np.ndarray:
                seen.append((runs, proportions, at))
                return np.tile(runs.losses.mean(axis=0), (len(proportions), 1))

        return Fitted()


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[RunTable, np.ndarray, np.ndarray]]:
    seen: list[tuple[RunTable, np.ndarray, np.ndarray]] = []
    monkeypatch.setattr(held_out, "get", lambda name: Spy(seen))
    return seen


def trial(runs: RunTable, laws: tuple[str, ...] = ("transfer",), seed: int = 0) -> Trial:
    e = len(runs.eval_domains)
    return Trial(runs, laws, "tokens", np.full(e, 1.0 / e), seed, lambda: None)


@given(st.integers(2, 9), st.integers(0, 1000))
@settings(max_examples=25)
def test_folds_part_no_runs_of_one_mixture_and_hold_each_out_once(folds: int, seed: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        seen = spied(monkeypatch)
        rng = np.random.default_rng(seed)
        shares = rng.dirichlet(np.ones(3), 9)[rng.integers(0, 9, 14)]  # some mixtures several times
        r, at = np.repeat(shares, 2, axis=0), np.tile([1e9, 2e9], 14)
        runs = table(r, rng.uniform(2.0, 3.0, (28, 3)), at, np.repeat([f"r{i}" for i in range(14)], 2))
        them = trial(runs, seed=seed)
        seen.clear()
        them.cross_validation(min(folds, them.mixtures))
    asked = [tuple(mixture) for _, mixtures, _ in seen for mixture in mixtures]
    assert sorted(asked) == sorted(map(tuple, shares))
    for train, mixtures, lengths in seen:
        assert not {tuple(mixture) for mixture in train.proportions} & {tuple(mixture) for mixture in mixtures}
        assert set(train.tokens) == {1e9, 2e9}
        assert set(lengths) == {2e9}


def test_the_learning_curve_fits_as_many_mixtures_as_it_says_and_asks_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = spied(monkeypatch)
    found = compare(transfer_runs(16), laws=["bimix"], draws=3)
    assert [point.mixtures for point in found.learning_curve] == [3, 6, 12]
    for k in (3, 6, 12):
        these = [(train, mixtures) for train, mixtures, _ in seen if len(train.runs) == k]
        assert len(these) == 3
        for train, mixtures in these:
            assert len(mixtures) == 16 - k
            assert not {*map(tuple, train.proportions)} & {*map(tuple, mixtures)}
    assert len({tuple(train.runs) for train, _, _ in seen if len(train.runs) == 6}) == 3  # three different draws


def test_extrapolation_sees_no_last_checkpoint_and_counts_those_within_a_hundredth_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = spied(monkeypatch)
    runs = transfer_runs(6, s=(1e9, 2e9, 4e9, 7.95e9, 8e9))
    found = trial(runs).extrapolation()
    (train, mixtures, lengths), *_ = seen
    assert sorted(set(train.tokens)) == [1e9, 2e9, 4e9]
    assert (len(mixtures), set(lengths)) == (6, {8e9})
    # The baseline is the loss at 4e9.
    before, last = runs.select(runs.tokens == 4e9), runs.select(runs.tokens == 8e9)
    expected = np.mean(np.abs(before.losses / last.losses - 1.0))
    scores = row(found, PREVIOUS).scores
    assert scores is not None
    assert scores.error == pytest.approx(expected)


def test_three_checkpoints_leave_nothing_to_extrapolate_from() -> None:
    found = compare(transfer_runs(4, s=(1e9, 2e9, 4e9)), laws=["transfer"], draws=0)
    assert found.extrapolation is None
    assert "these are fewer than three" in found.to_text()
    assert compare(transfer_runs(4, s=(1e9, 2e9, 4e9, 8e9)), laws=["transfer"], draws=0).extrapolation is not None


def test_the_law_that_made_the_runs_is_named(plant: Any) -> None:
    found = compare(plant(mixtures=9).runs, laws=TWO, draws=0)
    assert found.law == "bimix"
    assert row(found.cross_validation, "bimix").scores.error < 1e-6  # type: ignore[union-attr]
    found = compare(transfer_runs(9), laws=TWO, draws=0)
    assert found.law == "transfer"
    behind = row(found.cross_validation, "bimix").behind
    assert behind is not None
    assert behind[0] > 3.0 * behind[1]
    assert row(found.cross_validation, "transfer").behind == (0.0, 0.0)
    assert found.verdict.startswith("Use transfer.")


def test_no_law_is_named_where_losses_are_noise() -> None:
    named = [compare(noise_runs(8, seed), laws=TWO, draws=0).law for seed in range(5)]
    assert named.count(None) >= 4
    found = compare(noise_runs(12, 3), laws=TWO, draws=0)
    assert found.law is None
    assert found.more is None
    assert found.verdict.startswith("Trust none of these laws.")


def rule(**shifts: tuple[float, float | None]) -> str | None:
    """What `choose` names for laws whose errors on 16 mixtures have a mean and, about it, half a point of spread."""
    spread = 0.005 * np.tile([-1.0, 1.0], 8)
    alternating = 0.005 * np.repeat([-1.0, 1.0], 8)
    errors = {MEAN: 0.04 + alternating}
    errors |= {law: mean + spread for law, (mean, _) in shifts.items()}
    return choose(errors, {MEAN: None} | {law: rank for law, (_, rank) in shifts.items()})[0]


# The difference of two rows that do not vary together has a standard error of .005 sqrt(2 / 15) = .00183 here.
@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        ({"transfer": (0.01, 0.9), "bimix": (0.02, 0.9)}, "transfer"),
        ({"transfer": (0.02, 0.9), "bimix": (0.01, 0.9)}, "bimix"),
        ({"transfer": (0.01, 0.2), "bimix": (0.02, 0.9)}, "bimix"),
        ({"transfer": (0.01, None), "bimix": (0.02, -0.5)}, None),
        ({"transfer": (0.0385, 0.9)}, None),
        ({"transfer": (0.0381, 0.9)}, "transfer"),
        ({"bimix": (0.01, 0.2581)}, None),
        ({"bimix": (0.01, 0.2583)}, "bimix"),  # 1 / sqrt(15) = .2582
        ({}, None),
    ],
)
def test_a_law_is_named_if_it_beats_the_mean_and_ranks(shifts: Any, expected: str | None) -> None:
    assert rule(**shifts) == expected


def test_the_default_is_named_unless_another_is_better_by_more_than_a_standard_error() -> None:
    base, wave = np.full(16, 0.01), np.tile([-1.0, 1.0], 8) * 0.004  # a standard error of .00103
    default = laws.default().name
    ranks = {default: 0.9, "bimix": 0.9}
    floor = {MEAN: np.full(16, 0.05)}
    name, why = choose(floor | {"bimix": base, default: base + wave + 0.001}, ranks)
    assert name == default
    assert "0.1 ± 0.1 points more than that of bimix, and it is the default" in why
    name, why = choose(floor | {"bimix": base, default: base + wave + 0.0011}, ranks)
    assert name == "bimix"
    assert "the smallest" in why


def test_a_law_that_refuses_the_runs_is_kept_with_its_reason() -> None:
    runs = transfer_runs(5)
    untrained = RunTable.from_arrays(
        runs.proportions, np.column_stack([runs.losses, runs.losses[:, 0]]), train_domains=runs.train_domains,
        eval_domains=[*runs.eval_domains, "exam"], tokens=runs.tokens, run=runs.run,
    )  # fmt: skip
    found = compare(untrained, laws=TWO, draws=2)
    assert found.law == "transfer"
    for table in (found.cross_validation, found.extrapolation, *found.learning_curve):
        refused = row(table, "bimix")
        assert (refused.scores, refused.behind, refused.count) == (None, None, 0)
        assert "'exam' is not trained on" in refused.reason
    assert "bimix, fitted to 4 mixtures: bimix needs" in found.to_text()


def test_a_law_without_a_value_for_a_held_out_run_says_for_how_many() -> None:
    runs = transfer_runs(10)
    r = runs.proportions.copy()
    r[:5] = [0.0, 0.5, 0.5]
    found = compare(table(r, runs.losses, runs.tokens, runs.run), laws=TWO, draws=0)
    reason = row(found.cross_validation, "bimix").reason
    assert "no finite prediction for 1 of 1 held-out runs, 'r0' among them" in reason
    # Where that domain does not count, it is no hindrance.
    found = compare(table(r, runs.losses, runs.tokens, runs.run), laws=TWO, draws=0, weights={"code": 1, "books": 3})
    scores = row(found.cross_validation, "bimix").scores
    assert scores is not None
    assert scores.domains["web"].mean_relative_error is None
    content = json.loads(json.dumps(found.content(), allow_nan=False))
    assert content["weights"] == {"web": 0.0, "code": 0.25, "books": 0.75}


def test_a_law_that_refuses_several_checkpoints_is_fitted_to_the_last() -> None:
    runs = transfer_runs(12, s=(1e9, 2e9))  # two cannot determine a curve
    found = compare(runs, laws=TWO, draws=0)
    assert found.final == TWO
    assert found.law == "transfer"
    assert found.verdict.endswith("(`mixlaw fit --final`).")
    alone = compare(runs.final(), laws=TWO, draws=0)
    assert alone.final == ()
    for name in TWO:
        assert row(found.cross_validation, name).scores == row(alone.cross_validation, name).scores


def test_a_law_that_fails_in_some_draws_is_compared_in_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Picky:
        def fit(self, runs: RunTable, **how: Any) -> Any:
            if "r0" in runs.runs and len(runs.runs) < 8:
                raise FitError("not with r0")
            return laws.get("transfer").fit(runs)

    real = laws.get
    monkeypatch.setattr(held_out, "get", lambda name: Picky() if name == "bimix" else real(name))
    found = compare(transfer_runs(8, noise=0.01), laws=TWO, draws=6)
    (point, _) = found.learning_curve
    picky, whole = row(point, "bimix"), row(point, "transfer")
    assert 0 < picky.count < whole.count == 6
    assert picky.reason == "not with r0"
    assert picky.behind == (0.0, 0.0) if picky.count > 1 else picky.behind is None  # the same law, on the same draws
    assert f"{picky.count} of 6" in found.to_text()


def test_the_mean_of_the_runs_is_of_the_same_size_at_the_nearest_checkpoint() -> None:
    runs = table(
        [[0.5, 0.5]] * 7, [[4.0], [3.0], [4.2], [3.2], [2.0], [9.0], [9.0]], [1e9, 2e9, 1e9, 2.1e9, 2e9, 2e9, 2e9],
        ["a", "a", "b", "b", "big", "c", "huge"], params=[1e6, 1e6, 1e6, 1e6, 5e6, 1e6, 7e6],
    )  # fmt: skip
    train, test = np.arange(5), np.array([5, 6])
    found = mean_of_runs(runs, train, test, "tokens")
    assert found[0] == pytest.approx(np.mean([3.0, 3.2]))
    assert found[1] == pytest.approx(np.mean([3.0, 3.2, 2.0]))  # no run of that size: all of them


def test_runs_of_several_sizes_are_asked_about_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Sized:
        def fit(self, runs: RunTable, **how: Any) -> Any:
            return self

        def predict(self, proportions: np.ndarray, *, at: np.ndarray, params: float | None) -> np.ndarray:
            sizes.append(params)
            return np.full((len(proportions), 3), 3.0)

    monkeypatch.setattr(held_out, "get", lambda name: Sized())
    one = noise_runs(6, 0)
    both = table(
        np.tile(one.proportions, (2, 1)), np.tile(one.losses, (2, 1)), 1e9, [f"r{i}" for i in range(12)],
        params=np.repeat([1e6, np.nan], 6),
    )  # fmt: skip
    trial(both).cross_validation(2)
    assert sorted(sizes, key=str) == [1e6, 1e6, None, None]


def test_equal_seeds_give_equal_comparisons_and_rows_may_stand_in_any_order() -> None:
    runs = transfer_runs(8, noise=0.01)
    first, again = (compare(runs, laws=["transfer"], draws=2, seed=3).content() for _ in range(2))
    assert first == again
    shuffled = runs.select(np.random.default_rng(0).permutation(len(runs)))
    other = compare(shuffled, laws=["transfer"], draws=2, seed=3).content()
    assert other["law"] == first["law"]
    for name in ("cross_validation", "extrapolation"):
        for one, two in zip(first[name]["results"], other[name]["results"], strict=True):
            assert two["scores"]["error"] == pytest.approx(one["scores"]["error"], rel=1e-4)


def test_more_runs_are_those_of_the_law_that_is_named(plant: Any) -> None:
    runs = plant(mixtures=6, run_sd=0.002).runs
    found = compare(runs, laws=["bimix"], draws=0)
    assert found.more == mixlaw.more_runs(laws.get("bimix").fit(runs))
    assert found.more.to_text() in found.to_text()


def test_the_comparison_is_written_and_shown(plant: Any, tmp_path: Path) -> None:
    runs = plant(mixtures=6, run_sd=0.002).runs
    found = compare(runs, laws=["bimix"], draws=2)
    found.write(tmp_path / "comparison.json")
    content = json.loads((tmp_path / "comparison.json").read_text())
    assert content["schema"] == "mixlaw.comparison/1"
    assert content["law"] == "bimix"
    assert content["cross_validation"]["results"][1]["law"] == MEAN
    assert content["fingerprint"] == runs.fingerprint()
    html = replace(found, verdict="a < b")._repr_html_()
    assert "a &lt; b" in html
    assert isinstance(found, Comparison)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"laws": ["bimx"]}, "no mixing law is called 'bimx'; did you mean 'bimix'"),
        ({"laws": []}, "there is none to compare"),
        ({"folds": 1}, "folds: at least 2, not 1"),
        ({"draws": 1}, "draws: 0, or at least 2"),
        ({"draws": -1}, "draws: 0, or at least 2"),
        ({"weights": {"wbe": 1.0}}, "weight of 'wbe': no evaluation domain"),
        ({"x": "steps"}, "no row has steps; use x='tokens'"),
    ],
)
def test_what_makes_no_comparison_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(noise_runs(4, 0), **change)


def test_two_mixtures_are_too_few() -> None:
    with pytest.raises(InputError, match="needs at least 3; the runs have 2"):
        compare(noise_runs(2, 0))


def test_of_all_laws_those_that_predict_the_runs_have_finite_scores() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compare(transfer_runs(6), draws=0, folds=2)
    assert [one.law for one in found.cross_validation.results] == [*laws.names(), MEAN]
    for one in found.cross_validation.results:
        assert (one.scores is None) == bool(one.reason)
        assert one.scores is None or math.isfinite(one.scores.error)


def test_on_slimpajama_transfer_is_named_and_errors_are_of_the_size_that_the_benchmark_finds(slimpajama) -> None:
    runs = slimpajama(310e6)
    found = compare(runs.select(np.isin(runs.run, runs.runs[:30])), laws=TWO, draws=0, folds=3)
    assert found.law == "transfer"
    errors = {one.law: one.scores.error for one in found.cross_validation.results if one.scores is not None}
    assert errors["transfer"] < 0.0065
    assert 0.011 < errors["bimix"] < 0.015
    assert 0.038 < errors[MEAN] < 0.05
    previous, transfer = (row(found.extrapolation, name).scores for name in (PREVIOUS, "transfer"))
    assert previous is not None
    assert transfer is not None
    assert transfer.error < previous.error
