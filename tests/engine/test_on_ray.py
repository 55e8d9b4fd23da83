"""Counting on a local Ray cluster of several workers, some of which are killed."""

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from mixlaw.engine.on_ray import TASK_BYTES, _check_room, _Graph, count_with_ray
from mixlaw.engine.plan import plan
from mixlaw.entropy.counter import NgramCounter
from mixlaw.errors import InputError, MixlawError
from mixlaw.reading.config import read_config

TASK = 3000  # bytes: some tasks get several files


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that says what goes wrong on the cluster, and notes what was done."""
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module", autouse=True)
def cluster(marks: Path) -> Iterator[None]:
    """Three workers that note every task they begin, and of whom those that find a death sentence carry it out."""
    folder, kill = str(marks), int(signal.SIGKILL)

    def prepare() -> None:  # runs in every worker
        from mixlaw.engine import count_files, tasks
        from mixlaw.engine import folder as folders

        def dies(when: str) -> None:
            try:  # each sentence is for one worker
                os.remove(os.path.join(folder, when))
            except FileNotFoundError:
                return
            os.kill(os.getpid(), kill)

        def note(task: str) -> None:
            with open(os.path.join(folder, "tasks"), "a") as file:
                file.write(f"{task}\n")

        count, write = count_files.count_domain, folders.Folder.write

        def count_domain(*words: Any, **options: Any) -> Any:
            note("count")
            counter = count(*words, **options)
            dies("while-counting")
            return counter

        def write_and_die(self: Any, counter: Any, name: str) -> int:
            size = write(self, counter, name)
            dies("after-writing")
            if len(counter.inputs) > 9:
                dies("after-merging")
            return size

        count_files.count_domain = count_domain
        folders.Folder.write = write_and_die
        assert tasks.Folder is folders.Folder

    ray.init(
        "local",
        num_cpus=3,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": prepare, "py_executable": shlex.quote(sys.executable)},
    )
    yield
    ray.shutdown()


@pytest.fixture
def local(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> dict[str, bytes]:
    """Count files of one process."""
    assert mixlaw("count", corpus, "--out", tmp_path / "local", "--groups", 8).code == 0
    return content(tmp_path / "local")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.mlc")}


def begun(marks: Path) -> int:
    """How many tasks of counting began since this was last asked."""
    file = marks / "tasks"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return len(lines)


def tasks(corpus: Path) -> int:
    """How many tasks of counting the whole corpus is."""
    roots = [plan(domain, corpus.parent, TASK, None) for domain in read_config(corpus).domains]
    number = sum(bool(node.files) for root in roots for node in root)
    assert number > 10  # so that there are several levels of merging
    return number


def count(corpus: Path, out: Path, **options: Any) -> dict[str, dict[str, Any]]:
    return count_with_ray(read_config(corpus), out, groups=8, task_bytes=TASK, **options)


def test_a_cluster_gives_the_bytes_of_one_process(
    corpus: Path, local: dict[str, bytes], tmp_path: Path, marks: Path
) -> None:
    begun(marks)
    out = tmp_path / "out"
    made = count(corpus, out)
    assert content(out) == local
    assert set(local) == {"web%2Fa.mlc", "b.mlc", "t.mlc"}
    assert begun(marks) == tasks(corpus)
    for domain, row in made.items():
        counter = NgramCounter.read(row["file"])
        assert counter.domain == domain
        assert row["counted"] == [counter.total(1), counter.total(2)]
        assert row["distinct"] == [counter.distinct(1), counter.distinct(2)]
        assert row["bytes"] == os.path.getsize(row["file"])
    # Nothing is left of the way there.
    assert sorted(path.name for path in out.iterdir()) == sorted([*local, *(f"{name}.plan" for name in local)])


@pytest.mark.parametrize("when", ["while-counting", "after-writing", "after-merging"])
def test_a_task_whose_worker_is_killed_is_done_by_another(
    corpus: Path, local: dict[str, bytes], tmp_path: Path, marks: Path, when: str
) -> None:
    begun(marks)
    (marks / when).touch()
    count(corpus, tmp_path / "out")
    assert not (marks / when).exists()  # somebody died
    assert content(tmp_path / "out") == local
    assert begun(marks) == tasks(corpus) + (when != "after-merging")


def test_a_repeated_call_counts_what_is_new_alone(
    mixlaw: Callable[..., Any], corpus: Path, local: dict[str, bytes], tmp_path: Path, marks: Path
) -> None:
    out = tmp_path / "out"
    first = count(corpus, out)
    begun(marks)
    assert count(corpus, out) == first
    assert begun(marks) == 0
    (corpus.parent / "t1.npy").write_bytes((corpus.parent / "t0.npy").read_bytes())
    (corpus.parent / "t1.offsets.npy").write_bytes((corpus.parent / "t0.offsets.npy").read_bytes())
    count(corpus, out)
    assert begun(marks) == 3  # the files of that domain, whose count files were cleared away
    assert mixlaw("count", corpus, "--out", tmp_path / "again", "--groups", 8).code == 0
    assert content(out) == content(tmp_path / "again") != local


def test_what_was_finished_before_an_error_is_kept(
    corpus: Path, local: dict[str, bytes], tmp_path: Path, marks: Path
) -> None:
    out = tmp_path / "out"
    bad = corpus.parent / "a11.txt"
    good, times = bad.read_bytes(), bad.stat()
    bad.write_bytes(good + b"\xff")
    with pytest.raises(InputError) as caught:
        count(corpus, out)
    assert str(caught.value) == f"domain 'web/a': {bad}: byte {len(good)} is not UTF-8 text (invalid start byte)"
    bad.write_bytes(good)
    os.utime(bad, ns=(times.st_atime_ns, times.st_mtime_ns))
    ray.get([ray.remote(lambda: None).remote() for _ in range(3)])  # tasks of the failed call end
    assert list((out / "web%2Fa.parts").iterdir())
    begun(marks)
    count(corpus, out)
    assert begun(marks) < tasks(corpus)
    assert content(out) == local


def test_a_count_file_that_is_damaged_on_the_way_is_refused(corpus: Path, tmp_path: Path) -> None:
    config = read_config(corpus)
    out = tmp_path / "out"
    (out / "b.parts").mkdir(parents=True)
    node = plan(config.domains[1], corpus.parent, TASK_BYTES, [2, 1, None, "bytes"]).children[0]
    (out / "b.parts" / node.name).write_bytes(b"damaged")
    with pytest.raises(InputError, match=re.escape(f"{out}/b.parts/{node.name}")):
        count_with_ray(config, out)


def test_a_task_that_kills_every_worker_is_given_up(corpus: Path, tmp_path: Path, marks: Path) -> None:
    def fails() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    graph = _Graph(ray, 1, None)
    graph._remote = ray.remote(max_retries=1)
    graph._submit(lambda: None, fails)
    with pytest.raises(MixlawError, match="Ray gave a task up"):
        graph.run()


def test_too_large_a_task_is_announced(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="a task needs 4 of CPU and no machine of the cluster has more than 3"):
        _check_room(ray, 4, None)
    _check_room(ray, 3, 1 << 20)


def test_the_command_counts_with_ray(
    mixlaw: Callable[..., Any], corpus: Path, local: dict[str, bytes], tmp_path: Path
) -> None:
    here = mixlaw("count", corpus, "--out", tmp_path / "out", "--groups", 8)
    done = mixlaw("count", corpus, "--out", tmp_path / "out", "--groups", 8, "--engine", "ray", "--task-size", "2KB")
    assert (done.code, done.stdout, done.stderr) == (0, here.stdout, "")
    assert content(tmp_path / "out") == local


def test_files_at_addresses_are_counted_into_an_address(
    mixlaw: Callable[..., Any], corpus: Path, local: dict[str, bytes], tmp_path: Path
) -> None:
    address = f"file://{corpus.parent}"
    config = corpus.parent / "addresses.yaml"
    config.write_text(corpus.read_text().replace("'a*", f"'{address}/a*").replace("'t*", f"'{address}/t*"))
    done = mixlaw("count", config, "--out", f"file://{tmp_path}/out", "--groups", 8, "--engine", "ray")
    assert (done.code, done.stderr) == (0, "")
    assert set(content(tmp_path / "out")) == set(local)
    for name in local:
        ours, theirs = NgramCounter.read(tmp_path / "out" / name), NgramCounter.read(tmp_path / "local" / name)
        if name != "b.mlc":
            assert [(f"file://{corpus.parent}/{source}", *rest) for source, *rest in theirs.inputs] == list(ours.inputs)
        assert ours.counts(2)[0].tolist() == theirs.counts(2)[0].tolist()
        assert ours.counts(2)[1].tolist() == theirs.counts(2)[1].tolist()
