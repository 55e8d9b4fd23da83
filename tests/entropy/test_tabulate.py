import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from mixlaw import InputError, NgramCounter
from mixlaw.entropy.bootstrap import replicate_weights, standard_error
from mixlaw.entropy.estimators import estimate
from mixlaw.entropy.rarefaction import entropy_at, size_at_coverage
from mixlaw.entropy.tabulate import tabulate

VOCAB_SIZE = 63
GROUPS = 16
Document = list[int]


def documents(count: int, seed: int) -> list[Document]:
    """Documents of one subject each: a subject has tokens of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        subject = rng.integers(0, 50)
        found.append(((rng.random(int(rng.integers(1, 200))) ** 3 * 13).astype(int) + subject).tolist())
    return found


def counted(given: list[Document], groups: int = GROUPS) -> NgramCounter:
    counter = NgramCounter(VOCAB_SIZE, groups=groups)
    counter.update(
        np.array([token for document in given for token in document], np.uint16),
        np.cumsum([0, *map(len, given)], dtype=np.int64),
    )
    return counter


def group_of(document: Document) -> int:
    alone = counted([document]).weighted_counts_of_counts(1, np.eye(GROUPS, dtype=int).tolist())
    (group,) = (g for g in range(GROUPS) if len(alone[g][0]))
    return group


def plug_in(counts: Counter[object]) -> float:
    total = counts.total()
    return math.fsum(count / total * math.log(total / count) for count in counts.values() if count)


def entropies(weighted: list[tuple[int, Document]]) -> dict[str, float]:
    """Plug-in entropies of documents that count so many times, the plain way."""
    tokens, pairs, firsts = Counter[object](), Counter[object](), Counter[object]()
    for weight, document in weighted:
        for token in document:
            tokens[token] += weight
        for pair in pairwise(document):
            pairs[pair] += weight
            firsts[pair[0]] += weight
    return {"se": plug_in(tokens), "ce": plug_in(pairs) - plug_in(firsts), "je": plug_in(pairs)}


def test_errors_are_those_of_replicates_of_groups_of_documents() -> None:
    given = documents(60, 1)
    groups = [group_of(document) for document in given]
    held = sorted(set(groups))
    weights = replicate_weights(len(held), 30, 7)
    table = tabulate({"a": counted(given)}, replicates=30, seed=7)
    replicates = [
        entropies([(int(row[held.index(group)]), document) for group, document in zip(groups, given, strict=True)])
        for row in weights
    ]
    for name in ("se", "ce", "je"):
        expected = standard_error([replicate[name] for replicate in replicates], len(held))
        assert getattr(table, f"{name}_error")[0] == pytest.approx(float(expected), rel=1e-9)
        assert getattr(table, name)[0] == pytest.approx(entropies([(1, item) for item in given])[name], rel=1e-12)


def test_the_curve_is_of_parts_of_the_groups() -> None:
    given = documents(300, 2)
    groups = [group_of(document) for document in given]
    table = tabulate({"a": counted(given)})
    assert table.curve_tokens is not None
    assert table.curve_ce is not None
    for i, most in enumerate((2, 4, 8, 16)):
        part = [(1, document) for group, document in zip(groups, given, strict=True) if group < most]
        assert table.curve_tokens[0, i] == sum(len(document) for _, document in part)
        assert table.curve_ce[0, i] == pytest.approx(entropies(part)["ce"], rel=1e-9)


def test_one_group_gives_neither_errors_nor_a_curve() -> None:
    table = tabulate({"a": counted(documents(50, 3), 1), "b": counted(documents(50, 4), 1)})
    assert np.isnan(table.se_error).all()
    assert table.curve_tokens is None


def test_one_document_has_no_standard_error() -> None:
    table = tabulate({"a": counted(documents(1, 3)), "b": counted(documents(50, 4))})
    assert np.isnan(table.ce_error).tolist() == [True, False]


@pytest.mark.parametrize("estimator", ["miller-madow", "grassberger", "chao-shen", "chao-wang-jost"])
def test_estimators_are_applied_to_tokens_pairs_and_first_tokens(estimator: str) -> None:
    counter = counted(documents(90, 5))
    table = tabulate({"a": counter}, estimator=estimator)
    firsts = counter.weighted_counts_of_counts(2, [[1] * GROUPS], prefixes=True)[0]
    assert table.se[0] == estimate(*counter.count_of_counts(1), estimator)
    assert table.je[0] == estimate(*counter.count_of_counts(2), estimator)
    assert table.ce[0] == table.je[0] - estimate(*firsts, estimator)
    assert table.ce_error[0] > 0.0


def test_domains_are_compared_at_equally_many_tokens_and_pairs() -> None:
    small, large = counted(documents(40, 6)), counted(documents(400, 7))
    table = tabulate({"small": small, "large": large}, equalize="tokens")
    assert table.equal_tokens is not None
    assert table.equal_pairs is not None
    assert table.equal_tokens.tolist() == [small.total(1)] * 2
    assert table.equal_pairs.tolist() == [small.total(2)] * 2
    assert table.se[0] == pytest.approx(small.entropy(1), rel=1e-12)
    assert table.se[1] == entropy_at(*large.count_of_counts(1), small.total(1))
    assert table.je[1] == entropy_at(*large.count_of_counts(2), small.total(2))
    assert table.ce_error[1] > 0.0


def test_domains_are_compared_at_equal_coverage() -> None:
    poor, rich = counted(documents(20, 8)), counted(documents(400, 9))
    table = tabulate({"poor": poor, "rich": rich}, equalize="coverage")
    coverages = np.array([table.token_coverage, table.pair_coverage])
    worst = coverages.argmin(axis=1)
    assert worst.tolist() == [0, 0]
    assert table.equal_pairs is not None
    assert table.equal_pairs.tolist() == [
        poor.total(2),
        size_at_coverage(*rich.count_of_counts(2), float(table.pair_coverage[0])),
    ]


def test_what_cannot_be_compared_is_refused() -> None:
    counter = counted(documents(9, 1))
    other = NgramCounter(VOCAB_SIZE, tokenizer="other")
    other.update(np.arange(9, dtype=np.uint8))
    wider = NgramCounter(VOCAB_SIZE + 1)
    wider.update(np.arange(9, dtype=np.uint8))
    single = NgramCounter(VOCAB_SIZE, order=1)
    for counters, arguments, message in (
        ({}, {}, "at least one domain"),
        ({"a": counter, "b": other}, {}, "domains 'a' and 'b' have tokenizer None and 'other'"),
        ({"a": counter, "b": wider}, {}, "vocab_size 63 and 64"),
        ({"a": single}, {}, "domain 'a': only tokens were counted"),
        ({"a": NgramCounter(VOCAB_SIZE)}, {}, "domain 'a' holds no tokens"),
        ({"a": counter}, {"estimator": "plug-in"}, "did you mean 'plugin'"),
        ({"a": counter}, {"equalize": "pairs"}, "tokens or coverage, not 'pairs'"),
        ({"a": counter}, {"equalize": "tokens", "estimator": "chao-shen"}, "leave out the estimator 'chao-shen'"),
    ):
        with pytest.raises(InputError, match=message):
            tabulate(counters, **arguments)


def test_a_coverage_of_0_is_refused_with_the_domain() -> None:
    counter = NgramCounter(VOCAB_SIZE)
    counter.update(np.arange(9, dtype=np.uint8))
    with pytest.raises(InputError, match=r"domain 'thin': .*seen once.*count more of it"):
        tabulate({"thin": counter, "a": counted(documents(50, 1), 1)}, equalize="coverage")
