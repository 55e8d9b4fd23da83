import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixlaw import NgramCounter, load_corpus
from mixlaw.entropy.measure import measure_entropies


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, files in (("web", 5), ("code", 3)):
        for i in range(files):
            np.save(tmp_path / f"{name}{i}.npy", (rng.random(1271) ** 2 * 100).astype(np.uint16))
            np.save(tmp_path / f"{name}{i}.offsets.npy", np.array([0, 255, 255, 700, 1271]))
    path = tmp_path / "corpus.yaml"
    path.write_text("vocab_size: 100\ndomains:\n  web: {paths: web*.npy}\n  code: {paths: code*.npy}\n")
    return path


def test_count_files_hold_the_domains(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    outcome = mixlaw("count", corpus, "--out", tmp_path / "out", "--order", "3", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    content = json.loads(outcome.stdout)
    assert content["schema"] == "mixlaw.count/1"
    for name, tokens in (("web", 5 * 1271), ("code", 3 * 1271)):
        counter = NgramCounter.read(tmp_path / "out" / f"{name}.mlc")
        row = content["domains"][name]
        assert (counter.domain, counter.order, counter.total(1)) == (name, 3, tokens)
        assert row["counted"] == [counter.total(n) for n in (1, 2, 3)]
        assert row["distinct"] == [counter.distinct(n) for n in (1, 2, 3)]
        assert row["bytes"] == (tmp_path / "out" / f"{name}.mlc").stat().st_size
        assert [item.source for item in counter.inputs] == [f"{name}{i}.npy" for i in range(tokens // 1271)]


def test_merged_shards_are_the_bytes_of_the_whole(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    assert mixlaw("count", corpus, "--out", tmp_path / "whole").code == 0
    for number in (3, 1, 4, 2):
        options = ("--shard", f"{number}/4", "--threads", str(number), "--resume", tmp_path / "state")
        outcome = mixlaw("count", corpus, "--out", tmp_path / "shards", *options)
        assert outcome.code == 0, outcome.stderr
    shards = sorted((tmp_path / "shards").iterdir())
    assert len(shards) == 4 + 3
    merged = mixlaw("merge", *reversed(shards), "--out", tmp_path / "merged")
    assert merged.code == 0, merged.stderr
    for name in ("web.mlc", "code.mlc"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_entropies_of_count_files_are_those_of_the_corpus(
    mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path
) -> None:
    mixlaw("count", corpus, "--out", tmp_path)
    outcome = mixlaw("entropy", tmp_path / "web.mlc", tmp_path / "code.mlc", "--json")
    table = measure_entropies(load_corpus(corpus))
    assert json.loads(outcome.stdout)["table"] == table.content()


def test_an_empty_shard_is_no_error(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    outcome = mixlaw("count", corpus, "--out", tmp_path / "out", "--shard", "6/6")
    assert (outcome.code, outcome.stderr) == (0, "mixlaw: no domain has a file in this shard\n")


def test_one_domain_is_counted_alone(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    assert mixlaw("count", corpus, "--out", tmp_path / "out", "--domain", "code").code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["code.mlc"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--domain", "cod"), "no domain 'cod'; did you mean 'code'?"),
        (("--shard", "0/3"), "'0/3' is no shard"),
        (("--shard", "3"), "'3' is no shard"),
        (("--groups", "5"), "error bars and curve need 8 groups or more"),
        (("--memory", "1XB"), "'1XB' is no size"),
        (("--memory", "1MB"), "memory_limit is 1000000 bytes, but"),
    ],
)
def test_bad_options_of_count_are_named(
    mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    outcome = mixlaw("count", corpus, "--out", tmp_path / "out", *words)
    assert outcome.code == 2
    assert message in outcome.stderr


def test_what_does_not_belong_together_is_not_merged(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    for folder, options in (("a", ()), ("b", ("--order", "3")), ("c", ("--groups", "1"))):
        options = (*options, "--shard", f"{1 + (folder != 'a')}/2")
        mixlaw("count", corpus, "--out", tmp_path / folder, *options)
    web, other, third = (tmp_path / name for name in ("a/web.1-of-2.mlc", "b/web.2-of-2.mlc", "c/web.2-of-2.mlc"))
    (tmp_path / "cut.mlc").write_bytes(web.read_bytes()[:-1])
    nameless = NgramCounter(100)
    nameless.write(tmp_path / "nameless.mlc")
    for files, message in (
        ((web, web), "web0.npy: [0, 2670) would be counted twice"),
        ((web, other), "b/web.2-of-2.mlc: cannot merge counts of order 3, vocab_size 100 and 32 groups"),
        ((web, third), "1 group into counts of order 2"),
        ((web, tmp_path / "cut.mlc"), "cut.mlc, byte "),
        ((tmp_path / "nameless.mlc",), "nameless.mlc: does not say which domain it counts"),
    ):
        outcome = mixlaw("merge", *files, "--out", tmp_path / "merged")
        assert outcome.code == 2
        assert message in outcome.stderr
        assert not (tmp_path / "merged").exists()
    for words, text in (((web, "--resume", tmp_path), "--resume is for"), ((tmp_path / "no.mlc",), "no such file")):
        outcome = mixlaw("entropy", *words)
        assert (outcome.code, text in outcome.stderr) == (2, True)
    outcome = mixlaw("entropy", web, third)
    assert (outcome.code, "another file counts domain 'web'" in outcome.stderr) == (2, True)
