"""Run the kernel under Triton's interpreter: ``TRITON_INTERPRET=1 python run_interpreted.py INPUT OUTPUT``.

A process of its own, because Triton reads the variable when the kernel is decorated.
"""

import sys

import torch
import triton

from mixlaw.kernels import sums_triton

GUARD = -7777


def guarded(losses: torch.Tensor, domain: torch.Tensor, mask: torch.Tensor | None, K: int, block: int) -> torch.Tensor:
    """Launch into the middle of a poisoned buffer, with blocks of another size."""
    size = 4 * (K + 1)
    buffer = torch.full((size + 64,), GUARD)
    words = buffer[32 : 32 + size]
    words.zero_()
    n = losses.numel()
    if n:
        sums_triton.domain_sum_kernel[(triton.cdiv(n, block),)](
            losses, domain, mask, words, n, n // domain.numel(), K, BLOCK=block
        )
    assert (buffer[:32] == GUARD).all()
    assert (buffer[32 + size :] == GUARD).all()
    return words.view(4, K + 1)


def main(given: str, result: str) -> None:
    out = {}
    for name, (losses, domain, mask, K) in torch.load(given).items():
        out[name] = {
            "launched": sums_triton.sum_words(losses, domain, mask, K),
            "guarded": guarded(losses, domain, mask, K, 64),
        }
    torch.save(out, result)


main(*sys.argv[1:])
