"""What every law promises, whatever its formula."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mixlaw import InputError, Mixture, RunTable, laws
from mixlaw.errors import FitError
from mixlaw.fitted import FittedLaw

Array = npt.NDArray[np.float64]
LAWS = tuple(laws.names())
# Laws without a term in the length of training, or without a gradient and standard errors.
AT_ONE_CHECKPOINT = ("linear", "trees")
SMOOTH = tuple(name for name in LAWS if name != "trees")


def planted(
    name: str, *, mixtures: int = 24, train: int = 3, evaluate: int = 3, zeros: float = 0.0, seed: int = 0
) -> RunTable:
    """Runs of several checkpoints, where the law takes them; evaluation domains beyond `train` are not trained on."""
    rng = np.random.default_rng(seed)
    s = (4e9,) if name in AT_ONE_CHECKPOINT else (1e9, 2e9, 4e9, 8e9)
    T = np.exp(rng.normal(-2.0, 1.0, (evaluate, train)))
    np.fill_diagonal(T, 1.0)
    shares = rng.dirichlet(np.ones(train), mixtures)
    shares[rng.random(shares.shape) < zeros] = 0.0
    shares[shares.sum(axis=1) == 0.0] = 1.0
    shares /= shares.sum(axis=1, keepdims=True)
    r, at = np.repeat(shares, len(s), axis=0), np.tile(s, mixtures)
    losses = (r @ T.T) ** -0.1 * (2.0 + (at[:, None] / 1e9) ** -0.5)
    losses *= np.exp(0.003 * np.repeat(rng.normal(size=(mixtures, evaluate)), len(s), axis=0))
    losses *= np.exp(0.001 * rng.normal(size=losses.shape))
    names = [f"d{j}" for j in range(max(train, evaluate))]
    return RunTable.from_arrays(
        r,
        losses,
        train_domains=names[:train],
        eval_domains=names[:evaluate],
        tokens=at,
        params=1e6,
        run=[f"r{i}" for i in np.repeat(np.arange(mixtures), len(s))],
    )


def changed(runs: RunTable, **columns: object) -> RunTable:
    names = ("proportions", "losses", "train_domains", "eval_domains", "tokens", "params", "run")
    return RunTable.from_arrays(**{column: getattr(runs, column) for column in names} | columns)


@pytest.fixture(scope="module", params=LAWS)
def law(request: pytest.FixtureRequest) -> FittedLaw:
    return laws.get(request.param).fit(planted(request.param))


R = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])
AT = 4e9


def test_every_law_answers_to_its_name() -> None:
    assert {"bimix", "transfer", "exponential", "additive", "joint", "linear", "trees"} <= set(LAWS)
    for name in LAWS:
        law = laws.get(name)
        assert law.name == law.fitted.law == name


def test_the_default_law_is_a_form_of_transfer() -> None:
    assert laws.default().name in ("transfer", "transfer-gp")


def test_an_unknown_law_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(InputError, match=r"no mixing law is called 'bimx'; did you mean 'bimix'\?"):
        laws.get("bimx")


def test_predictions_are_losses_of_every_domain(law: FittedLaw) -> None:
    runs = planted(law.law)
    predicted = law.predict(runs.proportions, at=runs.tokens)
    assert predicted.shape == runs.losses.shape
    np.testing.assert_allclose(predicted, runs.losses, rtol=0.1)
    one = law.predict(Mixture.from_array(law.train_domains, R[0]), at=AT)
    np.testing.assert_array_equal(one, law.predict(R[:1], at=[AT]))


def test_the_fitted_law_knows_its_runs(law: FittedLaw) -> None:
    runs = planted(law.law)
    assert law.sizes == (1e6,)
    assert law.x_range == (runs.tokens.min(), runs.tokens.max())
    assert law.fingerprint == runs.fingerprint()
    np.testing.assert_array_equal(law.mixtures, np.unique(runs.proportions, axis=0))
    assert law.spearman is not None
    assert law.spearman > 0.5
    for domain, fit in law.quality.items():
        assert fit.runs == 24, domain
        assert fit.mean_relative_error < 0.03


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_the_predictions(name: str) -> None:
    law = laws.get(name).fit(planted(name))
    rng = np.random.default_rng(0)
    r = rng.dirichlet(np.ones(3), 20) * 0.94 + 0.02
    gradient = law.gradient(r, at=AT)
    assert gradient.shape == (20, 3, 3)
    h = 1e-5
    for j in range(3):
        # Along an edge of the simplex, where proportions keep their sum; the second difference cancels h**2.
        step = np.zeros(3)
        step[j], step[(j + 1) % 3] = h, -h
        ends = [law.predict(r + k * step, at=AT) for k in (-2, -1, 1, 2)]
        slope = (ends[0] - 8.0 * ends[1] + 8.0 * ends[2] - ends[3]) / 12.0
        np.testing.assert_allclose(gradient @ step, slope, rtol=1e-6, atol=1e-12)


def test_trees_have_no_gradient_and_no_interval() -> None:
    law = laws.get("trees").fit(planted("trees"))
    with pytest.raises(InputError, match="their gradient is 0 almost everywhere"):
        law.gradient(R, at=AT)
    with pytest.raises(InputError, match="the fit gives no standard errors"):
        law.interval(R, at=AT)


@pytest.mark.parametrize("name", SMOOTH)
def test_intervals_hold_the_prediction_and_widen_with_their_level(name: str) -> None:
    law = laws.get(name).fit(planted(name))
    predicted = law.predict(R, at=AT)
    low, high = law.interval(R, at=AT)
    lower, higher = law.interval(R, at=AT, level=0.99)
    assert (lower < low).all()
    assert (low < predicted).all()
    assert (predicted < high).all()
    assert (high < higher).all()
    assert (high / low < 1.1).all()


@pytest.mark.parametrize("name", SMOOTH)
def test_the_variance_is_of_first_order_in_the_covariance(name: str) -> None:
    law = laws.get(name).fit(planted(name))
    if "share" in law.extra:  # the smooth deviation has a variance of its own
        law = replace(law, extra={**law.extra, "share": 0.0})
    small = replace(law, covariance={domain: 1e-6 * matrix for domain, matrix in law.covariance.items()})
    expected = 1e3 * np.sqrt(small.log_variance(R, at=AT))
    np.testing.assert_allclose(np.sqrt(law.log_variance(R, at=AT)), expected, rtol=0.02)
    drawn = np.log([one.predict(R, at=AT) for one in small.draws(400)])
    np.testing.assert_allclose(drawn.std(axis=0) * 1e3, expected, rtol=0.15)


@pytest.mark.parametrize("name", LAWS)
def test_intervals_cover_new_runs(name: str) -> None:
    if name == "trees":
        return
    inside = []
    for seed in range(8):
        runs = planted(name, mixtures=60, seed=seed)
        seen = np.isin(runs.run, [f"r{i}" for i in range(24)])
        new = runs.select(~seen)
        low, high = laws.get(name).fit(runs.select(seen)).interval(new.proportions, at=new.tokens)
        inside.append(((low <= new.losses) & (new.losses <= high)).mean())
    # BiMix and linear are not the law that made the losses, and their deviations are no noise.
    assert 0.8 <= np.mean(inside) <= 0.99


@pytest.mark.parametrize("name", LAWS)
def test_units_of_loss_and_length_change_only_the_units(name: str) -> None:
    runs = planted(name)
    law = laws.get(name).fit(runs)
    other = laws.get(name).fit(changed(runs, losses=runs.losses / np.log(2.0), tokens=runs.tokens * 1e-6))
    found = other.predict(R, at=AT * 1e-6) * np.log(2.0)
    np.testing.assert_allclose(found, law.predict(R, at=AT), rtol=2e-3 if name == "trees" else 1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_the_order_of_rows_and_domains_changes_nothing(name: str) -> None:
    runs = planted(name)
    rng = np.random.default_rng(1)
    rows, train, evaluation = rng.permutation(len(runs)), np.array([2, 0, 1]), np.array([1, 2, 0])
    mixed = RunTable.from_arrays(
        runs.proportions[rows][:, train],
        runs.losses[rows][:, evaluation],
        train_domains=[runs.train_domains[j] for j in train],
        eval_domains=[runs.eval_domains[j] for j in evaluation],
        tokens=runs.tokens[rows],
        params=1e6,
        run=runs.run[rows],
    )
    expected = laws.get(name).fit(runs).predict(R, at=AT)
    found = laws.get(name).fit(mixed).predict(R[:, train], at=AT)
    # Trees break ties between equally good splits by the order of the domains.
    np.testing.assert_allclose(found, expected[:, evaluation], rtol=0.02 if name == "trees" else 1e-4)


def test_a_round_trip_keeps_every_bit(law: FittedLaw, tmp_path: Path) -> None:
    law.write(tmp_path / "law.json")
    back = laws.read(tmp_path / "law.json")
    assert type(back) is type(law)
    assert json.dumps(back.content()) == json.dumps(law.content())
    np.testing.assert_array_equal(back.predict(R, at=AT), law.predict(R, at=AT))
    assert back.report() == law.report()


def test_the_report_says_what_the_law_is(law: FittedLaw) -> None:
    report = law.report()
    assert report.startswith(f"{law.law}: {law.formula}")
    assert "d2" in report
    assert "<table>" in law._repr_html_()


def test_bad_questions_are_refused(law: FittedLaw) -> None:
    with pytest.raises(InputError, match=r"shape \(q, 3\)"):
        law.predict([[0.5, 0.5]], at=AT)
    with pytest.raises(InputError, match=r"sum to 0\.9, not 1"):
        law.predict([[0.4, 0.3, 0.2]], at=AT)
    with pytest.raises(InputError, match="the proportion must be finite and >= 0"):
        law.predict([[-0.1, 0.6, 0.5]], at=AT)
    with pytest.raises(InputError, match="must be positive and finite"):
        law.predict(R, at=0.0)
    with pytest.raises(InputError, match="at: expected one number"):
        law.predict(R, at=[1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="param"):
        law.predict(R, at=AT, params=2e6)
    with pytest.raises(InputError, match="param"):
        law.predict(R, at=AT, params=-1.0)
    np.testing.assert_array_equal(law.predict(R, at=AT, params=1e6), law.predict(R, at=AT))


@pytest.mark.parametrize("name", LAWS)
def test_one_checkpoint_is_predicted_at_that_checkpoint_alone(name: str) -> None:
    runs = planted(name)
    law = laws.get(name).fit(runs.select(runs.tokens == 4e9))
    assert any("one checkpoint only, at 4e+09 tokens: this is the reduced form" in note for note in law.notes)
    np.testing.assert_allclose(law.predict(R, at=4.02e9), law.predict(R, at=4e9), rtol=1e-12)
    with pytest.raises(InputError, match=r"one checkpoint only, at 4e\+09 tokens"):
        law.predict(R, at=8e9)


@pytest.mark.parametrize("name", LAWS)
def test_runs_that_identify_no_law_are_refused(name: str) -> None:
    runs = planted(name)
    with pytest.raises(FitError, match="one mixture only"):
        laws.get(name).fit(runs.select(runs.run == "r0"))
    with pytest.raises(FitError, match="rows are at 0 tokens"):
        laws.get(name).fit(changed(runs.final(), tokens=0.0))
    with pytest.raises(InputError, match="no row has steps; use x='tokens'"):
        laws.get(name).fit(runs, x="steps")
    with pytest.raises(FitError, match=r"size"):
        laws.get(name).fit(changed(runs, params=np.where(runs.run == "r0", np.nan, 1e6)))


@pytest.mark.parametrize("name", [name for name in LAWS if name not in AT_ONE_CHECKPOINT])
def test_two_checkpoints_are_refused(name: str) -> None:
    runs = planted(name)
    with pytest.raises(FitError, match="two checkpoints only"):
        laws.get(name).fit(runs.select(runs.tokens <= 2e9))


@pytest.mark.parametrize("name", AT_ONE_CHECKPOINT)
def test_laws_of_one_checkpoint_refuse_several(name: str) -> None:
    runs = planted("bimix")
    with pytest.raises(FitError, match=r"have several checkpoints: fit the last with RunTable.final, or `mixlaw fit"):
        laws.get(name).fit(runs)
    last = runs.final()
    with pytest.raises(FitError, match=r"are from 8e\+09 to 3.1e\+10 tokens long: choose some"):
        laws.get(name).fit(changed(last, tokens=8e9 + 1e9 * np.arange(len(last))))
    with pytest.raises(FitError, match="2 sizes"):
        laws.get(name).fit(changed(last, params=1e6 * (1 + np.arange(len(last)) % 2)))


@pytest.mark.parametrize("name", [name for name in LAWS if name != "bimix"])
def test_proportions_of_zero_and_domains_that_are_not_trained_on(name: str) -> None:
    runs = planted(name, mixtures=40, train=4, evaluate=6, zeros=0.3)
    law = laws.get(name).fit(runs)
    predicted = law.predict(runs.proportions, at=runs.tokens)
    assert np.isfinite(predicted).all()
    np.testing.assert_allclose(predicted, runs.losses, rtol=0.15)
    assert (law.predict(np.eye(4), at=AT) > 0.0).all()


@pytest.mark.parametrize("name", [name for name in LAWS if name not in ("bimix", "trees")])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_fewer_runs_than_coefficients_have_a_fit(name: str, count: int) -> None:
    runs = planted(name, train=6, evaluate=6, mixtures=30)
    seen = np.isin(runs.run, [f"r{i}" for i in range(count)])
    law = laws.get(name).fit(runs.select(seen))
    new = runs.select(~seen)
    predicted = law.predict(new.proportions, at=new.tokens)
    np.testing.assert_allclose(predicted, new.losses, rtol=0.4)
    low, high = law.interval(new.proportions, at=new.tokens)
    assert ((low < predicted) & (predicted < high)).all()


@pytest.mark.parametrize("name", LAWS)
def test_robust_fits_follow_an_outlying_run_less(name: str) -> None:
    runs = planted(name)
    # An extreme mixture may well have losses of its own; one amid the others may not.
    amid = runs.run[np.square(runs.proportions - 1.0 / 3.0).sum(axis=1).argmin()]
    off = changed(runs, losses=np.where((runs.run == amid)[:, None], 1.3 * runs.losses, runs.losses))
    fit = laws.get(name).fit
    clean, plain = fit(runs).predict(R, at=AT), fit(off).predict(R, at=AT)
    moved = np.abs(np.log(fit(off, robust=True).predict(R, at=AT) / clean)).mean()
    assert moved < (0.8 if name == "trees" else 0.5) * np.abs(np.log(plain / clean)).mean()
    np.testing.assert_allclose(fit(runs, robust=True).predict(R, at=AT), clean, rtol=0.05 if name == "trees" else 0.01)
