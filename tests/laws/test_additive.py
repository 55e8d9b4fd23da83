from dataclasses import replace

import mpmath
import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from mixlaw import InputError, RunTable
from mixlaw.errors import FitError
from mixlaw.fitted import Coefficient, DomainFit, FittedLaw
from mixlaw.laws.additive import Additive, FittedAdditive, FittedJoint, Joint
from mixlaw.laws.additive_rows import Rows

Array = npt.NDArray[np.float64]
S = (1e9, 2e9, 4e9, 8e9, 1.6e10)
SIZES = (1e8, 3e8, 1e9)
LAWS = (Additive, Joint)


def planted(
    *,
    joint: bool = False,
    mixtures: int = 60,
    s: tuple[float, ...] = S,
    sizes: tuple[float, ...] = SIZES,
    noise: float = 0.0,
    seed: int = 0,
) -> tuple[dict[str, Array], RunTable]:
    """Runs that obey the law, with three training and evaluation domains."""
    rng = np.random.default_rng(seed)
    shape, m = (3, 3), 3
    truth = {
        "E": rng.uniform(1.0, 2.0, m),
        "C": np.exp(rng.normal(1.0, 0.7, shape)),
        "gamma": np.exp(rng.normal(np.log(0.3), 0.4, shape)),
        "alpha": rng.uniform(0.2, 0.5, m),
        "beta": rng.uniform(0.3, 0.6, m),
        "C_B": np.exp(rng.normal(0.0, 0.7, shape)),
        "gamma_B": rng.uniform(-0.6, -0.3, m),
    }
    truth["A"] = rng.uniform(0.3, 0.8, m) * sizes[0] ** truth["alpha"]
    truth["B"] = rng.uniform(0.4, 1.0, m) * s[0] ** truth["beta"]
    truth["C_B"] /= np.exp(np.log(truth["C_B"]).mean(axis=1, keepdims=True))
    shares = rng.dirichlet(np.ones(m), mixtures)
    r, at = np.repeat(shares, len(s), axis=0), np.tile(s, mixtures)
    params = np.repeat(np.array(sizes)[np.arange(mixtures) % len(sizes)], len(s))
    losses = losses_of(truth, r, at, params, joint) * np.exp(noise * rng.normal(size=(len(r), m)))
    names = ["d0", "d1", "d2"]
    return truth, RunTable.from_arrays(
        r, losses, train_domains=names, eval_domains=names, tokens=at, params=params,
        run=[f"r{i}" for i in np.repeat(np.arange(mixtures), len(s))],
    )  # fmt: skip


def losses_of(truth: dict[str, Array], r: Array, s: Array, N: Array, joint: bool) -> Array:
    falling = truth["B"] * s[:, None] ** -truth["beta"]
    if joint:
        falling = falling * (r @ truth["C_B"].T) ** truth["gamma_B"]
    mixed = 1.0 / np.sum(truth["C"] * r[:, None] ** truth["gamma"], axis=2)
    return truth["E"] + mixed + truth["A"] * N[:, None] ** -truth["alpha"] + falling


def found(law: FittedLaw, name: str) -> Array:
    values = [
        [one.value for key, one in law.coefficients[d].items() if key.split("/")[0] == name] for d in law.eval_domains
    ]
    return np.array(values).squeeze()


def effect(C: Array, gamma: Array) -> Array:
    """What the mixture does to B, about an even one: gamma^B and C^B apart are hard to tell."""
    slopes = gamma[:, None] * C / C.mean(axis=1, keepdims=True)
    return slopes - slopes.mean(axis=1, keepdims=True)


def law_of(kind: type[FittedAdditive], **values: float) -> FittedAdditive:
    """A law of the domains d0, d1 and the evaluation domain d0."""
    return kind(
        train_domains=("d0", "d1"), eval_domains=("d0",), x="tokens", x_range=(1.0, 100.0), sizes=(10.0, 20.0),
        mixtures=np.empty((0, 2)), fingerprint="none",
        coefficients={"d0": {name.replace("__", "/"): Coefficient(value) for name, value in values.items()}},
        covariance={"d0": np.full((len(values), len(values)), np.nan)},
        quality={"d0": DomainFit(4, 2, 0, None, 0.0, None, None)}, spearman=None, notes=(),
    )  # fmt: skip


MIXED = {"E": 1.5, "C__d0": 2.0, "C__d1": 0.5, "gamma__d0": 0.3, "gamma__d1": 1.4}
TERMS = {"A": 3.0, "alpha": 0.4, "B": 2.0, "beta": 0.6}
JOINT = {
    **MIXED,
    **{"A": 3.0, "alpha": 0.4, "C_A__d0": 0.8, "C_A__d1": 1.25, "gamma_A": -0.7},
    **{"B": 2.0, "beta": 0.6, "C_B__d0": 1.6, "C_B__d1": 0.625, "gamma_B": 0.4},
}


# The fitted law


def test_predictions_are_the_formula_and_gradients_its_derivatives() -> None:
    additive, joint = law_of(FittedAdditive, **MIXED, **TERMS), law_of(FittedJoint, **JOINT)
    r, s, N = [0.3, 0.7], 50.0, 15.0

    def formula(c: dict[str, float], is_joint: bool):
        def loss(a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
            mixed = 1 / (c["C__d0"] * a ** mpmath.mpf(c["gamma__d0"]) + c["C__d1"] * b ** mpmath.mpf(c["gamma__d1"]))
            A, B = mpmath.mpf(c["A"]), mpmath.mpf(c["B"])
            if is_joint:
                A *= (c["C_A__d0"] * a + c["C_A__d1"] * b) ** mpmath.mpf(c["gamma_A"])
                B *= (c["C_B__d0"] * a + c["C_B__d1"] * b) ** mpmath.mpf(c["gamma_B"])
            return c["E"] + mixed + A / N ** mpmath.mpf(c["alpha"]) + B / s ** mpmath.mpf(c["beta"])

        return loss

    with mpmath.workdps(40):
        for law, loss in ((additive, formula(MIXED | TERMS, False)), (joint, formula(JOINT, True))):
            a, b = map(mpmath.mpf, r)
            np.testing.assert_allclose(law.predict([r], at=s, params=N), [[float(loss(a, b))]], rtol=1e-14)
            slope = [float(mpmath.diff(loss, (a, b), order)) for order in ((1, 0), (0, 1))]
            np.testing.assert_allclose(law.gradient([r], at=s, params=N)[0, 0], slope, rtol=1e-12)


def test_a_domain_without_tokens_has_an_infinite_slope_where_its_gamma_is_below_one() -> None:
    law = law_of(FittedAdditive, **MIXED, **TERMS)
    gradient = law.gradient([[0.0, 1.0], [1.0, 0.0]], at=50.0, params=15.0)
    assert gradient[0, 0, 0] == -np.inf
    assert gradient[1, 0, 1] == 0.0
    assert np.isfinite(law.predict([[0.0, 1.0], [1.0, 0.0]], at=50.0, params=15.0)).all()


def test_several_sizes_need_one_to_be_said() -> None:
    law = law_of(FittedAdditive, **MIXED, **TERMS)
    with pytest.raises(InputError, match="the runs have 2 model sizes, so say for which to predict"):
        law.predict([[0.5, 0.5]], at=50.0)
    assert law.predict([[0.5, 0.5]], at=50.0, params=1e3) < law.predict([[0.5, 0.5]], at=50.0, params=10.0)


@pytest.mark.parametrize(
    ("kind", "values"),
    [(FittedAdditive, {**MIXED, "A": 1.0}), (FittedJoint, {**MIXED, **TERMS}), (FittedAdditive, JOINT)],
)
def test_other_coefficients_are_refused(kind: type[FittedAdditive], values: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"domain 'd0': {kind.law} has the coefficients E, C/d0, C/d1, gamma/d0"):
        law_of(kind, **values)


def test_the_counts_of_coefficients_are_those_of_the_paper() -> None:
    # 5 + 2k and 5 + 4k for k domains; that of C^A and of C^B has one condition, for which A and B stand apart.
    m = 2
    assert len(MIXED | TERMS) == 2 * m + 5
    assert len(JOINT) - 2 == 4 * m + 5


# The fit


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("law", LAWS)
def test_planted_coefficients_are_found(law: type[Additive], seed: int) -> None:
    joint = law is Joint
    truth, runs = planted(joint=joint, seed=seed)
    fitted = law().fit(runs)
    for name, tolerance in {"E": 0.03, "A": 0.03, "alpha": 0.01, "B": 0.02, "beta": 0.01, "C": 0.3}.items():
        np.testing.assert_allclose(found(fitted, name), truth[name], rtol=tolerance, err_msg=name)
    if joint:
        ours = effect(found(fitted, "C_B"), found(fitted, "gamma_B"))
        np.testing.assert_allclose(ours, effect(truth["C_B"], truth["gamma_B"]), atol=0.05)
    rng = np.random.default_rng(seed + 100)
    r, s, N = rng.dirichlet(np.ones(3), 50), rng.uniform(1e9, 1e11, 50), 3e9
    exact = losses_of(truth, r, s, np.full(50, N), joint)
    np.testing.assert_allclose(fitted.predict(r, at=s, params=N), exact, rtol=0.01)


@pytest.mark.parametrize("law", LAWS)
def test_the_jacobian_of_the_fit_is_that_of_central_differences(law: type[Additive]) -> None:
    from mixlaw.laws.additive import _Problem

    _, runs = planted(mixtures=7, joint=True)
    r = runs.proportions.copy()
    r[:5, 0], r[:5] = 0.0, r[:5] / r[:5, 1:].sum(axis=1, keepdims=True)
    r[:5, 0] = 0.0
    table = RunTable.from_arrays(
        r, runs.losses, train_domains=runs.train_domains, eval_domains=runs.eval_domains, tokens=runs.tokens,
        params=runs.params, run=runs.run,
    )  # fmt: skip
    problem = _Problem(table, "tokens", law.fitted)
    rng = np.random.default_rng(0)
    for _ in range(5):
        theta = problem.prior.mean + 0.7 * rng.normal(size=len(problem.prior.mean))
        _, J = problem.rows.log_losses(theta)
        for k in range(len(theta)):
            step = np.zeros(len(theta))
            step[k] = 1e-5
            slope = (problem.rows.log_losses(theta + step)[0] - problem.rows.log_losses(theta - step)[0]) / 2e-5
            np.testing.assert_allclose(J[:, k], slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("law", LAWS)
def test_the_term_of_a_size_that_does_not_vary_is_a_part_of_e(law: type[Additive]) -> None:
    truth, runs = planted(sizes=(1e8,))
    fitted = law().fit(runs)
    assert "A" not in fitted.coefficients["d0"]
    assert any("One model size: the term A / N^alpha is a part of E" in note for note in fitted.notes)
    floor = truth["E"] + truth["A"] * 1e8 ** -truth["alpha"]
    np.testing.assert_allclose(found(fitted, "E"), floor, rtol=0.03)
    with pytest.raises(InputError, match=r"needs runs of several, and its runs have one, of 1e\+08 parameters"):
        fitted.predict(runs.proportions[:1], at=1e10, params=2e8)
    with pytest.raises(InputError, match="its runs record none"):
        replace(fitted, sizes=()).predict(runs.proportions[:1], at=1e10, params=2e8)


@pytest.mark.parametrize("law", LAWS)
def test_two_sizes_and_one_checkpoint_say_what_they_leave_open(law: type[Additive]) -> None:
    _, runs = planted(sizes=(1e8, 1e9))
    fitted = law().fit(runs)
    assert any("Two model sizes cannot tell A, alpha and E apart" in note for note in fitted.notes)
    np.testing.assert_allclose(fitted.predict(runs.proportions[:5], at=S, params=1e8), runs.losses[:5], rtol=2e-3)
    last = law().fit(runs.final())
    assert "B" not in last.coefficients["d0"]
    assert "A" in last.coefficients["d0"]


def test_some_runs_without_a_size_are_refused() -> None:
    _, runs = planted(mixtures=6)
    table = RunTable.from_arrays(
        runs.proportions, runs.losses, train_domains=runs.train_domains, eval_domains=runs.eval_domains,
        tokens=runs.tokens, run=runs.run, params=np.where(runs.run == "r0", np.nan, runs.params),
    )  # fmt: skip
    with pytest.raises(FitError, match="additive has a size term, and some runs have no model size"):
        Additive().fit(table)


def test_spearman_compares_runs_of_one_size() -> None:
    _, runs = planted(noise=1e-4)
    last = runs.final()
    fitted = Additive().fit(runs)
    ranks = []
    for size in SIZES:
        own = last.select(last.params == size)
        predicted = fitted.predict(own.proportions, at=own.tokens, params=size)
        ranks.append(spearmanr(own.losses.mean(axis=1), predicted.mean(axis=1))[0])
    assert fitted.spearman == pytest.approx(np.mean(ranks))


def test_a_domain_that_no_run_varies_is_named() -> None:
    _, runs = planted(mixtures=10)
    table = RunTable.from_arrays(
        np.column_stack([0.9 * runs.proportions, np.full(len(runs), 0.1)]), runs.losses,
        train_domains=[*runs.train_domains, "d3"], eval_domains=runs.eval_domains, tokens=runs.tokens, run=runs.run,
    )  # fmt: skip
    assert any("No run varies the proportion of d3" in note for note in Additive().fit(table).notes)


# Error bars


def spreads(law: FittedLaw, r: Array, count: int = 60, **at: float) -> tuple[Array, Array, Array]:
    """Of log losses: sd over draws, sd that `interval` has, and how far the mean of the draws is off."""
    center = np.log(law.predict(r, **at))
    drawn = np.array([np.log(one.predict(r, **at)) for one in law.draws(count)])
    return drawn.std(axis=0), np.sqrt(law.log_variance(r, **at)), drawn.mean(axis=0) - center


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("mixtures", [8, 40])
def test_draws_spread_as_intervals_do_where_coefficients_are_open(law: type[Additive], mixtures: int) -> None:
    _, runs = planted(mixtures=mixtures, sizes=(1e8,), noise=3e-3, joint=law is Joint)
    fitted = law().fit(runs)
    # The runs leave coefficients open: moved along the tangent, these predict losses far from those of the runs.
    tangent = [np.log(one.predict(fitted.mixtures, at=S[-1])) for one in FittedLaw.draws(fitted, 60)]
    drawn, told, bias = spreads(fitted, fitted.mixtures, at=S[-1])
    assert np.sqrt(np.mean(np.var(tangent, axis=0))) > 2.0 * np.sqrt(np.mean(told**2))
    assert 1 / 1.3 < np.median(drawn / told) < 1.3
    assert np.sqrt(np.mean(bias**2)) < 0.3 * np.sqrt(np.mean(told**2))
    others = np.random.default_rng(1).dirichlet(np.ones(3), 50)
    drawn, told, _ = spreads(fitted, others, at=S[-1])
    assert 1 / 1.5 < np.median(drawn / told) < 1.5


@pytest.mark.parametrize("law", LAWS)
def test_draws_are_as_unsure_of_other_sizes_as_the_runs_leave_them(law: type[Additive]) -> None:
    _, runs = planted(sizes=(1e8, 3e8), noise=1e-3)
    fitted = law().fit(runs)
    r = runs.proportions[:20]
    drawn, told, _ = spreads(fitted, r, at=S[-1], params=3e8)
    assert 1 / 1.3 < np.sqrt(np.mean(drawn**2) / np.mean(told**2)) < 1.3
    far, told_far, _ = spreads(fitted, r, at=S[-1], params=3e9)
    assert np.median(told_far / told) > 5.0
    assert 1 / 2.0 < np.median(far / told_far) < 2.0


def test_draws_are_the_same_for_a_seed_and_obey_the_law() -> None:
    _, runs = planted(mixtures=12, joint=True, noise=1e-3)
    fitted = Joint().fit(runs)
    first, second = fitted.draws(3, seed=5), fitted.draws(3, seed=5)
    for a, b in zip(first, second, strict=True):
        assert a.coefficients == b.coefficients
    assert first[0].coefficients != first[1].coefficients != fitted.draws(1, seed=6)[0].coefficients
    assert fitted.draws(0) == []
    for one in first:
        assert all(c.value > 0 for mine in one.coefficients.values() for n, c in mine.items() if n[:6] != "gamma_")
        for mine in one.coefficients.values():
            logs = [np.log(c.value) for name, c in mine.items() if name.startswith("C_B/")]
            assert np.sum(logs) == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(InputError, match="no standard errors"):
        law_of(FittedAdditive, **MIXED, **TERMS).draws(2)


@pytest.mark.parametrize("joint", [False, True])
def test_coefficients_and_parameters_are_the_same_law(joint: bool) -> None:
    values = JOINT if joint else MIXED | TERMS
    law = law_of(FittedJoint if joint else FittedAdditive, **values)
    names = tuple(name.replace("__", "/") for name in values)
    r = np.array([[0.3, 0.7], [0.0, 1.0]])
    N, s = np.array([10.0, 20.0]), np.array([5.0, 50.0])
    rows = Rows(r, names, {"A": N, "B": s})
    factor = np.diag(np.arange(1.0, len(names) + 1.0))
    theta, F = rows.parameters(np.array(list(values.values())), factor)
    np.testing.assert_allclose(rows.coefficients(theta), list(values.values()), rtol=1e-12)
    for k in range(2):
        expected = law.predict(r[k : k + 1], at=s[k], params=N[k])[0, 0]
        np.testing.assert_allclose(np.exp(rows.log_losses(theta)[0][k]), expected, rtol=1e-12)
    # F is the factor in the scale of the coefficients, carried over to theta.
    step = 1e-6
    for k, name in enumerate(names):
        scale = law.scale(name)
        moved = np.array(list(values.values()))
        moved[k] = moved[k] * np.exp(step * factor[k, k]) if scale == "log" else moved[k] + step * factor[k, k]
        slope = (rows.parameters(moved, factor)[0] - theta) / step
        np.testing.assert_allclose(F[:, k], slope, rtol=1e-4, atol=1e-6)


# Public data


def test_error_bars_are_those_of_a_bootstrap_over_runs(slimpajama) -> None:
    last = slimpajama(310e6).final()
    order = np.random.default_rng(0).permutation(len(last))
    train, r = last.select(order[:48]), last.proportions[order[48:]]
    law, at = Additive(), float(last.tokens[0])
    drawn, told, _ = spreads(law.fit(train), r, at=at)
    rng = np.random.default_rng(1)
    again = []
    for _ in range(25):
        rows = rng.integers(0, 48, 48)
        copy = RunTable.from_arrays(
            train.proportions[rows], train.losses[rows], train_domains=train.train_domains,
            eval_domains=train.eval_domains, tokens=train.tokens[rows], run=[f"r{k}" for k in range(48)],
        )  # fmt: skip
        again.append(np.log(law.fit(copy).predict(r, at=at)))
    found = np.median(np.std(again, axis=0))
    assert 1 / 1.5 < np.median(told) / found < 1.5
    assert 1 / 1.5 < np.median(drawn) / found < 1.5


@pytest.mark.parametrize(
    ("law", "size", "error", "r2"),
    [(Additive, 122e6, 0.66, 0.992), (Joint, 310e6, 0.48, 0.997)],
)
def test_five_fold_cross_validation_on_slimpajama(
    slimpajama, five_folds, law: type[Additive], size: float, error: float, r2: float
) -> None:
    found = five_folds(law(), slimpajama(size))
    assert found.error < error
    assert found.r2 > r2
    assert 0.85 < found.inside < 0.95


@pytest.mark.parametrize(
    ("k", "error", "rank"), [(6, 1.15, 0.78), (10, 0.70, 0.88), (16, 0.50, 0.92), (48, 0.35, 0.92)]
)
def test_a_few_runs_of_slimpajama_predict_the_others(slimpajama, few_runs, k: int, error: float, rank: float) -> None:
    found = few_runs(Additive(), slimpajama(310e6), k)
    assert found.error < error
    assert found.rank > rank


def test_regmix_with_weights_of_zero(regmix) -> None:
    train, test = regmix("train"), regmix("test")
    law = Additive().fit(train.select(np.random.default_rng(0).permutation(len(train))[:128]))
    predicted = law.predict(test.proportions, at=1e9)
    ranks = [spearmanr(predicted[:, i], test.losses[:, i])[0] for i in range(len(test.eval_domains))]
    assert np.mean(ranks) > 0.98
