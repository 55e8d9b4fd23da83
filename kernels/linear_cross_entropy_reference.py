"""Cross-entropy per domain from hidden states, in plain torch: logits are formed for a few tokens at a time.

symbol         meaning                                                                              shape    unit
h, W, b        hidden states, output matrix, bias; logits x = h Wᵀ + b                              (N, D)   -
g              coefficient times gradient of the loss with respect to the logits                    (N, V)   -
dh, dW, db     g W, gᵀ h and the sum of g over tokens; dW and db are accumulated in float32         -        -

The gradient g of a chunk overwrites its logits, in one buffer for all chunks. On CUDA devices the products are those of
cuBLAS and g comes from the kernel of `domain_cross_entropy`; the loop is the same.
"""

import torch
from torch import Tensor

from mixlaw.kernels.backends import backend
from mixlaw.kernels.labels import Labels, Options, compute_dtype


def linear_partials(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, options: Options, chunk_rows: int
) -> Tensor:
    """`cross_entropy_reference.partials` of the logits of all tokens, in S parts, here 1: shape (S, 4, N)."""
    parts = torch.empty(1, 4, len(hidden), dtype=compute_dtype(hidden), device=hidden.device)
    buffer = hidden.new_empty(min(chunk_rows, len(hidden)), len(weight))
    for start in range(0, len(hidden), chunk_rows):
        rows = slice(start, start + chunk_rows)
        logits = _logits(hidden[rows], weight, bias, buffer)
        parts[0, :, rows] = backend(logits).partials(logits[None], target[rows], options)
    return parts


def tally_and_gradients(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Labels,
    options: Options,
    weights: Tensor,
    words: Tensor,
    chunk_rows: int,
    grad_hidden: Tensor | None,
    grad_weight: Tensor | None,
    grad_bias: Tensor | None,
) -> None:
    """Add every token to the words of its domain, and write the gradients that are wanted.

    Parameters
    ----------
    weight, bias
        Of the dtype of `hidden`.
    grad_hidden
        Like `hidden`; or None.
    grad_weight, grad_bias
        Zero, of the type that logits are computed in, shapes (V, D) and (V,); or None.
    """
    domain = labels.domain if len(labels.domain) == len(hidden) else labels.domain_of_token()
    buffer = hidden.new_empty(min(chunk_rows, len(hidden)), len(weight))
    for start in range(0, len(hidden), chunk_rows):
        rows = slice(start, start + chunk_rows)
        h = hidden[rows]
        g = _logits(h, weight, bias, buffer)
        reference = None if labels.reference is None else labels.reference[rows]
        chunk = Labels(labels.target[rows], domain[rows], reference, labels.vocab_bytes)
        backend(g).tally_and_gradient(g[None], chunk, options, weights, words, g[None])
        if grad_hidden is not None:
            torch.mm(g, weight, out=grad_hidden[rows])
        if grad_weight is not None:
            _accumulate(grad_weight, g, h)
        if grad_bias is not None:
            grad_bias += g.sum(0, dtype=grad_bias.dtype)


def _logits(h: Tensor, weight: Tensor, bias: Tensor | None, buffer: Tensor) -> Tensor:
    out = buffer[: len(h)]
    return torch.mm(h, weight.T, out=out) if bias is None else torch.addmm(bias, h, weight.T, out=out)


def _accumulate(total: Tensor, g: Tensor, h: Tensor) -> None:
    """Add gᵀ h to a total of at least the precision of float32, without rounding the product to less.

    Rows of h that are not finite have logits that are not, so their g is 0; but 0 times NaN would be NaN.
    """
    h = h.nan_to_num(0.0, 0.0, 0.0)
    if total.dtype == g.dtype:
        total.addmm_(g.T, h)
    elif total.is_cuda:
        torch.addmm(total, g.T, h, out_dtype=total.dtype, out=total)
    else:
        total.addmm_(g.T.to(total.dtype), h.to(total.dtype))
