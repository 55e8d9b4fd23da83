"""`domain_linear_cross_entropy`: the loss of every domain from hidden states, without all logits at any time.

Symbols as in `linear_cross_entropy_reference`. The gradients of the output matrix and of the hidden states are sums
over logits that no longer exist in the backward pass, so the coefficients of the domains must be known in the forward
pass: `weights` are given, not found out later.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlaw.errors import InputError
from mixlaw.kernels import cross_entropy_operators as operators
from mixlaw.kernels import linear_cross_entropy_reference
from mixlaw.kernels.arguments import check_devices, check_dtype
from mixlaw.kernels.backends import backend
from mixlaw.kernels.cross_entropy import LOGIT_DTYPES, DomainLoss
from mixlaw.kernels.formed import attach, refuse_gradient
from mixlaw.kernels.labels import (
    Labels,
    Options,
    check_bytes,
    check_labels,
    check_weights,
    compute_dtype,
    make_labels,
    make_options,
    refuse_dtensor,
)
from mixlaw.kernels.stats import DomainStats

# On a CPU, what stays in its cache. On a GPU, enough rows for efficient products, and few passes over dW.
CHUNK_BYTES = {"cpu": 2**21, "cuda": 2**29}


def domain_linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    domain: Tensor,
    num_domains: int,
    *,
    weights: Tensor | None,
    bias: Tensor | None = None,
    reference: Tensor | None = None,
    vocab_bytes: Tensor | None = None,
    ignore_index: int = -100,
    softcap: float | None = None,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    chunk_bytes: int | None = None,
) -> DomainLoss:
    """Cross-entropy of ``hidden @ weight.T + bias`` summed per domain; logits are formed for a few tokens at a time.

    With gradients: the logits of a chunk of tokens become their gradient in place, and the gradients of `hidden`,
    `weight` and `bias` are formed in the forward pass. Without (under `torch.no_grad`, or where no input requires
    grad): an evaluation, which on a GPU stores no logits at all.

    Parameters
    ----------
    hidden
        Hidden states, shape (N, D) or (B, T, D); float32, bfloat16 or float16, on CPU also float64.
    weight
        Output matrix, shape (V, D); of the dtype of `hidden`. Under autocast both are used in autocast's dtype, and the
        gradient of a float32 weight is kept in float32.
    target, domain, num_domains, reference, vocab_bytes, ignore_index, softcap, z_loss, label_smoothing
        As for `domain_cross_entropy`.
    weights
        Weights of the domains in `total`, shape (K,). They cannot be changed after the fact, so there is no default;
        None is for evaluation.
    bias
        Shape (V,).
    chunk_bytes
        The most that logits may take at a time; 512 MiB on a GPU and 2 MiB on a CPU if not given (or one row of logits,
        where that is more). How the tokens are cut can change the last bits of the products.

    Returns
    -------
    DomainLoss
        Sums (not differentiable), total (differentiable; None without weights) and stats.

    Raises
    ------
    InputError
        As `domain_cross_entropy`; and if an input requires grad but there are no weights, or if `chunk_bytes` holds no
        row.

    Examples
    --------
    >>> hidden, weight = torch.zeros(3, 8, requires_grad=True), torch.zeros(4, 8)
    >>> target, domain, weights = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 0]), torch.tensor([0.5, 0.5])
    >>> loss = domain_linear_cross_entropy(hidden, weight, target, domain, 2, weights=weights)
    >>> round(loss.total.item(), 4)
    2.0794
    """
    _check_product(hidden, weight, bias)
    check_labels("hidden", hidden, hidden.shape[:-1], target, domain, num_domains, reference)
    weights = check_weights(weights, num_domains, hidden)
    options = make_options(ignore_index, 0, len(weight), softcap, z_loss, label_smoothing)
    check_bytes(vocab_bytes, len(weight), hidden)
    inputs = [hidden, weight] if bias is None else [hidden, weight, bias]
    differentiable = torch.is_grad_enabled() and any(each.requires_grad for each in inputs)
    if differentiable and weights is None:
        raise InputError(
            "weights=None is for evaluation, but an input requires grad: pass weights, for example of "
            "`domain_weights`, since the gradients of the output matrix cannot be weighted afterwards; or call under "
            "torch.no_grad()"
        )

    dtype = hidden.dtype
    if torch.is_autocast_enabled(hidden.device.type) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(hidden.device.type)
    rows = hidden.to(dtype).flatten(0, -2).contiguous()
    labels = make_labels(rows, target, domain, reference, vocab_bytes)
    chunk_rows = _chunk_rows(chunk_bytes, rows, len(weight))
    fixed = (weight.detach(), None if bias is None else bias.detach())
    gradients: list[Tensor] = []
    factor: Tensor | None = None
    if weights is None or not differentiable:
        words = _tally(rows.detach(), *fixed, *labels, num_domains, chunk_rows, *options.flat())
    else:
        wanted = [each.requires_grad for each in inputs]
        formed, factor = _unvanishing(weights) if dtype == torch.float16 else (weights, None)
        words, *gradients = _tally_and_gradients(
            rows.detach(), *fixed, *labels, formed, chunk_rows, wanted, *options.flat()
        )

    sums, weighted, kept = operators.finish(words, options.objective_row, weights)
    total = None if weights is None else weighted.to(compute_dtype(rows))
    if total is not None and gradients:
        wanting = [each for each in [rows, *inputs[1:]] if each.requires_grad]
        total = attach(total, wanting, gradients, factor)
        sums = refuse_gradient(sums, wanting[0])
    return DomainLoss(sums, total, DomainStats(kept))


def _check_product(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    for name, tensor in (("hidden", hidden), ("weight", weight), ("bias", bias)):
        if tensor is not None:
            refuse_dtensor(
                name, tensor, f"pass {name}.full_tensor(), or form local logits and call `domain_cross_entropy`"
            )
    for name, tensor in (("hidden", hidden), ("weight", weight)):
        check_dtype(name, tensor, LOGIT_DTYPES)
    if hidden.dim() not in (2, 3):
        raise InputError(f"hidden must have the shape (N, D) or (B, T, D), not {tuple(hidden.shape)}")
    if weight.dim() != 2 or weight.shape[1] != hidden.shape[-1] or 0 in weight.shape:
        raise InputError(f"weight must have the shape (V, {hidden.shape[-1]}), not {tuple(weight.shape)}")
    if weight.dtype != hidden.dtype and not torch.is_autocast_enabled(hidden.device.type):
        raise InputError(
            f"hidden is {hidden.dtype} but weight is {weight.dtype}: cast one, or call under torch.autocast"
        )
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != weight.dtype):
        raise InputError(
            f"bias must be {weight.dtype} of shape {tuple(weight.shape[:1])}, not {bias.dtype} {tuple(bias.shape)}"
        )
    check_devices("hidden", hidden, {"weight": weight, "bias": bias})


def _unvanishing(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weights over the largest of them, and that: gradients of 1e-8 would be 0 in float16 before a loss scale comes."""
    largest = weights.abs().amax()
    return weights / largest.where(largest > 0, 1.0), largest


def _chunk_rows(chunk_bytes: int | None, hidden: Tensor, vocab_size: int) -> int:
    """Tokens a chunk: as few chunks as fit, all of about one size, a multiple of 128 where 128 fit."""
    row = vocab_size * hidden.element_size()
    if chunk_bytes is None:
        chunk_bytes = max(row, CHUNK_BYTES[hidden.device.type])
    if chunk_bytes < row:
        raise InputError(f"chunk_bytes is {chunk_bytes}, but the logits of one token take {row} bytes")
    most = chunk_bytes // row
    if most >= 128:
        most -= most % 128
    chunks = math.ceil(max(1, len(hidden)) / most)
    even = math.ceil(max(1, len(hidden)) / chunks)
    return min(most, math.ceil(even / 128) * 128) if even > 128 else even


@torch.library.custom_op("mixlaw::linear_cross_entropy_tally", mutates_args=())
def _tally(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    domain: Tensor,
    reference: Tensor | None,
    vocab_bytes: Tensor | None,
    num_domains: int,
    chunk_rows: int,
    ids: Sequence[int],
    terms: Sequence[float],
) -> Tensor:
    """Words of tokens whose logits are not stored."""
    labels, options = Labels(target, domain, reference, vocab_bytes), Options(*ids, *terms)
    words = operators.new_words(labels, options, num_domains)
    linear_partials = linear_cross_entropy_reference.linear_partials
    if hidden.is_cuda and hidden.dtype != torch.float64:
        from mixlaw.kernels import linear_cross_entropy_triton

        linear_partials = linear_cross_entropy_triton.linear_partials
    bias = None if bias is None else _like(hidden, bias)
    parts = linear_partials(hidden, _like(hidden, weight), bias, target, options, chunk_rows)
    backend(parts).combine(parts, labels, options, words)
    return words


@_tally.register_fake
def _(hidden: Tensor, weight: Any, bias: Any, target: Tensor, *rest: Any) -> Tensor:
    return operators.empty_words(target, rest[3])


@torch.library.custom_op("mixlaw::linear_cross_entropy", mutates_args=())
def _tally_and_gradients(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    domain: Tensor,
    reference: Tensor | None,
    vocab_bytes: Tensor | None,
    weights: Tensor,
    chunk_rows: int,
    wanted: Sequence[bool],
    ids: Sequence[int],
    terms: Sequence[float],
) -> list[Tensor]:
    """Words, and those gradients of hidden states, weight and bias that are wanted."""
    labels, options = Labels(target, domain, reference, vocab_bytes), Options(*ids, *terms)
    words = operators.new_words(labels, options, len(weights))
    weight_like, bias_like = _like(hidden, weight), None if bias is None else _like(hidden, bias)
    grad_hidden = torch.empty_like(hidden) if wanted[0] else None
    grad_weight = _sum_like(weight) if wanted[1] else None
    grad_bias = _sum_like(bias) if bias is not None and wanted[2] else None
    linear_cross_entropy_reference.tally_and_gradients(
        hidden,
        weight_like,
        bias_like,
        labels,
        options,
        weights,
        words,
        chunk_rows,
        grad_hidden,
        grad_weight,
        grad_bias,
    )
    finished = [each.to(_finished_dtype(weight)) for each in (grad_weight, grad_bias) if each is not None]
    return [words, *finished] if grad_hidden is None else [words, grad_hidden, *finished]


@_tally_and_gradients.register_fake
def _(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    domain: Any,
    reference: Any,
    vocab_bytes: Any,
    weights: Tensor,
    chunk_rows: int,
    wanted: Sequence[bool],
    *_: Any,
) -> list[Tensor]:
    inputs = [hidden, weight] if bias is None else [hidden, weight, bias]
    gradients = [
        each.new_empty(each.shape, dtype=hidden.dtype if each is hidden else _finished_dtype(each))
        for each, want in zip(inputs, wanted, strict=True)
        if want
    ]
    return [operators.empty_words(target, len(weights)), *gradients]


def _like(hidden: Tensor, tensor: Tensor) -> Tensor:
    """Weight or bias as the products take it."""
    return tensor.to(hidden.dtype).contiguous()


def _finished_dtype(parameter: Tensor) -> torch.dtype:
    """Type of a parameter's gradient between the passes: a sum over tokens can exceed float16 until it is scaled."""
    return torch.float32 if parameter.dtype == torch.float16 else parameter.dtype


def _sum_like(tensor: Tensor) -> Tensor:
    """Zeros to accumulate the gradient of a parameter in."""
    return torch.zeros(tensor.shape, dtype=compute_dtype(tensor), device=tensor.device)
