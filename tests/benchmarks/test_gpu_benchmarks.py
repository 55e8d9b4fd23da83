"""The programs that time the GPU kernels, run on a CPU at a size that shows only that they work."""

import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
OURS = {
    "cross_entropy": ["mixlaw", "mixlaw, in place", "mixlaw, sums", "mixlaw, one domain"],
    "linear_cross_entropy": ["mixlaw", "mixlaw, forward only"],
}


def rows_of(stem: str, out: Path, *words: str) -> list[dict[str, str]]:
    """Run a program as its docstring says, and read what it wrote."""
    size = ["--device", "cpu", "--tokens", "64", "--vocab", "512", *words]
    subprocess.run(
        [sys.executable, ROOT / "benchmarks" / f"bench_{stem}.py", *size, "--out", out],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python"), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("stem", "words"), [("cross_entropy", []), ("linear_cross_entropy", ["--hidden", "32"])])
def test_a_program_checks_and_times_every_contender(stem: str, words: list[str], tmp_path: Path) -> None:
    rows = rows_of(stem, tmp_path / "out.csv", *words)
    for inputs in ("random", "peaked"):
        mine = [row for row in rows if row["inputs"] == inputs and row["contender"].startswith("mixlaw")]
        assert [row["contender"] for row in mine] == OURS[stem]
    assert any(row["contender"].startswith("eager") for row in rows)
    for row in rows:
        assert row["status"] == "ok"
        assert float(row["ms"]) > 0.0
        assert 0.0 < float(row["sum_error"]) < 2**-5
        assert (row["N"], row["V"], row["gpu"]) == ("64", "512", "none")
        assert row["torch"]


def test_the_sweep_times_ours_under_every_shape(tmp_path: Path) -> None:
    rows = rows_of("cross_entropy", tmp_path / "out.csv", "--sweep")
    assert rows[0]["contender"] == "mixlaw"
    assert "R 4, C 4096, warps 16" in {row["contender"] for row in rows}
    assert {row["status"] for row in rows} == {"ok"}


def test_the_kernel_without_domains_gives_the_losses_of_torch(tmp_path: Path) -> None:
    program = (
        "import torch, no_domains\n"
        "logits, target = torch.randn(9, 300) * 3, torch.randint(300, (9,))\n"
        "logits.requires_grad_()\n"
        "losses, gradient = no_domains.form(logits.detach(), target)\n"
        "expected = torch.nn.functional.cross_entropy(logits, target, reduction='none')\n"
        "expected.mean().backward()\n"
        "assert torch.allclose(losses, expected, atol=1e-5)\n"
        "assert torch.allclose(gradient, logits.grad, atol=1e-6)\n"
    )
    paths = os.pathsep.join([str(ROOT / "python"), str(ROOT / "benchmarks")])
    environment = {**os.environ, "PYTHONPATH": paths, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_a_wrong_answer_and_a_failure_are_not_timed_and_are_errors_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import bench_cross_entropy
    import gpu

    problem = bench_cross_entropy.draw_problem(64, 512, "cpu", gpu.measure_speed("cpu"), peaked=0.0)

    def half_the_tokens(logits: torch.Tensor, tokens: gpu.Tokens) -> tuple[torch.Tensor, torch.Tensor]:
        return gpu.eager_loss(logits[::2], gpu.Tokens(tokens.target[::2], tokens.domain[::2], tokens.weights))

    def wrong_gradient(logits: torch.Tensor, tokens: gpu.Tokens) -> tuple[torch.Tensor, torch.Tensor]:
        sums, objective = gpu.eager_loss(logits, tokens)
        return sums, 1.1 * objective

    def fails(logits: torch.Tensor, tokens: gpu.Tokens) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("on purpose")

    losses = {"a peer": half_the_tokens, "mixlaw, wrong": wrong_gradient, "mixlaw, fails": fails}
    contenders = [gpu.Contender(name, loss, gpu.PEERS) for name, loss in losses.items()]
    rows = list(gpu.compare(contenders, problem, {}))
    assert [row["status"] for row in rows] == ["wrong", "wrong", "failed"]
    assert all(math.isnan(row["ms"]) for row in rows)
    gpu.refuse_wrong(rows[:1])
    with pytest.raises(AssertionError, match="mixlaw, wrong"):
        gpu.refuse_wrong(rows)
