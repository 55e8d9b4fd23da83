import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixlaw.kernels import domain_sum, sums_reference

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.fixture(scope="session")
def interpreted(all_arguments, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    """The words of every case as the kernel computes them under Triton's interpreter."""
    pytest.importorskip("triton")
    folder = tmp_path_factory.mktemp("interpreted")
    torch.save({name: tuple(arguments) for name, arguments in all_arguments.items()}, folder / "in.pt")
    subprocess.run(
        [sys.executable, Path(__file__).with_name("run_interpreted.py"), folder / "in.pt", folder / "out.pt"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        check=True,
    )
    return torch.load(folder / "out.pt")


def test_the_interpreted_kernel_gives_the_bits_of_the_reference(case, arguments, interpreted) -> None:
    expected = sums_reference.sum_words(*arguments)
    assert torch.equal(interpreted[str(case)]["launched"], expected)


def test_neither_the_block_size_nor_what_lies_around_the_arrays_matters(case, interpreted) -> None:
    assert torch.equal(interpreted[str(case)]["guarded"], interpreted[str(case)]["launched"])


POINTERS = [("*fp32", "*i64", None), ("*bf16", "*u8", "*i1"), ("*fp16", "*i32", "*i1"), ("*fp64", "*i64", "*i1")]


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("pointers", POINTERS, ids=lambda pointers: pointers[0][1:])
def test_the_compiled_kernel_spills_nothing_and_adds_integers_only(
    pointers: tuple[str, str, str | None],
    architecture: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mixlaw.kernels.sums_triton import BLOCK, domain_sum_kernel

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    losses, domain, mask = pointers
    signature = {
        "losses_ptr": losses,
        "domain_ptr": domain,
        "mask_ptr": mask or "constexpr",
        "words_ptr": "*i64",
        "n": "i64",
        "tokens_per_id": "i32",
        "K": "i32",
        "BLOCK": "constexpr",
    }
    constants = {"BLOCK": BLOCK} | ({} if mask else {"mask_ptr": None})
    source = ASTSource(fn=domain_sum_kernel, signature=signature, constexprs=constants)
    ptx = triton.compile(source, target=GPUTarget("cuda", architecture, 32)).asm["ptx"]

    atomics = re.findall(r"\b(?:atom|red)\.[\w.]+", ptx)
    assert atomics
    assert all(re.search(r"\.add\.[su]64$", name) for name in atomics)

    (tmp_path / "kernel.ptx").write_text(ptx)
    name = re.search(r"\.target (\w+)", ptx)
    assert name
    report = subprocess.run(
        [triton.knobs.nvidia.ptxas.path, "-v", f"--gpu-name={name[1]}", tmp_path / "kernel.ptx", "-o", os.devnull],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "0 bytes spill stores, 0 bytes spill loads" in report


@needs_gpu
def test_the_gpu_gives_the_bits_of_the_cpu(arguments) -> None:
    losses, domain, mask, num_domains = arguments
    upstream = torch.randn(num_domains, generator=torch.Generator().manual_seed(2)).double()
    results = []
    for device in ("cpu", "cuda"):
        here = losses.to(device).requires_grad_()
        got = domain_sum(here, domain.to(device), num_domains, mask=None if mask is None else mask.to(device))
        got.sums.backward(upstream.to(device))
        results.append([*(value.detach().cpu() for value in got), here.grad.cpu()])
    assert all(torch.equal(cpu, gpu) for cpu, gpu in zip(*results, strict=True))


@needs_gpu
def test_the_gpu_counts_tokens_of_unknown_domains_and_never_waits(never_waits) -> None:
    losses = torch.ones(2, 1271, device="cuda", requires_grad=True)
    domain = torch.tensor([1, 5], device="cuda")
    with never_waits():
        got = domain_sum(losses, domain, 3)
        got.sums.sum().backward()
    assert got.sums.tolist() == [0.0, 1271.0, 0.0]
    assert got.outside.item() == 1271
    assert losses.grad.sum(1).tolist() == [1271.0, 0.0]
