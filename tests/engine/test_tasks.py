"""Tasks as one machine runs them, between addresses of a store in memory."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from mixlaw.engine.folder import Folder
from mixlaw.engine.plan import Node, plan
from mixlaw.engine.tasks import Job, count_part, finish, merge_parts, note
from mixlaw.entropy.counter import NgramCounter
from mixlaw.errors import InputError, MissingDependencyError, MixlawError
from mixlaw.reading.config import CorpusConfig, read_config
from mixlaw.reading.load import open_corpus


@pytest.fixture
def store() -> Iterator[str]:
    """Address of an empty folder of the store."""
    address = f"memory:///{uuid.uuid4().hex}"
    yield address
    files, path = fsspec.core.url_to_fs(address)
    if files.exists(path):
        files.rm(path, recursive=True)


@pytest.fixture
def remote(corpus: Path, store: str) -> CorpusConfig:
    """The corpus, all files of which are in the store."""
    files, path = fsspec.core.url_to_fs(f"{store}/in")
    files.makedirs(path)
    for file in corpus.parent.iterdir():
        files.put_file(str(file), f"{path}/{file.name}")
    text = corpus.read_text()
    for pattern in ("'a*", "b.txt", "'t*"):
        quote = "'" * pattern.startswith("'")
        text = text.replace(f" {pattern}", f" {quote}{store}/in/{pattern.removeprefix(quote)}")
    corpus.write_text(text)
    return read_config(corpus)


def job(config: CorpusConfig, domain: int, out: str) -> Job:
    alone = replace(config, domains=(replace(config.domains[domain], files=()),))
    return Job(alone, None, out, order=2, groups=1, threads=1, memory_limit=None)


def make(work: Job, node: Node) -> None:
    for child in node.children:
        make(work, child)
    if node.files:
        count_part(work, node.files, node.name)
    else:
        merge_parts(work, [child.name for child in node.children], node.name)


@pytest.mark.parametrize("domain", [0, 1, 2])
def test_counts_go_from_a_store_to_a_store(
    mixlaw: Any, corpus: Path, tmp_path: Path, remote: CorpusConfig, store: str, domain: int
) -> None:
    work = job(remote, domain, f"{store}/out")
    Folder(work.out).make()
    root = plan(remote.domains[domain], corpus.parent, 2000, None, fan_in=3)
    assert all(item.source.startswith(store) for item in root.inputs)
    for child in root.children:
        make(work, child)
    names = [child.name for child in root.children]
    assert set(names) <= work.parts.names()
    row = finish(work, names, root.name, root.inputs)
    assert Folder(work.out).names() >= {work.result, note(work)}
    assert finish(work, (), root.name, root.inputs) == row
    assert Folder(work.out).read_text(note(work)) == root.name
    corpus.write_text(corpus.read_text().replace(f"{store}/in/", ""))
    assert mixlaw("count", corpus, "--out", tmp_path, "--groups", 1).code == 0
    local = NgramCounter.read(tmp_path / work.result)
    with Folder(work.out).here(work.result) as path:
        found = NgramCounter.read(path)
        assert [item.source.removeprefix(f"{store}/in/") for item in found.inputs] == [
            item.source for item in local.inputs
        ]
        found.inputs = local.inputs
        found.write(tmp_path / "same.mlc")
    assert (tmp_path / "same.mlc").read_bytes() == (tmp_path / work.result).read_bytes()
    work.parts.clear()
    assert work.parts.names() == set()


def test_errors_name_the_address_and_not_the_copy(corpus: Path, remote: CorpusConfig, store: str) -> None:
    address = f"{store}/in/b.txt"
    with fsspec.open(address, "wb") as file:
        file.write(b"good\xff")
    root = plan(remote.domains[1], corpus.parent, 1, None)
    work = job(remote, 1, f"{store}/out")
    with pytest.raises(InputError) as caught:
        count_part(work, root.children[0].files, root.children[0].name)
    assert (
        str(caught.value) == f"domain 'b': {remote.domains[1].files[0]}: byte 4 is not UTF-8 text (invalid start byte)"
    )
    assert work.parts.names() == set()


def test_what_was_counted_twice_or_not_at_all_is_no_result(corpus: Path, tmp_path: Path) -> None:
    config = read_config(corpus)
    root = plan(config.domains[0], corpus.parent, 2000, None)
    work = job(config, 0, str(tmp_path / "out"))
    work.parts.make()
    for child in root.children:
        make(work, child)
    names = [child.name for child in root.children]
    with pytest.raises(InputError, match="would be counted twice"):
        finish(work, [*names, names[0]], root.name, root.inputs)
    with pytest.raises(MixlawError, match="counts something else than was to be counted"):
        finish(work, names[1:], root.name, root.inputs)
    assert Folder(work.out).names() == {"web%2Fa.parts"}


def test_folder_that_other_machines_do_not_see_is_named(tmp_path: Path, corpus: Path) -> None:
    work = job(read_config(corpus), 0, str(tmp_path / "out"))
    work.parts.make()
    with pytest.raises(InputError, match="absent: is not there: every machine must see the folder"):
        merge_parts(work, ["absent"], "merged")


# It is of words, which the faster library does not read.
@pytest.mark.filterwarnings("ignore:gigatoken is not used")
def test_tokenizer_travels_with_the_job(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "d.txt").write_text("a b a b b")
    (tmp_path / "corpus.yaml").write_text("tokenizer: tokenizer.json\ndomains:\n  d: {paths: d.txt}\n")
    config = read_config(tmp_path / "corpus.yaml")
    name = open_corpus(config).tokenizer
    content = (tmp_path / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").unlink()
    work = replace(job(config, 0, str(tmp_path / "out")), tokenizer=content)
    work.parts.make()
    root = plan(config.domains[0], tmp_path, 1, None)
    count_part(work, root.children[0].files, "counts")
    counter = NgramCounter.read(work.parts.path("counts"))
    assert (counter.tokenizer, counter.total(1), counter.count_of([0, 1])) == (name, 5, 2)


def test_addresses_that_cannot_be_read_are_refused_by_name(corpus: Path, store: str) -> None:
    text = corpus.read_text()
    for pattern, error, message in [
        (f"{store}/none/*.txt", InputError, "matches no file"),
        ("nothing://a.txt", InputError, "nothing://a.txt: no address that fsspec knows"),
        ("sftp://host/a.txt", MissingDependencyError, "sftp://host/a.txt: "),
    ]:
        corpus.write_text(text.replace("b.txt", f"'{pattern}'"))
        with pytest.raises(error, match=message):
            read_config(corpus)


def test_addresses_are_for_ray_alone(mixlaw: Any, corpus: Path, remote: CorpusConfig, tmp_path: Path) -> None:
    done = mixlaw("entropy", corpus)
    assert done.code == 2
    assert done.stderr == (
        f"mixlaw: {corpus}, domain 'web/a': {remote.domains[0].files[0]}: is an address, which only "
        "`mixlaw count --engine ray` reads: copy the file here\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "s3://a/b"], "--out s3://a/b is an address, which goes with --engine ray"),
        (["--out", "x", "--ray-address", "auto"], "--ray-address and --task-size go with --engine ray"),
        (["--out", "x", "--task-size", "1GB"], "--ray-address and --task-size go with --engine ray"),
        (["--out", "x", "--engine", "ray", "--shard", "1/2"], "--shard and --resume are for --engine local"),
        (["--out", "x", "--engine", "ray", "--resume", "y"], "--shard and --resume are for --engine local"),
    ],
)
def test_words_of_the_other_engine_exit_with_2(mixlaw: Any, corpus: Path, words: list[str], message: str) -> None:
    done = mixlaw("count", corpus, *words)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
