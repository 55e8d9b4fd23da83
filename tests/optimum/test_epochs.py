import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.optimum.epochs import Supply

DOMAINS = ("web", "code", "books")


def supply(repetition: float | None = 15.39, budget: float = 100.0) -> Supply:
    return Supply(DOMAINS, budget, {"web": 10.0, "books": 40.0}, {"web": 4.0}, repetition)


def test_up_to_one_epoch_tokens_count_in_full() -> None:
    r = np.array([0.1, 0.5, 0.4])
    assert supply().effective(r).tolist() == r.tolist()
    assert supply().slope(r).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("decay", [1.0, 15.39, 100.0])
def test_after_r_star_repetitions_they_are_worth_one_less_one_over_e_of_new_ones(decay: float) -> None:
    # Muennighoff et al., section 3.1: by then the average repeated token has lost 1 / e of its worth.
    u = 0.4 / (1.0 + decay)
    data = Supply(DOMAINS, 1.0, {"books": u}, {}, decay)
    effective = data.effective(np.array([0.3, 0.3, 0.4]))[2]
    assert effective == pytest.approx(u + u * decay * (1.0 - math.exp(-1.0)), rel=1e-14)


def test_four_epochs_are_nearly_as_good_as_new_and_many_are_worth_no_more_than_r_star() -> None:
    data = Supply(DOMAINS, 1.0, {"web": 0.1, "books": 1e-4}, {}, 15.39)
    web, _, books = data.effective(np.array([0.4, 0.1, 0.5]))
    assert 0.9 < web / 0.4 < 1.0
    assert books == pytest.approx(1e-4 * 16.39, rel=1e-10)


@given(st.integers(0, 2**32 - 1))
def test_it_rises_concavely_and_its_derivatives_are_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = Supply(
        DOMAINS, 1.0, {"web": rng.uniform(0.01, 0.2), "books": rng.uniform(0.1, 1.0)}, {}, rng.uniform(0.5, 30)
    )
    r, other = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3))
    effective, slope = data.effective(r), data.slope(r)
    assert (effective <= r).all()
    assert (effective > 0.0).all()
    assert ((slope > 0.0) & (slope <= 1.0)).all()
    assert (data.curvature(r) <= 0.0).all()
    assert (data.effective(other) <= effective + slope * (other - r) + 1e-15).all()
    step = 1e-6
    if np.abs(r - data.unique).min() > 2 * step:
        difference = (data.effective(r + step) - data.effective(r - step)) / (2 * step)
        np.testing.assert_allclose(difference, slope, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(
            (data.slope(r + step) - data.slope(r - step)) / (2 * step), data.curvature(r), rtol=1e-5, atol=1e-9
        )


def test_many_mixtures_are_one_by_one() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 5)
    assert supply().effective(rows).tolist() == [supply().effective(row).tolist() for row in rows]


def test_epochs_and_caps_are_of_the_budget() -> None:
    assert supply().epochs(np.array([0.2, 0.3, 0.5])) == pytest.approx({"web": 2.0, "books": 1.25})
    assert supply().caps().tolist() == [0.4, math.inf, math.inf]


def test_nothing_is_discounted_where_no_mixture_repeats_or_repeats_count_in_full() -> None:
    assert supply().discounts
    assert not supply(repetition=None).discounts
    assert not supply(budget=10.0).discounts
