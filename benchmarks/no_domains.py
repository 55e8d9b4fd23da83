"""What `domain_cross_entropy` would be without domains: its kernel, with token losses in place of the tally.

It tells what the domains cost. Losses are float32, the objective is their mean.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mixlaw.kernels import cross_entropy_triton
from mixlaw.kernels.cross_entropy_triton import row_partials, write_gradient


@triton.jit
def formed_kernel(logits_ptr, target_ptr, losses_ptr, out_ptr, c, V, stride, R: tl.constexpr, C: tl.constexpr):
    """Loss and gradient of one row of contiguous logits."""
    token = tl.program_id(0).to(tl.int64)
    row_ptr = logits_ptr + token * stride
    target = tl.load(target_ptr + token)
    top, total, at_target, _ = row_partials(row_ptr, target, V, 0.0, False, False, R, C)
    tl.store(losses_ptr + token, tl.log(total) + (top - at_target))
    tl.debug_barrier()
    out_row_ptr = out_ptr + token * stride
    write_gradient(row_ptr, out_row_ptr, target, top, total, c, V, 0.0, 0.0, 0.0, V, False, False, False, R * C)


def form(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of all tokens, float32, shape (N,), and the gradient of their mean."""
    N, V = logits.shape
    losses, out = torch.empty(N, dtype=torch.float32, device=logits.device), torch.empty_like(logits)
    R, C, warps = cross_entropy_triton.tile(V)
    formed_kernel[(N,)](logits, target, losses, out, 1.0 / N, V, logits.stride(0), R=R, C=C, num_warps=warps)
    return losses, out


class Formed(torch.autograd.Function):
    """The mean loss, with the gradient that was formed in the forward pass; nothing scales it."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        losses, gradient = form(logits, target)
        ctx.save_for_backward(gradient)
        sums = losses.sum(dtype=torch.float64)[None]
        return sums, sums[0] / len(losses)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient, None
