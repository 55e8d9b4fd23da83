import itertools
from fractions import Fraction
from math import comb, log

import mpmath as mp
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.entropy.estimators import coverage, estimate
from mixlaw.entropy.rarefaction import coverage_at, entropy_at, equal_sizes, size_at_coverage

Whole = npt.NDArray[np.uint64]


def hist(counts: list[int]) -> tuple[Whole, Whole]:
    j, f = np.unique(np.array(counts, np.uint64), return_counts=True)
    return j, f.astype(np.uint64)


samples = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def expected_entropy(j: list[int], f: list[int], m: int) -> mp.mpf:
    """H(m) by its definition, over the middle of each distribution."""
    n, total = sum(map(int.__mul__, j, f)), mp.mpf(0)
    for c, types in zip(j, f, strict=True):
        mean = c * m // n
        reach = int(14 * mean**0.5) + 60
        low, high = max(0, c + m - n, mean - reach), min(c, m, mean + reach)
        p, sums = mp.mpf(1), [mp.mpf(0), mp.mpf(0)]
        for k in range(low, high + 1):
            share = mp.mpf(k) / m
            sums = [sums[0] + p, sums[1] - (p * share * mp.log(share) if k else 0)]
            p *= mp.mpf((c - k) * (m - k)) / ((k + 1) * (n - c - m + k + 1)) if k < high else 0
        total += types * sums[1] / sums[0]
    return total


@given(counts=samples, data=st.data())
def test_small_samples_give_what_the_definitions_give(counts: list[int], data: st.DataObject) -> None:
    n = sum(counts)
    m = data.draw(st.integers(1, n))
    with mp.workdps(40):
        expected = float(expected_entropy(counts, [1] * len(counts), m))
    assert entropy_at(*hist(counts), m) == pytest.approx(expected, rel=1e-13, abs=1e-15)
    left = sum(Fraction(c, n) * Fraction(comb(n - c, min(m, n - 1)), comb(n - 1, min(m, n - 1))) for c in counts)
    assert coverage_at(*hist(counts), m) == pytest.approx(float(1 - left), rel=1e-12, abs=1e-13)


def test_the_mean_over_all_subsets_is_the_expectation() -> None:
    population = [0, 0, 0, 1, 1, 2, 3]
    for m in range(1, 8):
        subsets = list(itertools.combinations(population, m))
        entropies = [sum(-s.count(x) / m * log(s.count(x) / m) for x in set(s)) for s in subsets]
        assert entropy_at(*hist([3, 2, 1, 1]), m) == pytest.approx(np.mean(entropies), rel=1e-13, abs=1e-15)
    for m in range(1, 7):
        # What is drawn next, of what was not drawn, is of a type seen so often as coverage says.
        hits = [np.mean([x in s for x in rest(population, s)]) for s in itertools.combinations(range(7), m)]
        assert coverage_at(*hist([3, 2, 1, 1]), m) == pytest.approx(np.mean(hits), rel=1e-13)


def rest(population: list[int], chosen: tuple[int, ...]) -> list[bool | int]:
    """The types not drawn; -1 where the type is not among those drawn, which is nowhere in `chosen`."""
    seen = {population[i] for i in chosen}
    return [chosen[0] if population[i] in seen else -1 for i in range(len(population)) if i not in chosen]


large = [
    ([1, 2, 3, 64, 127, 10**4, 10**6], [10**6, 10**5, 10**5, 10**4, 999, 99, 9]),
    ([1, 10**4, 3 * 10**7, 10**12], [10**9, 10**5, 10**3, 1]),
    ([5, 10**12 - 5], [1, 1]),
]


@pytest.mark.parametrize("part", ["1e-9", "1e-5", "0.125", "0.5", "0.999999"])
@pytest.mark.parametrize(("j", "f"), large)
def test_large_samples_keep_nine_digits_and_more(j: list[int], f: list[int], part: str) -> None:
    n = sum(map(int.__mul__, j, f))
    m = max(2, int(n * float(part)))
    few = [c for c in j if c * m / n < 1e5]  # the reference sums a window for each; larger ones follow their limit
    with mp.workdps(40):
        expected = (
            expected_entropy(few, [k for c, k in zip(j, f, strict=True) if c in few], m) if len(few) == len(j) else None
        )
        if expected is None:
            expected = partly(j, f, m)
    got = entropy_at(np.array(j, np.uint64), np.array(f, np.uint64), m)
    assert got == pytest.approx(float(expected), rel=1e-12)


def partly(j: list[int], f: list[int], m: int) -> mp.mpf:
    """H(m) where means are beyond 1e5: there by the first terms of the expansion, exact to 1e-20."""
    n, total = sum(map(int.__mul__, j, f)), mp.mpf(0)
    for c, types in zip(j, f, strict=True):
        mean = mp.mpf(c) * m / n
        if mean < 1e5:
            total += types * expected_of_one(c, n, m)
            continue
        second, third, fourth = central_moments(c, n, m)
        series = second / 2 - third / 6 + fourth / 12
        total += types * mp.mpf(c) / n * (mp.log(mp.mpf(n) / c) - series)
    return total


def expected_of_one(c: int, n: int, m: int) -> mp.mpf:
    """g of one type among n - c others of their own."""
    single = expected_entropy([c, 1], [1, n - c], m)
    others = -(n - c) * mp.mpf(m) / n * mp.log(mp.mpf(1) / m) / m
    return single - others


def central_moments(c: int, n: int, m: int) -> tuple[mp.mpf, mp.mpf, mp.mpf]:
    """Second to fourth central moments of K / mean, from factorial moments."""
    falling = [mp.mpf(1)]
    for r in range(4):
        falling.append(falling[-1] * (c - r) * (m - r) / mp.mpf(n - r))
    raw = [mp.mpf(1), falling[1], falling[2] + falling[1], falling[3] + 3 * falling[2] + falling[1]]
    raw.append(falling[4] + 6 * falling[3] + 7 * falling[2] + falling[1])
    u = raw[1]
    second = raw[2] - u**2
    third = raw[3] - 3 * u * raw[2] + 2 * u**3
    fourth = raw[4] - 4 * u * raw[3] + 6 * u**2 * raw[2] - 3 * u**4
    return second / u**2, third / u**3, fourth / u**4


@pytest.mark.parametrize("part", ["1e-9", "1e-5", "0.125", "0.5", "0.999999"])
@pytest.mark.parametrize(("j", "f"), large)
def test_coverage_of_large_samples_keeps_nine_digits_and_more(j: list[int], f: list[int], part: str) -> None:
    n = sum(map(int.__mul__, j, f))
    m = max(2, int(n * float(part)))
    with mp.workdps(60):
        left = mp.mpf(0)
        for c, k in zip(j, f, strict=True):
            if c + m <= n:
                logs = mp.loggamma(n - c + 1) + mp.loggamma(n - m) - mp.loggamma(n - c - m + 1) - mp.loggamma(n)
                left += k * mp.mpf(c) / n * mp.exp(logs)
        expected = float(1 - left)
    got = coverage_at(np.array(j, np.uint64), np.array(f, np.uint64), m)
    assert got == pytest.approx(expected, rel=1e-10, abs=1e-14)


@given(counts=samples)
def test_entropy_and_coverage_grow_to_those_of_the_sample(counts: list[int]) -> None:
    sizes = range(1, sum(counts) + 1)
    H = [entropy_at(*hist(counts), m) for m in sizes]
    C = [coverage_at(*hist(counts), m) for m in sizes]
    assert (np.diff(H) >= -1e-13).all()
    assert (np.diff(C) >= -1e-13).all()
    assert H[0] == pytest.approx(0.0, abs=1e-15)
    assert H[-1] == estimate(*hist(counts))
    assert C[-1] == pytest.approx(coverage(*hist(counts)), abs=1e-14)


@given(counts=samples, data=st.data())
def test_the_size_at_a_coverage_is_the_least_that_reaches_it(counts: list[int], data: st.DataObject) -> None:
    sample = hist(counts)
    whole = coverage(*sample)
    if whole == 0.0:
        return
    wanted = data.draw(st.floats(1e-6, whole))
    m = size_at_coverage(*sample, wanted)
    if wanted == whole:
        assert m == sum(counts)
    else:
        assert coverage_at(*sample, m) >= wanted
        assert m == 1 or coverage_at(*sample, m - 1) < wanted


def test_windows_are_the_same_in_any_number_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    j = np.unique(np.geomspace(1, 10**5, 300).astype(np.uint64))
    f = np.ones(len(j), np.uint64)
    n = int(j.sum())
    whole = [entropy_at(j, f, m) for m in (5, 1271, n // 8, n - 1)]
    monkeypatch.setattr("mixlaw.entropy.rarefaction.CHUNK", 1000)
    assert [entropy_at(j, f, m) for m in (5, 1271, n // 8, n - 1)] == pytest.approx(whole, rel=1e-14)


def test_samples_are_made_equal_by_tokens() -> None:
    samples = [hist([9, 5, 1]), hist([100, 1]), hist([7])]
    assert equal_sizes(samples, "tokens") == [7, 7, 7]


def test_samples_are_made_equal_by_coverage() -> None:
    rng = np.random.default_rng(0)
    rows = [np.bincount(rng.zipf(a, 5000) % 1271) for a in (1.3, 1.6, 2.5)]
    samples = [hist(row[row > 0].tolist()) for row in rows]
    sizes = equal_sizes(samples, "coverage")
    least = min(range(3), key=lambda i: coverage(*samples[i]))
    assert sizes[least] == 5000
    assert sum(size < 5000 for size in sizes) == 2
    for sample, size in zip(samples, sizes, strict=True):
        assert coverage_at(*sample, size) == pytest.approx(coverage(*samples[least]), abs=5e-3)


def test_what_cannot_be_made_equal_is_refused() -> None:
    with pytest.raises(InputError, match="everything was seen once"):
        equal_sizes([hist([1, 1]), hist([5, 5])], "coverage")
    with pytest.raises(InputError, match="by 'tokens' or 'coverage', not 'pairs'"):
        equal_sizes([hist([5])], "pairs")


@pytest.mark.parametrize("m", [0, -1, 8])
def test_a_size_beyond_the_sample_is_refused(m: int) -> None:
    for act in (entropy_at, coverage_at):
        with pytest.raises(InputError, match=f"m is {m}; expected: from 1 to the number of observations, 7"):
            act(*hist([3, 2, 1, 1]), m)


@pytest.mark.parametrize("wanted", [0.0, -1.0, 0.8, float("nan")])
def test_a_coverage_beyond_that_of_the_sample_is_refused(wanted: float) -> None:
    with pytest.raises(InputError, match="cannot be had; expected: above 0 and at most the sample's"):
        size_at_coverage(*hist([3, 2, 1, 1]), wanted)
