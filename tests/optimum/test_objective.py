from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.optimum.epochs import Supply
from mixlaw.optimum.objective import Objective
from mixlaw.optimum.pull import Pull

TRAIN = ("web", "code", "books")
TERMS = {"talk": (0.3, (1.0, 0.1, 0.4)), "code": (0.2, (0.1, 1.0, 0.0)), "maths": (0.1, (0.2, 0.6, 0.5))}
WEIGHTS = np.array([0.5, 0.0, 0.5])
SUPPLY = Supply(TRAIN, 1.0, {"web": 0.2, "code": 0.5}, {}, 5.0)
PULL = Pull(0.3, np.array([0.5, 0.3, 0.2]))


@pytest.fixture
def law(power_law_of):
    return power_law_of(TRAIN, TERMS, sd=0.2)


def kinds(law):
    """Objectives of every kind under one law."""
    plain = Objective(law, 25.0, None, WEIGHTS)
    yield plain
    yield replace(plain, weights=np.array([1.0, 0.5, 2.0]), worst=True)
    yield replace(plain, risk=1.5, drawn=law.draws(20))
    yield replace(plain, pull=PULL)
    yield replace(plain, supply=SUPPLY)
    yield replace(plain, supply=SUPPLY, pull=PULL, risk=0.7, drawn=law.draws(20))
    yield replace(plain, weights=np.array([1.0, 0.5, 2.0]), worst=True, supply=SUPPLY, pull=PULL)


def test_the_objective_is_what_its_words_say(law) -> None:
    r = np.array([0.5, 0.3, 0.2])
    losses = law.predict(r[None, :], at=25.0)[0]
    plain = Objective(law, 25.0, None, WEIGHTS)
    assert plain.value(r) == pytest.approx(0.5 * losses[0] + 0.5 * losses[2], rel=1e-15)
    assert replace(plain, weights=np.array([1.0, 5.0, 0.0]), worst=True).value(r) == max(losses[0], 5.0 * losses[1])
    drawn = law.draws(20)
    means = [0.5 * one.predict(r[None, :], at=25.0)[0, [0, 2]].sum() for one in drawn]
    assert replace(plain, risk=2.0, drawn=drawn).value(r) == pytest.approx(plain.value(r) + 2.0 * np.std(means, ddof=1))
    assert replace(plain, pull=PULL).value(r) == pytest.approx(plain.value(r))  # r is the prior
    # 0.5 of web are 0.2 once and 0.3 again; 0.3 of code are all new.
    web = 0.2 + 0.2 * 5.0 * (1.0 - np.exp(-1.5 / 5.0))
    effective = 2.32 * (np.array([web, 0.3, 0.2]) @ law.matrix.T) ** -law.alpha
    assert replace(plain, supply=SUPPLY).value(r) == pytest.approx(0.5 * effective[0] + 0.5 * effective[2], rel=1e-14)


def test_the_model_size_reaches_the_law(law) -> None:
    r = np.full(3, 1 / 3)
    small, large = (Objective(law, 25.0, size, WEIGHTS) for size in (1.0, 10.0))
    assert small.value(r) < large.value(r)
    assert large.parts(r)[0] == pytest.approx(large.value(r))
    assert large.power.scale == pytest.approx(0.5 * (2.0 + 80.0 / 25.0))


def test_many_mixtures_are_one_by_one(law) -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    for objective in kinds(law):
        np.testing.assert_allclose(objective.values(rows), [objective.value(row) for row in rows], rtol=1e-14)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_the_parts_are_the_objective_and_their_derivatives_are_right(fitted, seed: int) -> None:
    r, step = np.random.default_rng(seed).dirichlet(np.full(3, 2.0)) * 0.97 + 0.01, 1e-6
    for law in fitted.values():
        for objective in kinds(law):
            if objective.supply is not None and np.abs(r - objective.supply.unique).min() < 2 * step:
                continue
            values, slopes = objective.parts(r)
            assert values.max() == pytest.approx(objective.value(r), rel=1e-12)
            for j in range(3):
                change = step * (np.eye(3)[j] - 1.0 / 3.0)  # so that the sum stays
                difference = (objective.parts(r + change)[0] - objective.parts(r - change)[0]) / (2 * step)
                np.testing.assert_allclose(difference, slopes @ (change / step), rtol=1e-5, atol=1e-7)


def test_laws_of_terms_and_laws_without_have_the_same_parts(law, monkeypatch: pytest.MonkeyPatch) -> None:
    r = np.array([0.5, 0.3, 0.2])
    with_terms = [objective.parts(r) for objective in kinds(law)]
    monkeypatch.setattr(type(law), "power_terms", lambda self, **_: None)

    def predict(self, proportions, *, at, params=None):
        return 2.32 * (self.to_array(proportions) @ self.matrix.T) ** -self.alpha

    def gradient(self, proportions, *, at, params=None):
        z = self.to_array(proportions) @ self.matrix.T
        return (-self.alpha * 2.32 * z ** (-self.alpha - 1.0))[:, :, None] * self.matrix

    monkeypatch.setattr(type(law), "predict", predict)
    monkeypatch.setattr(type(law), "gradient", gradient)
    for objective, (values, slopes) in zip(kinds(law), with_terms, strict=True):
        assert objective.convex is None
        np.testing.assert_allclose(objective.parts(r)[0], values, rtol=1e-12)
        np.testing.assert_allclose(objective.parts(r)[1], slopes, rtol=1e-12)


def test_what_is_convex_is_known_and_the_same_function(law, law_of) -> None:
    bimix = law_of({"code": (0.3, 2.0, 0.7, 1.0), "web": (0.1, 4.0, 0.5, 2.0)}, also=("books",))
    r = np.array([0.2, 0.5, 0.3])
    for one, weights in ((law, WEIGHTS), (bimix, np.array([0.7, 0.3]))):
        plain = Objective(one, 25.0, None, weights)
        for objective in (
            plain,
            replace(plain, worst=True),
            replace(plain, supply=replace(SUPPLY, domains=one.train_domains)),
        ):
            values, slopes = objective.convex.parts(r)
            np.testing.assert_allclose(values, objective.parts(r)[0], rtol=1e-13)
            np.testing.assert_allclose(slopes, objective.parts(r)[1], rtol=1e-13)
    assert replace(Objective(law, 25.0, None, WEIGHTS), risk=1.0, drawn=law.draws(2)).convex is None


def test_a_loss_without_weight_may_be_infinite(law_of) -> None:
    bimix = law_of({"code": (0.3, 2.0, 0.7, 1.0), "web": (0.1, 4.0, 0.5, 2.0)})
    assert np.isfinite(Objective(bimix, 25.0, None, np.array([1.0, 0.0])).value(np.array([1.0, 0.0])))


def test_a_wrong_question_is_no_lack_of_a_gradient(curved_law_of) -> None:
    rough = curved_law_of(TRAIN, {"all": [(0.2, 0.3, 0.5)]}, (1.0,), smooth=False)
    assert not Objective(rough, 25.0, None, np.ones(1)).has_gradient(np.full(3, 1 / 3))
    with pytest.raises(InputError, match="at: tokens must be positive"):
        Objective(rough, -1.0, None, np.ones(1)).has_gradient(np.full(3, 1 / 3))
