"""`count_domain`, interrupted anywhere, killed, and taken up again."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixlaw import Corpus, InputError, NgramCounter, load_corpus
from mixlaw.corpus import ArraySource, Position, TokenChunk, cut
from mixlaw.entropy import count
from mixlaw.entropy.count import count_domain
from mixlaw.entropy.tabulate import tabulate
from mixlaw.reading import text

VOCAB_SIZE = 300


class BrokenOffError(Exception):
    pass


class Chunks:
    """Tokens in small chunks, that breaks off before one of them."""

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray, breaks_before: int | None) -> None:
        self._source = ArraySource([tokens[a:b] for a, b in pairwise(offsets)])
        self._breaks_before = breaks_before

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        pieces = cut(self._source.shards()[0], start.offset if start else 0, context, 271)
        for number, chunk in enumerate(pieces):
            if number == self._breaks_before:
                raise BrokenOffError
            yield chunk

    def shards(self) -> list[object]:
        return []


def corpus(breaks_before: int | None = None, fingerprint: object = "same") -> Corpus:
    rng = np.random.default_rng(0)
    tokens = (rng.random(5000) ** 3 * VOCAB_SIZE).astype(np.uint16)
    offsets = np.unique(np.r_[0, rng.integers(0, 5000, 30), 5000])
    return Corpus(
        {"a": Chunks(tokens, offsets, breaks_before)},
        vocab_size=VOCAB_SIZE,
        fingerprints={"a": fingerprint},
        files={"a": ["array"]},
    )


@pytest.fixture(autouse=True)
def checkpoints_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count, "CHECKPOINT_SECONDS", -1.0)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_counting_goes_on_where_it_was_interrupted(tmp_path: Path, order: int) -> None:
    whole = count_domain(corpus()["a"], VOCAB_SIZE, order=order, groups=4)
    for breaks_before in (1, 5, 2, 7, 1, 4):
        with pytest.raises(BrokenOffError):
            count_domain(
                corpus(breaks_before)["a"], VOCAB_SIZE, order=order, groups=4, checkpoint_dir=tmp_path / "state"
            )
    counter = count_domain(corpus()["a"], VOCAB_SIZE, order=order, groups=4, checkpoint_dir=tmp_path / "state")
    whole.write(tmp_path / "whole.mlc")
    counter.write(tmp_path / "resumed.mlc")
    assert (tmp_path / "resumed.mlc").read_bytes() == (tmp_path / "whole.mlc").read_bytes()


def test_what_is_finished_is_not_read_again(tmp_path: Path) -> None:
    total = count_domain(corpus()["a"], VOCAB_SIZE, checkpoint_dir=tmp_path).total(2)
    assert count_domain(corpus(0)["a"], VOCAB_SIZE, checkpoint_dir=tmp_path).total(2) == total


def test_a_checkpoint_of_other_files_is_refused(tmp_path: Path) -> None:
    count_domain(corpus()["a"], VOCAB_SIZE, checkpoint_dir=tmp_path)
    with pytest.raises(InputError, match="before its files, or how they are read, changed"):
        count_domain(corpus(fingerprint="other")["a"], VOCAB_SIZE, checkpoint_dir=tmp_path)
    with pytest.raises(InputError, match="with order 2, not 1"):
        count_domain(corpus()["a"], VOCAB_SIZE, order=1, checkpoint_dir=tmp_path)


def test_tokens_of_no_file_have_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="domain 'a': nothing tells whether its tokens are those of a checkpoint"):
        count_domain(corpus(fingerprint=None)["a"], VOCAB_SIZE, checkpoint_dir=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    counter = NgramCounter(VOCAB_SIZE, checkpoint_dir=tmp_path / "a")
    counter.checkpoint(5)
    del counter
    with pytest.raises(InputError, match="not one of a domain"):
        count_domain(corpus()["a"], VOCAB_SIZE, checkpoint_dir=tmp_path)


def test_a_domain_of_dots_stays_in_the_folder(tmp_path: Path) -> None:
    domain = corpus()["a"]
    domain.name = ".."
    count_domain(domain, VOCAB_SIZE, checkpoint_dir=tmp_path / "state")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["%2E%2E"]


def test_tables_of_many_domains_leave_their_memory() -> None:
    counters = {name: count_domain(corpus()["a"], VOCAB_SIZE, groups=8, memory_limit=100 << 20) for name in ("a", "b")}
    tabulate(counters)
    for counter in counters.values():
        assert counter.disk_use()[1] >= counter.run_bytes() > 0


def test_too_small_a_memory_limit_is_bad_input() -> None:
    with pytest.raises(InputError, match=r"memory_limit is 1000 bytes, but .* need at least"):
        count_domain(corpus()["a"], VOCAB_SIZE, memory_limit=1000)


def test_a_counted_domain_leaves_the_memory_to_the_next(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        counter = count_domain(corpus()["a"], VOCAB_SIZE, memory_limit=100 << 20, checkpoint_dir=folder)
        assert counter.disk_use()[1] > counter.run_bytes() > 0


def write_files(folder: Path, kind: str) -> list[str]:
    """Four files of 60 tokens each in eight documents, and how a corpus.yaml describes them."""
    rng = np.random.default_rng(8)
    for number in range(4):
        tokens = rng.integers(97, 123, 60).astype(np.uint16)
        documents = [part.tolist() for part in np.array_split(tokens, 8)]
        texts = ["".join(map(chr, document)) for document in documents]
        match kind:
            case "text":
                (folder / f"{number}.txt").write_text("\n".join(texts))
            case "jsonl":
                (folder / f"{number}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
            case "parquet":
                pq.write_table(pa.table({"text": texts}), folder / f"{number}.parquet")
            case "arrow":
                with pa.OSFile(str(folder / f"{number}.arrow"), "wb") as sink:
                    table = pa.table({"ids": pa.array(documents, pa.list_(pa.uint16()))})
                    with pa.ipc.new_file(sink, table.schema) as writer:
                        writer.write_table(table)
            case "npy":
                np.save(folder / f"{number}.npy", tokens)
            case "raw":
                tokens.tofile(folder / f"{number}.bin")
    return {
        "text": ["paths: '*.txt'"],
        "jsonl": ["paths: '*.jsonl'"],
        "parquet": ["paths: '*.parquet'"],
        "arrow": ["paths: '*.arrow'", "ids: ids"],
        "npy": ["paths: '*.npy'"],
        "raw": ["paths: '*.bin'", "format: raw", "dtype: uint16", "eod: 100"],
    }[kind]


class Interruption:
    """Breaks off counting before one of the updates to come."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before: int | None = None
        update = NgramCounter.update

        def broken(counter: NgramCounter, *words: Any, **named: Any) -> None:
            if self.before is not None:
                if self.before == 0:
                    raise BrokenOffError
                self.before -= 1
            update(counter, *words, **named)

        monkeypatch.setattr(NgramCounter, "update", broken)


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet", "arrow", "npy", "raw"])
def test_counting_goes_on_however_the_corpus_is_spelled_and_where_it_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(text, "BATCH_BYTES", 1)
    folder = tmp_path / "corpus"
    folder.mkdir()
    keys = ", ".join(write_files(folder, kind))
    (folder / "corpus.yaml").write_text(f"tokenizer: bytes\ndomains:\n  a: {{{keys}}}\n")
    monkeypatch.chdir(tmp_path)
    interruption = Interruption(monkeypatch)

    def count_as(spelled: str | Path, before: int | None, state: str) -> NgramCounter:
        interruption.before = before
        corpus = load_corpus(spelled)
        return count_domain(corpus["a"], corpus.vocab_size, checkpoint_dir=tmp_path / state, tokenizer="bytes")

    count_as(folder / "corpus.yaml", None, "whole").write(tmp_path / "whole.mlc")
    for spelled, place in (("corpus/corpus.yaml", "."), ("./corpus.yaml", "corpus"), (folder / "corpus.yaml", ".")):
        monkeypatch.chdir(tmp_path / place)
        with pytest.raises(BrokenOffError):
            count_as(spelled, 1, "state")
    monkeypatch.chdir(tmp_path)
    folder.rename("moved")
    counter = count_as("moved/../moved/corpus.yaml", None, "state")
    counter.write(tmp_path / "resumed.mlc")
    assert (tmp_path / "resumed.mlc").read_bytes() == (tmp_path / "whole.mlc").read_bytes()


def test_other_files_or_another_order_of_them_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, "npy")
    path = tmp_path / "corpus.yaml"
    path.write_text("vocab_size: 300\ndomains:\n  a: {paths: ['0.npy', '1.npy', '2.npy']}\n")
    interruption = Interruption(monkeypatch)
    interruption.before = 2
    with pytest.raises(BrokenOffError):
        count_domain(load_corpus(path)["a"], 300, checkpoint_dir=tmp_path / "state")

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=rf"or how they are read, changed \({message}\)"):
            count_domain(load_corpus(path)["a"], 300, checkpoint_dir=tmp_path / "state")

    path.write_text("vocab_size: 300\ndomains:\n  a: {paths: ['0.npy', '1.npy', '3.npy']}\n")
    refused(r"3\.npy stands where 2\.npy did")
    path.write_text("vocab_size: 300\ndomains:\n  a: {paths: '*.npy'}\n")
    refused(r"3\.npy is new")
    path.write_text("vocab_size: 300\ndomains:\n  a: {paths: ['0.npy', '1.npy']}\n")
    refused(r"2\.npy is gone")
    path.write_text("vocab_size: 300\ndomains:\n  a: {paths: ['0.npy', '1.npy', '2.npy'], eod: 5}\n")
    refused("eod: None, now 5")
    path.write_text("vocab_size: 300\ndomains:\n  a: {paths: ['0.npy', '1.npy', '2.npy']}\n")
    (tmp_path / "1.npy").rename(tmp_path / "kept")
    (tmp_path / "0.npy").rename(tmp_path / "1.npy")
    (tmp_path / "kept").rename(tmp_path / "0.npy")
    refused(r"the size or time of 0\.npy is another one")


@pytest.mark.parametrize("place", [[4, 0], [-1, 0], [0, -1], ["a.npy", 0], [0], 7, [None, None]])
def test_a_checkpoint_of_no_place_is_refused(tmp_path: Path, place: Any) -> None:
    domain = corpus()["a"]
    counter = NgramCounter(VOCAB_SIZE, checkpoint_dir=tmp_path / "a", domain="a")
    counter.checkpoint({"input": domain.fingerprint, "next": place})
    del counter
    with pytest.raises(InputError, match="holds a checkpoint of no place"):
        count_domain(domain, VOCAB_SIZE, checkpoint_dir=tmp_path)


def test_the_order_of_files_does_not_depend_on_the_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "m"
    for name in ("m", "a", "z"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "t.npy", np.arange(3, dtype=np.uint8))
    paths = f"[t.npy, {tmp_path}/a/t.npy, {tmp_path}/z/t.npy]"
    (folder / "corpus.yaml").write_text(f"vocab_size: 300\ndomains:\n  a: {{paths: {paths}}}\n")
    monkeypatch.chdir(folder)
    fingerprints = [load_corpus(path)["a"].fingerprint for path in ("corpus.yaml", folder / "corpus.yaml")]
    assert fingerprints[0] == fingerprints[1]


PROGRAM = """
import sys
from mixlaw import load_corpus
from mixlaw.entropy import count
from mixlaw.corpus import cut
import mixlaw.reading.tokenfiles as tokenfiles
count.CHECKPOINT_SECONDS = 0.02
tokenfiles.cut = lambda shard, start, context, size: cut(shard, start, context, 200_000)
corpus = load_corpus(sys.argv[1])
for domain in corpus.values():
    count.count_domain(domain, corpus.vocab_size, memory_limit=70 << 20, threads=2, checkpoint_dir=sys.argv[2])
"""


def killed_again_and_again(tmp_path: Path, size: int, kills: int) -> None:
    rng = np.random.default_rng(3)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", (rng.random(size) ** 4 * 60000).astype(np.uint16))
        offsets = np.unique(np.r_[0, rng.integers(0, size, size // 500), size]).astype(np.int64)
        np.save(tmp_path / f"{name}.offsets.npy", offsets)
    (tmp_path / "corpus.yaml").write_text("vocab_size: 60000\ndomains:\n  a: {paths: a.npy}\n  b: {paths: b.npy}\n")
    corpus = load_corpus(tmp_path / "corpus.yaml")

    def start(folder: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", PROGRAM, str(tmp_path / "corpus.yaml"), str(tmp_path / folder)]
        return subprocess.Popen(words, stderr=subprocess.DEVNULL)

    begun = time.monotonic()
    assert start("once").wait() == 0
    duration = time.monotonic() - begun
    random_moment = random.Random(5)

    def check() -> None:
        for domain in corpus.values():
            for folder in ("once", "killed"):
                state = tmp_path / folder
                counter = count_domain(domain, 60000, memory_limit=70 << 20, threads=2, checkpoint_dir=state)
                counter.write(tmp_path / f"{folder}.mlc")
            assert (tmp_path / "once.mlc").read_bytes() == (tmp_path / "killed.mlc").read_bytes()
            assert counter.total(1) == size

    done = 0
    while done < kills:
        process = start("killed")
        try:
            assert process.wait(timeout=random_moment.uniform(0.3, 1.0) * duration) == 0
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
        else:
            check()
            shutil.rmtree(tmp_path / "killed")
    assert start("killed").wait() == 0
    check()


def test_a_killed_process_is_taken_up_again(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, 2_000_000, 10)


@pytest.mark.slow
def test_a_process_that_is_killed_a_hundred_times_is_taken_up_again(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, 3_000_000, 100)
