import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mixlaw import EntropyTable, Mixture, VneTable, load_corpus, measure_vne
from mixlaw.entropy.measure import measure_entropies


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text('{"text": "the cat sat"}\n{"text": "on the mat"}\n')
    (tmp_path / "b.txt").write_text("aaaabaaab")
    path = tmp_path / "corpus.yaml"
    path.write_text("tokenizer: bytes\ndomains:\n  web: {paths: a.jsonl}\n  code: {paths: b.txt}\n")
    return path


def test_table_and_mixtures_are_printed(mixlaw: Callable[..., Any], corpus: Path) -> None:
    outcome = mixlaw("entropy", corpus, "--threads", "1")
    assert (outcome.code, outcome.stderr) == (0, "")
    table = measure_entropies(load_corpus(corpus))
    assert outcome.stdout.startswith(table.to_text() + "\n\nmixture      SE      CE      JE\n")
    for domain in ("web", "code"):
        printed = re.findall(rf"^{domain} +(0\.\d+) +(0\.\d+) +(0\.\d+)$", outcome.stdout, re.M)
        assert printed == [tuple(f"{table.mixture(proxy)[domain]:.4f}" for proxy in ("se", "ce", "je"))]


def test_table_and_mixtures_are_saved(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "some" / "out"
    outcome = mixlaw("entropy", corpus, "--out", out)
    assert outcome.code == 0
    assert outcome.stderr == f"wrote {out}/entropy.json, {out}/se.json, {out}/ce.json, {out}/je.json\n"
    table = EntropyTable.read(out / "entropy.json")
    assert table.se.tolist() == measure_entropies(load_corpus(corpus)).se.tolist()
    for proxy in ("se", "ce", "je"):
        assert dict(Mixture.read(out / f"{proxy}.json")) == dict(table.mixture(proxy))


def test_json_stands_alone_on_stdout(mixlaw: Callable[..., Any], corpus: Path) -> None:
    outcome = mixlaw("entropy", corpus, "--json")
    content = json.loads(outcome.stdout)
    table = measure_entropies(load_corpus(corpus))
    assert (outcome.code, outcome.stderr, content["schema"]) == (0, "", "mixlaw.entropy/1")
    assert content["table"] == table.content()
    assert content["mixtures"] == {proxy: dict(table.mixture(proxy)) for proxy in ("se", "ce", "je")}


def test_file_of_one_token_has_a_shannon_mixture_alone(
    mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "b.txt").write_text("a")
    outcome = mixlaw("entropy", corpus, "--out", tmp_path / "out", "--json")
    assert outcome.code == 0
    assert outcome.stderr.splitlines() == [
        "mixlaw: domain 'code' has no pairs, for no document of it has two tokens: no CE and JE mixtures",
        f"wrote {tmp_path}/out/entropy.json, {tmp_path}/out/se.json",
    ]
    content = json.loads(outcome.stdout)
    assert content["mixtures"]["se"].keys() == {"web", "code"}
    assert (content["mixtures"]["ce"], content["mixtures"]["je"]) == (None, None)
    assert content["table"]["domains"]["code"]["pairs"] == 0


def _npy(path: Path, tokens: list[int], offsets: list[int] | None = None) -> None:
    np.save(path / "c.npy", np.array(tokens, np.uint16))
    if offsets is not None:
        np.save(path / "c.offsets.npy", np.array(offsets))


@pytest.mark.parametrize(
    ("prepare", "config", "message"),
    [
        (
            lambda path: (path / "c.txt").touch(),
            "{paths: c.txt}",
            "{path}/corpus.yaml, domain 'bad': no tokens: {path}/c.txt is empty",
        ),
        (
            lambda path: (path / "c.jsonl").write_text('{"text": ""}\n'),
            "{paths: c.jsonl}",
            "domain 'bad' holds no tokens",
        ),
        (
            lambda path: (path / "c.jsonl").write_bytes(b'{"text": "a"}\n{"text": "\xff"}\n'),
            "{paths: c.jsonl}",
            "domain 'bad': {path}/c.jsonl, line 2: not UTF-8 text (invalid start byte)",
        ),
        (
            lambda path: _npy(path, [1, 2, 256]),
            "{paths: c.npy}",
            "domain 'bad': {path}/c.npy: token 2 is 256, which is no id of a vocabulary of 256",
        ),
        (
            lambda path: _npy(path, [1, 2, 3], [0, 2]),
            "{paths: c.npy}",
            "{path}/corpus.yaml, domain 'bad': {path}/c.offsets.npy: the borders end at 2 but the file holds 3 tokens",
        ),
        (
            lambda path: (_npy(path, [1, 2]), (path / "c.npy").write_bytes((path / "c.npy").read_bytes()[:-1])),
            "{paths: c.npy}",
            "{path}/corpus.yaml, domain 'bad': {path}/c.npy: not a whole .npy file "
            "(mmap length is greater than file size)",
        ),
        (
            lambda path: (path / "c.bin").write_bytes(b"abc"),
            "{paths: c.bin, format: raw, dtype: uint16}",
            "{path}/corpus.yaml, domain 'bad': {path}/c.bin: its 3 bytes are no multiple of the 2 of dtype uint16: "
            "it is truncated, or of another dtype",
        ),
        (
            lambda path: (path / "c.jsonl").write_text('{"txt": "a"}\n'),
            "{paths: c.jsonl}",
            "domain 'bad': {path}/c.jsonl, line 1: no field 'text'; there are 'txt'",
        ),
        (
            lambda path: (path / "c.txt").write_text("a"),
            "{path: c.txt}",
            "{path}/corpus.yaml, domain 'bad': unknown key 'path'; did you mean 'paths'?",
        ),
        (
            lambda path: None,
            "{paths: 'none/*.txt'}",
            "{path}/corpus.yaml, domain 'bad': 'none/*.txt' matches no file in {path}",
        ),
        (
            lambda path: None,
            "{paths: b.txt",
            "{path}/corpus.yaml, line 6: not valid YAML (expected ',' or '}', but got '<stream end>')",
        ),
    ],
)
def test_bad_input_exits_with_2_and_says_where(
    mixlaw: Callable[..., Any], corpus: Path, prepare: Callable[[Path], object], config: str, message: str
) -> None:
    path = corpus.parent
    prepare(path)
    with corpus.open("a") as file:
        file.write(f"  bad: {config}\n")
    outcome = mixlaw("entropy", corpus, "--out", path / "out")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr == "mixlaw: " + message.replace("{path}", str(path)) + "\n"
    assert not (path / "out").exists()


def test_absent_corpus_exits_with_2(mixlaw: Callable[..., Any], tmp_path: Path) -> None:
    outcome = mixlaw("entropy", tmp_path / "corpus.yaml")
    assert outcome.code == 2
    assert outcome.stderr.startswith(f"mixlaw: {tmp_path}/corpus.yaml: cannot be read (No such file")


def test_thread_count_below_1_exits_with_2(mixlaw: Callable[..., Any], corpus: Path) -> None:
    assert mixlaw("entropy", corpus, "--threads", "0").code == 2


def test_von_neumann_entropies_of_a_corpus_are_printed_and_saved(
    mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = mixlaw("entropy", corpus, "--proxy", "vne", "--out", out)
    table = measure_vne(load_corpus(corpus))
    assert (outcome.code, outcome.stderr) == (0, f"wrote {out}/vne-table.json, {out}/vne.json\n")
    assert outcome.stdout.startswith(table.to_text() + "\n")
    assert VneTable.read(out / "vne-table.json").content() == table.content()
    assert dict(Mixture.read(out / "vne.json")) == dict(table.mixture())


def test_von_neumann_entropies_of_embeddings_stand_alone_on_stdout(mixlaw: Callable[..., Any], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = {"a": np.eye(4), "c": np.ones((9, 4), np.float32)}
    np.save(tmp_path / "one.npy", vectors["a"])
    pq.write_table(pa.table({"v": vectors["c"].tolist()}), tmp_path / "two.parquet")
    words = ["--embeddings", f"a={tmp_path}/one.npy", "--embeddings", f"c={tmp_path}/two.parquet"]
    outcome = mixlaw("entropy", "--proxy", "vne", *words, "--embedding-column", "v", "--json")
    content = json.loads(outcome.stdout)
    table = measure_vne({"a": vectors["a"], "c": vectors["c"]})
    assert (outcome.code, outcome.stderr, content["schema"]) == (0, "", "mixlaw.vne/1")
    assert content["table"] == table.content()
    assert content["mixtures"] == {"vne": dict(table.mixture())}
    assert content["mixtures"]["vne"]["a"] == pytest.approx(0.8)


def test_a_model_embeds_the_corpus(mixlaw: Callable[..., Any], corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lengths:
        @classmethod
        def from_pretrained(cls, path: str) -> "Lengths":
            assert path == "some/model"
            return cls()

        def encode(self, texts: list[str], use_multiprocessing: bool) -> np.ndarray:
            return np.array([[len(text), text.count("a"), 1.0] for text in texts])

    library = ModuleType("model2vec")
    vars(library)["StaticModel"] = Lengths
    monkeypatch.setitem(sys.modules, "model2vec", library)
    outcome = mixlaw("entropy", corpus, "--proxy", "vne", "--embed-with", "model2vec:some/model", "--json")
    table = json.loads(outcome.stdout)["table"]
    assert (table["embedding"], table["dimension"]) == ("model2vec:some/model", 3)
    assert {domain: row["vectors"] for domain, row in table["domains"].items()} == {"web": 2, "code": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing argument 'CORPUS'"),
        (["--proxy", "vne"], "either a CORPUS or --embeddings for every domain"),
        (["corpus.yaml", "--proxy", "vne", "--embeddings", "a=a.npy"], "either a CORPUS or --embeddings"),
        (["corpus.yaml", "--embeddings", "a=a.npy"], "--embeddings and --embed-with go with --proxy vne"),
        (["corpus.yaml", "--embed-with", "model2vec:a"], "--embeddings and --embed-with go with --proxy vne"),
        (["--proxy", "vne", "--embeddings", "a=a.npy", "--embed-with", "model2vec:a"], "--embed-with is for a CORPUS"),
        (["--proxy", "vne", "--embeddings", "a.npy"], "'a.npy' is not DOMAIN=PATH"),
        (["--proxy", "vne", "--embeddings", "a=a.npy", "--embeddings", "a=b.npy"], "'a' is given twice"),
        (["--proxy", "vne", "--embeddings", "a=no.npy"], "mixlaw: domain 'a': no.npy: cannot be read"),
        (["corpus.yaml", "--proxy", "vne", "--embed-with", "word3vec:x"], "a model is KIND:PATH, not 'word3vec:x'"),
        (["--proxy", "vna"], "'vna' is not 'vne'"),
    ],
)
def test_wrong_words_about_vectors_exit_with_2(
    mixlaw: Callable[..., Any], corpus: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(corpus.parent)
    outcome = mixlaw("entropy", *words)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr


@pytest.mark.parametrize(
    ("words", "option", "reason"),
    [
        ("corpus.yaml --proxy vne", "--groups 32", "is for entropies of counts"),
        ("corpus.yaml --proxy vne", "--estimator plugin", "is for entropies of counts"),
        ("corpus.yaml --proxy vne", "--equalize tokens", "is for entropies of counts"),
        ("corpus.yaml --proxy vne", "--sample-tokens 100", "is for entropies of counts"),
        ("corpus.yaml --proxy vne", "--seed 0", "is for entropies of counts"),
        ("corpus.yaml --proxy vne", "--memory 2GB", "is for entropies of counts"),
        ("corpus.yaml --proxy vne", "--threads 1", "is for entropies of counts"),
        ("corpus.yaml --proxy vne", "--embedding-column embedding", "goes with --embeddings of .parquet or .arrow"),
        ("--proxy vne --embeddings a=a.npy", "--embedding-column v", "goes with --embeddings of .parquet or .arrow"),
        ("--proxy vne --embeddings a=a.npy", "--threads 1", "is for entropies of counts"),
        ("corpus.yaml", "--embedding-column v", "goes with --proxy vne"),
        ("corpus.yaml", "--seed 0", "goes with --sample-tokens"),
        ("web.mlc", "--embedding-column v", "goes with --proxy vne"),
        ("web.mlc", "--groups 32", "is for counting a corpus.yaml: count files bring their own"),
        ("web.mlc", "--seed 0", "goes with --sample-tokens"),
        ("web.mlc", "--sample-tokens 100", "draws from a corpus.yaml"),
        ("web.mlc", "--resume state", "is for counting a corpus.yaml: count files are counted already"),
    ],
)
def test_options_without_effect_are_refused(
    mixlaw: Callable[..., Any],
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    option: str,
    reason: str,
) -> None:
    monkeypatch.chdir(corpus.parent)
    np.save("a.npy", np.eye(3))
    assert mixlaw("count", corpus, "--out", ".").code == 0
    assert mixlaw("entropy", *words.split()).code == 0
    outcome = mixlaw("entropy", *words.split(), *option.split())
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"Error: {option.split()[0]} {reason}" in outcome.stderr


def test_options_of_count_files_have_effect(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    assert mixlaw("count", corpus, "--out", tmp_path).code == 0
    for option in ("--threads 1", "--memory 100MB", "--estimator chao-shen", "--equalize coverage"):
        outcome = mixlaw("entropy", tmp_path / "web.mlc", *option.split())
        assert (outcome.code, outcome.stderr) == (0, ""), option
    for command, *rest in (("entropy",), ("merge", "--out", tmp_path / "out")):
        outcome = mixlaw(command, tmp_path / "web.mlc", "--memory", "1000", *rest)
        assert outcome.code == 2
        assert outcome.stderr.startswith(f"mixlaw: {tmp_path}/web.mlc: memory_limit is 1000 bytes, but order 2")


def test_a_sample_of_documents_is_measured(mixlaw: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "{i:04d}"}}\n' for i in range(1000)))
    path = tmp_path / "corpus.yaml"
    path.write_text("tokenizer: bytes\ndomains:\n  a: {paths: a.jsonl}\n")
    tables = [
        json.loads(mixlaw("entropy", path, "--sample-tokens", "41", "--seed", seed, "--json").stdout)["table"]
        for seed in ("0", "0", "1")
    ]
    assert tables[0] == tables[1] != tables[2]
    assert tables[0]["domains"]["a"]["tokens"] == 44
    for words in (("--resume", tmp_path / "state"), (tmp_path / "a.mlc",)):
        outcome = mixlaw("entropy", *((path,) if words[0] == "--resume" else ()), *words, "--sample-tokens", "41")
        assert outcome.code == 2
        assert "--sample-tokens draws from a corpus.yaml" in outcome.stderr
