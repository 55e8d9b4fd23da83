import math
import sys
import tracemalloc
from itertools import count, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mixlaw import InputError
from mixlaw.entropy import second_moment
from mixlaw.entropy.second_moment import SecondMoment, unit_rows


def moment_of(vectors: np.ndarray, **options: int) -> SecondMoment:
    moment = SecondMoment(vectors.shape[1], **options)
    moment.update(vectors)
    return moment


def by_gram_matrix(vectors: np.ndarray) -> float:
    """Logarithm of the Vendi score by its definition: eigenvalues of the n x n kernel matrix K / n, in 40 digits."""
    with mpmath.workdps(40):
        rows = [[mpmath.mpf(float(x)) for x in row] for row in vectors]
        unit = []
        for row in rows:
            length = mpmath.sqrt(mpmath.fsum(x * x for x in row))
            unit.append([x / length for x in row])
        n = len(unit)
        kernel = mpmath.matrix([[mpmath.fdot(a, b) / n for b in unit] for a in unit])
        eigenvalues = [value for value in mpmath.eigsy(kernel, eigvals_only=True) if value > 1e-30]
        return float(-mpmath.fsum(value * mpmath.log(value) for value in eigenvalues))


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 7), (2, 1), (5, 3), (3, 5), (17, 4), (15, 15), (9, 63)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_entropy_is_that_of_the_kernel_matrix(n: int, d: int, dtype: str) -> None:
    vectors = np.random.default_rng(n * 100 + d).standard_normal((n, d)).astype(dtype)
    assert moment_of(vectors).entropy() == pytest.approx(by_gram_matrix(vectors), rel=0, abs=1e-12)


@pytest.mark.parametrize(("rank", "spread"), [(1, 1.0), (2, 1.0), (40, 1e-3), (40, 1e-6)])
def test_entropy_of_nearly_equal_and_of_low_rank_vectors_is_that_of_the_kernel_matrix(rank: int, spread: float) -> None:
    rng = np.random.default_rng(0)
    vectors = 1.0 + spread * rng.standard_normal((15, rank)) @ rng.standard_normal((rank, 40))
    assert moment_of(vectors).entropy() == pytest.approx(by_gram_matrix(vectors), rel=0, abs=1e-12)


def test_entropies_of_known_spectra_are_exact() -> None:
    assert moment_of(np.eye(8)).entropy() == pytest.approx(math.log(8), abs=1e-15)
    assert moment_of(np.full((271, 5), -3.0)).entropy() == pytest.approx(0.0, abs=1e-13)
    weighted = np.repeat(np.eye(3), (1, 2, 5), axis=0)
    shares = np.array([1, 2, 5]) / 8
    assert moment_of(weighted).entropy() == pytest.approx(-shares @ np.log(shares), abs=1e-15)


finite = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 12), st.just(3)), elements=st.floats(-1e3, 1e3).map(lambda x: x + 1e-3)
).filter(lambda rows: (np.abs(rows).max(axis=1) > 0).all())


@given(vectors=finite, factor=st.sampled_from([-1.0, 1e-300, 1e300]), order=st.randoms())
def test_entropy_depends_on_directions_alone_and_lies_in_its_bounds(vectors, factor, order) -> None:
    entropy = moment_of(vectors).entropy()
    assert 0.0 <= entropy <= math.log(min(vectors.shape)) + 1e-12
    rows = list(vectors * factor)
    order.shuffle(rows)
    assert moment_of(np.array(rows)).entropy() == pytest.approx(entropy, abs=1e-11)


def test_lengths_at_the_ends_of_float64_do_no_harm() -> None:
    directions = np.array([[3.0, 4.0], [0.0, 1.0], [1.0, 0.0], [1.0, -1.0]])
    scales = np.array([1e-308, 5e-324, 1e308, 1e-170])[:, None]
    expected = directions / np.linalg.norm(directions, axis=1)[:, None]
    np.testing.assert_allclose(unit_rows(directions * scales), expected, rtol=1e-12)


@pytest.mark.parametrize("d", [1, 5, 8192, 8193, 20001])
def test_bits_of_a_row_do_not_depend_on_the_others(d: int) -> None:
    vectors = np.random.default_rng(d).standard_normal((20, d))
    whole = unit_rows(vectors)
    for n in (1, 2, 3):
        for begin in range(20 - n):
            assert np.array_equal(unit_rows(vectors[begin : begin + n]), whole[begin : begin + n])


@pytest.mark.parametrize("groups", [1, 3, 16])
def test_calls_blocks_merges_and_files_change_only_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    vectors = np.random.default_rng(3).standard_normal((1271, 9)).astype(np.float32)
    whole = moment_of(vectors, groups=groups)
    monkeypatch.setattr(second_moment, "_BLOCK", 63 * 9)
    monkeypatch.setattr(second_moment, "_ROWS", 1)
    blocks = moment_of(vectors, groups=groups)
    calls = SecondMoment(9, groups=groups)
    for part in np.array_split(vectors, 7):
        calls.update(part)
        calls.write(tmp_path / "moment.npz")
        calls = SecondMoment.read(tmp_path / "moment.npz")
    merged = SecondMoment(9, groups=groups)
    for part in np.array_split(np.arange(1271), 3):
        other = SecondMoment(9, groups=groups)
        other.update(vectors[part], part % groups)
        merged.merge(other)
        assert other.count == len(part)
    for moment in (blocks, calls, merged):
        assert moment.count == 1271
        np.testing.assert_allclose(moment.density(), whole.density(), rtol=0, atol=1e-15)
        assert moment.entropy() == pytest.approx(whole.entropy(), abs=1e-13)
        assert moment.standard_error() == pytest.approx(whole.standard_error(), rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_calls_and_files_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any, order: Any) -> None:
    monkeypatch.setattr(second_moment, "_BLOCK", 63 * 37)
    monkeypatch.setattr(second_moment, "_ROWS", 1)
    rng = np.random.default_rng(4)
    vectors = np.asarray(rng.standard_normal((1271, 37)).astype(dtype), order=order)
    groups = rng.integers(0, 16, 1271)
    for of in (None, groups):
        whole = SecondMoment(37)
        whole.update(vectors, of)
        for cuts in (np.arange(1, 1271), np.array([62, 63, 64, 127, 1270]), np.sort(rng.integers(0, 1272, 20))):
            moment = SecondMoment(37)
            for begin, end in pairwise([0, *cuts.tolist(), 1271]):
                moment.update(vectors[begin:end], None if of is None else of[begin:end])
                if len(cuts) < 100:
                    # To be asked, to be merged, a refused call and a file change nothing.
                    assert moment.count == end
                    assert end == 0 or moment.entropy() >= 0
                    SecondMoment(37).merge(moment)
                    with pytest.raises(InputError, match="row 150"):
                        moment.update(np.concatenate([np.ones((150, 37)), np.zeros((1, 37))]))
                    moment.write(tmp_path / "moment.npz")
                    moment = SecondMoment.read(tmp_path / "moment.npz")
            assert moment.count == 1271
            assert np.array_equal(moment.density(), whole.density())
            assert moment.entropy() == whole.entropy()
            assert moment.standard_error() == whole.standard_error()


def interrupted(moment: SecondMoment, vectors: np.ndarray, line: int, error: type[BaseException]) -> bool:
    """Add vectors, but raise before the given line of the module's code; whether there were so many lines."""
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != second_moment.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise error
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        moment.update(vectors)
    except error:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_at_any_line_leaves_the_vectors_up_to_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(second_moment, "_BLOCK", 12 * 3)
    monkeypatch.setattr(second_moment, "_ROWS", 1)
    vectors = np.random.default_rng(7).standard_normal((40, 3))
    whole = moment_of(vectors, groups=4)
    counts = set()
    for line in count(1):
        moment = SecondMoment(3, groups=4)
        moment.update(vectors[:7])
        if not interrupted(moment, vectors[7:], line, error):
            break
        counts.add(moment.count)
        if line % 3 == 0:
            # Interrupted again, where it goes on.
            interrupted(moment, vectors[moment.count :], line % 11, error)
        if line % 2:
            moment.write(tmp_path / "moment.npz")
            assert moment.count == 0 or moment.entropy() == moment_of(vectors[: moment.count], groups=4).entropy()
            moment = SecondMoment.read(tmp_path / "moment.npz")
        moment.update(vectors[moment.count :])
        assert moment.count == 40
        assert np.array_equal(moment.density(), whole.density())
        assert moment.standard_error() == whole.standard_error()
    assert counts == {7, 12, 24, 36, 40}


def test_memory_is_that_of_the_sums_and_a_block() -> None:
    d = 512
    vectors = np.random.default_rng(0).standard_normal((5_000, d)).astype(np.float32)
    tracemalloc.start()
    try:
        moment = SecondMoment(d)
        moment.update(vectors)
        moment.standard_error()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Of matrices beside the sums, eigenvalues need the most.
    assert peak < 8 * (16 + 6) * d * d + 8 * second_moment._BLOCK + 2**21


def test_merging_and_reading_back_keep_every_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one, two = (moment_of(rng.standard_normal((33, 5))) for _ in range(2))
    one.write(tmp_path / "one.npz")
    again = SecondMoment.read(tmp_path / "one.npz")
    assert np.array_equal(again.density(), one.density())
    again.merge(two)
    two.merge(one)
    assert np.array_equal(again.density(), two.density())
    assert np.array_equal(again.density(), again.density().T)


def test_memory_maps_are_read(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((100, 7)).astype(np.float16)
    np.save(tmp_path / "a.npy", vectors)
    assert moment_of(np.load(tmp_path / "a.npy", mmap_mode="r")).entropy() == moment_of(vectors).entropy()


def test_standard_error_is_the_spread_over_samples() -> None:
    rng = np.random.default_rng(5)
    scales = 0.5 ** np.arange(6)
    found = [moment_of(rng.standard_normal((800, 6)) * scales) for _ in range(60)]
    spread = np.std([moment.entropy() for moment in found], ddof=1)
    # The spread of 60 entropies is known to 9 %, the mean of 60 jackknifes over 16 groups to 3 %.
    assert np.mean([moment.standard_error() for moment in found]) == pytest.approx(spread, rel=0.25)


def test_standard_error_of_documents_in_one_group_is_larger() -> None:
    rng = np.random.default_rng(6)
    documents = rng.standard_normal((160, 6)) * 0.5 ** np.arange(6)
    passages = np.repeat(documents, 9, axis=0)
    apart, together = SecondMoment(6), SecondMoment(6)
    apart.update(passages)
    together.update(passages, np.repeat(np.arange(160) % 16, 9))
    assert together.entropy() == pytest.approx(apart.entropy(), abs=1e-13)
    assert together.standard_error() > 2 * apart.standard_error()


def test_standard_error_is_the_jackknife_over_groups() -> None:
    vectors = np.random.default_rng(0).standard_normal((23, 4))
    groups = np.arange(23) % 5
    moment = SecondMoment(4, groups=7)
    moment.update(vectors, groups)
    without = [by_gram_matrix(vectors[groups != g]) for g in range(5)]
    assert moment.standard_error() == pytest.approx(math.sqrt(4 / 5 * 5 * np.var(without)), rel=1e-9)


def test_one_group_has_no_standard_error() -> None:
    assert math.isnan(moment_of(np.eye(3), groups=1).standard_error())
    assert math.isnan(moment_of(np.eye(3)[:1]).standard_error())


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones(3), r"expected vectors of shape \(n, 3\), found shape \(3,\)"),
        (np.ones((2, 4)), r"expected vectors of shape \(n, 3\), found shape \(2, 4\)"),
        (np.ones((2, 3), int), "expected vectors of float16, float32 or float64, found int64"),
        (np.ones((2, 3), np.longdouble), "expected vectors of float16, float32 or float64"),
        (np.ones((2, 3), complex), "expected vectors of float16, float32 or float64, found complex128"),
        (np.array([[1, 0, 0], [0, 0, 0.0]]), "row 1: the vector is all zeros and has no direction: leave it out"),
        (np.array([[1, 0, np.nan]]), "row 0: the vector is not finite"),
        (np.array([[1, 0, 0], [1, 0, 0], [1, -np.inf, 0]], np.float16), "row 2: the vector is not finite"),
    ],
)
def test_wrong_vectors_are_named_and_nothing_is_added(vectors: np.ndarray, message: str) -> None:
    moment = moment_of(np.eye(3))
    before = moment.density()
    with pytest.raises(InputError, match=message):
        moment.update(vectors)
    assert moment.count == 3
    assert np.array_equal(moment.density(), before)


def test_a_bad_row_in_a_later_block_is_named_and_nothing_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_moment, "_BLOCK", 10)
    monkeypatch.setattr(second_moment, "_ROWS", 1)
    moment = moment_of(np.eye(2))
    vectors = np.ones((95, 2))
    vectors[77, 1] = np.nan
    with pytest.raises(InputError, match="row 77: the vector is not finite"):
        moment.update(vectors)
    assert moment.count == 2
    assert np.array_equal(moment.density(), np.eye(2) / 2)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.array([0, 1]), r"3 vectors need integers of shape \(3,\) as groups, not int64 \(2,\)"),
        (np.zeros(3), "3 vectors need integers"),
        (np.array([0, 16, 1]), "row 1: there is no group 16, they go from 0 to 15"),
        (np.array([0, 1, -1]), "row 2: there is no group -1"),
    ],
)
def test_wrong_groups_are_named(groups: np.ndarray, message: str) -> None:
    moment = SecondMoment(3)
    with pytest.raises(InputError, match=message):
        moment.update(np.eye(3), groups)
    assert moment.count == 0


@pytest.mark.parametrize(("dimension", "groups"), [(0, 16), (-1, 16), (2.0, 16), (3, 0)])
def test_arguments_out_of_range_are_refused(dimension: int, groups: int) -> None:
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        SecondMoment(dimension, groups=groups)


def test_what_differs_is_not_merged() -> None:
    with pytest.raises(InputError, match="second moments of one dimension can be merged, not of 3 and 4"):
        SecondMoment(3).merge(SecondMoment(4))
    with pytest.raises(InputError, match="second moments of one number of groups can be merged, not of 16 and 8"):
        SecondMoment(3).merge(SecondMoment(3, groups=8))


def test_no_vectors_have_no_entropy() -> None:
    moment = SecondMoment(3)
    moment.update(np.empty((0, 3)))
    with pytest.raises(InputError, match="no vectors were given"):
        moment.entropy()


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "moment.npz"
    with pytest.raises(InputError, match=r"moment\.npz: cannot be read \(No such file"):
        SecondMoment.read(path)
    moment_of(np.eye(3)).write(path)
    whole = path.read_bytes()
    damaged = 0
    for position in range(0, len(whole), 23):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            found = SecondMoment.read(path)
        except InputError:
            damaged += 1
        else:
            # What holds no content (times, for example) may differ.
            assert np.array_equal(found.density(), np.eye(3) / 3)
    assert damaged > len(whole) / 23 / 2
    for length in range(0, len(whole), 301):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"moment\.npz"):
            SecondMoment.read(path)


def test_files_whose_content_contradicts_itself_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "moment.npz"
    moment_of(np.eye(3)).write(path)
    with np.load(path) as file:
        content = dict(file)
    for change, message in (
        ({"schema": np.array("mixlaw.second-moment/9")}, "expected a file of schema 'mixlaw.second-moment/1', found"),
        ({"sums": content["sums"][0]}, "does not hold the counts and sums"),
        ({"counts": content["counts"].astype(float)}, "does not hold the counts and sums"),
        ({"sums": content["sums"] + 0.001}, "damaged: its content is not what its checksum says"),
        ({"counts": content["counts"] + 1}, "damaged: its content is not what its checksum says"),
        ({"rows": content["rows"] * 1.001}, "damaged: its content is not what its checksum says"),
        ({"groups": content["groups"][::-1]}, "damaged: its content is not what its checksum says"),
        ({"rows": content["rows"][:2]}, "does not hold the counts and sums"),
        ({"rows": content["rows"].astype(np.float32)}, "does not hold the counts and sums"),
        ({"groups": content["groups"] - 1}, "does not hold the counts and sums"),
        ({"groups": content["groups"] + 14}, "does not hold the counts and sums"),
    ):
        np.savez(path, **{**content, **change})
        with pytest.raises(InputError, match=message):
            SecondMoment.read(path)
    np.savez(path, **{**content, "schema": np.array([{}], dtype=object)})
    with pytest.raises(InputError, match=r"not a whole \.npz file"):
        SecondMoment.read(path)
    np.save(tmp_path / "plain.npy", np.eye(3))
    with pytest.raises(InputError, match=r"not a whole \.npz file"):
        SecondMoment.read(tmp_path / "plain.npy")
