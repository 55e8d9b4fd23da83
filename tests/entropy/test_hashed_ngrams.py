import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.entropy.hashed_ngrams import MAX_PASSAGES, HashedNgrams

WORD = 2**64


def mix(word: int) -> int:
    """splitmix64, the plain way."""
    word = (word + 0x9E3779B97F4A7C15) % WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % WORD
    return word ^ (word >> 31)


def place(ngram: tuple[int, ...], dimension: int) -> tuple[int, int]:
    """Coordinate and sign of an n-gram."""
    h = 0
    for n, token in enumerate(ngram, 1):
        h = mix(h ^ mix(token + n))
    return (h >> 33) * dimension >> 31, -1 if h >> 20 & 1 else 1


def reference(passage: list[int], dimension: int, order: int) -> np.ndarray:
    """Vector of one passage by its definition."""
    vector = np.zeros(dimension)
    ngrams = Counter(tuple(passage[i : i + n]) for n in range(1, order + 1) for i in range(len(passage) - n + 1))
    by_place: dict[int, list[float]] = {}
    for ngram, count in ngrams.items():
        j, sign = place(ngram, dimension)
        by_place.setdefault(j, []).append(sign * math.sqrt(count))
    for j, parts in by_place.items():
        vector[j] = math.fsum(parts)
    if not np.abs(vector).max() > 1e-12:
        vector[:] = 0.0
        j, sign = place(tuple(passage[:1]), dimension)
        vector[j] = sign
    return vector / np.linalg.norm(vector)


def embed(passages: list[list[int]], dtype: type = np.int64, **options: int) -> np.ndarray:
    tokens = np.array([token for passage in passages for token in passage], dtype)
    return HashedNgrams(**options).embed(tokens, np.cumsum([0, *map(len, passages)]))


passages = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), min_size=1, max_size=7)


@given(passages=passages, dimension=st.sampled_from([17, 63, 300, 1024]), order=st.integers(1, 4))
def test_vectors_are_those_of_the_definition(passages: list[list[int]], dimension: int, order: int) -> None:
    found = embed(passages, dimension=dimension, order=order)
    assert found.shape == (len(passages), dimension)
    np.testing.assert_allclose(found, [reference(p, dimension, order) for p in passages], rtol=0, atol=1e-12)


@given(passages=passages, order=st.integers(1, 4))
def test_a_passage_has_the_same_vector_alone_and_among_others(passages: list[list[int]], order: int) -> None:
    together = embed(passages, dimension=64, order=order)
    for vector, passage in zip(together, passages, strict=True):
        assert np.array_equal(vector, embed([passage], dimension=64, order=order)[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32, np.int64])
def test_vectors_do_not_depend_on_the_dtype_of_the_tokens(dtype: type) -> None:
    assert np.array_equal(embed([[1, 2, 200], [7]], dtype), embed([[1, 2, 200], [7]]))


def test_coordinates_and_signs_are_fixed_for_good() -> None:
    vectors = embed([[0], [1], [50256]], dimension=1000)
    assert [int(j) for j in np.abs(vectors).argmax(axis=1)] == [place((t,), 1000)[0] for t in (0, 1, 50256)]
    assert mix(0) == 0xE220A8397B1DCDAF  # the first output of splitmix64 from seed 0, as published


def test_different_tokens_are_nearly_orthogonal_and_equal_bags_equal() -> None:
    rng = np.random.default_rng(0)
    vectors = embed([rng.permutation(np.arange(300 * k, 300 * k + 300)).tolist() for k in (0, 0, 1, 2)], dimension=4096)
    products = vectors @ vectors.T
    assert products[0, 1] == pytest.approx(1.0)
    # A product of 300 pairs at 4096 coordinates has standard deviation 300 / sqrt(4096) / 300.
    assert np.abs(products[np.triu_indices(4, 1)][1:]).max() < 4 / 64


def test_order_of_tokens_matters_from_order_2_on() -> None:
    assert np.array_equal(*embed([[1, 2, 3], [3, 2, 1]], order=1))
    one, other = embed([[1, 2, 3], [3, 2, 1]], order=2)
    assert one @ other < 0.8


def test_passages_whose_ngrams_cancel_out_have_a_vector_all_the_same() -> None:
    # In one dimension two tokens of opposite signs leave nothing.
    tokens = {place((token,), 1)[1]: token for token in range(50)}
    passage = [tokens[-1], tokens[1]]
    assert embed([passage, passage[::-1]], dimension=1, order=1).tolist() == [[-1.0], [1.0]]


def test_empty_passages_and_too_many_are_refused() -> None:
    with pytest.raises(InputError, match="passage 1 holds no tokens, so it has no vector"):
        HashedNgrams().embed(np.array([1, 2]), np.array([0, 1, 1, 2]))
    with pytest.raises(InputError, match="1048577 passages are more than the 1048576"):
        HashedNgrams(1).embed(np.zeros(MAX_PASSAGES + 1, np.uint8), np.arange(MAX_PASSAGES + 2))


def test_no_passages_have_no_vectors() -> None:
    assert embed([], dimension=5).shape == (0, 5)


@pytest.mark.parametrize(("dimension", "order"), [(0, 1), (2**31 + 1, 1), (1.5, 1), (8, 0), (8, 17)])
def test_arguments_out_of_range_are_refused(dimension: int, order: int) -> None:
    with pytest.raises(InputError, match="must be a whole number from 1 to"):
        HashedNgrams(dimension, order)
