from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.engine.plan import InputFile, _divided, plan
from mixlaw.errors import InputError
from mixlaw.reading.config import DomainConfig


@given(st.lists(st.integers(0, 20), min_size=1), st.integers(1, 30))
def test_files_are_divided_in_their_order_into_tasks_that_are_full(sizes: list[int], most: int) -> None:
    files = [InputFile(str(number), str(number), size, "") for number, size in enumerate(sizes)]
    tasks = _divided(files, most)
    assert [file for task in tasks for file in task] == files
    for task, after in zip(tasks, [*tasks[1:], None], strict=True):
        total = sum(file.size for file in task)
        assert total <= most or (task[0].size == total)
        assert after is None or total + after[0].size > most


@pytest.fixture
def domain(tmp_path: Path) -> DomainConfig:
    for number in range(23):
        (tmp_path / f"{number:02}.txt").write_text("x" * (number + 1))
    return DomainConfig("d", tuple(str(path) for path in sorted(tmp_path.glob("*.txt"))), "text")


@pytest.mark.parametrize("fan_in", [2, 3, 8, 22, 23])
def test_every_file_is_under_the_root_once(domain: DomainConfig, tmp_path: Path, fan_in: int) -> None:
    root = plan(domain, tmp_path, 1, None, fan_in)
    assert [item.source for item in root.inputs] == [f"{number:02}.txt" for number in range(23)]
    for node in root:
        assert bool(node.files) != bool(node.children)
        assert len(node.children) <= fan_in
    assert len({node.name for node in root}) == len(list(root))


def test_one_task_is_merged_too(domain: DomainConfig, tmp_path: Path) -> None:
    root = plan(domain, tmp_path, 1 << 30, None)
    (child,) = root.children
    assert len(child.files) == 23


def test_names_change_with_what_is_counted_alone(domain: DomainConfig, tmp_path: Path) -> None:
    names = [node.name for node in plan(domain, tmp_path, 50, [2, 1])]
    assert [node.name for node in plan(domain, tmp_path, 50, [2, 1])] == names
    assert set(names).isdisjoint(node.name for node in plan(domain, tmp_path, 50, [3, 1]))
    lines = replace(domain, split="line")
    assert set(names).isdisjoint(node.name for node in plan(lines, tmp_path, 50, [2, 1]))
    (tmp_path / "00.txt").write_text("yy")
    after = [node.name for node in plan(domain, tmp_path, 50, [2, 1])]
    changed = [old != new for old, new in zip(names, after, strict=True)]
    assert sum(changed) == 2 + (len(names) > 10)  # the file's own task and what merges it


def test_file_that_went_away_is_named(domain: DomainConfig, tmp_path: Path) -> None:
    (tmp_path / "07.txt").unlink()
    with pytest.raises(InputError, match=r"07\.txt: cannot be read \(No such file"):
        plan(domain, tmp_path, 1, None)
