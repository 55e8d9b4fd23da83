import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError, Mixture, RunTable, laws
from mixlaw.laws.diagnose import diagnose
from mixlaw.laws.finding import Finding, listed

DOMAINS = ("web", "code", "books")
S = np.array([1e9, 2e9, 4e9, 8e9])
# What nobody can mend about runs of which none is repeated.
UNKNOWN_NOISE = "noise"


def losses_of(shares: np.ndarray, s: np.ndarray, params: float = 1e8) -> np.ndarray:
    """BiMix, lower for larger models."""
    exponents = np.linspace(0.1, 0.3, shares.shape[1])
    return (shares + 1e-3) ** -exponents * (1.5 + 2.0 * (s[:, None] / 1e9) ** -0.5) * (params / 1e8) ** -0.05


def runs_of(
    shares: Any, *, s: np.ndarray = S, params: float = 1e8, domains: tuple[str, ...] = DOMAINS, name: str = "r",
    **columns: Any,
) -> RunTable:  # fmt: skip
    shares = np.asarray(shares, dtype=np.float64)
    r, at = np.repeat(shares, len(s), axis=0), np.tile(s, len(shares))
    run = np.repeat([f"{name}{i}" for i in range(len(shares))], len(s))
    table = {"train_domains": domains, "eval_domains": domains, "tokens": at, "params": params, "run": run}
    return RunTable.from_arrays(r, losses_of(r, at, params), **(table | columns))


def mixtures(count: int = 8, seed: int = 0, m: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(m, 2.0), count)


def with_losses(runs: RunTable, losses: np.ndarray) -> RunTable:
    return RunTable.from_arrays(
        runs.proportions, losses, train_domains=runs.train_domains, eval_domains=runs.eval_domains,
        tokens=runs.tokens, run=runs.run, params=runs.params, seed=runs.seed,
    )  # fmt: skip


def kinds(found: list[Finding]) -> list[str]:
    return [finding.kind for finding in found]


def only(found: list[Finding], kind: str) -> Finding:
    (finding,) = (finding for finding in found if finding.kind == kind)
    return finding


@given(st.integers(0, 500), st.integers(5, 12), st.integers(2, 4))
@settings(max_examples=40)
def test_of_sound_runs_there_is_nothing_to_say_but_that_none_is_repeated(seed: int, count: int, m: int) -> None:
    runs = runs_of(mixtures(count, seed, m), domains=("web", "code", "books", "maths")[:m])
    # A few shares may move together by chance.
    assert set(kinds(diagnose(runs))) <= {UNKNOWN_NOISE, "redundant domains"}


def test_problems_stand_before_cautions_and_these_before_notes() -> None:
    runs = runs_of([[0.0, 0.5, 0.5]] * 3, s=S[:2])
    order = [finding.severity for finding in diagnose(runs, at=1e12)]
    assert order == sorted(order, key=("problem", "caution", "note").index)
    assert {"problem", "caution", "note"} == set(order)


def test_runs_of_one_mixture_are_a_problem() -> None:
    finding = only(diagnose(runs_of([[0.2, 0.3, 0.5]])), "one mixture")
    assert finding.severity == "problem"
    assert "All 1 runs have the same mixture" in finding.text


def test_a_domain_that_no_run_varies_is_named() -> None:
    shares = np.column_stack([0.8 * mixtures(m=2), np.full(8, 0.2)])
    finding = only(diagnose(runs_of(shares)), "constant domain")
    assert finding.text.startswith("Every run gives books the same share, 0.2: ")
    nothing = np.column_stack([mixtures(m=2), np.zeros(8)])
    assert only(diagnose(runs_of(nothing)), "constant domain").text.startswith("No run trains on books: ")
    assert "zero proportions" not in kinds(diagnose(runs_of(nothing)))


def test_fewer_mixtures_than_coefficients_are_counted() -> None:
    finding = only(diagnose(runs_of(mixtures(3))), "few mixtures")
    assert finding.text.startswith("3 mixtures of 3 domains determine 3 coefficients")
    assert "the transfer law has 4 that depend" in finding.text
    assert "few mixtures" not in kinds(diagnose(runs_of(mixtures(4))))
    # Repeating a mixture adds no mixture.
    assert "few mixtures" in kinds(diagnose(runs_of(np.repeat(mixtures(3), 2, axis=0))))


def test_domains_that_always_move_together_are_a_redundant_design() -> None:
    half = mixtures(8, m=3)
    shares = np.column_stack([half[:, 0], half[:, 1], 0.25 * half[:, 2], 0.75 * half[:, 2]])
    found = diagnose(runs_of(shares, domains=("web", "code", "books", "maths")))
    assert "vary in 2 independent directions, where 4 domains that vary allow 3" in only(found, "redundant design").text
    assert "books and maths (1.0000)" in only(found, "redundant domains").text


def test_a_design_may_be_redundant_without_any_pair() -> None:
    rng = np.random.default_rng(0)
    # Two pairs of domains, each with half of the tokens.
    a, b = rng.uniform(0.1, 0.4, (2, 10))
    shares = np.column_stack([a, 0.5 - a, b, 0.5 - b])
    found = diagnose(runs_of(shares, domains=("web", "code", "books", "maths")))
    assert "vary in 2 independent directions" in only(found, "redundant design").text
    assert "web and code (-1.0000)" in only(found, "redundant domains").text


def test_two_domains_or_few_mixtures_do_not_count_as_moving_together() -> None:
    assert "redundant domains" not in kinds(diagnose(runs_of(mixtures(m=2), domains=("web", "code"))))
    assert "redundant domains" not in kinds(diagnose(runs_of(mixtures(3))))


def test_runs_without_tokens_of_a_domain_are_counted_by_domain() -> None:
    shares = mixtures(8)
    shares[:3, 0] = shares[2:4, 1] = 0.0
    shares /= shares.sum(axis=1, keepdims=True)
    finding = only(diagnose(runs_of(shares)), "zero proportions")
    assert finding.text.startswith("4 of 8 runs give some domain no tokens: web (3), code (2). ")


def test_domains_that_are_only_evaluated_or_only_trained_on_are_named() -> None:
    runs = runs_of(mixtures())
    renamed = RunTable.from_arrays(
        runs.proportions, runs.losses, train_domains=DOMAINS, eval_domains=("web", "code", "exam"), tokens=runs.tokens,
        run=runs.run,
    )  # fmt: skip
    found = diagnose(renamed)
    assert only(found, "untrained domains").text.startswith("Evaluated and not trained on: exam.")
    assert only(found, "unmeasured domains").text.startswith("Trained on and not evaluated: books.")


@pytest.mark.parametrize(
    ("s", "severity", "text"),
    [
        ([1e9], "note", "One checkpoint only, at 1e+09 tokens"),
        ([1e9, 1.005e9], "note", "One checkpoint only"),
        ([1e9, 2e9], "problem", "2 checkpoints only, at 1e+09 and 2e+09 tokens"),
    ],
)
def test_too_few_checkpoints_are_a_note_or_a_problem(s: list[float], severity: str, text: str) -> None:
    finding = only(diagnose(runs_of(mixtures(), s=np.array(s))), "few checkpoints")
    assert finding.severity == severity
    assert finding.text.startswith(text)


def test_runs_that_end_early_or_have_few_checkpoints_are_named() -> None:
    runs = runs_of(mixtures())
    short = runs.select(~((runs.run == "r2") & (runs.tokens > 2e9)))
    found = diagnose(short)
    assert only(found, "early ends").text.startswith("1 of 8 runs end before the longest, at 8e+09 tokens: r2 (2e+09).")
    assert "1 of 8 runs have fewer than 3 checkpoints" in only(found, "few checkpoints").text


def test_rows_before_training_are_left_out() -> None:
    runs = runs_of(mixtures())
    tokens = np.where(runs.tokens == 1e9, 0.0, runs.tokens)
    runs = RunTable.from_arrays(
        runs.proportions, runs.losses, train_domains=DOMAINS, eval_domains=DOMAINS, tokens=tokens, run=runs.run
    )
    found = diagnose(runs)
    assert set(kinds(found)) == {"untrained rows", UNKNOWN_NOISE}
    assert only(found, "untrained rows").text.startswith("8 of 32 rows are at 0 tokens")
    nothing = diagnose(runs.select(tokens == 0.0), at=1e9)
    assert [(finding.severity, finding.kind) for finding in nothing] == [("problem", "untrained rows")]


def repeated(noise: float, wrong: float = 0.0, seed: int = 0) -> RunTable:
    """Five mixtures run twice with noise; the second run of the third one is off by `wrong` more."""
    rng = np.random.default_rng(seed)
    runs = runs_of(np.repeat(mixtures(5), 2, axis=0), s=S[-1:], seed=np.tile([1.0, 2.0], 5))
    losses = runs.losses * np.exp(noise * rng.normal(size=runs.losses.shape))
    losses[5] *= math.exp(wrong)
    return with_losses(runs, losses)


def test_repeated_runs_tell_the_noise() -> None:
    found = diagnose(repeated(0.004))
    finding = only(found, "noise")
    assert finding.severity == "note"
    shown = float(finding.text.removeprefix("Runs of one mixture differ by ").split(" %")[0])
    assert 0.25 < shown < 0.6
    assert "from 10 runs of 5 mixtures" in finding.text
    assert "contradictory runs" not in kinds(found)


def test_noise_as_large_as_what_tells_mixtures_apart_is_a_caution() -> None:
    finding = only(diagnose(repeated(0.2)), "noise")
    assert finding.severity == "caution"
    assert finding.text.endswith("average over seeds.")


def test_a_run_that_contradicts_another_of_its_mixture_is_named() -> None:
    found = diagnose(repeated(0.004, wrong=0.05))
    finding = only(found, "contradictory runs")
    assert finding.severity == "problem"
    assert finding.text.startswith("Runs r4 and r5 have the same mixture, and losses with a standard deviation of 3.")
    assert "more than 4 times what other runs of one mixture do" in finding.text


def test_one_repeated_mixture_contradicts_itself_only_beyond_all_runs() -> None:
    runs = runs_of([*mixtures(5), mixtures(5)[0]], s=S[-1:], seed=np.arange(6.0))
    for factor, expected in ((1.02, False), (2.0, True)):
        losses = runs.losses.copy()
        losses[-1] *= factor
        assert ("contradictory runs" in kinds(diagnose(with_losses(runs, losses)))) is expected


def test_runs_of_one_mixture_that_end_at_different_lengths_are_no_repeats() -> None:
    long, short = runs_of(mixtures(4)), runs_of(mixtures(4), s=S[:3], name="q")
    found = diagnose(RunTable.concat([long, short]))
    assert only(found, "noise").text.startswith("No mixture was run twice to the same length")
    assert "contradictory runs" not in kinds(found)


def test_copies_and_runs_of_one_seed_are_told_apart() -> None:
    runs = repeated(0.004)
    seeds = np.array([1.0, 1.0, *runs.seed[2:]])
    losses = runs.losses.copy()
    losses[3] = losses[2]
    table = {"train_domains": DOMAINS, "eval_domains": DOMAINS, "tokens": 8e9, "run": runs.run, "seed": seeds}
    found = diagnose(RunTable.from_arrays(runs.proportions, losses, **table))
    assert only(found, "copies").text.startswith("Runs r2 and r3 have the same mixture and the same losses")
    assert only(found, "copies").severity == "problem"
    assert "r0 and r1 have the same mixture, size and seed (1)" in only(found, "duplicate runs").text
    assert "from 8 runs of 4 mixtures" in only(found, "noise").text  # a copy says nothing of the noise


@pytest.mark.parametrize("odd", [1, 3, 4])
@pytest.mark.parametrize("factor", [1.0 / math.log(2.0), math.log(2.0), 1.6, 0.25])
def test_runs_in_another_unit_are_found(odd: int, factor: float) -> None:
    runs = runs_of(mixtures(8))
    losses = runs.losses.copy()
    here = np.isin(runs.run, [f"r{i}" for i in range(odd)])
    losses[here] *= factor
    finding = only(diagnose(with_losses(runs, losses)), "unit mismatch")
    assert finding.severity == "problem"
    assert f"{min(odd, 8 - odd)} of 8 runs" in finding.text
    assert ("bits and nats" in finding.text) == (abs(abs(math.log(factor)) + math.log(math.log(2.0))) < 1e-9)


def test_a_domain_that_differs_is_no_unit() -> None:
    runs = runs_of(mixtures(8))
    losses = runs.losses.copy()
    losses[runs.run == "r0", 0] *= 2.0
    assert "unit mismatch" not in kinds(diagnose(with_losses(runs, losses)))


@pytest.mark.parametrize("whose", ["one run", "all runs"])
@pytest.mark.parametrize("factor", [1.0 / math.log(2.0), math.log(2.0)])
def test_a_jump_within_runs_is_found_where_training_does_not_explain_it(whose: str, factor: float) -> None:
    runs = runs_of(mixtures(8))
    losses = runs.losses.copy()
    losses[(runs.tokens > 3e9) & ((runs.run == "r3") | (whose == "all runs"))] *= factor
    found = [finding.text for finding in diagnose(with_losses(runs, losses)) if finding.kind == "loss jump"]
    if whose == "one run":
        assert len(found) == 1
        assert found[0].startswith("Losses of run r3 at 4e+09 tokens are ")
        assert "what those at 2e+09 tokens lead to expect" in found[0]
    elif factor > 1.0:
        assert len(found) == 1
        assert found[0].startswith("Losses of 8 runs at 4e+09 tokens are ")
    else:
        assert not found  # all losses fall, as they do


def test_a_loss_that_rises_along_a_run_is_named_with_its_place() -> None:
    runs = runs_of(mixtures(8))
    losses = runs.losses.copy()
    at = np.flatnonzero((runs.run == "r5") & (runs.tokens == 8e9))[0]
    losses[at, 2] = losses[at - 1, 2] * 1.05
    finding = only(diagnose(with_losses(runs, losses)), "rising losses")
    assert finding.text.startswith("In 1 of 8 runs a loss rises by more than 1 %")
    assert "that of books in run r5, by 4.9 % at 8e+09 tokens" in finding.text
    losses[at, 2] = losses[at - 1, 2] * 1.005
    assert "rising losses" not in kinds(diagnose(with_losses(runs, losses)))


def two_sizes(factor: float = 1.0) -> RunTable:
    shares = mixtures(6)
    small, large = runs_of(shares, s=S[-1:]), runs_of(shares, s=S[-1:], params=4e8, name="big")
    return RunTable.concat([small, with_losses(large, large.losses * factor)])


def test_sizes_that_rank_alike_are_a_note_and_those_that_do_not_a_caution() -> None:
    finding = only(diagnose(two_sizes()), "ranks between sizes")
    assert finding.severity == "note"
    assert "6 common mixtures of models of 1e+08 and 4e+08 parameters have a Spearman" in finding.text
    assert "correlation of 1.000; 0 of 15 pairs change places" in finding.text
    runs = two_sizes()
    losses = runs.losses.copy()
    order = np.argsort(losses[6:].mean(axis=1))
    losses[6 + order] = losses[6 + order[::-1]]
    finding = only(diagnose(with_losses(runs, losses)), "ranks between sizes")
    assert finding.severity == "caution"
    assert "15 of 15 pairs change places; the noise between runs is not known: " in finding.text
    best, worst = np.argmin(runs.losses[:6].mean(axis=1)), np.argmax(runs.losses[:6].mean(axis=1))
    assert f"r{best} and r{worst} (" in finding.text or f"r{worst} and r{best} (" in finding.text


def test_pairs_that_change_places_within_the_noise_are_not_counted() -> None:
    rng = np.random.default_rng(0)
    shares = np.repeat(mixtures(6), 2, axis=0)
    parts = []
    for params, name in ((1e8, "r"), (4e8, "big")):
        runs = runs_of(shares, s=S[-1:], params=params, name=name, seed=np.tile([1.0, 2.0], 6))
        level = 2.0 * (4e8 / params) ** 0.05
        parts.append(with_losses(runs, level * np.exp(0.01 * rng.normal(size=runs.losses.shape))))
    found = diagnose(RunTable.concat(parts))
    assert "0 of 15 pairs change places by more than the noise" in only(found, "ranks between sizes").text


def test_a_larger_model_with_higher_losses_is_a_problem() -> None:
    finding = only(diagnose(two_sizes(1.0 / math.log(2.0))), "size mismatch")
    assert finding.severity == "problem"
    assert "bits and nats" in finding.text
    assert "size mismatch" not in kinds(diagnose(two_sizes()))


def test_a_mixture_is_placed_among_the_runs() -> None:
    shares = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6], [0.4, 0.3, 0.3]])
    runs = runs_of(shares)
    inside = only(diagnose(runs, mixture=Mixture({"books": 0.3, "web": 0.4, "code": 0.3})), "mixture inside")
    assert inside.severity == "note"
    assert "the nearest run, r3, differs from it in 0 of the tokens" in inside.text
    outside = only(diagnose(runs, mixture=Mixture({"web": 0.8, "code": 0.1, "books": 0.1})), "mixture outside")
    assert outside.severity == "caution"
    assert "by 0.2 of the tokens; the nearest run, r0, differs from it in 0.2" in outside.text
    assert "Beyond the runs: web 0.8 (runs: 0.2 to 0.6), code 0.1 (runs: 0.2 to 0.6)" in outside.text
    # Between the least and the most of every domain, and yet not among the runs.
    corner = only(diagnose(runs, mixture=Mixture({"web": 0.2, "code": 0.2, "books": 0.6})), "mixture inside")
    assert "r2" in corner.text
    edge = only(
        diagnose(runs.select(runs.run != "r2"), mixture=Mixture({"web": 0.55, "code": 0.2, "books": 0.25})),
        "mixture outside",
    )
    assert "Beyond the runs" not in edge.text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (8e10, "8e+10 tokens are 10 times the longest run (8e+09)."),
        (1e8, "1e+08 tokens are before the first checkpoint (1e+09)."),
        (8.05e9, None),
        (3e9, None),
    ],
)
def test_a_length_is_placed_among_the_runs(at: float, text: str | None) -> None:
    found = [finding.text for finding in diagnose(runs_of(mixtures()), at=at) if finding.kind == "length outside"]
    assert [one.startswith(text or "") for one in found] == ([True] if text else [])


def test_a_law_that_the_runs_do_not_determine_says_so() -> None:
    runs = runs_of(mixtures(4), s=S[-1:])
    law = laws.get("transfer").fit(runs)
    found = diagnose(runs, law=law)
    assert "other runs" not in kinds(found)
    vague = only(found, "vague coefficients")
    assert "coefficients of transfer have a standard error as large as themselves: web T/" in vague.text
    without = only(found, "unidentified coefficients")
    assert "coefficients of transfer have no standard error: " in without.text
    assert "one checkpoint only (web B, web beta, " in without.text


def test_a_law_of_other_runs_is_found_out() -> None:
    runs = runs_of(mixtures(6), s=S[-1:])
    law = laws.get("linear").fit(runs)
    finding = only(diagnose(runs.select(np.arange(5)), law=law), "other runs")
    assert law.fingerprint[:8] in finding.text
    assert "unidentified coefficients" not in kinds(diagnose(runs, law=law))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"x": "steps"}, "no row has steps"),
        ({"at": 0.0}, "at: tokens must be positive"),
        ({"at": math.nan}, "at: tokens must be positive"),
        ({"mixture": Mixture({"web": 0.5, "code": 0.5})}, "books"),
    ],
)
def test_what_cannot_be_asked_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        diagnose(runs_of(mixtures()), **how)


def test_a_law_of_another_axis_is_refused() -> None:
    runs = runs_of(mixtures(), s=S[-1:], steps=100.0)
    with pytest.raises(InputError, match="it is fitted to steps, not to tokens"):
        diagnose(runs, law=laws.get("linear").fit(runs, x="steps"))


def test_long_lists_are_cut_and_counted() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([f"r{i}" for i in range(9)]) == "r0, r1, r2, r3, r4, r5 and 3 more"


@pytest.mark.filterwarnings("ignore:.*rows left out")
def test_of_the_public_runs_only_what_is_true_of_them_is_said(shared_data: Path) -> None:
    runs = RunTable.read(shared_data / "dmsl" / "slimpajama_122m_310m.csv", missing="drop")
    found = diagnose(runs)
    assert set(kinds(found)) == {"rising losses", "untrained domains", "noise", "ranks between sizes"}
    assert "wikipedia" in only(found, "rising losses").text
    assert "60 common mixtures" in only(found, "ranks between sizes").text
