import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from scipy.stats import t as student

from mixlaw import InputError, RunTable, laws
from mixlaw.errors import FitError
from mixlaw.fitted import Coefficient, DomainFit, FittedLaw
from mixlaw.laws import bimix, least_squares
from mixlaw.laws.bimix import COEFFICIENTS, BiMix, FittedBiMix

Array = npt.NDArray[np.float64]
Plant = Callable[..., tuple[dict[str, Array], RunTable]]


def fitted(law: FittedLaw, name: str) -> Array:
    return np.array([law.coefficients[domain][name].value for domain in law.eval_domains])


def standard_errors(law: FittedLaw, name: str) -> Array:
    return np.array([law.coefficients[domain][name].standard_error for domain in law.eval_domains])


def law_of(**values: list[float]) -> FittedBiMix:
    """BiMix of the domains d0, d1, ... with the coefficients given; A is 1."""
    m = len(values["alpha"])
    domains = tuple(f"d{k}" for k in range(m))
    values = {"A": [1.0] * m, **values}
    return FittedBiMix(
        train_domains=domains,
        eval_domains=domains,
        x="tokens",
        x_range=(1.0, 100.0),
        sizes=(),
        mixtures=np.empty((0, 1)),
        fingerprint="none",
        coefficients={
            domain: {name: Coefficient(values[name][k]) for name in COEFFICIENTS} for k, domain in enumerate(domains)
        },
        covariance={domain: np.full((5, 5), np.nan) for domain in domains},
        quality={domain: DomainFit(4, 2, 0, None, 0.0, None, None) for domain in domains},
        spearman=None,
        notes=(),
    )


def with_losses(runs: RunTable, losses: Array, **changes: object) -> RunTable:
    columns = {name: getattr(runs, name) for name in ("train_domains", "eval_domains", "tokens", "steps", "run")}
    return RunTable.from_arrays(runs.proportions, losses, **{**columns, **changes})


# The fit


@pytest.mark.parametrize("seed", range(9))
def test_planted_coefficients_are_recovered_without_noise(plant: Plant, seed: int) -> None:
    planted, runs = plant(seed=seed, mixtures=3 + seed)
    law = BiMix().fit(runs)
    for name, value in planted.items():
        np.testing.assert_allclose(fitted(law, name), value, rtol=1e-6)
    assert (fitted(law, "A") == 1.0).all()
    assert law.coefficients["web"]["A"].note == "fixed"
    np.testing.assert_allclose(law.predict(runs.proportions, at=runs.tokens), runs.losses, rtol=1e-10)


def test_planted_coefficients_are_recovered_within_their_standard_errors(plant: Plant) -> None:
    planted, runs = plant(mixtures=31, row_sd=0.003, seed=3)
    law = BiMix().fit(runs)
    for name, value in planted.items():
        errors = standard_errors(law, name)
        assert (errors > 0.0).all()
        assert (np.abs(fitted(law, name) - value) <= 4.0 * errors).all(), name
    sd = [law.quality[domain].residual_sd for domain in law.eval_domains]
    np.testing.assert_allclose(sd, 0.003, rtol=0.2)


def test_standard_errors_cover_when_noise_is_common_to_a_run(plant: Plant) -> None:
    trials, mixtures = 60, 8
    half_width = student.ppf(0.95, mixtures - 1)
    hits: dict[str, list[bool]] = {}
    for seed in range(trials):
        planted, runs = plant(mixtures=mixtures, run_sd=0.004, row_sd=0.002, seed=seed)
        law = BiMix().fit(runs)
        for name, value in planted.items():
            inside = np.abs(fitted(law, name) - value) <= half_width * standard_errors(law, name)
            hits.setdefault(name, []).extend(inside.tolist())
    for name, inside in hits.items():
        # 90 % intervals; 180 trials have a standard error of 2.2 %.
        assert 0.83 <= np.mean(inside) <= 0.97, (name, np.mean(inside))


def test_the_covariance_is_that_of_the_standard_errors_and_empty_where_they_are(plant: Plant) -> None:
    _, runs = plant(row_sd=0.01)
    law = BiMix().fit(runs)
    for domain, matrix in law.covariance.items():
        errors = [one.standard_error for one in law.coefficients[domain].values()]
        np.testing.assert_allclose(np.sqrt(np.diag(matrix)), errors)
        assert np.isnan(matrix[0]).all()
        assert np.isnan(matrix[:, 0]).all()
        np.testing.assert_allclose(matrix, matrix.T)


def test_the_unit_of_x_changes_b_alone(plant: Plant) -> None:
    _, runs = plant(row_sd=0.01)
    tokens = BiMix().fit(runs)
    billions = BiMix().fit(with_losses(runs, runs.losses, tokens=runs.tokens / 1e9))
    for name in ("C", "alpha", "beta"):
        np.testing.assert_allclose(fitted(billions, name), fitted(tokens, name), rtol=1e-7)
        np.testing.assert_allclose(standard_errors(billions, name), standard_errors(tokens, name), rtol=1e-5)
    np.testing.assert_allclose(fitted(billions, "B"), fitted(tokens, "B") * 1e9 ** -fitted(tokens, "beta"), rtol=1e-7)


def test_the_unit_of_the_loss_scales_b_and_c_alone(plant: Plant) -> None:
    _, runs = plant(row_sd=0.01)
    nats, bits = BiMix().fit(runs), BiMix().fit(with_losses(runs, runs.losses / np.log(2.0)))
    for name, scale in (("alpha", 1.0), ("beta", 1.0), ("B", 1.0 / np.log(2.0)), ("C", 1.0 / np.log(2.0))):
        np.testing.assert_allclose(fitted(bits, name), scale * fitted(nats, name), rtol=1e-7)


def test_the_order_of_the_domains_changes_nothing(plant: Plant) -> None:
    _, runs = plant(row_sd=0.01)
    order = [2, 0, 1]
    names = [runs.train_domains[k] for k in order]
    turned = RunTable.from_arrays(
        runs.proportions[:, order], runs.losses[:, order], train_domains=names, eval_domains=names,
        tokens=runs.tokens, run=runs.run,
    )  # fmt: skip
    law, other = BiMix().fit(runs), BiMix().fit(turned)
    assert {d: dict(law.coefficients[d]) for d in names} == {d: dict(other.coefficients[d]) for d in names}


def test_equal_seeds_give_equal_bits_and_other_seeds_the_same_minimum(plant: Plant) -> None:
    _, runs = plant(row_sd=0.01)
    first, again, other = (BiMix().fit(runs, seed=seed) for seed in (5, 5, 6))
    assert first.coefficients == again.coefficients
    for name in COEFFICIENTS:
        np.testing.assert_allclose(fitted(other, name), fitted(first, name), rtol=1e-6)


def test_steps_serve_as_well_as_tokens(plant: Plant) -> None:
    planted, runs = plant(x=(100, 200, 400, 800), tokens=None, steps=np.tile([100.0, 200.0, 400.0, 800.0], 8))
    law = BiMix().fit(runs, x="steps")
    assert law.x == "steps"
    np.testing.assert_allclose(fitted(law, "alpha"), planted["alpha"], rtol=1e-6)
    with pytest.raises(InputError, match="no row has tokens; use x='steps'"):
        BiMix().fit(runs)


def test_every_measure_of_quality_is_that_of_the_predictions(plant: Plant) -> None:
    _, runs = plant(row_sd=0.02)
    law = BiMix().fit(runs)
    predicted = law.predict(runs.proportions, at=runs.tokens)
    for k, domain in enumerate(law.eval_domains):
        y, f, fit = runs.losses[:, k], predicted[:, k], law.quality[domain]
        assert (fit.rows, fit.runs, fit.left_out) == (40, 8, 0)
        assert fit.mean_relative_error == pytest.approx(np.mean(np.abs(y - f) / y))
        log_y = np.log(y)
        assert fit.r2 == pytest.approx(1 - np.sum((log_y - np.log(f)) ** 2) / np.sum((log_y - log_y.mean()) ** 2))
        assert fit.pearson == pytest.approx(np.corrcoef(y, f)[0, 1])
        assert fit.residual_sd == pytest.approx(np.sqrt(np.sum((log_y - np.log(f)) ** 2) / 36))
    last = runs.tokens == 1.6e10
    assert law.spearman == pytest.approx(spearmanr(runs.losses[last].mean(axis=1), predicted[last].mean(axis=1))[0])


# Bounds


def test_a_domain_that_more_data_does_not_help_has_alpha_at_its_bound(plant: Plant) -> None:
    _, runs = plant()
    losses = runs.losses * runs.proportions[:, :1] ** 0.3  # rises with the share of the first domain
    one = BiMix().fit(with_losses(runs, losses)).coefficients["web"]["alpha"]
    assert (one.value, one.note) == (0.0, "at its bound 0")
    assert np.isnan(one.standard_error)


def test_a_loss_that_goes_to_zero_has_c_at_its_bound_and_the_rest_recovered(plant: Plant) -> None:
    planted, runs = plant()
    losses = runs.proportions ** -planted["alpha"] * planted["B"] * runs.tokens[:, None] ** -planted["beta"]
    law = BiMix().fit(with_losses(runs, losses))
    for domain in law.eval_domains:
        assert law.coefficients[domain]["C"] == pytest.approx((0.0, np.nan, "at its bound 0"), nan_ok=True)
    for name in ("B", "alpha", "beta"):
        np.testing.assert_allclose(fitted(law, name), planted[name], rtol=1e-6)
        assert (standard_errors(law, name) >= 0.0).all()


def test_a_loss_that_rises_with_training_leaves_c_alone(plant: Plant) -> None:
    planted, runs = plant()
    losses = runs.proportions ** -planted["alpha"] * 2.0 * runs.tokens[:, None] ** 0.1
    law = BiMix().fit(with_losses(runs, losses))
    for mine in law.coefficients.values():
        assert mine["B"].value == mine["beta"].value == 0.0
        # Either bound says the same; which one is reached first is the optimiser's affair.
        assert {mine["B"].note, mine["beta"].note} in (
            {"at its bound 0", "not identified, as B is 0"},
            {"part of C, as beta is 0", "at its bound 0"},
        )
        assert mine["C"].standard_error > 0.0
    np.testing.assert_allclose(fitted(law, "alpha"), planted["alpha"], rtol=1e-6)


def test_a_step_in_the_loss_has_beta_at_its_largest(plant: Plant) -> None:
    _, runs = plant(x=(1.0, 1.5, 2.25))
    losses = np.where(runs.tokens[:, None] == 1.0, 9.0, 3.0) * runs.proportions**-0.1
    one = BiMix().fit(with_losses(runs, losses)).coefficients["web"]["beta"]
    assert (one.value, one.note) == (10.0, "at its bound 10")


def test_an_optimiser_that_stops_early_is_reported(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(least_squares, "MAX_EVALUATIONS", 2)
    _, runs = plant(row_sd=0.02)
    law = BiMix().fit(runs)
    assert "The optimiser stopped before it converged: web, code, books." in law.notes


# What the runs cannot identify


def test_one_mixture_is_refused(plant: Plant) -> None:
    _, runs = plant(mixtures=1)
    with pytest.raises(FitError, match=r"^the runs have one mixture only, of which no law of mixtures follows"):
        BiMix().fit(runs)


def test_two_mixtures_are_enough_for_coefficients_but_not_for_standard_errors(plant: Plant) -> None:
    planted, runs = plant(mixtures=2)
    law = BiMix().fit(runs)
    for name, value in planted.items():
        np.testing.assert_allclose(fitted(law, name), value, rtol=1e-6)
        assert np.isnan(standard_errors(law, name)).all()
    assert law.coefficients["web"]["alpha"].note == "not identified without run 'r0'"


def test_one_checkpoint_gives_the_reduced_form_that_says_so(plant: Plant) -> None:
    planted, runs = plant(x=(7e9,), row_sd=0.001)
    law = BiMix().fit(runs)
    assert any("one checkpoint only, at 7e+09 tokens: this is the reduced form" in note for note in law.notes)
    for mine in law.coefficients.values():
        assert (mine["B"].value, mine["beta"].value) == (0.0, 0.0)
        assert mine["B"].note == mine["beta"].note == "one checkpoint only"
        assert mine["alpha"].standard_error > 0.0
        assert mine["C"].standard_error > 0.0
    level = planted["B"] * 7e9 ** -planted["beta"] + planted["C"]
    np.testing.assert_allclose(fitted(law, "C"), level, rtol=0.01)
    # The line through the logs is what ordinary least squares gives.
    for k, domain in enumerate(law.eval_domains):
        slope, _ = np.polyfit(np.log(runs.proportions[:, k]), np.log(runs.losses[:, k]), 1)
        assert law.coefficients[domain]["alpha"].value == pytest.approx(-slope, rel=1e-9)


def test_the_reduced_form_predicts_at_its_checkpoint_alone(plant: Plant) -> None:
    _, runs = plant(x=(7e9,))
    law = BiMix().fit(runs)
    np.testing.assert_allclose(law.predict(runs.proportions, at=7.05e9), runs.losses, rtol=1e-9)
    for at in (6e9, 8e9):
        with pytest.raises(InputError, match=r"one checkpoint only, at 7e\+09 tokens; .* cannot predict at"):
            law.predict(runs.proportions, at=at)
        with pytest.raises(InputError, match="one checkpoint only"):
            law.separable(at=at)


def test_the_reduced_form_too_has_alpha_at_its_bound(plant: Plant) -> None:
    _, runs = plant(x=(7e9,))
    law = BiMix().fit(with_losses(runs, 2.0 * runs.proportions**0.1))
    assert law.coefficients["web"]["alpha"].value == 0.0
    assert law.coefficients["web"]["alpha"].note == "at its bound 0"


@pytest.mark.parametrize("x", [(1e9, 2e9), (1e9, 1.005e9, 2e9)])
def test_two_checkpoints_are_refused_also_when_one_was_recorded_twice(plant: Plant, x: tuple[float, ...]) -> None:
    _, runs = plant(x=x)
    with pytest.raises(FitError, match=r"two checkpoints only \(near 1e\+09 and 2e\+09 tokens\)"):
        BiMix().fit(runs)


def test_several_model_sizes_are_refused_by_name(plant: Plant) -> None:
    _, runs = plant(params=np.repeat([1e6, 6e7], 20))
    with pytest.raises(FitError, match=r"2 sizes \(1e\+06, 6e\+07\) and bimix has no size term"):
        BiMix().fit(runs)


def test_an_unknown_size_beside_a_known_one_is_refused(plant: Plant) -> None:
    _, runs = plant(params=np.repeat([1e6, np.nan], 20))
    with pytest.raises(FitError, match=r"1e\+06, unknown"):
        BiMix().fit(runs)


def test_an_evaluation_domain_that_is_not_trained_on_is_refused_by_name(plant: Plant) -> None:
    _, runs = plant()
    with pytest.raises(FitError, match=r"'boks' is not trained on; did you mean 'books'\?.*--without"):
        BiMix().fit(with_losses(runs, runs.losses, eval_domains=["web", "code", "boks"]))


def test_a_domain_that_no_run_varies_is_refused_by_name(plant: Plant) -> None:
    _, runs = plant()
    shares = np.column_stack(
        [np.full(40, 0.25), 0.75 * runs.proportions[:, 1:] / runs.proportions[:, 1:].sum(1)[:, None]]
    )
    table = RunTable.from_arrays(
        shares, runs.losses, train_domains=runs.train_domains, eval_domains=runs.eval_domains,
        tokens=runs.tokens, run=runs.run,
    )  # fmt: skip
    with pytest.raises(FitError, match=r"domain 'web': its proportion is 0.25 in every run"):
        BiMix().fit(table)


def test_too_few_rows_are_refused() -> None:
    table = RunTable.from_arrays(
        [[0.2, 0.8], [0.2, 0.8], [0.6, 0.4]], np.full((3, 2), 2.0), train_domains=["a", "b"], eval_domains=["a", "b"],
        tokens=[1.0, 2.0, 4.0], run=["r", "r", "s"],
    )  # fmt: skip
    with pytest.raises(FitError, match="domain 'a': 3 rows cannot determine 4 coefficients"):
        BiMix().fit(table)


# Zeros


def with_zero_shares(runs: RunTable, rows: npt.NDArray[np.bool_]) -> RunTable:
    """The runs with no tokens of the first domain in some rows, whose loss of it is then nonsense."""
    shares, losses = runs.proportions.copy(), runs.losses.copy()
    shares[rows, 0] = 0.0
    shares[rows] /= shares[rows].sum(axis=1, keepdims=True)
    losses[rows, 0] = 99.0
    return RunTable.from_arrays(
        shares, losses, train_domains=runs.train_domains, eval_domains=runs.eval_domains,
        tokens=runs.tokens, run=runs.run,
    )  # fmt: skip


def test_rows_without_tokens_of_a_domain_leave_its_fit_and_are_counted(plant: Plant) -> None:
    planted, runs = plant()
    table = with_zero_shares(runs, np.isin(runs.run, ["r2", "r5"]))
    law = BiMix().fit(table)
    assert law.quality["web"].left_out == 10
    assert (law.quality["web"].rows, law.quality["web"].runs) == (30, 6)
    assert law.quality["code"].left_out == 0
    (note,) = (note for note in law.notes if note.startswith("Rows without tokens of a domain are left out"))
    assert "is infinite: web. The Spearman correlation is over the 6 of 8 runs" in note
    for name in ("B", "C", "alpha", "beta"):
        assert law.coefficients["web"][name].value == pytest.approx(planted[name][0], rel=1e-6)
    last = (table.tokens == 1.6e10) & (table.proportions > 0.0).all(axis=1)
    predicted = law.predict(table.proportions[last], at=1.6e10).mean(axis=1)
    assert law.spearman == pytest.approx(spearmanr(table.losses[last].mean(axis=1), predicted)[0])


def test_a_domain_that_only_one_mixture_trains_on_is_refused(plant: Plant) -> None:
    _, runs = plant()
    with pytest.raises(FitError, match=r"domain 'web': its proportion is .* in every run that trains on it"):
        BiMix().fit(with_zero_shares(runs, runs.run != "r3"))


def test_a_domain_that_no_run_trains_on_is_refused(plant: Plant) -> None:
    _, runs = plant()
    with pytest.raises(FitError, match="domain 'web': no run gives it any tokens"):
        BiMix().fit(with_zero_shares(runs, np.ones(40, dtype=bool)))


@pytest.mark.parametrize(("kept", "message"), [((1e9,), "one checkpoint only"), ((1e9, 2e9), "two checkpoints only")])
def test_a_domain_with_fewer_checkpoints_than_the_others_is_refused(
    plant: Plant, kept: tuple[float, ...], message: str
) -> None:
    _, runs = plant()
    trained = np.isin(runs.run, ["r0", "r1", "r2", "r3"])
    table = with_zero_shares(runs, ~trained)
    with pytest.raises(FitError, match=f"domain 'web': the runs that train on it have {message}"):
        BiMix().fit(table.select(~trained | np.isin(runs.tokens, kept)))


def test_rows_at_zero_tokens_are_left_out_and_counted(plant: Plant) -> None:
    planted, runs = plant()
    start = runs.select(runs.tokens == 1e9)
    start = with_losses(start, np.full((8, 3), 11.0), tokens=np.zeros(8))
    law = BiMix().fit(RunTable.concat([runs, start]))
    assert "8 rows at 0 tokens are left out: the law has no value there." in law.notes
    np.testing.assert_allclose(fitted(law, "beta"), planted["beta"], rtol=1e-6)
    with pytest.raises(FitError, match="all 8 rows are at 0 tokens"):
        BiMix().fit(start)


def test_a_prediction_without_tokens_of_the_domain_is_infinite_also_when_alpha_is_zero() -> None:
    law = law_of(alpha=[0.1, 0.0], B=[1.0, 1.0], beta=[0.5, 0.5], C=[2.0, 2.0])
    np.testing.assert_array_equal(np.isinf(law.predict([[0.0, 1.0], [1.0, 0.0]], at=4.0)), np.eye(2, dtype=bool))
    gradient = law.gradient([[0.0, 1.0], [1.0, 0.0]], at=4.0)
    assert gradient[0, 0, 0] == gradient[1, 1, 1] == -np.inf
    assert np.isfinite(gradient[0, 1]).all()
    assert np.isfinite(gradient[1, 0]).all()


# Prediction


def test_a_prediction_is_the_formula() -> None:
    law = law_of(A=[1.0, 3.0], alpha=[0.1, 0.2], B=[5.0, 7.0], beta=[0.5, 1.0], C=[2.0, 1.0])
    predicted = law.predict([[0.25, 0.75]], at=16.0)
    expected = [0.25**-0.1 * (5.0 / 4.0 + 2.0), 3.0 * 0.75**-0.2 * (7.0 / 16.0 + 1.0)]
    np.testing.assert_allclose(predicted, [expected], rtol=1e-15)


def test_at_may_differ_by_mixture() -> None:
    law = law_of(alpha=[0.1, 0.2], B=[5.0, 7.0], beta=[0.5, 1.0], C=[2.0, 1.0])
    mixtures, at = [[0.25, 0.75], [0.5, 0.5]], [10.0, 20.0]
    both = law.predict(mixtures, at=at)
    np.testing.assert_array_equal(both, [law.predict([r], at=s)[0] for r, s in zip(mixtures, at, strict=True)])


positive = st.floats(0.01, 5.0)


@given(
    terms=st.lists(st.tuples(st.floats(0.0, 2.0), positive, st.floats(0.0, 2.0), positive), min_size=1, max_size=7),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_the_gradient_is_that_of_the_complex_step(terms: list[tuple[float, ...]], data: st.DataObject) -> None:
    alpha, B, beta, C = map(list, zip(*terms, strict=True))
    law = law_of(alpha=alpha, B=B, beta=beta, C=C)
    amounts = np.array(data.draw(st.lists(positive, min_size=len(terms), max_size=len(terms))))
    r, s = amounts / amounts.sum(), 3.0
    gradient = law.gradient([r], at=s)
    assert gradient.shape == (1, len(terms), len(terms))
    expected = np.zeros_like(gradient[0])
    for j in range(len(terms)):
        z = r.astype(np.complex128)
        z[j] += 1e-30j
        losses = z ** -np.array(alpha) * (np.array(B) * s ** -np.array(beta) + np.array(C))
        expected[:, j] = losses.imag / 1e-30
    np.testing.assert_allclose(gradient[0], expected, rtol=1e-12, atol=1e-14)


def test_separable_terms_rebuild_the_prediction_in_any_order_of_domains(plant: Plant) -> None:
    _, runs = plant()
    table = RunTable.from_arrays(
        runs.proportions, runs.losses[:, [2, 0]], train_domains=runs.train_domains, eval_domains=["books", "web"],
        tokens=runs.tokens, run=runs.run,
    )  # fmt: skip
    law = BiMix().fit(table)
    terms = law.separable(at=5e9)
    r = np.array([0.2, 0.5, 0.3])
    np.testing.assert_array_equal(terms.domain, [2, 0])
    np.testing.assert_allclose(terms.scale * r[terms.domain] ** -terms.alpha, law.predict([r], at=5e9)[0])
    assert law.gradient([r], at=5e9).shape == (1, 2, 3)


def test_a_model_size_other_than_that_of_the_runs_is_refused(plant: Plant) -> None:
    _, runs = plant(params=1e6)
    law = BiMix().fit(runs)
    assert law.sizes == (1e6,)
    law.predict([[0.2, 0.5, 0.3]], at=1e9, params=1e6)
    with pytest.raises(InputError, match=r"its runs have 1e\+06, it cannot predict for 2e\+06 parameters"):
        law.predict([[0.2, 0.5, 0.3]], at=1e9, params=2e6)
    with pytest.raises(InputError, match="its runs record no model size"):
        law_of(alpha=[0.1], B=[1.0], beta=[0.5], C=[2.0]).gradient([[1.0]], at=1e9, params=2e6)


# The residuals' own Jacobian, and the public data


def test_the_jacobian_of_the_fit_is_that_of_central_differences(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []

    def check(residuals: Callable[[Array], Array], jacobian: Callable[[Array], Array], starts: Array, *rest: Array):
        for theta in starts:
            for k in range(4):
                step = np.zeros(4)
                step[k] = 1e-6
                slope = (residuals(theta + step) - residuals(theta - step)) / 2e-6
                np.testing.assert_allclose(jacobian(theta)[:, k], slope, rtol=1e-6, atol=1e-8)
                checked.append(k)
        return least_squares.minimize(residuals, jacobian, starts, *rest)

    monkeypatch.setattr(bimix, "minimize", check)
    _, runs = plant(row_sd=0.01)
    BiMix().fit(runs)
    assert set(checked) == {0, 1, 2, 3}


def dmsl(shared_data, size: float) -> RunTable:
    with pytest.warns(UserWarning, match="rows left out, as they lack a loss: 6"):
        runs = RunTable.read(
            shared_data / "dmsl" / "slimpajama_122m_310m.csv", columns={"openhermes_loss": None}, missing="drop"
        )
    return runs.select(runs.params == size)


@pytest.mark.parametrize(("size", "error", "r2"), [(122e6, 1.3888, 0.9701), (310e6, 1.3927, 0.9760)])
def test_five_fold_cross_validation_on_dmsl(shared_data, size: float, error: float, r2: float) -> None:
    runs = dmsl(shared_data, size)
    mixtures, of_row = np.unique(runs.proportions.round(5), axis=0, return_inverse=True)
    fold = (np.random.default_rng(0).permutation(len(mixtures)) % 5)[of_row]
    predicted = np.empty_like(runs.losses)
    for number in range(5):
        law = BiMix().fit(runs.select(fold != number))
        predicted[fold == number] = law.predict(runs.proportions[fold == number], at=runs.tokens[fold == number])
    logs = np.log(runs.losses)
    rest, total = ((logs - np.log(predicted)) ** 2).sum(axis=0), ((logs - logs.mean(axis=0)) ** 2).sum(axis=0)
    assert 100.0 * np.mean(np.abs(predicted - runs.losses) / runs.losses) == pytest.approx(error, abs=0.002)
    assert np.mean(1.0 - rest / total) == pytest.approx(r2, abs=0.0002)


@pytest.mark.parametrize(("size", "error", "previous"), [(122e6, 1.4012, 3.0080), (310e6, 1.4040, 3.7051)])
def test_the_last_checkpoint_of_dmsl_from_the_first_twelve_billion_tokens(
    shared_data, size: float, error: float, previous: float
) -> None:
    runs = dmsl(shared_data, size)
    early, last = runs.select(runs.tokens < 1.21e10), runs.final()
    predicted = BiMix().fit(early).predict(last.proportions, at=last.tokens)
    assert 100.0 * np.mean(np.abs(predicted - last.losses) / last.losses) == pytest.approx(error, abs=0.002)
    before = dict(zip(early.final().run, early.final().losses, strict=True))
    standing = np.array([before[run] for run in last.run])
    assert 100.0 * np.mean(np.abs(standing - last.losses) / last.losses) == pytest.approx(previous, abs=0.002)


def test_regmix_at_its_one_checkpoint(shared_data) -> None:
    tables = []
    for part in ("train", "test"):
        files = [shared_data / "regmix" / f"{part}_{what}_1m.csv" for what in ("mixture", "pile_loss")]
        with pytest.warns(UserWarning, match="renormalised"):
            read = RunTable.read(files[0], metrics=files[1])
        tables.append(with_losses(read, read.losses, tokens=1e9))
    law = BiMix().fit(tables[0])
    test = tables[1]
    predicted = law.predict(test.proportions, at=1e9)
    trained = np.isfinite(predicted)
    ranks = [spearmanr(y[t], f[t])[0] for y, f, t in zip(test.losses.T, predicted.T, trained.T, strict=True)]
    assert np.mean(ranks) == pytest.approx(0.940, abs=0.002)
    relative = np.where(trained, np.abs(np.where(trained, predicted, 0.0) - test.losses) / test.losses, np.nan)
    assert 100.0 * np.nanmean(relative, axis=0).mean() == pytest.approx(2.635, abs=0.005)


def test_a_fit_to_dmsl_is_the_same_after_a_round_trip(shared_data, tmp_path) -> None:
    law = BiMix().fit(dmsl(shared_data, 122e6))
    law.write(tmp_path / "law.json")
    back = laws.read(tmp_path / "law.json")
    assert json.dumps(back.content()) == json.dumps(law.content())
    mixture = [np.full(7, 1 / 7)]
    np.testing.assert_array_equal(back.predict(mixture, at=1e11), law.predict(mixture, at=1e11))
