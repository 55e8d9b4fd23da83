"""`mixlaw entropy --proxy vne --resume`, killed at random moments and on a full disk, prints what it would have."""

import contextlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# The command line, with small blocks of the sum, checkpoints behind every few vectors, hashed n-grams of fewer
# dimensions, a model that stands in for a library's, and vectors that take their time.
PROGRAM = """
import sys
import time
from types import ModuleType, SimpleNamespace

import numpy as np

from mixlaw.entropy import second_moment, vector_files, von_neumann
from mixlaw.entropy.hashed_ngrams import HashedNgrams

von_neumann.CHECKPOINT_SECONDS = float(sys.argv.pop(1))
von_neumann.BATCH, von_neumann.TEXT_BATCH, vector_files.ROWS = 10, 10, 100
HashedNgrams.suited = classmethod(lambda cls, vocab_size: cls(64, 4, passage=1024))
second_moment._BLOCK, second_moment._ROWS = 64_000, 8
update = second_moment.SecondMoment.update
second_moment.SecondMoment.update = lambda *words: (time.sleep(0.015), update(*words))


def encode(texts, use_multiprocessing):
    vectors = np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)
    return vectors + vectors.any(axis=1)[:, None] * vectors.mean()


sys.modules["model2vec"] = ModuleType("model2vec")
sys.modules["model2vec"].StaticModel = SimpleNamespace(from_pretrained=lambda path: SimpleNamespace(encode=encode))

from mixlaw.cli.main import main

main(sys.argv[1:])
"""


class Done(NamedTuple):
    """What a process left behind that came to its end."""

    code: int
    stdout: str
    stderr: str


class Command:
    """The command on some input, as a process of its own; `folder` is where it runs."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self._words = ["entropy", "--proxy", "vne", "--json"]
        rng = np.random.default_rng(0)
        if kind == "vectors":
            write_vectors(folder)
            for name in ("a.npy", "b.parquet", "c.arrow"):
                self._words += ["--embeddings", f"{name[0]}={name}"]
        else:
            for name in ("a", "b"):
                texts = ["".join(map(chr, rng.integers(97, 123, size))) for size in rng.integers(0, 3000, 200)]
                lines = [json.dumps({"text": text}) for text in [*texts, "123"]]
                (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
            np.save(folder / "c.npy", rng.integers(0, 256, 300_000).astype(np.uint8))
            tokens = "" if kind == "model" else "  c: {paths: c.npy, eod: 0}\n"
            (folder / "corpus.yaml").write_text(
                f"tokenizer: bytes\ndomains:\n  a: {{paths: a.jsonl}}\n  b: {{paths: b.jsonl}}\n{tokens}"
            )
            self._words += ["corpus.yaml"]
            self._words += ["--embed-with", "model2vec:some/model"] if kind == "model" else []

    def start(
        self, *words: str, seconds: float = 0.03, preexec: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(seconds), *self._words, *words],
            cwd=self.folder,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=preexec,  # noqa: PLW1509 - it sets a limit, in a process without threads
        )

    def finish(self, process: subprocess.Popen[str]) -> Done:
        stdout, stderr = process.communicate()
        return Done(process.returncode, stdout, stderr)

    def run(self, kills: int, seed: int) -> int:
        """Kill it so often, begin anew whenever it is done; give how often it was killed behind a checkpoint.

        Where no other was, the last kill comes behind a checkpoint: it is waited for, and tried again if it was missed.
        """
        whole = self.finish(self.start())
        assert whole.code == 0, whole.stderr
        rng = random.Random(seed)
        begun = time.monotonic()
        assert self.finish(self.start("--resume", "state")) == whole
        duration = time.monotonic() - begun
        shutil.rmtree(self.folder / "state")
        midway = done = 0
        deadline = time.monotonic() + 120
        while done < kills or not midway:
            process = self.start("--resume", "state")
            if done < kills - 1 or midway:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=rng.uniform(0.3, 1.0) * duration)
            else:
                assert time.monotonic() < deadline, "no process was killed behind a checkpoint"
                while process.poll() is None and not self._is_midway():
                    time.sleep(0.005)
            if process.poll() is None:
                process.kill()
                process.communicate()
                done += 1
                midway += self._is_midway()
            else:
                assert self.finish(process) == whole
                shutil.rmtree(self.folder / "state")
        assert self.finish(self.start("--resume", "state")) == whole
        for folder in (self.folder / "state").iterdir():
            manifest = json.loads((folder / "manifest.json").read_text())
            assert {path.name for path in folder.iterdir()} == {"lock", "manifest.json", manifest["moment"]}
        return midway

    def _is_midway(self) -> bool:
        manifests = list((self.folder / "state").glob("*/manifest.json"))
        return any(json.loads(path.read_text())["next"] is not None for path in manifests)


def write_vectors(folder: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((4_000, 64)).astype(np.float32)
    table = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 64)})
    np.save(folder / "a.npy", vectors)
    pq.write_table(table, folder / "b.parquet", row_group_size=1_300)
    with pa.OSFile(str(folder / "c.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1_300)


@pytest.mark.parametrize("kind", ["vectors", "tokens"])
def test_kills_at_random_moments_change_nothing(tmp_path: Path, kind: str) -> None:
    Command(tmp_path, kind).run(3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vectors", "tokens", "model"])
def test_forty_kills_change_nothing(tmp_path: Path, kind: str) -> None:
    assert Command(tmp_path, kind).run(40, seed=2) > 20


def test_a_full_disk_is_an_error_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    command = Command(tmp_path, "vectors")
    whole = command.finish(command.start())
    reached = []
    # A limit on the size of files stands for the disk: vectors that fill a block make the file of a checkpoint grow.
    for size in (100_000, 700_000, 900_000):
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
        done = command.finish(command.start("--resume", "state", seconds=-1.0, preexec=limit))
        assert (done.code, done.stdout) == (1, "")
        assert "File too large" in done.stderr
        assert "Traceback" not in done.stderr
        manifest = tmp_path / "state" / "a" / "manifest.json"
        reached.append(json.loads(manifest.read_text())["next"][1] if manifest.exists() else 0)
    assert reached[0] == 0 < reached[1] < reached[2]
    assert command.finish(command.start("--resume", "state")) == whole


def test_a_vanished_file_is_an_error_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    command = Command(tmp_path, "vectors")
    whole = command.finish(command.start())
    (tmp_path / "b.parquet").rename(tmp_path / "away")
    done = command.finish(command.start("--resume", "state"))
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "mixlaw: domain 'b': b.parquet: cannot be read (No such file or directory)\n"
    assert json.loads((tmp_path / "state" / "a" / "manifest.json").read_text())["next"] is None
    (tmp_path / "away").rename(tmp_path / "b.parquet")
    assert command.finish(command.start("--resume", "state")) == whole
