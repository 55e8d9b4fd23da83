import json
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import Corpus, EntropyTable, InputError, load_corpus
from mixlaw.entropy.measure import measure_entropies
from mixlaw.reading import ByteTokenizer, TextSource, text, tokenfiles

COLUMNS = ("tokens", "types", "token_singletons", "pairs", "pair_types", "pair_singletons", "se", "ce", "je")


def plug_in(counts: Counter[object]) -> float:
    total = counts.total()
    return math.fsum(count / total * math.log(total / count) for count in counts.values())


def reference(documents: Sequence[Sequence[int]]) -> dict[str, float]:
    """Counts and entropies of one domain, the plain way."""
    tokens = Counter(token for document in documents for token in document)
    pairs = Counter(pair for document in documents for pair in pairwise(document))
    firsts = Counter(first for document in documents for first, _ in pairwise(document))
    return {
        "tokens": tokens.total(),
        "types": len(tokens),
        "token_singletons": sum(count == 1 for count in tokens.values()),
        "pairs": pairs.total(),
        "pair_types": len(pairs),
        "pair_singletons": sum(count == 1 for count in pairs.values()),
        "se": plug_in(tokens),
        "ce": plug_in(pairs) - plug_in(firsts),
        "je": plug_in(pairs),
    }


def check(table: EntropyTable, domains: dict[str, list[list[int]]]) -> None:
    assert table.domains == tuple(domains)
    for row, documents in enumerate(domains.values()):
        for name, value in reference(documents).items():
            assert getattr(table, name)[row] == pytest.approx(value, rel=1e-12, abs=1e-13), name


documents = st.lists(st.lists(st.integers(0, 4), max_size=9), min_size=1, max_size=9).filter(any)


@settings(deadline=None)
@given(
    domains=st.dictionaries(st.text("abc", min_size=1), documents, min_size=1, max_size=3), threads=st.integers(1, 2)
)
def test_table_holds_what_a_plain_count_gives(domains: dict[str, list[list[int]]], threads: int) -> None:
    arrays = {name: [np.array(item, np.uint16) for item in items] for name, items in domains.items()}
    corpus = Corpus(arrays, vocab_size=5, tokenizer="made up")
    table = measure_entropies(corpus, threads=threads)
    check(table, domains)
    assert (table.vocab_size, table.tokenizer, table.estimator) == (5, "made up", "plugin")


def test_large_domain_is_counted_as_the_plain_count_does() -> None:
    rng = np.random.default_rng(0)
    tokens = np.minimum(rng.zipf(1.2, 127_001), 1271).astype(np.int32) - 1
    borders = np.sort(rng.choice(len(tokens), 255, replace=False))
    split = np.split(tokens, borders)
    corpus = Corpus({"zipf": split}, vocab_size=1271)
    check(measure_entropies(corpus), {"zipf": [document.tolist() for document in split]})


@pytest.mark.parametrize("block", [3, 10**6])
def test_same_documents_give_the_same_table_in_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr(text, "BATCH_BYTES", block)
    monkeypatch.setattr(tokenfiles, "BLOCK", block)
    texts = ["the cat sat on the mat", "été\n", "x", "and then the hat \U0001f600"]
    ids = [list(item.encode()) for item in texts]
    for number, item in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(item)
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": item}) for item in texts))
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    np.save(tmp_path / "a.tokens.npy", np.frombuffer("".join(texts).encode(), np.uint8))
    np.save(tmp_path / "a.offsets.npy", np.cumsum([0, *map(len, ids)]))
    np.array([token for document in ids for token in [*document, 256]], np.uint16).tofile(tmp_path / "a.bin")
    domains = {
        "text": {"paths": "*.txt"},
        "jsonl": {"paths": "a.jsonl"},
        "parquet": {"paths": "a.parquet"},
        "npy": {"paths": "a.tokens.npy"},
        "raw": {"paths": "a.bin", "format": "raw", "dtype": "uint16", "eod": 256},
    }
    (tmp_path / "corpus.yaml").write_text(yaml.safe_dump({"tokenizer": "bytes", "domains": domains}, sort_keys=False))
    corpus = load_corpus(tmp_path / "corpus.yaml")
    table = measure_entropies(corpus)
    check(table, dict.fromkeys(corpus, ids))
    for name in COLUMNS:
        assert len(set(getattr(table, name).tolist())) == 1, name
    assert table.mixture("ce")["jsonl"] == pytest.approx(0.2)


def test_domain_of_single_tokens_has_shannon_entropy_alone() -> None:
    single = [np.array([token], np.uint8) for token in (0, 1, 1, 2)]
    table = measure_entropies(Corpus({"lonely": single, "pairs": np.arange(3, dtype=np.uint8)}, vocab_size=3))
    assert table.se[0] == pytest.approx(1.5 * math.log(2), rel=1e-12)
    assert (table.pairs.tolist(), table.pair_types.tolist()) == ([0, 2], [0, 2])
    assert (table.ce[0], table.je[0]) == (0.0, 0.0)
    assert list(table.mixture("se")) == ["lonely", "pairs"]
    with pytest.raises(InputError, match="domain 'lonely' has no pairs of adjacent tokens, so no ce"):
        table.mixture("ce")


@pytest.mark.parametrize("empty", [[], [np.array([], np.uint8)], TextSource([], ByteTokenizer())])
def test_domain_without_tokens_is_named(empty: Any) -> None:
    corpus = Corpus({"full": np.array([1], np.uint8), "empty": empty}, vocab_size=256)
    with pytest.raises(InputError, match="domain 'empty' holds no tokens"):
        measure_entropies(corpus)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.array([0, 1, 3], np.uint8), "domain 'bad': array: token 3 at position 2 is not below vocab_size 3"),
        (np.array([0, -1, 2], np.int32), "domain 'bad': array: token -1 at position 1 is negative"),
    ],
)
def test_id_outside_the_vocabulary_is_named(tokens: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_entropies(Corpus({"bad": tokens}, vocab_size=3))


def test_id_outside_the_vocabulary_deep_in_an_array_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import functools

    from mixlaw import corpus as module

    monkeypatch.setattr(module, "cut", functools.partial(module.cut, size=4))
    tokens = np.array([0, 1, 2, 0, 1, 2, 3, 0], np.uint8)
    with pytest.raises(
        InputError, match="domain 'bad': array, counted from token 3: token 3 at position 3 is not below"
    ):
        measure_entropies(Corpus({"bad": tokens}, vocab_size=3))


@pytest.mark.parametrize(
    ("vocab_size", "threads", "message"),
    [(2**40, None, "vocab_size must be from 1 to 2147483648"), (3, 0, "threads must be from 1 to")],
)
def test_argument_out_of_range_is_refused(vocab_size: int, threads: int | None, message: str) -> None:
    corpus = Corpus({"a": np.array([1], np.uint8)}, vocab_size=vocab_size)
    with pytest.raises(InputError, match=message):
        measure_entropies(corpus, threads=threads)


def test_progress_is_silent_where_stderr_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    measure_entropies(Corpus({"a": np.array([1, 2], np.uint8)}, vocab_size=3))
    assert capfd.readouterr() == ("", "")
