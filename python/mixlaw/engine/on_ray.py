"""`count_with_ray`: the domains of a corpus counted by the machines of a Ray cluster."""

import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mixlaw.engine.folder import Folder
from mixlaw.engine.plan import Node, plan
from mixlaw.engine.tasks import Job, count_part, finish, merge_parts, note
from mixlaw.errors import InputError, MixlawError, require
from mixlaw.reading.config import CorpusConfig
from mixlaw.reading.tokenizer import ByteTokenizer, read_bytes, record

# Bytes of files that one task counts: what a worker that dies costs, at most.
TASK_BYTES = 1 << 32
# So often a task is given to another worker when its worker, or the machine, dies.
RETRIES = 5


def count_with_ray(
    config: CorpusConfig,
    out: str | os.PathLike[str],
    *,
    order: int = 2,
    groups: int = 1,
    threads: int = 1,
    memory_limit: int | None = None,
    task_bytes: int = TASK_BYTES,
    address: str = "local",
) -> dict[str, dict[str, Any]]:
    """Count the n-grams of every domain on a Ray cluster, into the same bytes as one machine would.

    Tasks count files and merge count files in a tree. A task whose worker dies is given to another one; none counts
    anything into a file that is there. A call that is repeated, after an interruption too, does what is left to do.

    Parameters
    ----------
    config
        The corpus. Its files are paths that all machines see, or addresses that `fsspec` knows.
    out
        Folder for the count files, one a domain: DOMAIN.mlc. A path that all machines see, or an address.
    order, groups, memory_limit
        As of `NgramCounter`; the limit is that of one task.
    threads
        Processors that a task uses, and that Ray reserves for it.
    task_bytes
        Bytes of files that one task counts at most, unless one file has more.
    address
        That of a cluster, as `ray.init` takes it; ``"local"`` starts one on this machine, for the time of the call.
        Where Ray is initialised already, its cluster is used.

    Returns
    -------
    dict
        Of every domain ``file``, ``counted`` and ``distinct`` n-grams of every length, and the ``bytes`` of the file.

    Raises
    ------
    InputError
        If a file, on whatever machine, is not what it should be.
    MixlawError
        If the workers of a task die time after time.
    MissingDependencyError
        If Ray is not installed.
    """
    ray = require("ray", "ray")
    place = Folder(os.fspath(out))
    place.make()
    tokenizer, name = None, config.tokenizer
    if config.tokenizer not in (None, ByteTokenizer.name):
        tokenizer = read_bytes(config.tokenizer)
        name = record(tokenizer)
    jobs = {}
    for domain in config.domains:
        alone = replace(config, domains=(replace(domain, files=()),))
        job = Job(alone, tokenizer, place.place, order, groups, threads, memory_limit)
        root = plan(domain, Path(config.path).parent, task_bytes, [order, groups, config.vocab_size, name])
        jobs[domain.name] = job, root
    with _cluster(ray, address):
        _check_room(ray, threads, memory_limit)
        graph = _Graph(ray, threads, memory_limit)
        last = {name: graph.add(job, root) for name, (job, root) in jobs.items()}
        made = graph.run()
    return {domain: {"file": os.path.join(out, job.result), **made[last[domain]]} for domain, (job, _) in jobs.items()}


class _Graph:
    """The tasks of all domains, and what is tidied up behind each."""

    def __init__(self, ray: Any, threads: int, memory_limit: int | None) -> None:
        self._ray = ray
        self._remote = ray.remote(num_cpus=threads, memory=memory_limit, max_retries=RETRIES)
        self._behind: dict[Any, Callable[[], None]] = {}

    def add(self, job: Job, root: Node) -> Any:
        """Submit all that is left to do of a domain, and give its last task."""
        shared = self._ray.put(job)
        out = Folder(job.out)
        if out.read_text(note(job)) == root.name and job.result in out.names():
            return self._submit(job.parts.clear, finish, shared, (), root.name, root.inputs)
        job.parts.make()
        there = job.parts.names()
        waits = [self._parts(job, shared, child, there) for child in root.children]
        names = [child.name for child in root.children]
        return self._submit(job.parts.clear, finish, shared, names, root.name, root.inputs, *waits)

    def run(self) -> dict[Any, Any]:
        """Wait for all tasks, and give what each returned."""
        made = {}
        waiting = list(self._behind)
        with tqdm(desc="Ray", total=len(waiting), unit=" tasks", disable=None) as bar:
            while waiting:
                ready, waiting = self._ray.wait(waiting, num_returns=len(waiting), timeout=0.5)
                for task in ready:
                    made[task] = self._result(task)
                    self._behind[task]()
                bar.update(len(ready))
        return made

    def _parts(self, job: Job, shared: Any, node: Node, there: set[str]) -> Any:
        """Submit what is left to do for a node; give its task, or None."""
        children = [child.name for child in node.children]
        if node.name in there:
            job.parts.remove(there.intersection(children))
            return None
        if node.files:
            return self._submit(lambda: None, count_part, shared, node.files, node.name)
        waits = [self._parts(job, shared, child, there) for child in node.children]
        return self._submit(lambda: job.parts.remove(children), merge_parts, shared, children, node.name, *waits)

    def _submit(self, behind: Callable[[], None], task: Callable[..., Any], *arguments: Any) -> Any:
        submitted = self._remote(task).remote(*arguments)
        self._behind[submitted] = behind
        return submitted

    def _result(self, task: Any) -> Any:
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            # What the task raised, without the trace of a worker in its text.
            if isinstance(error.cause, (MixlawError, OSError)):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            raise MixlawError(
                f"Ray gave a task up ({error}): what is finished is kept, and the same command goes on from there"
            ) from error


@contextmanager
def _cluster(ray: Any, address: str) -> Iterator[None]:
    """The cluster at an address, which is left, or ended if it was started here."""
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if address == "local":
            # Nothing of what is done on this machine alone leaves it.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(
                address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                # Ray gives it to a shell as it is: a path with a space in it would never start.
                runtime_env={"py_executable": shlex.quote(sys.executable)},
            )
        else:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster at {address!r}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_room(ray: Any, threads: int, memory_limit: int | None) -> None:
    """Warn where Ray would wait for a larger machine without a word."""
    for what, need in (("CPU", threads), ("memory", memory_limit or 0)):
        most = max((node["Resources"].get(what, 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        if need > most:
            warnings.warn(
                f"a task needs {need:,} of {what} and no machine of the cluster has more than {most:,.0f}: tasks wait "
                "until one joins that has",
                stacklevel=2,
            )
