"""Logits that are never stored: the Triton kernel of the evaluation forward pass.

symbol     meaning                                               shape
hidden     last hidden states                                    (N, D)
weight     output matrix                                         (V, D)
parts      m, s, z_t and sum_v z_v of every part of V            (S, 4, N)

A program takes a block of tokens and one part of the vocabulary of `PART` tokens. It multiplies tile by tile, in
float32 accumulators, and reduces every tile of logits on the spot. Where the parts begin depends on the vocabulary
alone, so the result of a token does not depend on how many others there are.
"""

# Triton has no types; mypy checks what calls the kernels.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

import torch
import triton
import triton.language as tl
from torch import Tensor

from mixlaw.kernels.cross_entropy_triton import INFINITY, capped, kernel
from mixlaw.kernels.labels import Options

PART = 4096
STAGES = 3


@kernel
def linear_partials_kernel(
    hidden_ptr,  # (N, D)
    weight_ptr,  # (V, D)
    bias_ptr,  # (V,), or None
    target_ptr,  # (N,) integer
    parts_ptr,  # (S, 4, N) float32
    N,
    V,
    D,
    hidden_stride,
    weight_stride,
    softcap,
    CAP: tl.constexpr,
    SMOOTH: tl.constexpr,
    PRECISION: tl.constexpr,
    TILES: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Reduce the logits of a block of tokens and one part of the vocabulary."""
    token = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    part = tl.program_id(1).to(tl.int64)
    here = token < N
    target = tl.load(target_ptr + token, mask=here, other=-1).to(tl.int64)
    hidden_row_ptr = hidden_ptr + token * hidden_stride
    top = tl.full((BLOCK_N,), -INFINITY, tl.float32)
    total = tl.zeros((BLOCK_N,), tl.float32)
    at_target = tl.zeros((BLOCK_N,), tl.float32)
    all_logits = tl.zeros((BLOCK_N,), tl.float32)
    for i in range(0, TILES):
        v = (part * TILES + i) * BLOCK_V + tl.arange(0, BLOCK_V)
        known = v < V
        weight_row_ptr = weight_ptr + v * weight_stride
        logits = tl.zeros((BLOCK_N, BLOCK_V), tl.float32)
        for start in range(0, D, BLOCK_D):
            d = start + tl.arange(0, BLOCK_D)
            h = tl.load(hidden_row_ptr[:, None] + d[None, :], mask=here[:, None] & (d < D)[None, :], other=0.0)
            w = tl.load(weight_row_ptr[None, :] + d[:, None], mask=known[None, :] & (d < D)[:, None], other=0.0)
            logits = tl.dot(h, w, logits, input_precision=PRECISION)
        if bias_ptr is not None:
            logits += tl.load(bias_ptr + v, mask=known, other=0.0).to(tl.float32)[None, :]
        z = capped(logits, softcap, CAP)
        if SMOOTH:
            all_logits += tl.sum(tl.where(known[None, :], z, 0.0), 1)
        at_target += tl.sum(tl.where(v[None, :] == target[:, None], z, 0.0), 1)
        z = tl.where(known[None, :], z, -INFINITY)
        higher = tl.maximum(top, tl.max(z, 1))
        base = tl.where(higher > -INFINITY, higher, 0.0)
        total = total * tl.exp(top - base) + tl.sum(tl.exp(z - base[:, None]), 1)
        top = higher
    plane = N.to(tl.int64)
    part_ptr = parts_ptr + part * 4 * plane + token
    tl.store(part_ptr, top, mask=here)
    tl.store(part_ptr + plane, total, mask=here)
    tl.store(part_ptr + 2 * plane, at_target, mask=here)
    tl.store(part_ptr + 3 * plane, all_logits, mask=here)


def tile(hidden: Tensor) -> tuple[dict[str, int], int]:
    """Tokens, vocabulary and width that a program multiplies at a time, and its warps.

    Where float32 has no matrix units, and where a width that is no multiple of 16 has addresses of single elements, the
    registers hold a smaller tile only.
    """
    if hidden.dtype == torch.float32 or hidden.shape[1] % 16:
        return {"BLOCK_N": 64, "BLOCK_V": 64, "BLOCK_D": 32}, 8
    return {"BLOCK_N": 128, "BLOCK_V": 128, "BLOCK_D": 64}, 8


def linear_partials(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, options: Options, chunk_rows: int
) -> Tensor:
    """`linear_cross_entropy_reference.linear_partials`; it holds no logits at all, whatever `chunk_rows` says."""
    N, D = hidden.shape
    V = len(weight)
    S = triton.cdiv(V, PART)
    parts = torch.empty(S, 4, N, dtype=torch.float32, device=hidden.device)
    blocks, warps = tile(hidden)
    if N:
        with torch.cuda.device_of(hidden):
            linear_partials_kernel[(triton.cdiv(N, blocks["BLOCK_N"]), S)](
                hidden,
                weight,
                bias,
                target,
                parts,
                N,
                V,
                D,
                hidden.stride(0),
                weight.stride(0),
                options.softcap,
                CAP=options.softcap > 0,
                SMOOTH=options.label_smoothing > 0,
                PRECISION="tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee",
                TILES=PART // blocks["BLOCK_V"],
                **blocks,
                num_warps=warps,
                num_stages=STAGES,
            )
    return parts
