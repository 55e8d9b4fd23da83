from collections.abc import Callable
from math import log

import mpmath as mp
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.entropy.estimators import ESTIMATORS, coverage, estimate
from mixlaw.entropy_table import ESTIMATORS as NAMES

Array = npt.NDArray[np.float64]
Samples = list[int]

samples = st.lists(st.integers(1, 12), min_size=1, max_size=12)


def hist(counts: Samples) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    j, f = np.unique(np.array(counts, np.uint64), return_counts=True)
    return j, f.astype(np.uint64)


def plugin(x: Samples) -> mp.mpf:
    n = mp.mpf(sum(x))
    return mp.fsum(-(c / n) * mp.log(c / n) for c in x)


def miller_madow(x: Samples) -> mp.mpf:
    return plugin(x) + mp.mpf(len(x) - 1) / (2 * sum(x))


def grassberger(x: Samples) -> mp.mpf:
    # By his recurrence: G(1) = -gamma - log 2, G(2 k) = G(2 k + 1) = G(2 k - 1) + 2 / (2 k - 1).
    def G(c: int) -> mp.mpf:  # noqa: N802 - his name
        return -mp.euler - mp.log(2) + mp.fsum(mp.mpf(2) / (2 * k + 1) for k in range(c // 2))

    n = sum(x)
    return mp.log(n) - mp.fsum(c * G(c) for c in x) / n


def chao_shen(x: Samples) -> mp.mpf:
    n = sum(x)
    C = 1 - mp.mpf(min(x.count(1), n - 1)) / n
    p = [C * c / n for c in x]
    return mp.fsum(-each * mp.log(each) / (1 - (1 - each) ** n) for each in p)


def chao_wang_jost(x: Samples) -> mp.mpf:
    n, f1, f2 = sum(x), x.count(1), x.count(2)
    seen = mp.fsum(mp.mpf(c) / n * mp.fsum(mp.mpf(1) / k for k in range(c, n)) for c in x)
    A = mp.mpf(2 * f2) / ((n - 1) * f1 + 2 * f2) if f2 else mp.mpf(2) / ((n - 1) * (f1 - 1) + 2) if f1 else mp.mpf(1)
    if A == 1:
        return seen
    series = mp.fsum((1 - A) ** r / r for r in range(1, n))
    return seen + mp.mpf(f1) / n * (1 - A) ** (1 - n) * (-mp.log(A) - series)


REFERENCES: dict[str, Callable[[Samples], mp.mpf]] = {
    "plugin": plugin,
    "miller-madow": miller_madow,
    "grassberger": grassberger,
    "chao-shen": chao_shen,
    "chao-wang-jost": chao_wang_jost,
}


def test_the_estimators_of_a_table_are_those_that_there_are() -> None:
    assert tuple(ESTIMATORS) == NAMES == tuple(REFERENCES)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@given(counts=samples)
def test_a_small_sample_gives_what_the_definition_gives(estimator: str, counts: Samples) -> None:
    with mp.workdps(80):
        expected = float(REFERENCES[estimator](counts))
    assert estimate(*hist(counts), estimator) == pytest.approx(expected, rel=2e-14, abs=2e-15)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "counts",
    [
        [1] * 63,  # all seen once
        [1] * 255,
        [1, 400],
        [1, 1, 300],
        [2] * 65,  # none seen once
        [1, *[2] * 200],
        [1, 1, 1, 2, 64, 1271],
        list(range(1, 64)),
    ],
)
def test_special_samples_give_what_the_definition_gives(estimator: str, counts: Samples) -> None:
    with mp.workdps(900):
        expected = float(REFERENCES[estimator](counts))
    assert estimate(*hist(counts), estimator) == pytest.approx(expected, rel=1e-14)


large = [
    # counts, how many: seen once and twice, as in text; all once; hardly any once; one type with a rare other
    ([1, 2, 3, 10**6, 10**12], [10**9, 10**8, 10**7, 10**4, 3]),
    ([1], [10**12]),
    ([1, 10**12], [1, 7]),
    ([1, 2, 10**12], [1, 10**11, 1]),
    ([2, 10**12], [10**9, 1]),
    ([3, 10**12 + 1], [1, 1]),
]


def large_reference(j: Samples, f: Samples, estimator: str) -> mp.mpf:
    n, f1, f2 = sum(map(int.__mul__, j, f)), *(dict(zip(j, f, strict=True)).get(k, 0) for k in (1, 2))

    def total(term: Callable[[int], mp.mpf]) -> mp.mpf:
        return mp.fsum(k * mp.mpf(c) / n * term(c) for c, k in zip(j, f, strict=True))

    H = total(lambda c: mp.log(mp.mpf(n) / c))
    if estimator == "plugin":
        return H
    if estimator == "miller-madow":
        return H + mp.mpf(sum(f) - 1) / (2 * n)
    if estimator == "grassberger":
        return total(
            lambda c: (
                mp.log(n) - mp.digamma(c) - (-1) ** c * (mp.digamma(mp.mpf(c + 1) / 2) - mp.digamma(mp.mpf(c) / 2)) / 2
            )
        )
    if estimator == "chao-shen":
        C = 1 - mp.mpf(min(f1, n - 1)) / n
        return total(lambda c: -C * mp.log(C * c / n) / (1 - mp.exp(n * mp.log1p(-C * c / n))))
    H = total(lambda c: mp.digamma(n) - mp.digamma(c))
    if f1 < 1 or (f1, f2) == (1, 0):
        return H
    A = mp.mpf(2 * f2) / ((n - 1) * f1 + 2 * f2) if f2 else mp.mpf(2) / ((n - 1) * (f1 - 1) + 2)
    # The sum of q^(s + 1) / (n + s) over s >= 0 as the integral of q e^(-n t) / (1 - q e^(-t)), n t = e^v.
    inside = lambda v: mp.exp(v - mp.exp(v)) / (A - (1 - A) * mp.expm1(-mp.exp(v) / n))  # noqa: E731
    return H + mp.mpf(f1) / n * (1 - A) / n * mp.quad(inside, [-80, -50, -40, -30, -20, -10, -5, -2, 0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("j", "f"), large)
def test_counts_up_to_a_million_millions_keep_their_digits(estimator: str, j: Samples, f: Samples) -> None:
    with mp.workdps(40):
        expected = float(large_reference(j, f, estimator))
    assert estimate(np.array(j, np.uint64), np.array(f, np.uint64), estimator) == pytest.approx(
        expected, rel=1e-13, abs=1e-15
    )


zipf = 1.0 / np.arange(1, 401)
SOURCES = {
    "uniform": np.full(255, 1 / 255),
    "geometric": 0.9 ** np.arange(400) / (0.9 ** np.arange(400)).sum(),
    "zipf": zipf / zipf.sum(),
}


def closed_form(source: str) -> float:
    if source == "uniform":
        return log(255)
    if source == "geometric":  # cut off where 0.9^400 < 1e-18 is left
        return (-0.1 * log(0.1) - 0.9 * log(0.9)) / 0.1
    harmonic = sum(1 / k for k in range(1, 401))
    return log(harmonic) + sum(log(k) / k for k in range(1, 401)) / harmonic


def estimates(source: str, estimator: str, n: int, draws: int) -> Array:
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, SOURCES[source], size=draws)
    return np.array([estimate(*hist(row[row > 0].tolist()), estimator) for row in drawn])


@pytest.mark.parametrize("source", SOURCES)
def test_corrected_estimates_are_less_biased_and_all_are_consistent(source: str) -> None:
    H = closed_form(source)
    bias = {}
    for estimator in ESTIMATORS:
        few, many = (estimates(source, estimator, n, draws) for n, draws in ((400, 200), (25_400, 40)))
        bias[estimator] = few.mean() - H
        # Miller's first term of the bias and four standard errors.
        left = (len(SOURCES[source]) - 1) / (2 * 25_400)
        assert abs(many.mean() - H) < left + 4 * many.std() / np.sqrt(40), estimator
    assert bias["plugin"] < 0
    for estimator in ("miller-madow", "grassberger", "chao-shen", "chao-wang-jost"):
        assert abs(bias[estimator]) < 0.6 * abs(bias["plugin"]), bias


def test_coverage_is_the_share_that_is_not_seen_once() -> None:
    assert coverage([1, 3], [2, 5]) == 1 - 2 / 17
    assert coverage([2], [5]) == 1.0
    assert coverage([1], [5]) == 0.0


def test_coverage_estimates_the_probability_of_what_was_seen() -> None:
    rng = np.random.default_rng(0)
    rows = rng.multinomial(400, SOURCES["zipf"], size=400)
    off = [coverage(*hist(row[row > 0].tolist())) - SOURCES["zipf"][row > 0].sum() for row in rows]
    # Good's estimate is off by at most 1 / n in the mean.
    assert abs(np.mean(off)) < 1 / 400 + 4 * np.std(off) / 20


bad: list[tuple[object, object, str]] = [
    ([], [], "no observation"),
    ([1, 2], [1], r"one shape \(k,\), not \(2,\) and \(1,\)"),
    ([[1]], [[1]], "one shape"),
    ([1.0], [1], "counts must be whole numbers above 0"),
    ([0, 1], [1, 1], "counts must be whole numbers above 0"),
    ([1, 2], [1, 0], "how_many must be whole numbers above 0"),
    ([1], [-1], "how_many must be"),
    ([2, 1], [1, 1], "counts must ascend"),
    ([1, 1], [1, 1], "counts must ascend"),
    ([2**53, 2**54], [1, 1], "at most 2\\*\\*53"),
]


@pytest.mark.parametrize(("counts", "how_many", "message"), bad)
def test_what_is_no_histogram_is_refused(counts: object, how_many: object, message: str) -> None:
    for act in (estimate, coverage):
        with pytest.raises(InputError, match=message):
            act(counts, how_many)  # type: ignore[arg-type]


def test_an_unknown_estimator_is_answered_with_a_known_one() -> None:
    with pytest.raises(InputError, match="unknown estimator 'chao-chen'; did you mean 'chao-shen'"):
        estimate([1], [1], "chao-chen")


def test_one_observation_has_no_entropy_that_a_sample_shows() -> None:
    for estimator in ("plugin", "miller-madow", "chao-shen", "chao-wang-jost"):
        assert estimate([1], [1], estimator) == 0.0, estimator
        assert estimate([1271], [1], estimator) == 0.0, estimator
