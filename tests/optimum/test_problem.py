import math
from dataclasses import replace

import numpy as np
import pytest

import mixlaw
from mixlaw import GroupBound, InputError, MixlawError, Mixture, RatioBound
from mixlaw.errors import InfeasibleError
from mixlaw.optimum import solve
from mixlaw.optimum.constraints import constraints
from mixlaw.optimum.epochs import Supply

# (alpha, B, beta, C)
TERMS = {"web": (0.1, 4.0, 0.5, 2.0), "code": (0.3, 2.0, 0.7, 1.0), "books": (0.05, 3.0, 0.4, 3.0)}
DOMAINS = tuple(TERMS)
POWERS = {"web": (0.3, (1.0, 0.1, 0.4)), "code": (0.5, (0.1, 1.0, 0.05)), "books": (0.2, (0.3, 0.1, 1.0))}
PRIOR = Mixture({"web": 0.6, "code": 0.1, "books": 0.3})

LIMITS = {
    "none": {},
    "floors and caps": {"floors": {"books": 0.2}, "caps": {"code": 0.4}},
    "fixed": {"fixed": {"web": 0.2}},
    "group cap": {"groups": [GroupBound(("code", "books"), cap=0.5)]},
    "group floor": {"groups": [GroupBound(("web", "books"), floor=0.8)]},
    "ratio": {"ratios": [RatioBound("code", "web", cap=0.5), RatioBound("books", "code", floor=0.5)]},
    "equal ratio": {"ratios": [RatioBound("code", "web", 0.5, 0.5)]},
    "epochs": {"budget": 1.0, "available": {"code": 0.1, "books": 0.05}, "max_epochs": {"code": 3.0}},
    "repetition": {"budget": 1.0, "available": {"code": 0.1, "books": 0.05}, "repetition": 3.0},
    "all": {
        "floors": 0.05, "caps": {"web": 0.7}, "groups": [GroupBound(("code", "books"), floor=0.25, cap=0.6)],
        "ratios": [RatioBound("books", "web", cap=0.5)], "budget": 1.0, "available": {"code": 0.1}, "max_epochs": 4.0,
        "repetition": 3.0,
    },
}  # fmt: skip
GOALS = {
    "mean": {"weights": {"web": 1.0, "code": 2.0, "books": 1.0}},
    "target": {"weights": {"code": 1.0}, "floors": 0.05},
    "worst": {"worst_case": True, "weights": {"web": 0.3, "code": 0.6, "books": 0.25}},
    "risk": {"risk": 3.0},
    "pull": {"prior": PRIOR, "pull": 0.5},
    "worst with pull": {"worst_case": True, "prior": PRIOR, "pull": 0.5},
    "risk with pull": {"risk": 2.0, "prior": PRIOR, "pull": 0.5},
}


def objective(
    law, rows, limits, *, weights=None, worst_case=False, risk=0.0, prior=None, pull=0.0, floors=None
) -> np.ndarray:
    """The objective of every row, from its definition."""
    shares = rows
    data = limits.get("available")
    if "repetition" in limits:
        shares = rows.copy()
        for j, domain in enumerate(law.train_domains):
            u = data.get(domain, math.inf) / limits["budget"]
            beyond = rows[:, j] > u
            repeats = rows[beyond, j] / u - 1.0
            shares[beyond, j] = u + u * limits["repetition"] * (1.0 - np.exp(-repeats / limits["repetition"]))
        shares = mixlaw.fitted.EffectiveProportions(shares)
    w = np.array([1.0 if weights is None else weights.get(domain, 0.0) for domain in law.eval_domains])
    if not worst_case:
        w /= w.sum()

    def mean(one):
        losses = one.predict(shares, at=25.0)[:, w > 0.0] * w[w > 0.0]
        return losses.max(axis=1) if worst_case else losses.sum(axis=1)

    values = mean(law)
    if risk:
        values = values + risk * np.std([mean(one) for one in law.draws(50, seed=0)], axis=0, ddof=1)
    if pull:
        p = prior.to_array(law.train_domains)
        values = values + pull * np.sum(np.where(rows > 0.0, rows * np.log(np.maximum(rows, 1e-300) / p), 0.0), axis=1)
    return values


@pytest.mark.parametrize("which", LIMITS)
@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("form", ["separable", "power"])
def test_no_mixture_of_a_fine_grid_is_better(grid, law_of, power_law_of, form: str, goal: str, which: str) -> None:
    if GOALS[goal].get("risk") and (form == "separable" or which not in ("none", "ratio", "all")):
        return  # BiMix with given coefficients cannot be drawn; and test_local has the other constraints
    law = law_of(TERMS) if form == "separable" else power_law_of(DOMAINS, POWERS, sd=0.3)
    given = {**GOALS[goal], **LIMITS[which]}
    if "floors" in GOALS[goal]:
        given["floors"] = (
            {**dict.fromkeys(DOMAINS, 0.05), **LIMITS[which].get("floors", {})} if which != "all" else 0.05
        )
    best = mixlaw.optimize(law, at=25.0, draws=0, **given)
    limits = constraints(
        DOMAINS,
        **{name: value for name, value in given.items() if name not in objective.__kwdefaults__ or name == "floors"},
    )
    r = best.mixture.to_array(DOMAINS)
    assert limits.allow(r, tolerance=1e-12)
    assert best.objective == pytest.approx(objective(law, r[None, :], given, **GOALS[goal])[0], rel=1e-12)
    rows = grid(3, 120)
    rows = rows[[limits.allow(row) for row in rows]]
    with np.errstate(all="ignore"):
        values = objective(law, rows, given, **GOALS[goal])
    assert best.objective <= np.nanmin(values) + 1e-9
    assert best.objective >= np.nanmin(values) - 0.03
    assert best.method == ("local" if GOALS[goal].get("risk") else "convex")
    assert best.gap <= (1e-6 if best.method == "local" else 1e-10)


def moved(which: str, by: float) -> dict[str, object]:
    """A constraint with a wider right-hand side."""
    return {
        "floor of 'books' 0.5": {"floors": {"books": 0.5 - by}},
        "cap of 'code' 0.2": {"caps": {"code": 0.2 + by}},
        "cap of group {code, books} 0.4": {"groups": [GroupBound(("code", "books"), cap=0.4 + by)]},
        "floor of group {web, books} 0.9": {"groups": [GroupBound(("web", "books"), floor=0.9 - by)]},
        "2 epochs of 'code', 0.2 of the budget": {"budget": 1.0, "available": {"code": 0.1}, "max_epochs": 2 + 10 * by},
        "share of 'web' fixed at 0.2": {"fixed": {"web": 0.2 + by}},
        "share of 'web' fixed at 0.9": {"fixed": {"web": 0.9 - by}},
    }[which]


@pytest.mark.parametrize(
    "which",
    [
        "floor of 'books' 0.5", "cap of 'code' 0.2", "cap of group {code, books} 0.4",
        "floor of group {web, books} 0.9",
        "2 epochs of 'code', 0.2 of the budget", "share of 'web' fixed at 0.2", "share of 'web' fixed at 0.9",
    ],
)  # fmt: skip
@pytest.mark.parametrize("goal", ["mean", "worst", "pull", "risk"])
def test_a_price_is_what_a_wider_constraint_saves(power_law_of, which: str, goal: str) -> None:
    law = power_law_of(DOMAINS, POWERS, sd=0.3)
    ask = {"at": 25.0, "draws": 0, **GOALS[goal]}
    best = mixlaw.optimize(law, **ask, **moved(which, 0.0))
    (price,) = [one.price for one in best.active if one.constraint == which]
    step = 1e-4 if goal == "risk" else 1e-5
    wider, tighter = (mixlaw.optimize(law, **ask, **moved(which, by)).objective for by in (step, -step))
    assert price > 1e-3
    saved = (tighter - wider) / (2 * step)
    assert price == pytest.approx(abs(saved) if which.startswith("share") else saved, rel=1e-3)
    assert len(best.active) == 1


def test_the_price_of_a_ratio_is_for_the_share_of_its_first_domain(power_law_of) -> None:
    law = power_law_of(DOMAINS, POWERS)
    ratio = RatioBound("code", "web", cap=0.25)
    best = mixlaw.optimize(law, at=25.0, ratios=[ratio], draws=0)
    ((words, price),) = best.active
    assert words == "cap of ratio code / web 0.25"
    step = 1e-5
    wider, tighter = (
        mixlaw.optimize(law, at=25.0, ratios=[replace(ratio, cap=0.25 + by)], draws=0) for by in (step, -step)
    )
    # code <= 0.25 web + x: a ratio wider by step is x = step * web.
    assert price * best.mixture["web"] == pytest.approx((tighter.objective - wider.objective) / (2 * step), rel=1e-3)


def test_the_result_says_what_it_is_of(law_of) -> None:
    law = law_of(TERMS)
    best = mixlaw.optimize(law, at=25.0, floors={"books": 0.3}, caps={"code": 0.4, "web": 0.9})
    assert isinstance(best, mixlaw.Optimum)
    assert (best.law, best.fingerprint, best.at, best.x, best.params) == ("bimix", "abc123", 25.0, "tokens", None)
    assert [one.constraint for one in best.active] == ["cap of 'code' 0.4", "floor of 'books' 0.3"]
    assert best.mixture["books"] == 0.3
    assert best.mixture["code"] == 0.4
    assert best.constraints["floors"] == {"books": 0.3}
    assert best.constraints["caps"] == {"web": 0.9, "code": 0.4}
    assert list(best.losses.values()) == law.predict(best.mixture, at=25.0)[0].tolist()
    assert best.weights == pytest.approx(dict.fromkeys(TERMS, 1 / 3))
    assert best.objective == pytest.approx(np.mean(list(best.losses.values())))
    assert best.goal == "weighted mean loss"
    assert (best.method, best.starts, best.agreeing, best.epochs, best.runs) == ("convex", 0, 0, {}, None)
    assert best.gap <= 1e-12


def test_the_multiplier_is_what_one_more_unit_of_share_would_save(law_of) -> None:
    law = law_of(TERMS)
    best = mixlaw.optimize(law, at=25.0)
    gradient = np.mean(law.gradient(best.mixture, at=25.0)[0], axis=0)
    np.testing.assert_allclose(-gradient, best.multiplier, rtol=1e-12)


def test_evaluation_domains_in_another_order_than_the_training_domains_are_told_apart(law_of) -> None:
    law = law_of({"code": TERMS["code"], "web": TERMS["web"]}, also=("books",))
    assert law.train_domains == ("books", "code", "web")
    best = mixlaw.optimize(law, at=25.0, weights={"web": 1.0, "code": 1.0}, floors={"books": 0.25})
    other = mixlaw.optimize(law_of({d: TERMS[d] for d in ("web", "code")}), at=25.0)
    assert best.mixture["books"] == 0.25
    assert best.mixture["code"] / best.mixture["web"] == pytest.approx(
        other.mixture["code"] / other.mixture["web"], rel=0.05
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "weighted mean loss"),
        ({"worst_case": True}, "worst weighted loss"),
        ({"risk": 1.5}, "weighted mean loss + 1.5 sd"),
        ({"prior": PRIOR, "pull": 0.1, "worst_case": True}, "worst weighted loss + 0.1 KL to the prior"),
    ],
)
def test_the_goal_is_in_words(power_law_of, given, words: str) -> None:
    assert mixlaw.optimize(power_law_of(DOMAINS, POWERS, sd=0.1), at=25.0, draws=0, **given).goal == words


def test_a_worst_case_takes_weights_as_they_are_given(power_law_of) -> None:
    law = power_law_of(DOMAINS, POWERS)
    reference = dict(zip(DOMAINS, law.predict(PRIOR, at=25.0)[0].tolist(), strict=True))
    best = mixlaw.optimize(law, at=25.0, worst_case=True, weights={d: 1.0 / loss for d, loss in reference.items()})
    assert best.weights == {d: 1.0 / loss for d, loss in reference.items()}
    assert best.objective == pytest.approx(max(best.losses[d] / reference[d] for d in DOMAINS), rel=1e-12)
    assert best.objective <= 1.0 + 1e-12
    assert set(mixlaw.optimize(law, at=25.0, worst_case=True).weights.values()) == {1.0}


def test_the_model_size_is_passed_on(power_law_of) -> None:
    law = power_law_of(DOMAINS, POWERS)
    small, large = (mixlaw.optimize(law, at=25.0, params=size) for size in (1.0, 10.0))
    assert (small.params, large.params) == (1.0, 10.0)
    assert large.objective > small.objective
    assert large.losses == dict(zip(DOMAINS, law.predict(large.mixture, at=25.0, params=10.0)[0].tolist(), strict=True))


def test_a_law_that_is_not_of_that_size_says_so(fitted) -> None:
    with pytest.raises(InputError, match="has no size term"):
        mixlaw.optimize(fitted["bimix"], at=1e10, params=1e9)


def test_baselines_are_the_uniform_mixture_the_best_run_and_those_given(power_law_of) -> None:
    runs = np.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8]])
    law = power_law_of(DOMAINS, POWERS, mixtures=runs)
    best = mixlaw.optimize(law, at=25.0, caps={"web": 0.5}, baselines={"natural": PRIOR})
    assert list(best.baselines) == ["uniform", "best run", "natural"]
    assert dict(best.baselines["uniform"].mixture) == pytest.approx(dict.fromkeys(DOMAINS, 1 / 3))
    means = law.predict(runs, at=25.0).mean(axis=1)
    assert best.baselines["best run"].mixture.to_array(DOMAINS) == pytest.approx(runs[means.argmin()])
    assert best.baselines["best run"].objective == pytest.approx(means.min())
    assert best.baselines["natural"].mixture == PRIOR
    assert [one.allowed for one in best.baselines.values()] == [True, True, False]
    assert all(one.objective >= best.objective for one in best.baselines.values() if one.allowed)
    assert best.baselines["natural"].losses == dict(zip(DOMAINS, law.predict(PRIOR, at=25.0)[0].tolist(), strict=True))


def test_the_unconstrained_optimum_is_given_if_a_constraint_costs_something(power_law_of) -> None:
    law = power_law_of(DOMAINS, POWERS)
    free = mixlaw.optimize(law, at=25.0)
    assert free.unconstrained is None
    assert mixlaw.optimize(law, at=25.0, caps=0.9).unconstrained is None
    held = mixlaw.optimize(law, at=25.0, caps={"code": 0.2}, groups=[GroupBound(("web",), cap=0.9)])
    assert dict(held.unconstrained.mixture) == pytest.approx(dict(free.mixture))
    assert held.unconstrained.objective == pytest.approx(free.objective)
    assert not held.unconstrained.allowed


def test_without_constraints_bimix_may_have_no_optimum(law_of) -> None:
    terms = TERMS | {"web": (0.0, 4.0, 0.5, 2.0)}
    best = mixlaw.optimize(law_of(terms), at=25.0, floors=0.1)
    assert best.mixture["web"] == 0.1
    assert best.unconstrained is None


def test_the_place_among_the_runs_is_told(power_law_of) -> None:
    corners = np.array([[0.6, 0.2, 0.2], [0.05, 0.9, 0.05], [0.2, 0.2, 0.6]])
    inside = mixlaw.optimize(power_law_of(DOMAINS, POWERS, mixtures=corners), at=25.0)
    r = inside.mixture.to_array(DOMAINS)
    assert inside.runs.nearest == pytest.approx(0.5 * np.abs(corners - r).sum(axis=1).min())
    assert inside.runs.outside == pytest.approx(0.0, abs=1e-9)
    far = mixlaw.optimize(power_law_of(DOMAINS, POWERS, mixtures=corners), at=25.0, floors={"web": 0.9})
    assert far.runs.outside == pytest.approx(0.3, abs=1e-6)


def test_epochs_are_those_of_the_mixture(power_law_of) -> None:
    best = mixlaw.optimize(power_law_of(DOMAINS, POWERS), at=25.0, available={"code": 2.0, "web": 100.0})
    assert best.epochs == pytest.approx({"code": best.mixture["code"] * 25.0 / 2.0, "web": best.mixture["web"] * 0.25})
    assert best.constraints["budget"] == 25.0


def test_steps_need_a_budget(power_law_of) -> None:
    law = replace(power_law_of(DOMAINS, POWERS), x="steps")
    with pytest.raises(InputError, match=r"give the tokens of the run as well \(budget\)"):
        mixlaw.optimize(law, at=25.0, available={"code": 2.0})
    assert mixlaw.optimize(law, at=25.0, available={"code": 2.0}, budget=4.0).epochs["code"] > 0.0


def test_repetition_makes_repeated_data_worth_less(power_law_of) -> None:
    law = power_law_of(DOMAINS, POWERS)
    plain = mixlaw.optimize(law, at=25.0, available={"code": 2.0})
    less = mixlaw.optimize(law, at=25.0, available={"code": 2.0}, repetition=1.0)
    assert plain.epochs["code"] > less.epochs["code"] > 1.0
    assert less.objective > plain.objective
    shares = Supply(DOMAINS, 25.0, {"code": 2.0}, {}, 1.0).effective(less.mixture.to_array(DOMAINS))
    losses = law.predict(mixlaw.fitted.EffectiveProportions(shares[None, :]), at=25.0)[0]
    assert list(less.losses.values()) == pytest.approx(losses.tolist())
    assert mixlaw.optimize(law, at=25.0, available={"code": 2.0}, repetition=1e9).mixture["code"] == pytest.approx(
        plain.mixture["code"], abs=1e-6
    )


@pytest.mark.parametrize("name", ["bimix", "transfer"])
def test_error_bars_are_those_of_optima_under_drawn_laws(fitted, name: str) -> None:
    law = fitted[name]
    best = mixlaw.optimize(law, at=1e10, floors=0.02, draws=20, seed=3)
    optima = np.array(
        [list(mixlaw.optimize(one, at=1e10, floors=0.02, draws=0).mixture.values()) for one in law.draws(20, seed=3)]
    )
    for j, domain in enumerate(law.train_domains):
        bar = best.error_bars[domain]
        assert bar.sd == pytest.approx(optima[:, j].std(ddof=1), rel=1e-9)
        assert (bar.low, bar.high) == pytest.approx(tuple(np.quantile(optima[:, j], [0.05, 0.95])), rel=1e-9)
    low, high = law.interval(best.mixture, at=1e10)
    assert best.intervals == {domain: (low[0, k], high[0, k]) for k, domain in enumerate(law.eval_domains)}
    assert (best.draws, best.unsure) == (20, "")


def test_drawn_laws_that_have_no_optimum_are_left_out(power_law_of, monkeypatch: pytest.MonkeyPatch) -> None:
    law = power_law_of(DOMAINS, POWERS, sd=0.3)
    minimize, failing = solve.minimize_convex, [False] + [True, False] * 5

    def sometimes(*arguments):
        if failing.pop(0):
            raise MixlawError("not certified")
        return minimize(*arguments)

    monkeypatch.setattr(solve, "minimize_convex", sometimes)
    best = mixlaw.optimize(law, at=25.0, draws=10)
    assert (best.draws, best.unsure) == (5, "")
    failing += [False] + [True] * 9 + [False]
    best = mixlaw.optimize(law, at=25.0, draws=10)
    assert (best.error_bars, best.draws) == ({}, 0)
    assert best.unsure == "the laws drawn from the posterior have no optimum"


def test_a_fit_without_standard_errors_has_no_error_bars_and_says_why(law_of) -> None:
    best = mixlaw.optimize(law_of(TERMS), at=25.0)
    assert (best.error_bars, best.intervals, best.draws) == ({}, {}, 0)
    assert best.unsure == "domain 'web': the fit gives no standard errors (fixed), and so no intervals"
    assert mixlaw.optimize(law_of(TERMS), at=25.0, draws=0).unsure == "none were asked for"


def test_a_sampled_optimum_says_what_it_is(curved_law_of) -> None:
    law = curved_law_of(DOMAINS, {"all": [(0.1, 0.2, 0.7)]}, (1.0,), smooth=False)
    best = mixlaw.optimize(law, at=25.0, caps={"books": 0.5})
    assert (best.method, best.gap, best.multiplier, best.active) == ("sampled", None, None, ())
    assert best.unconstrained.mixture["books"] == pytest.approx(0.7, abs=0.05)
    assert best.unsure == "another sample would have another optimum"


@pytest.mark.parametrize(
    ("terms", "also", "weights", "message"),
    [
        (TERMS, (), {"code": 1.0, "web": 1.0}, r"'books' \(its weight is 0\)"),
        (TERMS | {"web": (0.0, 4.0, 0.5, 2.0)}, (), None, r"'web' \(its alpha is 0\)"),
        (TERMS, ("talk",), None, r"'talk' \(no loss of it\)"),
    ],
)
@pytest.mark.parametrize("given", [{}, {"worst_case": True}, {"groups": [GroupBound(("code",), cap=0.9)]}])
def test_a_domain_that_nothing_speaks_for_needs_a_floor(law_of, terms, also, weights, message: str, given) -> None:
    if given.get("worst_case") and terms["web"][0] == 0.0:
        return  # the loss that no mixture changes is the worst, so that any mixture will do
    law = law_of(terms, also=also)
    with pytest.raises(InputError, match=rf"nothing speaks for any tokens of {message}, .* give these domains a floor"):
        mixlaw.optimize(law, at=25.0, weights=weights, **given)
    best = mixlaw.optimize(law, at=25.0, weights=weights, floors=0.01, **given)
    assert min(best.mixture.values()) == 0.01
    assert best.gap <= 1e-10


def test_a_domain_may_be_left_out_unless_its_loss_counts_and_is_infinite_without(law_of, power_law_of) -> None:
    assert mixlaw.optimize(power_law_of(DOMAINS, POWERS), at=25.0, fixed={"code": 0.0}).mixture["code"] == 0.0
    best = mixlaw.optimize(law_of(TERMS), at=25.0, weights={"web": 1, "books": 1}, caps={"code": 0.0})
    assert best.mixture["code"] == 0.0
    assert best.losses["code"] == math.inf
    with pytest.raises(InputError, match=r"leave nothing to the domains that lower the loss of 'code', which bimix"):
        mixlaw.optimize(law_of(TERMS), at=25.0, fixed={"code": 0.0})


@pytest.mark.parametrize("given", [{"caps": {"web": 0.0}}, {"fixed": {"web": 0.0}}])
def test_a_domain_that_is_left_out_and_would_not_be_used_has_no_price(power_law_of, given) -> None:
    law = power_law_of(DOMAINS, {domain: (alpha, (0.01, *row[1:])) for domain, (alpha, row) in POWERS.items()})
    words = "cap of 'web' 0" if "caps" in given else "share of 'web' fixed at 0"
    best = mixlaw.optimize(law, at=25.0, draws=0, **given)
    assert best.active == ((words, 0.0),)
    assert best.unconstrained is None


def test_a_small_ratio_is_no_zero(power_law_of) -> None:
    law = power_law_of(DOMAINS, POWERS)
    none = mixlaw.optimize(law, at=25.0, draws=0, fixed={"web": 0.0})
    little = mixlaw.optimize(law, at=25.0, draws=0, ratios=[RatioBound("web", "code", cap=1e-6)])
    assert little.mixture["code"] == pytest.approx(none.mixture["code"], abs=1e-4)
    assert little.mixture["web"] == pytest.approx(1e-6 * little.mixture["code"], rel=1e-6)


@pytest.mark.parametrize("given", [{}, {"worst_case": True}, {"groups": [GroupBound(("code",), cap=0.5)]}])
def test_constraints_that_leave_a_loss_infinite_are_refused_by_its_name(power_law_of, given) -> None:
    law = power_law_of(DOMAINS, POWERS | {"talk": (0.1, (0.0, 0.0, 1.0))})
    with pytest.raises(InputError, match="lower the loss of 'talk', which fake makes infinite there: make room"):
        mixlaw.optimize(law, at=25.0, caps={"books": 0.0}, **given)


def test_floors_that_fill_the_mixture_leave_nothing_for_the_others(law_of) -> None:
    with pytest.raises(InputError, match=r"leave nothing to the domains that lower the loss of 'books', which bimix"):
        mixlaw.optimize(law_of(TERMS), at=25.0, floors={"web": 0.5, "code": 0.5})


def test_constraints_that_clash_are_refused(law_of) -> None:
    with pytest.raises(InfeasibleError, match=r"floor of 'web' 0.4, .*; all floors sum to 1\.2"):
        mixlaw.optimize(law_of(TERMS), at=25.0, floors=0.4)
    with pytest.raises(InfeasibleError, match=r"cap of group \{code, books\} 0.3 and cap of 'web' 0.5"):
        mixlaw.optimize(law_of(TERMS), at=25.0, caps={"web": 0.5}, groups=[GroupBound(("code", "books"), cap=0.3)])


@pytest.mark.parametrize("at", [0.0, -1.0, float("nan"), float("inf"), "soon"])
def test_a_length_of_training_that_is_none_is_refused(law_of, at) -> None:
    with pytest.raises(InputError, match=r"at: (tokens must be positive and finite|not a number of tokens)"):
        mixlaw.optimize(law_of(TERMS), at=at)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"risk": -1.0}, "risk: expected a number >= 0, not -1"),
        ({"risk": float("nan")}, "risk: expected a finite number, not nan"),
        ({"risk": 1.0, "worst_case": True}, "risk: the standard deviation is that of the mean loss, which worst_case"),
        ({"pull": 0.1}, "prior and pull: give both"),
        ({"prior": PRIOR}, "prior and pull: give both"),
        ({"prior": PRIOR, "pull": "much"}, "pull: expected a number, not 'much'"),
        ({"prior": Mixture({"web": 0.5, "code": 0.5}), "pull": 1.0}, "the mixture has no domain 'books'"),
        ({"prior": Mixture({"web": 0.5, "code": 0.5, "books": 0.0}), "pull": 1.0}, "prior: 'books' has no share"),
        ({"prior": dict(PRIOR), "pull": 1.0}, r"prior: expected a Mixture, not \{'web'"),
        ({"baselines": {"mine": dict(PRIOR)}}, r"baseline 'mine': expected a Mixture, not \{'web'"),
        ({"weights": {"wbe": 1.0}}, "weight of 'wbe': no evaluation domain"),
        ({"weights": {"web": 0.0}, "worst_case": True}, "all weights are 0"),
        ({"baselines": {"uniform": PRIOR}}, "baseline 'uniform': the name is taken"),
        ({"baselines": {"mine": Mixture({"web": 1.0})}}, "baseline 'mine': the mixture has no domain 'code'"),
        ({"draws": 1}, "draws: expected 0 or a whole number above 1, not 1"),
        ({"draws": -1}, "draws: expected 0 or a whole number above 1, not -1"),
        ({"draws": True}, "draws: expected 0 or a whole number above 1, not True"),
        ({"draws": 2.5}, "draws: expected 0 or a whole number above 1, not 2.5"),
        ({"floors": {"wbe": 0.1}}, "floor of 'wbe': no training domain"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(power_law_of, given, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mixlaw.optimize(power_law_of(DOMAINS, POWERS, sd=0.1), at=25.0, **given)


def test_risk_needs_standard_errors(law_of) -> None:
    with pytest.raises(InputError, match="the fit gives no standard errors"):
        mixlaw.optimize(law_of(TERMS), at=25.0, risk=1.0)


def test_what_is_not_certified_is_an_error(power_law_of, monkeypatch: pytest.MonkeyPatch) -> None:
    law = power_law_of(DOMAINS, POWERS)
    monkeypatch.setattr("mixlaw.optimum.convex.MAX_STEPS", 2)
    with pytest.raises(MixlawError, match="no optimum was found that could be certified: a better one may be lower by"):
        mixlaw.optimize(law, at=25.0, worst_case=True, floors=0.05)


LAWS = ("bimix", "transfer", "transfer-gp", "exponential", "additive", "joint", "linear")
CONVEX = ("bimix", "transfer", "exponential", "linear")


@pytest.fixture(scope="module")
def every_law() -> dict[str, mixlaw.FittedLaw]:
    """Every law, fitted to twelve runs of three domains whose losses no law describes exactly."""
    rng = np.random.default_rng(3)
    r = np.repeat(rng.dirichlet(np.full(3, 2.0), 12) * 0.94 + 0.02, 4, axis=0)
    tokens = np.tile([1e9, 2e9, 4e9, 8e9], 12)
    matrix = np.array([[1.0, 0.1, 0.3], [0.05, 1.0, 0.02], [0.2, 0.05, 1.0]])
    losses = (1.5e3 / tokens[:, None] ** 0.4 + [2.2, 1.2, 2.6]) * (r @ matrix.T) ** -np.array([0.08, 0.2, 0.06])
    losses *= 1.0 + 0.05 * np.sin(8.0 * r)
    table = {"run": [f"r{number}" for number in np.repeat(np.arange(12), 4)], "params": np.full(48, 1e8)}
    runs = mixlaw.RunTable.from_arrays(r, losses, train_domains=DOMAINS, eval_domains=DOMAINS, tokens=tokens, **table)
    last = runs.final("tokens")
    return {name: mixlaw.laws.get(name).fit(last if name == "linear" else runs) for name in LAWS}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("which", [name for name in LIMITS if name not in ("none", "floors and caps", "group floor")])
def test_every_constraint_is_for_every_law(grid, every_law, name: str, which: str) -> None:
    law = every_law[name]
    best = mixlaw.optimize(law, at=8e9, draws=0, **LIMITS[which])
    limits = constraints(DOMAINS, **LIMITS[which])
    r = best.mixture.to_array(DOMAINS)
    assert limits.allow(r, tolerance=1e-9)
    rows = grid(3, 60) * 0.98 + 0.02 / 3
    rows = rows[[limits.allow(row, tolerance=1e-3) for row in rows]]
    near = rows[[limits.allow(row) for row in rows]]
    data = {key: LIMITS[which][key] for key in ("budget", "available", "repetition") if key in LIMITS[which]}
    shares = near
    if "repetition" in data:
        supply = Supply(DOMAINS, data["budget"], data["available"], {}, data["repetition"])
        shares = mixlaw.fitted.EffectiveProportions(supply.effective(near))
    if len(near):
        assert best.objective <= law.predict(shares, at=8e9).mean(axis=1).min() + 1e-6
    assert best.method == ("convex" if name in CONVEX else "local")
    assert best.gap <= (1e-12 if name in CONVEX else 1e-5)


@pytest.mark.parametrize("name", CONVEX)
def test_tokens_that_are_worth_less_never_lower_a_loss(every_law, name: str) -> None:
    rng = np.random.default_rng(0)
    r = rng.dirichlet(np.ones(3), 50)
    less = r * rng.uniform(0.1, 1.0, r.shape)
    losses, higher = (every_law[name].predict(mixlaw.fitted.EffectiveProportions(rows), at=8e9) for rows in (r, less))
    np.testing.assert_allclose(losses, every_law[name].predict(r, at=8e9), rtol=1e-13)
    assert (higher >= losses * (1.0 - 1e-13)).all()
    assert (higher > losses).any()


@pytest.mark.parametrize("name", LAWS)
def test_a_law_that_was_read_from_its_file_has_the_same_optimum(every_law, name: str, tmp_path) -> None:
    every_law[name].write(tmp_path / "law.json")
    read = mixlaw.laws.read(tmp_path / "law.json")
    here, there = (mixlaw.optimize(law, at=8e9, draws=0, **LIMITS["all"]) for law in (every_law[name], read))
    assert here.content() == there.content()


@pytest.mark.parametrize("name", ["transfer", "exponential"])
def test_a_law_of_several_sizes_is_asked_at_one_of_them(name: str) -> None:
    rng = np.random.default_rng(3)
    mixtures, tokens, sizes = rng.dirichlet(np.full(3, 2.0), 8) * 0.94 + 0.02, [1e9, 2e9, 4e9], [1e7, 1e8, 1e9]
    which, s, n = (axis.ravel() for axis in np.meshgrid(range(8), tokens, sizes))
    losses = (1.5e3 / s[:, None] ** 0.4 + 80.0 / n[:, None] ** 0.3 + [2.2, 1.2, 2.6]) * mixtures[which] ** -0.1
    run = [f"r{k}-{size:g}" for k, size in zip(which, n, strict=True)]
    runs = mixlaw.RunTable.from_arrays(
        mixtures[which], losses, train_domains=DOMAINS, eval_domains=DOMAINS, tokens=s, params=n, run=run
    )
    law = mixlaw.laws.get(name).fit(runs)
    with pytest.raises(InputError, match="the runs have 3 model sizes, so say for which"):
        mixlaw.optimize(law, at=4e9)
    for size in sizes:
        best = mixlaw.optimize(law, at=4e9, params=size, draws=0, **LIMITS["all"])
        assert constraints(DOMAINS, **LIMITS["all"]).allow(best.mixture.to_array(DOMAINS), tolerance=1e-9)
        shares = Supply(DOMAINS, 1.0, {"code": 0.1}, {}, 3.0).effective(best.mixture.to_array(DOMAINS))
        losses = law.predict(mixlaw.fitted.EffectiveProportions(shares[None, :]), at=4e9, params=size)[0]
        assert list(best.losses.values()) == pytest.approx(losses.tolist())
        assert best.gap <= 1e-12
