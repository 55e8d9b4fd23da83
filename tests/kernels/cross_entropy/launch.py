"""Running kernels without a GPU: under Triton's interpreter, and through its compiler and the assembler of CUDA."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mixlaw.kernels.labels import Labels, Options

Call = tuple[str, str, tuple[Any, ...]]
torch.serialization.add_safe_globals([Labels, Options])
NUMBERS = ("softcap", "z_loss", "label_smoothing")
ALIGNED = re.compile(r"V|D|.*stride")


def interpret(calls: dict[str, Call], folder: Path) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Results of kernel launches under the interpreter, and their arguments afterwards."""
    pytest.importorskip("triton")
    torch.save(calls, folder / "in.pt")
    subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            Path(__file__).with_name("run_interpreted.py"),
            folder / "in.pt",
            folder / "out.pt",
        ],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        check=True,
    )
    return torch.load(folder / "out.pt")


def compile_kernel(
    function: Any,
    architecture: int,
    pointers: dict[str, str | None],
    constants: dict[str, Any],
    folder: Path,
    *,
    aligned: bool = True,
    **options: int,
) -> tuple[str, str]:
    """PTX of a kernel, and what the assembler says of it.

    Pointers that are None are constants; `aligned` says whether sizes and strides are multiples of 16.
    """
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    constants = constants | {name: None for name, kind in pointers.items() if kind is None}
    signature, attributes = {}, {}
    for i, name in enumerate(function.arg_names):
        kind = "constexpr" if name in constants else pointers.get(name, "fp32" if name in NUMBERS else "i32")
        signature[name] = "i64" if name.endswith("sequence_stride") else kind
        if kind and (kind.startswith("*") or (aligned and ALIGNED.fullmatch(name) and kind != "constexpr")):
            attributes[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes)
    ptx = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options).asm["ptx"]
    (folder / "kernel.ptx").write_text(ptx)
    target = re.search(r"\.target (\w+)", ptx)
    assert target
    report = subprocess.run(
        [triton.knobs.nvidia.ptxas.path, "-v", f"--gpu-name={target[1]}", folder / "kernel.ptx", "-o", os.devnull],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    return ptx, report


def atomics(ptx: str) -> set[str]:
    return set(re.findall(r"\b(?:atom|red)\.[\w.]+", ptx))


def assert_no_spills(report: str) -> None:
    assert "0 bytes spill stores, 0 bytes spill loads" in report
