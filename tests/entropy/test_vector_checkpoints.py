"""`measure_vne` with checkpoints, interrupted anywhere and taken up again."""

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixlaw import Corpus, InputError, SecondMoment, load_corpus, measure_vne, sample_corpus
from mixlaw.corpus import Domain
from mixlaw.entropy import second_moment, vector_files, von_neumann
from mixlaw.entropy.checkpoint import VectorCheckpoints
from mixlaw.entropy.count import count_domain
from mixlaw.entropy.hashed_ngrams import HashedNgrams
from mixlaw.entropy.text_models import load_model
from mixlaw.reading import text, tokenfiles

KINDS = ["npy", "parquet", "file.arrow", "stream.arrow", "text tokens", "tokens", "rows of tokens", "model"]


class BrokenOffError(Exception):
    pass


class Letters:
    """A model whose vectors depend on the batch that they are made in, and that knows nothing of "zzz"."""

    name = "letters"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.array([[text.count(chr(97 + i)) for i in range(25)] for text in texts], np.float64)
        rest = vectors.any(axis=1)
        vectors[rest] += 1e-3 * vectors.mean()
        return vectors


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints behind every few vectors, and places of every kind between them."""
    monkeypatch.setattr(von_neumann, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(von_neumann, "BATCH", 7)
    monkeypatch.setattr(von_neumann, "TEXT_BATCH", 5)
    monkeypatch.setattr(von_neumann, "PASSAGE_CHARACTERS", 20)
    monkeypatch.setattr(vector_files, "ROWS", 11)
    monkeypatch.setattr(text, "BATCH_BYTES", 300)
    monkeypatch.setattr(tokenfiles, "MAX_CHUNK", 400)
    monkeypatch.setattr(second_moment, "_BLOCK", 40 * 25)
    monkeypatch.setattr(second_moment, "_ROWS", 1)


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Break off before so many blocks more; None: never."""
    left: list[int | None] = [None]
    update = SecondMoment.update

    def broken(moment: SecondMoment, *words: Any) -> None:
        if left[0] is not None:
            if left[0] == 0:
                raise BrokenOffError
            left[0] -= 1
        update(moment, *words)

    monkeypatch.setattr(SecondMoment, "update", broken)
    return lambda blocks: left.__setitem__(0, blocks)


def write_vectors(folder: Path, kind: str, seed: int = 0) -> Path:
    vectors = np.random.default_rng(seed).standard_normal((151, 25)).astype(np.float32)
    path = folder / (kind if "." in kind else f"a.{kind}")
    table = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 25)})
    if kind == "npy":
        np.save(path, vectors)
    elif kind == "parquet":
        pq.write_table(table, path, row_group_size=40)
    else:
        make = pa.ipc.new_file if kind == "file.arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, make(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=40)
    return path


def write_corpus(folder: Path, kind: str) -> Path:
    rng = np.random.default_rng(1)
    documents = [rng.integers(97, 122, rng.integers(0, 150)).astype(np.uint8) for _ in range(60)]
    keys = {
        "tokens": "paths: '*.npy', eod: 101",
        "rows of tokens": "paths: '*.parquet', ids: ids",
    }.get(kind, "paths: '*.jsonl'")
    for number in range(3):
        part = documents[number::3]
        if kind == "tokens":
            np.save(folder / f"{number}.npy", np.concatenate(part))
        elif kind == "rows of tokens":
            ids = pa.array([document.tolist() for document in part], pa.list_(pa.uint8()))
            pq.write_table(pa.table({"ids": ids}), folder / f"{number}.parquet", row_group_size=6)
        else:
            texts = [bytes(document).decode() for document in part]
            texts.insert(4 + number, "zzz")
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
            (folder / f"{number}.jsonl").write_text(lines)
    path = folder / "corpus.yaml"
    path.write_text(f"tokenizer: bytes\nvocab_size: 256\ndomains:\n  a: {{{keys}}}\n")
    return path


def measured(path: Path | str, kind: str, state: Path | None) -> tuple[Any, list[str]]:
    """The table, exactly, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if kind in ("text tokens", "tokens", "rows of tokens"):
            embedder = HashedNgrams(25, 2, passage=16)
            table = measure_vne(load_corpus(path), embedder=embedder, checkpoint_dir=state)
        elif kind == "model":
            table = measure_vne(load_corpus(path), embedder=Letters(), checkpoint_dir=state)
        else:
            table = measure_vne({"a": path}, checkpoint_dir=state)
    return table.content(), [str(warning.message) for warning in caught]


def write_input(folder: Path, kind: str) -> Path:
    folder.mkdir()
    return write_corpus(folder, kind) if kind in KINDS[4:] else write_vectors(folder, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_measuring_goes_on_where_it_was_interrupted(
    tmp_path: Path, broken_off: Callable[[int | None], None], kind: str
) -> None:
    path = write_input(tmp_path / "input", kind)
    whole = measured(path, kind, None)
    assert whole[0]["domains"]["a"]["vectors"] > 100
    for each in (1, 2, 5):
        interruptions = 0
        while True:
            broken_off(each)
            try:
                found = measured(path, kind, tmp_path / "state")
            except BrokenOffError:
                interruptions += 1
                names = {name.name for name in (tmp_path / "state" / "a").iterdir()}
                manifest = json.loads((tmp_path / "state" / "a" / "manifest.json").read_text())
                assert names == {"lock", "manifest.json", manifest["moment"]}
            else:
                break
        assert interruptions >= 10 // each
        assert found == whole
        # What is finished is not read again, and says the same.
        broken_off(0)
        assert measured(path, kind, tmp_path / "state") == whole
        shutil.rmtree(tmp_path / "state")
    assert bool(whole[1]) == (kind == "model")


@pytest.mark.parametrize("kind", KINDS)
def test_measuring_goes_on_however_the_input_is_spelled_and_where_it_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_off: Callable[[int | None], None], kind: str
) -> None:
    path = write_input(tmp_path / "input", kind)
    whole = measured(path, kind, None)
    for folder, spelled in ((tmp_path, f"input/{path.name}"), (path.parent, f"./{path.name}"), (tmp_path, path)):
        monkeypatch.chdir(folder)
        broken_off(4)
        with pytest.raises(BrokenOffError):
            measured(spelled, kind, tmp_path / "state")
    path.parent.rename(tmp_path / "moved")
    broken_off(None)
    assert measured(f"moved/{path.name}", kind, tmp_path / "state") == whole


def test_what_is_not_the_same_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_off: Callable[[int | None], None]
) -> None:
    path = write_input(tmp_path / "corpus", "model")
    vectors = write_vectors(tmp_path, "npy")
    state = tmp_path / "state"
    broken_off(3)
    with pytest.raises(BrokenOffError):
        measure_vne(load_corpus(path), checkpoint_dir=state)
    before = (state / "a" / "manifest.json").read_bytes()

    def refused(message: str, measure: Callable[[], Any]) -> None:
        with pytest.raises(InputError, match=message) as error:
            measure()
        assert "choose another folder" in str(error.value)
        assert str(state / "a") in str(error.value)
        assert (state / "a" / "manifest.json").read_bytes() == before

    default = "'hashed n-grams of up to 4 tokens in passages of up to 1024, 512 dimensions'"
    for embedder, named in (
        (Letters(), "'letters'"),
        (HashedNgrams(25, 4, passage=1024), "'hashed n-grams of up to 4 tokens in passages of up to 1024, 25 dim"),
    ):
        refused(
            f"vectors with embedding {default}, not {named}",
            lambda e=embedder: measure_vne(load_corpus(path), embedder=e, checkpoint_dir=state),  # type: ignore[misc]
        )
    refused(
        f"vectors with embedding {default}, not 'given vectors'",
        lambda: measure_vne({"a": vectors}, checkpoint_dir=state),
    )
    content = path.read_text()
    path.write_text(content.replace("*.jsonl", "[01].jsonl"))
    refused(r"other input \(2\.jsonl is gone\)", lambda: measure_vne(load_corpus(path), checkpoint_dir=state))
    path.write_text(content.replace("'*.jsonl'", "'*.jsonl', field: body"))
    refused(r"other input \(field: 'text', now 'body'\)", lambda: measure_vne(load_corpus(path), checkpoint_dir=state))
    path.write_text(content)
    os.utime(path.parent / "1.jsonl", (1, 1))
    refused(
        r"other input \(the size or time of 1\.jsonl is another one\)",
        lambda: measure_vne(load_corpus(path), checkpoint_dir=state),
    )


def test_other_vectors_are_refused_by_name(tmp_path: Path, broken_off: Callable[[int | None], None]) -> None:
    path = write_vectors(tmp_path, "parquet")
    broken_off(3)
    with pytest.raises(BrokenOffError):
        measure_vne({"a": path}, checkpoint_dir=tmp_path / "state")
    with pytest.raises(InputError, match=r"other input \(column: 'embedding', now 'v'\): choose another folder"):
        measure_vne({"a": path}, column="v", checkpoint_dir=tmp_path / "state")
    other = path.rename(tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"other input \(b\.parquet stands where a\.parquet did\)"):
        measure_vne({"a": other}, checkpoint_dir=tmp_path / "state")
    write_vectors(tmp_path, "parquet", seed=1)
    with pytest.raises(InputError, match=r"other input \(the size or time of a\.parquet is another one\)"):
        measure_vne({"a": path}, checkpoint_dir=tmp_path / "state")
    path.unlink()
    with pytest.raises(InputError, match=r"domain 'a': .*a\.parquet: cannot be read"):
        measure_vne({"a": path}, checkpoint_dir=tmp_path / "state")


@pytest.mark.filterwarnings("ignore:.*passages have no vector")
def test_a_fingerprint_of_tuples_is_the_same_next_time(
    tmp_path: Path, broken_off: Callable[[int | None], None]
) -> None:
    corpus = load_corpus(write_input(tmp_path / "corpus", "model"))
    model = Letters()
    model.fingerprint = ("letters", {1: (2.5, None)})  # type: ignore[attr-defined]
    whole = measure_vne(corpus, embedder=model).content()
    broken_off(3)
    with pytest.raises(BrokenOffError):
        measure_vne(corpus, embedder=model, checkpoint_dir=tmp_path / "state")
    broken_off(None)
    assert measure_vne(corpus, embedder=model, checkpoint_dir=tmp_path / "state").content() == whole
    model.fingerprint = ("letters", {1: (2.5, 0)})  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"vectors with embedding \['letters', .*choose another folder"):
        measure_vne(corpus, embedder=model, checkpoint_dir=tmp_path / "state")


@pytest.mark.filterwarnings("ignore:.*passages have no vector")
@pytest.mark.parametrize("fingerprint", [Path("model"), {1, 2}, [float("nan")], {(1, 2): 3}, "\udcff"])
def test_a_fingerprint_that_json_cannot_hold_is_refused_before_the_work(tmp_path: Path, fingerprint: Any) -> None:
    corpus = load_corpus(write_input(tmp_path / "corpus", "model"))
    model = Letters()
    model.fingerprint = fingerprint  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"domain 'a': a checkpoint cannot hold the fingerprint of letters, .*: make "):
        measure_vne(corpus, embedder=model, checkpoint_dir=tmp_path / "state")
    assert not (tmp_path / "state").exists()
    assert measure_vne(corpus, embedder=model).vectors[0] > 100


@pytest.mark.filterwarnings("ignore:.*passages have no vector")
def test_files_are_looked_up_for_texts_and_not_for_each_passage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    to_number = Domain.to_number
    monkeypatch.setattr(Domain, "to_number", lambda *words: calls.append(words) or to_number(*words))
    corpus = load_corpus(write_input(tmp_path / "corpus", "model"))
    assert measure_vne(corpus, embedder=Letters()).vectors[0] > 5 * len(calls) > 0


def test_vectors_of_no_file_have_no_checkpoints(tmp_path: Path) -> None:
    state = tmp_path / "state"
    path = write_input(tmp_path / "corpus", "model")
    for domains in (
        {"a": np.eye(3)},
        {"a": iter([np.eye(3)])},
        Corpus({"a": np.arange(9, dtype=np.uint8)}, vocab_size=9),
        sample_corpus(load_corpus(path), 50),
    ):
        with pytest.raises(InputError, match="domain 'a': nothing tells whether its vectors are those of a checkpoint"):
            measure_vne(domains, checkpoint_dir=state)
    assert not state.exists()


def test_a_folder_serves_one_at_a_time_and_counts_or_vectors(tmp_path: Path) -> None:
    path = write_input(tmp_path / "corpus", "tokens")
    corpus = load_corpus(path)
    count_domain(corpus["a"], corpus.vocab_size, checkpoint_dir=tmp_path / "counts")
    with pytest.raises(InputError, match=r"counts/a/manifest\.json: expected a file of schema 'mixlaw\.vector-check"):
        measure_vne(corpus, checkpoint_dir=tmp_path / "counts")
    vectors = write_vectors(tmp_path, "npy")
    busy = VectorCheckpoints(tmp_path / "state" / "a")
    with pytest.raises(InputError, match=r"domain 'a': .*state/a: in use, by this process or another one"):
        measure_vne({"a": vectors}, checkpoint_dir=tmp_path / "state")
    busy.close()
    measure_vne({"a": vectors}, checkpoint_dir=tmp_path / "state")
    with pytest.raises(InputError, match=r"manifest\.json: expected a file of schema 'mixlaw\.checkpoint/1'"):
        count_domain(corpus["a"], corpus.vocab_size, checkpoint_dir=tmp_path / "state")


@pytest.mark.parametrize(
    "change",
    [
        {"moment": "../moment.npz"},
        {"moment": None},
        {"missing": -1},
        {"missing": None},
        {"next": [0, 1, 2]},
        {"next": [0, 1, 2, "3"]},
        {"next": [0, 1, -2, 3]},
        {"next": 7},
        {"vectors": {}},
        {"vectors": None},
    ],
)
def test_a_damaged_manifest_is_named_and_nothing_is_removed(
    tmp_path: Path, broken_off: Callable[[int | None], None], change: dict[str, Any]
) -> None:
    path = write_vectors(tmp_path, "npy")
    broken_off(4)
    with pytest.raises(BrokenOffError):
        measure_vne({"a": path}, checkpoint_dir=tmp_path / "state")
    manifest = tmp_path / "state" / "a" / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | change))
    names = {name.name for name in manifest.parent.iterdir()}
    with pytest.raises(InputError, match=r"domain 'a': .*manifest\.json: not a manifest of vectors"):
        measure_vne({"a": path}, checkpoint_dir=tmp_path / "state")
    assert {name.name for name in manifest.parent.iterdir()} == names


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-100])])
def test_a_moment_that_is_gone_or_damaged_is_named(
    tmp_path: Path, broken_off: Callable[[int | None], None], damage: Callable[[Path], Any]
) -> None:
    path = write_vectors(tmp_path, "npy")
    broken_off(4)
    with pytest.raises(BrokenOffError):
        measure_vne({"a": path}, checkpoint_dir=tmp_path / "state")
    damage(tmp_path / "state" / "a" / "checkpoint-moment-44.npz")
    with pytest.raises(InputError, match=r"domain 'a': .*checkpoint-moment-44\.npz"):
        measure_vne({"a": path}, checkpoint_dir=tmp_path / "state")


def test_files_of_an_interrupted_process_are_removed_and_others_are_not(
    tmp_path: Path, broken_off: Callable[[int | None], None]
) -> None:
    path = write_vectors(tmp_path, "npy")
    folder = tmp_path / "state" / "a"
    folder.mkdir(parents=True)
    gone = (
        "checkpoint-moment-7.npz",
        ".checkpoint-moment-7.npz.0123456789abcdef.part",
        ".manifest.json.0123456789abcdef.part",
    )
    # What a user may call a second moment of their own is among them.
    kept = ("moment-1.npz", "checkpoint-moment.txt", "other.npz", ".other.npz.0123456789abcdef.part")
    for each in (2, None):
        for name in (*gone, *kept):
            (folder / name).write_bytes(b"x")
        broken_off(each)
        try:
            measure_vne({"a": path}, checkpoint_dir=tmp_path / "state")
        except BrokenOffError:
            assert each == 2
        found = {name.name for name in folder.iterdir()}
        assert found == {"lock", "manifest.json", f"checkpoint-moment-{22 if each else 151}.npz", *kept}


def test_a_bad_row_and_a_lost_folder_leave_the_last_checkpoint(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((60, 25))
    np.save(tmp_path / "whole.npy", vectors)
    whole = measure_vne({"a": tmp_path / "whole.npy"}).content()
    bad = vectors.copy()
    bad[47] = 0
    np.save(tmp_path / "a.npy", bad)
    times = os.stat(tmp_path / "a.npy")
    with pytest.raises(InputError, match="domain 'a': vectors from number 44 on: row 3: the vector is all zeros"):
        measure_vne({"a": tmp_path / "a.npy"}, checkpoint_dir=tmp_path / "state")
    # As if it had been whole before: size and time are the same.
    np.save(tmp_path / "a.npy", vectors)
    os.utime(tmp_path / "a.npy", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert measure_vne({"a": tmp_path / "a.npy"}, checkpoint_dir=tmp_path / "state").content() == whole


def test_a_model_is_told_apart_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("model2vec")
    encode = SimpleNamespace(encode=lambda texts, use_multiprocessing: Letters().embed(texts))
    vars(library)["StaticModel"] = SimpleNamespace(from_pretrained=lambda path: encode)
    monkeypatch.setitem(sys.modules, "model2vec", library)
    path = write_input(tmp_path / "corpus", "text tokens")
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "deep" / "weights").write_text("one")
    monkeypatch.chdir(tmp_path)

    def measure(name: str) -> Any:
        return measure_vne(load_corpus(path), embedder=load_model(name), checkpoint_dir=tmp_path / "state")

    for file in path.parent.glob("*.jsonl"):
        file.write_text(file.read_text().replace("zzz", "yyy"))
    whole = measure("model2vec:model")
    (tmp_path / "model").rename(tmp_path / "moved")
    assert measure(f"model2vec:{tmp_path}/moved").vne == whole.vne
    (tmp_path / "moved" / "deep" / "weights").write_text("other")
    with pytest.raises(InputError, match=r"other embedding \(the size or time of deep/weights is another one\)"):
        measure("model2vec:moved")
    with pytest.raises(InputError, match=r"other embedding \(model: None, now 'hub/name'\)"):
        measure("model2vec:hub/name")
