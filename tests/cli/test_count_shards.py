"""`mixlaw count` and `mixlaw merge` in one process; tests/engine has the cluster."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixlaw.entropy.counter import NgramCounter


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for number, text in enumerate(["the cat", "sat on", "the mat"]):
        (tmp_path / f"{number}.txt").write_text(text)
    path = tmp_path / "corpus.yaml"
    path.write_text("tokenizer: bytes\ndomains:\n  a/b: {paths: '*.txt'}\n  c: {paths: 0.txt}\n")
    return path


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
@pytest.mark.parametrize("order", [1, 3])
def test_shards_merge_into_the_bytes_of_the_whole(
    mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path, shards: int, order: int
) -> None:
    assert mixlaw("count", corpus, "--out", tmp_path / "whole", "--order", order).code == 0
    for number in range(shards, 0, -1):
        out = tmp_path / "shards"
        assert mixlaw("count", corpus, "--out", out, "--order", order, "--shard", f"{number}/{shards}").code == 0
    files = sorted((tmp_path / "shards").iterdir())
    assert len(files) == min(shards, 3) + 1
    assert mixlaw("merge", *files, "--out", tmp_path / "merged").code == 0
    for name in ("a%2Fb.mlc", "c.mlc"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_json_says_what_was_written(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    done = mixlaw("count", corpus, "--out", tmp_path / "out", "--domain", "c", "--json")
    content = json.loads(done.stdout)
    assert content["schema"] == "mixlaw.count/1"
    file = tmp_path / "out" / "c.mlc"
    counter = NgramCounter.read(file)
    row = {"file": str(file), "counted": [7, 6], "distinct": [6, 6], "bytes": file.stat().st_size}
    assert content["domains"] == {"c": row}
    assert (counter.domain, counter.tokenizer, counter.inputs) == ("c", "bytes", (("0.txt", 0, 7),))


def test_shard_without_files_writes_nothing(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    done = mixlaw("count", corpus, "--out", tmp_path / "out", "--shard", "4/4")
    assert (done.code, done.stderr) == (0, "mixlaw: no domain has a file in this shard\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shard", "0/2"], "'0/2' is no shard"),
        (["--shard", "3/2"], "'3/2' is no shard"),
        (["--shard", "2"], "'2' is no shard"),
        (["--domain", "d"], "no domain 'd'"),
        (["--memory", "2 parsecs"], "'2 parsecs' is no size"),
        (["--order", "6"], "6 is not in the range"),
    ],
)
def test_wrong_words_exit_with_2(
    mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    done = mixlaw("count", corpus, "--out", tmp_path / "out", *words)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
