from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from scipy.stats import t as student_t

from mixlaw import InputError, Mixture, RunTable, laws
from mixlaw.errors import FitError
from mixlaw.fitted import FittedLaw
from mixlaw.laws.returns import returns
from mixlaw.laws.transfer import FittedTransfer, Transfer
from mixlaw.laws.transfer_fit import PRIOR, Problem
from mixlaw.laws.transfer_gp import TransferGP

Array = npt.NDArray[np.float64]
S = (1e9, 2e9, 4e9, 8e9, 1.6e10)


def planted(
    *,
    mixtures: int = 20,
    train: int = 3,
    evaluate: int = 3,
    s: Sequence[float] = S,
    zeros: float = 0.0,
    run_sd: float = 0.0,
    row_sd: float = 0.0,
    log_t: tuple[float, float] = (-2.0, 1.0),
    rho: tuple[float, float] = (0.6, 0.8),
    seed: int = 0,
) -> tuple[dict[str, Array], RunTable]:
    """Runs that obey the law; evaluation domains beyond the training domains are not trained on."""
    rng = np.random.default_rng(seed)
    T = np.exp(rng.normal(*log_t, (evaluate, train)))
    k = min(train, evaluate)
    T[range(k), range(k)] = 1.0
    truth = {
        "alpha": np.exp(rng.normal(np.log(0.1), 0.3, evaluate)),
        "beta": rng.uniform(0.3, 0.8, evaluate),
        "C": rng.uniform(1.5, 3.0, evaluate),
        "rho": rng.uniform(*rho, evaluate),
        "T": T,
    }
    truth["B"] = rng.uniform(0.5, 1.5, evaluate) * s[0] ** truth["beta"]
    shares = rng.dirichlet(np.full(train, 1.0), mixtures)
    shares[rng.random(shares.shape) < zeros] = 0.0
    shares[shares.sum(axis=1) == 0.0] = 1.0
    shares /= shares.sum(axis=1, keepdims=True)
    r = np.repeat(shares, len(s), axis=0)
    at = np.tile(np.asarray(s, dtype=np.float64), mixtures)
    losses = worth(truth, r) ** -truth["alpha"] * (truth["B"] * at[:, None] ** -truth["beta"] + truth["C"])
    losses *= np.exp(run_sd * np.repeat(rng.normal(size=(mixtures, evaluate)), len(s), axis=0))
    losses *= np.exp(row_sd * rng.normal(size=losses.shape))
    names = [f"d{j}" for j in range(max(train, evaluate))]
    return truth, RunTable.from_arrays(
        r,
        losses,
        train_domains=names[:train],
        eval_domains=names[:evaluate],
        tokens=at,
        run=[f"r{i}" for i in np.repeat(np.arange(mixtures), len(s))],
    )


def worth(truth: dict[str, Array], r: Array) -> Array:
    """Give z."""
    rho = truth["rho"]
    return np.einsum("ej,qej->qe", truth["T"] ** rho[:, None], returns(r[:, None, :], rho[:, None])) ** (1.0 / rho)


def matrix(law: FittedLaw) -> Array:
    return np.array([[law.coefficients[d][f"T/{j}"].value for j in law.train_domains] for d in law.eval_domains])


def curve(law: FittedLaw, name: str) -> Array:
    return np.array([law.coefficients[domain][name].value for domain in law.eval_domains])


def scaled(runs: RunTable, losses: float = 1.0, tokens: float = 1.0) -> RunTable:
    return RunTable.from_arrays(
        runs.proportions,
        runs.losses * losses,
        train_domains=runs.train_domains,
        eval_domains=runs.eval_domains,
        tokens=runs.tokens * tokens,
        run=runs.run,
    )


# The fit


@pytest.mark.parametrize("seed", range(4))
def test_planted_coefficients_are_found(seed: int) -> None:
    truth, runs = planted(mixtures=60, row_sd=1e-5, run_sd=1e-5, seed=seed)
    law = Transfer().fit(runs)
    for name in ("B", "beta", "C", "alpha"):
        np.testing.assert_allclose(curve(law, name), truth[name], rtol=0.05)
    np.testing.assert_allclose(curve(law, "rho"), truth["rho"], atol=0.02)
    np.testing.assert_allclose(curve(law, "gamma"), 0.0, atol=0.01)
    assert law.coefficients["d0"]["A"] == (0.0, pytest.approx(np.nan, nan_ok=True), "one model size only")
    np.testing.assert_allclose(matrix(law), truth["T"], rtol=0.1, atol=2e-3)
    held_out = planted(mixtures=30, seed=seed)[1]
    new = RunTable.from_arrays(
        held_out.proportions[::-1],
        held_out.losses,
        train_domains=runs.train_domains,
        eval_domains=runs.eval_domains,
        tokens=held_out.tokens,
    )
    z = worth(truth, new.proportions)
    exact = z ** -truth["alpha"] * (truth["B"] * new.tokens[:, None] ** -truth["beta"] + truth["C"])
    np.testing.assert_allclose(law.predict(new.proportions, at=new.tokens), exact, rtol=1e-3)


@pytest.mark.parametrize("train", [3, 5])
def test_the_jacobian_is_that_of_the_model(train: int) -> None:
    _, runs = planted(train=train, evaluate=4, zeros=0.3)
    for used in (runs, runs.final()):
        problem = Problem(used, "tokens")
        for i in range(4):
            theta = np.random.default_rng(i).normal(-1.0, 0.5, problem.first_T + len(problem.others[i]))
            _, jacobian = problem.model(i, theta)
            for k, step in enumerate(1e-6 * np.eye(len(theta))):
                ahead, behind = (problem.model(i, theta + sign * step)[0] for sign in (1, -1))
                np.testing.assert_allclose((ahead - behind) / 2e-6, jacobian[:, k], rtol=1e-5, atol=1e-8)


def test_domains_that_a_token_replaces_whatever_else_is_in_the_mixture_have_a_rho_near_one() -> None:
    _, runs = planted(mixtures=80, row_sd=1e-4, run_sd=1e-4, rho=(0.999, 0.9999))
    assert curve(Transfer().fit(runs), "rho").min() > 0.93


def test_draws_keep_rho_between_its_bounds_and_spread_it_as_its_standard_error() -> None:
    law = Transfer().fit(planted(mixtures=12, run_sd=0.01, s=(1e9,))[1])
    drawn = np.array([curve(one, "rho") for one in law.draws(400)])
    assert drawn.min() > 0.0
    assert drawn.max() < 1.0
    odds = np.log(drawn / (1.0 - drawn)).std(axis=0)
    rho = curve(law, "rho")
    errors = np.array([law.coefficients[d]["rho"].standard_error for d in law.eval_domains])
    np.testing.assert_allclose(odds, errors / (rho * (1.0 - rho)), rtol=0.15)


def test_intervals_have_as_many_degrees_of_freedom_as_runs() -> None:
    law = Transfer().fit(planted(mixtures=5, run_sd=0.01)[1])
    np.testing.assert_array_equal(law.degrees_of_freedom(), 5.0)
    low, high = law.interval([[0.2, 0.3, 0.5]], at=1e9)
    sd = np.sqrt(law.log_variance([[0.2, 0.3, 0.5]], at=1e9) + law.deviations() ** 2)
    np.testing.assert_allclose(np.log(high / low), 2.0 * student_t.ppf(0.95, 5) * sd)


def test_standard_errors_are_of_the_size_of_the_errors() -> None:
    found = []
    for seed in range(40):
        truth, runs = planted(mixtures=25, run_sd=0.01, row_sd=0.003, log_t=PRIOR.T, seed=seed)
        law = Transfer().fit(runs)
        errors = np.array([law.coefficients[d]["alpha"].standard_error for d in law.eval_domains])
        found.append((curve(law, "alpha") - truth["alpha"]) / errors)
    inside = np.mean(np.abs(found) < 1.645)
    # 120 intervals of 90 %.
    assert 0.82 <= inside <= 0.98


def test_noise_of_runs_and_of_checkpoints_is_told_apart() -> None:
    _, runs = planted(mixtures=60, run_sd=0.02, row_sd=0.002)
    [note] = [note for note in Transfer().fit(runs).notes if "deviation of a run" in note]
    run, row = (float(note.split(word)[1].split()[0]) for word in ("deviation of a run ", "of a checkpoint "))
    assert run == pytest.approx(0.02, rel=0.3)
    assert row == pytest.approx(0.002, rel=0.3)


def test_few_runs_of_many_domains_have_a_fit_that_beats_the_mean() -> None:
    _, runs = planted(mixtures=200, train=30, evaluate=34, s=(1e9,), zeros=0.7, run_sd=0.003)
    names = np.array(runs.runs)
    law = Transfer().fit(runs.select(np.isin(runs.run, names[:16])))
    test = runs.select(np.isin(runs.run, names[16:]))
    seen = runs.select(np.isin(runs.run, names[:16])).losses
    ours = np.abs(law.predict(test.proportions, at=1e9) - test.losses).mean()
    assert ours < np.abs(seen.mean(axis=0) - test.losses).mean()
    assert law.predict(test.proportions, at=1e9).min() > 0.0


def test_units_of_loss_and_length_change_only_the_units() -> None:
    _, runs = planted(row_sd=0.003, run_sd=0.003)
    law, other = Transfer().fit(runs), Transfer().fit(scaled(runs, losses=1.0 / np.log(2.0), tokens=1e-6))
    np.testing.assert_allclose(matrix(other), matrix(law), rtol=1e-4)
    np.testing.assert_allclose(curve(other, "alpha"), curve(law, "alpha"), rtol=1e-5)
    np.testing.assert_allclose(curve(other, "C"), curve(law, "C") / np.log(2.0), rtol=1e-5)


def test_the_order_of_rows_and_domains_changes_nothing() -> None:
    _, runs = planted(row_sd=0.003, run_sd=0.003)
    rng = np.random.default_rng(0)
    order, domains = rng.permutation(len(runs)), rng.permutation(3)
    mixed = RunTable.from_arrays(
        runs.proportions[order][:, domains],
        runs.losses[order],
        train_domains=[runs.train_domains[j] for j in domains],
        eval_domains=runs.eval_domains,
        tokens=runs.tokens[order],
        run=runs.run[order],
    )
    law, other = Transfer().fit(runs), Transfer().fit(mixed)
    np.testing.assert_allclose(matrix(other)[:, np.argsort(domains)], matrix(law), rtol=1e-4)


def test_domains_that_are_not_trained_on_and_proportions_of_zero() -> None:
    truth, runs = planted(mixtures=60, train=4, evaluate=6, zeros=0.4, run_sd=1e-4, row_sd=1e-4)
    law = Transfer().fit(runs)
    assert np.isfinite(law.predict(runs.proportions, at=runs.tokens)).all()
    np.testing.assert_allclose(law.predict(runs.proportions, at=runs.tokens), runs.losses, rtol=5e-3)
    assert any("Not trained on: d4, d5" in note for note in law.notes)
    assert law.coefficients["d0"]["T/d0"] == (1.0, pytest.approx(np.nan, nan_ok=True), "fixed")
    assert law.coefficients["d4"]["T/d0"].note == ""
    # Within a row, how much domains count is found.
    for i in (4, 5):
        assert spearmanr(matrix(law)[i], truth["T"][i])[0] > 0.7


def test_one_checkpoint_gives_the_reduced_form() -> None:
    _, runs = planted(s=(4e9,), run_sd=0.002)
    law = Transfer().fit(runs)
    assert (curve(law, "B") == 0.0).all()
    assert law.coefficients["d0"]["beta"].note == "one checkpoint only"
    with pytest.raises(InputError, match="one checkpoint only"):
        law.predict(runs.proportions, at=8e9)


def test_a_domain_that_no_run_varies_is_named() -> None:
    _, runs = planted(mixtures=10, train=2, evaluate=2)
    with_third = RunTable.from_arrays(
        np.column_stack([runs.proportions * 0.9, np.full(len(runs), 0.1)]),
        runs.losses,
        train_domains=["d0", "d1", "d2"],
        eval_domains=["d0", "d1"],
        tokens=runs.tokens,
        run=runs.run,
    )
    assert any("No run varies the proportion of d2" in note for note in Transfer().fit(with_third).notes)


@pytest.mark.parametrize("law", [Transfer(), TransferGP()])
def test_several_sizes_enter_one_fit(law: Transfer | TransferGP) -> None:
    """Loss that falls with the size too: few runs of the large size, and many of the small ones."""
    truth, runs = planted(mixtures=60, run_sd=0.002, row_sd=0.001)
    sizes = np.array([1e8, 2e8, 4e8, 8e8])
    size = np.repeat(np.repeat(sizes, [25, 15, 15, 5]), len(S))
    z = worth(truth, runs.proportions)
    larger = z ** -truth["alpha"] * 0.4 * (size[:, None] / 1e8) ** -0.4
    table = changed(replace(runs, losses=runs.losses + larger), params=size)
    known = (size < 8e8) | np.isin(runs.run, ["r55", "r56"])
    fitted = law.fit(table.select(known))
    assert fitted.sizes == tuple(sizes)
    out = table.select(~known)
    np.testing.assert_allclose(fitted.predict(out.proportions, at=out.tokens, params=8e8), out.losses, rtol=0.02)
    # Twice the largest size was never seen.
    far = z ** -truth["alpha"] * 0.4 * 16.0**-0.4 + runs.losses
    predicted = fitted.predict(runs.proportions, at=runs.tokens, params=1.6e9)
    np.testing.assert_allclose(predicted, far, rtol=0.03)
    with pytest.raises(InputError, match="the runs have 4 model sizes"):
        fitted.predict(out.proportions, at=out.tokens)


def test_an_exponent_that_drifts_with_length_is_found() -> None:
    truth, runs = planted(mixtures=60)
    z, drift = worth(truth, runs.proportions), 0.15
    stretched = truth["alpha"] * (runs.tokens[:, None] / S[-1]) ** drift
    losses = runs.losses * z ** (truth["alpha"] - stretched)
    law = Transfer().fit(replace(runs, losses=losses))
    np.testing.assert_allclose(curve(law, "gamma"), drift, atol=0.02)
    np.testing.assert_allclose(curve(law, "alpha"), truth["alpha"], rtol=0.05)


@pytest.mark.parametrize("law", [Transfer(), TransferGP()])
def test_robust_fits_shrug_off_a_run_that_went_wrong(law: Transfer | TransferGP) -> None:
    _, runs = planted(mixtures=30, run_sd=0.002, row_sd=0.001)
    losses = runs.losses.copy()
    losses[runs.run == "r3"] *= 1.3  # a run, and a checkpoint of another
    losses[(runs.run == "r7") & (runs.tokens == S[2])] *= 1.2
    bad = replace(runs, losses=losses)

    def error(fitted: FittedLaw) -> float:
        exact = planted(mixtures=30)[1].losses
        return float(np.abs(fitted.predict(runs.proportions, at=runs.tokens) / exact - 1.0).mean())

    clean, robust, plain = error(law.fit(runs)), error(law.fit(bad, robust=True)), error(law.fit(bad))
    assert robust < 0.25 * plain
    assert abs(error(law.fit(runs, robust=True)) - clean) < 0.5 * clean


# The fitted law


@settings(max_examples=30)
@given(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3), st.floats(1e9, 1e11))
def test_gradients_are_those_of_the_predictions(weights: list[float], at: float) -> None:
    r = np.array(weights) / sum(weights)
    law = LAW
    gradient = law.gradient([r], at=at)[0]
    h = 1e-6
    for j in range(3):
        # Along an edge of the simplex, where proportions keep their sum.
        step = np.zeros(3)
        step[j], step[(j + 1) % 3] = h, -h
        ahead, behind = (law.predict([np.clip(r + sign * step, 0.0, None)], at=at)[0] for sign in (1, -1))
        expected = gradient @ step
        np.testing.assert_allclose((ahead - behind) / 2.0, expected, rtol=1e-5, atol=1e-12)


def test_power_terms_are_the_law() -> None:
    terms = LAW.power_terms(at=3e9)
    r = np.array([[0.2, 0.3, 0.5], [0.0, 0.0, 1.0]])
    totals = np.einsum("ej,qej->qe", terms.matrix, returns(r[:, None, :], terms.rho[:, None]))
    np.testing.assert_allclose(terms.scale * totals**-terms.alpha, LAW.predict(r, at=3e9), rtol=1e-14)
    assert LAW.separable(at=3e9) is None


def test_a_round_trip_keeps_every_bit(tmp_path) -> None:
    LAW.write(tmp_path / "law.json")
    back = laws.read(tmp_path / "law.json")
    assert isinstance(back, FittedTransfer)
    back.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "law.json").read_bytes()
    mixture = Mixture.from_array(LAW.train_domains, [0.5, 0.25, 0.25])
    np.testing.assert_array_equal(back.predict(mixture, at=1e10), LAW.predict(mixture, at=1e10))


def test_the_report_shows_the_transfer_between_domains() -> None:
    report = LAW.report()
    for word in ("transfer: L_i(r, s, N)", "T/d0", "alpha", "(fixed)", "log T"):
        assert word in report
    assert "<table>" in LAW._repr_html_()


def test_other_coefficients_are_refused() -> None:
    with pytest.raises(
        InputError, match="transfer has the coefficients A, nu, B, beta, C, alpha, rho, gamma, T/d0, T/d1, T/other"
    ):
        replace(LAW, train_domains=("d0", "d1", "other"))


@pytest.mark.parametrize("rho", [0.0, -0.3, 1.8])
def test_a_rho_under_which_the_law_is_not_convex_is_refused(rho: float) -> None:
    mine = {**LAW.coefficients["d1"], "rho": LAW.coefficients["d1"]["rho"]._replace(value=rho)}
    with pytest.raises(InputError, match=f"domain 'd1': rho is above 0 and at most 1, not {rho:g}"):
        replace(LAW, coefficients={**LAW.coefficients, "d1": mine})


LAW = Transfer().fit(planted(row_sd=0.003, run_sd=0.003)[1])


# Bad input


def changed(runs: RunTable, **columns: object) -> RunTable:
    given = {"tokens": runs.tokens, "run": runs.run} | columns
    return RunTable.from_arrays(
        runs.proportions, runs.losses, train_domains=runs.train_domains, eval_domains=runs.eval_domains, **given
    )


def test_sizes_that_only_some_runs_record_are_refused() -> None:
    _, runs = planted(mixtures=4)
    sizes = np.repeat([1e6, np.nan], len(runs) // 2)
    with pytest.raises(FitError, match="give every run its params, or none"):
        Transfer().fit(changed(runs, params=sizes))


def test_one_mixture_and_two_checkpoints_are_refused() -> None:
    _, runs = planted(mixtures=1)
    with pytest.raises(FitError, match="one mixture only"):
        Transfer().fit(runs)
    _, runs = planted(s=(1e9, 2e9))
    with pytest.raises(FitError, match="two checkpoints only"):
        Transfer().fit(runs)


def test_another_size_is_refused_in_a_prediction() -> None:
    with pytest.raises(
        InputError, match="to speak of other model sizes transfer needs runs of several, and its runs record none"
    ):
        LAW.predict([[0.2, 0.3, 0.5]], at=1e10, params=1e9)


# Public data


@pytest.mark.parametrize(
    ("law", "size", "error", "r2"),
    [
        (Transfer(), 122e6, 0.60, 0.9945),
        (Transfer(), 310e6, 0.65, 0.9945),
        (TransferGP(), 122e6, 0.53, 0.9955),
        (TransferGP(), 310e6, 0.56, 0.996),
    ],
)
def test_five_fold_cross_validation_on_slimpajama(
    slimpajama, five_folds, law: Transfer, size: float, error: float, r2: float
) -> None:
    found = five_folds(law, slimpajama(size))
    assert found.error < error
    assert found.r2 > r2
    assert 0.85 <= found.inside <= 0.95


@pytest.mark.parametrize(
    ("law", "k", "error", "rank"),
    [
        (Transfer(), 3, 1.80, 0.65),
        (Transfer(), 6, 0.90, 0.80),
        (Transfer(), 16, 0.56, 0.92),
        (Transfer(), 48, 0.47, 0.92),
        (TransferGP(), 3, 1.85, 0.65),
        (TransferGP(), 6, 0.80, 0.85),
        (TransferGP(), 16, 0.45, 0.94),
        (TransferGP(), 48, 0.34, 0.93),
    ],
)
def test_a_few_runs_of_slimpajama_predict_the_others(
    slimpajama, few_runs, law: Transfer, k: int, error: float, rank: float
) -> None:
    found = few_runs(law, slimpajama(310e6), k)
    assert found.error < error
    assert found.rank > rank


def test_runs_of_a_smaller_size_tell_of_a_larger_one(slimpajama) -> None:
    small, large = slimpajama(122e6).final(), slimpajama(310e6).final()
    alone, together = [], []
    for draw in range(5):
        order = np.random.default_rng(draw).permutation(len(large))
        train, test = large.select(order[:8]), large.select(order[8:])
        for found, runs in ((alone, train), (together, RunTable.concat([small, train]))):
            predicted = TransferGP().fit(runs).predict(test.proportions, at=test.tokens, params=310e6)
            found.append(100 * np.abs(predicted / test.losses - 1.0).mean())
    assert np.mean(together) < 0.35
    assert np.mean(together) < 0.6 * np.mean(alone)


@pytest.mark.parametrize(("law", "rank"), [(Transfer(), 0.97), (TransferGP(), 0.98)])
def test_regmix_with_weights_of_zero(regmix, law: Transfer, rank: float) -> None:
    train, test = regmix("train"), regmix("test")
    fitted = law.fit(train.select(np.random.default_rng(0).permutation(len(train))[:128]))
    predicted = fitted.predict(test.proportions, at=1e9)
    ranks = [spearmanr(predicted[:, i], test.losses[:, i])[0] for i in range(len(test.eval_domains))]
    assert np.mean(ranks) > rank
