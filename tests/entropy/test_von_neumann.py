import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import Corpus, InputError, SecondMoment, measure_vne
from mixlaw.entropy import von_neumann
from mixlaw.entropy.hashed_ngrams import HashedNgrams
from mixlaw.reading import ByteTokenizer, TextSource

RNG = np.random.default_rng(0)
TEXTS = ["the cat sat on the mat", "", "on the mat sat the cat", "x" * 2500, "   \n", "été"]


class Letters:
    """A model that counts the letters a to z of a text, and knows nothing else."""

    name = "letters"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        return np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], np.float32).reshape(-1, 26)


def corpus_of(texts: Sequence[str]) -> Corpus:
    tokenizer = ByteTokenizer()
    return Corpus({"texts": TextSource(texts, tokenizer)}, vocab_size=256, tokenizer=tokenizer.name)


def test_arrays_files_and_streams_of_the_same_vectors_give_the_same_entropies(tmp_path: Path) -> None:
    vectors = RNG.standard_normal((300, 7)).astype(np.float32)
    np.save(tmp_path / "a.npy", vectors)
    table = measure_vne(
        {"array": vectors, "path": tmp_path / "a.npy", "text": str(tmp_path / "a.npy"), "stream": iter([vectors])}
    )
    moment = SecondMoment(7)
    moment.update(vectors)
    assert table.domains == ("array", "path", "text", "stream")
    assert (table.dimension, table.vectors.tolist(), table.embedding) == (7, [300] * 4, "given vectors")
    assert table.vne.tolist() == [moment.entropy()] * 4
    assert table.vne_se.tolist() == [moment.standard_error()] * 4


def test_blocks_of_a_stream_change_nothing() -> None:
    vectors = RNG.standard_normal((20_001, 200))
    table = measure_vne({"whole": vectors, "blocks": np.array_split(vectors, 9)})
    assert table.vne[0] == table.vne[1]
    assert table.vne_se[0] == table.vne_se[1]


def test_mixture_is_proportional_to_the_effective_number_of_vectors() -> None:
    table = measure_vne({"one": np.ones((5, 4)), "three": np.eye(4)[:3].repeat(7, axis=0)})
    assert table.mixture()["three"] == pytest.approx(0.75, abs=1e-12)


@given(
    documents=st.lists(st.lists(st.integers(0, 6), max_size=40), min_size=1, max_size=20).filter(any),
    longest=st.integers(1, 17),
    batch=st.integers(1, 9),
)
def test_a_corpus_is_measured_by_the_passages_of_its_documents(documents, longest: int, batch: int) -> None:
    embedder = HashedNgrams(32, 2, passage=longest)
    passages, groups = [], []
    for number, document in enumerate(documents):
        parts = math.ceil(len(document) / longest)
        for k in range(parts):
            passages.append(document[k * len(document) // parts : (k + 1) * len(document) // parts])
            groups.append(number % 16)
    assert all(1 <= len(passage) <= longest for passage in passages)
    expected = SecondMoment(32)
    tokens = np.array([token for passage in passages for token in passage])
    expected.update(embedder.embed(tokens, np.cumsum([0, *map(len, passages)])), np.array(groups))

    corpus = Corpus({"a": [np.array(document, np.uint16) for document in documents]}, vocab_size=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(von_neumann, "BATCH", batch)
        table = measure_vne(corpus, embedder=embedder)
    assert table.vectors[0] == len(passages)
    assert table.vne[0] == pytest.approx(expected.entropy(), abs=1e-12)
    assert table.vne_se[0] == pytest.approx(expected.standard_error(), rel=1e-6, abs=1e-9, nan_ok=True)


def test_chunks_of_a_source_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    import functools

    from mixlaw import corpus as module

    documents = [RNG.integers(0, 50, 60).astype(np.uint8) for _ in range(40)]
    whole = measure_vne(Corpus({"a": documents}, vocab_size=50))
    # Chunks that end where documents do.
    monkeypatch.setattr(module, "cut", functools.partial(module.cut, size=600))
    parts = measure_vne(Corpus({"a": documents}, vocab_size=50))
    assert parts.vectors.tolist() == whole.vectors.tolist()
    assert parts.vne[0] == pytest.approx(whole.vne[0], abs=1e-13)
    assert parts.vne_se[0] == pytest.approx(whole.vne_se[0], rel=1e-9)


def test_more_kinds_of_documents_have_more_entropy() -> None:
    kinds = [RNG.integers(200 * k, 200 * k + 200, (400, 100)) for k in range(4)]
    table = measure_vne(Corpus({"one": list(kinds[0]), "four": [kinds[i % 4][i] for i in range(400)]}, vocab_size=800))
    assert table.vne[1] > table.vne[0] + 0.5


def test_what_embeds_a_corpus_follows_from_its_vocabulary() -> None:
    by_bytes = measure_vne(corpus_of(["ab", "ba"]))
    assert by_bytes.embedding == "hashed n-grams of up to 4 tokens in passages of up to 1024"
    by_words = measure_vne(Corpus({"a": np.arange(300, dtype=np.uint16)}, vocab_size=300))
    assert by_words.embedding == "hashed n-grams of up to 1 tokens in passages of up to 256"
    assert (by_bytes.dimension, by_words.vectors.tolist()) == (512, [2])


def test_a_model_is_given_passages_of_text_and_what_it_does_not_know_is_left_out() -> None:
    model = Letters()
    with pytest.warns(UserWarning, match="domain 'texts': 1 of 7 passages have no vector under letters and are left"):
        table = measure_vne(corpus_of([*TEXTS, "123"]), embedder=model)
    assert model.seen == [TEXTS[0], TEXTS[2], "x" * 833, "x" * 833, "x" * 834, "été", "123"]
    assert (table.embedding, table.dimension, table.vectors.tolist()) == ("letters", 26, [6])
    expected = SecondMoment(26)
    expected.update(model.embed(model.seen[:6]), np.array([0, 2, 3, 3, 3, 5]))
    assert table.vne[0] == pytest.approx(expected.entropy(), abs=1e-13)
    assert table.vne_se[0] == pytest.approx(expected.standard_error(), rel=1e-9)


def test_a_model_of_the_wrong_shape_is_refused() -> None:
    model = Letters()
    model.embed = lambda texts: np.ones(len(texts))  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"domain 'texts': letters made vectors of shape \(2,\) of 2 texts"):
        measure_vne(corpus_of(["a", "b"]), embedder=model)


def broken() -> Iterator[np.ndarray]:
    yield np.ones((5, 3))
    yield np.array([[1.0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        ({}, "need at least one domain"),
        (
            {"a": np.ones((2, 3)), "b": np.ones((2, 4))},
            "domain 'a' have 3 dimensions and those of 'b' have 4: embed all",
        ),
        ({"a": np.ones(3)}, r"domain 'a': expected vectors of shape \(n, d\), found shape \(3,\)"),
        ({"a": np.ones((2, 3), int)}, "domain 'a': expected vectors of float16, float32 or float64, found int64"),
        ({"a": np.ones((0, 3))}, "domain 'a' has no vectors"),
        ({"a": []}, "domain 'a' has no vectors"),
        ({"a": np.eye(2) - np.eye(2)}, "domain 'a': row 0: the vector is all zeros"),
        ({"a": broken()}, "domain 'a': vectors from number 5 on: row 1: the vector is all zeros"),
        ({"a": "nowhere.npy"}, r"domain 'a': nowhere\.npy: cannot be read"),
        ({"a": "a.txt"}, r"domain 'a': a\.txt: expected vectors in a file that ends in \.npy, \.parquet or \.arrow"),
        (Corpus({"a": [np.array([], np.uint8)]}, vocab_size=3), "domain 'a' has no vectors"),
    ],
)
def test_what_cannot_be_measured_is_named(domains, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_vne(domains)


def test_an_embedder_needs_a_corpus_and_a_model_text() -> None:
    with pytest.raises(InputError, match="an embedder is for a corpus"):
        measure_vne({"a": np.eye(2)}, embedder=Letters())
    with pytest.raises(InputError, match="domain 'a' holds token ids, and letters embeds text"):
        measure_vne(Corpus({"a": np.array([1], np.uint8)}, vocab_size=3), embedder=Letters())


def test_progress_is_silent_where_stderr_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    measure_vne({"a": np.eye(3)})
    assert capfd.readouterr() == ("", "")
