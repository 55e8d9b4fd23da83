"""Sums of token losses per domain: the Triton kernel.

Names and shapes as in `mixlaw.kernels.sums`. Losses, domain ids and mask are read once; the sums are integers, added by
integer atomics, so they are the same bits in whatever order the programs run.
"""

# Triton has no types; mypy checks what calls the kernel.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

import torch
import triton
import triton.language as tl
from torch import Tensor

from mixlaw.kernels.arguments import tokens_per_id
from mixlaw.kernels.fixed_point_triton import addable, to_words

BLOCK = 1024


@triton.jit
def domain_sum_kernel(
    losses_ptr,  # (n,) float
    domain_ptr,  # (n / tokens_per_id,) integer
    mask_ptr,  # (n,) bool, or None
    words_ptr,  # (4, K + 1) int64, zeroed
    n,
    tokens_per_id,
    K,
    BLOCK: tl.constexpr,
):
    """Add one block of tokens to the words of their domains; see `sums_reference.sum_words`."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    counted = at < n
    loss = tl.load(losses_ptr + at, mask=counted, other=0.0)
    if loss.dtype != tl.float64:
        loss = loss.to(tl.float32)
    ids = tl.load(domain_ptr + at // tokens_per_id, mask=counted, other=0).to(tl.int64)
    if mask_ptr is not None:
        counted = counted & (tl.load(mask_ptr + at, mask=counted, other=0) != 0)
    slot = tl.where((ids >= 0) & (ids < K), ids, K)
    added = counted & addable(loss)
    left = counted & (added == 0)
    high, low = to_words(tl.where(added, loss, 0.0))

    # Documents are long and a batch row has one domain, so most blocks hold one domain only: one atomic a word.
    first = tl.min(tl.where(counted, slot, K), 0)
    last = tl.max(tl.where(counted, slot, 0), 0)
    to = words_ptr
    if first == last:
        tl.atomic_add(to + first, tl.sum(high, 0), sem="relaxed")
        tl.atomic_add(to + (K + 1) + first, tl.sum(low, 0), sem="relaxed")
        tl.atomic_add(to + 2 * (K + 1) + first, tl.sum(added.to(tl.int64), 0), sem="relaxed")
        tl.atomic_add(to + 3 * (K + 1) + first, tl.sum(left.to(tl.int64), 0), sem="relaxed")
    else:
        tl.atomic_add(to + slot, high, mask=added, sem="relaxed")
        tl.atomic_add(to + (K + 1) + slot, low, mask=added, sem="relaxed")
        tl.atomic_add(to + 2 * (K + 1) + slot, added.to(tl.int64), mask=added, sem="relaxed")
        tl.atomic_add(to + 3 * (K + 1) + slot, left.to(tl.int64), mask=left, sem="relaxed")


def sum_words(losses: Tensor, domain: Tensor, mask: Tensor | None, num_domains: int) -> Tensor:
    """Launch the kernel; arguments and result as in `sums_reference.sum_words`."""
    words = torch.zeros(4, num_domains + 1, dtype=torch.int64, device=losses.device)
    n = losses.numel()
    if n == 0:
        return words
    mask = None if mask is None else mask.contiguous()
    with torch.cuda.device_of(losses):
        domain_sum_kernel[(triton.cdiv(n, BLOCK),)](
            losses.contiguous(), domain.contiguous(), mask, words, n, tokens_per_id(n, domain), num_domains, BLOCK=BLOCK
        )
    return words
