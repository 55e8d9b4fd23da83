"""How the command finds a cluster, or starts one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_address_without_a_cluster_exits_with_2(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    words = ["--engine", "ray", "--ray-address", "nonsense"]
    done = mixlaw("count", corpus, "--out", tmp_path / "out", *words)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("mixlaw: no Ray cluster at 'nonsense': ")


def test_ray_that_is_not_installed_is_asked_for(
    mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = mixlaw("count", corpus, "--out", tmp_path / "out", "--engine", "ray")
    assert (done.code, done.stdout) == (1, "")
    assert "install it with `pip install 'mixlaw[ray]'`" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_command_starts_a_cluster_and_ends_it(mixlaw: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mixlaw", "count", corpus, "--out", tmp_path / "out", "--engine", "ray"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    local = mixlaw("count", corpus, "--out", tmp_path / "local")
    assert done.stdout.splitlines()[1].split()[2:] == local.stdout.splitlines()[1].split()[2:]
    for file in (tmp_path / "local").iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()
