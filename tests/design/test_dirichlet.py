"""RegMix's recipe."""

import numpy as np
import pytest

from mixlaw.design.dirichlet import LEAST, STRENGTH, around_prior


def test_mixtures_are_around_the_prior_and_of_all_strengths() -> None:
    prior = np.array([0.5, 0.3, 0.15, 0.05])
    drawn = around_prior(10_000, prior, np.zeros(4), np.ones(4), np.random.default_rng(0))
    assert drawn.sum(axis=1) == pytest.approx(np.ones(10_000))
    assert drawn.mean(axis=0) == pytest.approx(prior, abs=0.015)
    # Of a strength s, the variance is p (1 - p) / (s + 1); here its mean over log-uniform strengths.
    log_low, log_high = np.log(STRENGTH)
    strengths = np.exp(np.linspace(log_low, log_high, 10_001))
    assert drawn.var(axis=0) == pytest.approx(prior * (1 - prior) * np.mean(1 / (strengths + 1)), rel=0.05)
    assert ((drawn == 0.0) | (drawn >= LEAST)).all()
    assert (drawn == 0.0).mean() > 0.2


def test_a_domain_that_the_prior_leaves_out_gets_what_bounds_ask_for() -> None:
    prior, rng = np.array([0.6, 0.4, 0.0]), np.random.default_rng(0)
    assert (around_prior(50, prior, np.zeros(3), np.ones(3), rng)[:, 2] == 0.0).all()
    floored = around_prior(5000, prior, np.array([0.0, 0.2, 0.1]), np.ones(3), rng)
    assert (floored[:, 2] == 0.1).all()
    assert floored.mean(axis=0) == pytest.approx([0.7 * 0.6, 0.2 + 0.7 * 0.4, 0.1], abs=0.02)
    capped = around_prior(50, prior, np.zeros(3), np.array([0.3, 0.3, 1.0]), rng)
    assert (capped[:, 2] >= 0.4 - 1e-12).all()
    assert (capped[:, :2] <= 0.3).all()


def test_mixtures_above_a_cap_are_rejected() -> None:
    prior, cap = np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.7, 0.8])
    drawn = around_prior(2000, prior, np.zeros(3), cap, np.random.default_rng(0))
    free = around_prior(20_000, prior, np.zeros(3), np.ones(3), np.random.default_rng(1))
    kept = free[(free <= cap).all(axis=1)]
    assert 0.2 < len(kept) / len(free) < 0.8
    assert (drawn <= cap).all()
    assert not (drawn == cap).any()
    assert drawn.mean(axis=0) == pytest.approx(kept.mean(axis=0), abs=0.02)
    assert drawn.std(axis=0) == pytest.approx(kept.std(axis=0), abs=0.02)


def test_bounds_that_no_draw_meets_are_met_too() -> None:
    m, rng = 40, np.random.default_rng(0)
    floor, cap = np.full(m, 0.9 / m), np.full(m, 1.2 / m)
    drawn = around_prior(300, np.full(m, 1 / m), floor, cap, rng)
    assert drawn.sum(axis=1) == pytest.approx(np.ones(300))
    assert (drawn >= floor).all()
    assert (drawn <= cap).all()
    assert len(np.unique(drawn.round(9), axis=0)) > 250
