"""`domain_sum`: sums of token losses per domain, differentiable, the same bits in whatever order tokens are added.

symbol     meaning                                                              shape              unit
N          tokens; N = B T for B sequences of T                                 -                  tokens
K          domains                                                              -                  -
losses     loss of every token: float64, float32, bfloat16 or float16           (N,) or (B, T)     nats
domain     domain of every token or sequence, 0..K-1: uint8, int32 or int64     that, or (B,)      -
mask       True where the token counts                                          as `losses`        -
sums       S_k, sum of the losses l_t of the tokens t of domain k               (K,)               nats

dS_k / dl_t is 1 if token t is of domain k and was added, else 0: the gradient of a function of S with respect to l_t is
its gradient with respect to S_domain(t). The K sums are all that stands between the tokens and the loss.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlaw.errors import InputError
from mixlaw.kernels import sums_reference
from mixlaw.kernels.arguments import check_devices, check_dtype, check_tokens
from mixlaw.kernels.fixed_point import addable, from_words

LOSS_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class DomainSums(NamedTuple):
    """What `domain_sum` returns; all on the device of the losses.

    Attributes
    ----------
    sums
        Sum of the losses of every domain in nats, float64, shape (K,); differentiable.
    tokens
        How many tokens each sum holds, int64, shape (K,).
    nonfinite
        Tokens that were not added because their loss is NaN, infinite, or of 2**31 nats or more; int64, shape (K,).
    outside
        Tokens that were not added because their domain is outside 0..K-1; int64, shape (). Always 0 on CPU, where such
        a domain is an error.
    """

    sums: Tensor
    tokens: Tensor
    nonfinite: Tensor
    outside: Tensor

    def mean(self) -> Tensor:
        """Mean loss per token of every domain, float64, shape (K,); NaN for a domain without tokens."""
        return self.sums / self.tokens


def domain_sum(losses: Tensor, domain: Tensor, num_domains: int, *, mask: Tensor | None = None) -> DomainSums:
    """Add up token losses per domain.

    The sums are exact in fixed point (2**-32 nat a step) and do not depend on the order of the tokens, on how a GPU
    schedules its work, or on the device. Nothing waits for the GPU.

    Parameters
    ----------
    losses
        Loss of every token in nats, shape (N,) or (B, T), floating point.
    domain
        Domain of every token, of the same shape, or of every sequence, shape (B,); uint8, int32 or int64.
    num_domains
        K, the number of domains.
    mask
        True where a token counts, bool, shape of `losses`; every token counts if not given.

    Returns
    -------
    DomainSums
        Sums and counts. A loss that is not finite is counted apart, not added, and gets the gradient zero.

    Raises
    ------
    InputError
        If a shape, dtype or device does not fit, or, for CPU tensors, a domain is outside 0..K-1. On a GPU, where
        looking would mean waiting, such tokens are counted in `outside`.

    Examples
    --------
    >>> domain_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 0]), 3).sums.tolist()
    [5.0, 2.0, 0.0]
    """
    _check(losses, domain, num_domains, mask)
    return DomainSums(*_domain_sum(losses, domain, mask, num_domains))


def _check(losses: Tensor, domain: Tensor, num_domains: int, mask: Tensor | None) -> None:
    check_dtype("losses", losses, LOSS_DTYPES)
    check_tokens("losses", losses.shape, domain, num_domains)
    if mask is not None and (mask.dtype != torch.bool or mask.shape != losses.shape):
        raise InputError(f"mask must be bool of the shape {tuple(losses.shape)}, not {mask.dtype} {tuple(mask.shape)}")
    check_devices("losses", losses, {"domain": domain, "mask": mask})


@torch.library.custom_op("mixlaw::domain_sum", mutates_args=(), device_types="cpu")
def _domain_sum(
    losses: Tensor, domain: Tensor, mask: Tensor | None, num_domains: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    result = _unpack(sums_reference.sum_words(losses, domain, mask, num_domains))
    if result[3] > 0:
        bad = (domain < 0) | (domain >= num_domains)
        raise InputError(
            f"domain {domain[bad].flatten()[0].item()} is outside 0..{num_domains - 1} "
            f"({result[3].item()} tokens); use `mask` to leave tokens out"
        )
    return result


@_domain_sum.register_kernel("cuda")
def _(losses: Tensor, domain: Tensor, mask: Tensor | None, num_domains: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from mixlaw.kernels import sums_triton

    return _unpack(sums_triton.sum_words(losses, domain, mask, num_domains))


def _unpack(words: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    high, low, tokens, nonfinite = words[:, :-1]
    # Copies, because an operator's results may not share memory.
    return from_words(high, low), tokens.clone(), nonfinite.clone(), words[2:, -1].sum()


@_domain_sum.register_fake
def _(losses: Tensor, domain: Tensor, mask: Tensor | None, num_domains: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    counts = losses.new_empty(num_domains, dtype=torch.int64)
    sums = losses.new_empty(num_domains, dtype=torch.float64)
    return sums, counts, torch.empty_like(counts), losses.new_empty((), dtype=torch.int64)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None, int], output: Any) -> None:
    losses, domain, mask, ctx.num_domains = inputs
    ctx.save_for_backward(losses, domain, mask)


def _backward(ctx: Any, grad_sums: Tensor, *_: Tensor) -> tuple[Tensor, None, None, None]:
    losses, domain, mask = ctx.saved_tensors
    ids = domain.to(torch.int64)
    inside = (ids >= 0) & (ids < ctx.num_domains)
    grad = torch.where(inside, grad_sums[ids.clamp(0, ctx.num_domains - 1)], 0.0).to(losses.dtype)
    if domain.dim() < losses.dim():
        grad = grad[:, None]
    added = addable(losses) if mask is None else addable(losses) & mask
    return torch.where(added, grad, 0.0), None, None, None


_domain_sum.register_autograd(_backward, setup_context=_setup_context)
