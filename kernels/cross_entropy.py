"""`domain_cross_entropy`: the loss of every domain from logits, and its gradient, in one or two readings of them.

Symbols as in `cross_entropy_reference`. The K sums of the domains are the whole interface between tokens and objective:
the coefficient of a token's gradient is dL/dS_k of its domain k. So a function of the sums is differentiated by a
second kernel that needs only K coefficients, and where the objective is a weighted sum, whose coefficients are its
weights, the first kernel writes the gradient as well.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mixlaw.errors import InputError
from mixlaw.kernels import cross_entropy_operators as operators
from mixlaw.kernels.arguments import check_dtype
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

LOGIT_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class DomainLoss(NamedTuple):
    """What `domain_cross_entropy` and `domain_linear_cross_entropy` return; all on the device of the logits.

    Attributes
    ----------
    sums
        Sum of the losses of every domain, with label smoothing and z-loss if asked for; nats, float64, shape (K,).
        Differentiable if no weights were given; if they were, a backward pass through it is an error (in graphs of
        `torch.compile` it is a constant).
    total
        The sums weighted by `weights`, float32 (float64 for float64 logits), shape (); differentiable. None without
        weights.
    stats
        Cross-entropy, tokens, correct predictions, excess loss and bytes of every domain.
    """

    sums: Tensor
    total: Tensor | None
    stats: DomainStats


def domain_cross_entropy(
    logits: Tensor,
    target: Tensor,
    domain: Tensor,
    num_domains: int,
    *,
    weights: Tensor | None = None,
    reference: Tensor | None = None,
    vocab_bytes: Tensor | None = None,
    ignore_index: int = -100,
    softcap: float | None = None,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    inplace: bool = False,
    vocab_group: torch.distributed.ProcessGroup | None = None,
) -> DomainLoss:
    """Cross-entropy summed per domain, differentiable, with what else a step can tell of its domains.

    Losses are computed in float32 whatever the logits are, never stored per token, and added as integers, so that the
    sums are the same bits for any order of the tokens, any grid and any split of the batch. Nothing waits for the GPU.

    Parameters
    ----------
    logits
        Shape (N, V) or (B, T, V); float32, bfloat16 or float16, on CPU also float64. The last dimension must be
        contiguous, the others may have any strides: ``logits[:, :-1]`` is not copied.
    target
        Token ids, shape (N,) or (B, T); int64 or int32.
    domain
        Domain of every token, shape (N,) or (B, T), or of every sequence, shape (B,); uint8, int32 or int64.
    num_domains
        K.
    weights
        Weights w of a weighted sum of the losses, shape (K,), for example from `domain_weights`; used in float32.
        The result then has `total`, whose gradient is formed at once.
    reference
        Loss of a reference model for every token in nats, of the shape of `target`, floating point: `stats` then hold
        the excess loss, max(cross-entropy - reference, 0), as DoReMi defines it.
    vocab_bytes
        Bytes of every token of the vocabulary, integers, shape (V,): `stats` then give bits per byte.
    ignore_index
        Tokens with this target do not count.
    softcap
        Replace logits x by ``softcap * tanh(x / softcap)`` (Gemma 2, arXiv 2408.00118).
    z_loss
        Add ``z_loss * log(sum(exp(logits)))**2`` to the loss of a token (PaLM, arXiv 2204.02311).
    label_smoothing
        Share of the target's probability that is spread evenly over the vocabulary, as in
        `torch.nn.functional.cross_entropy`.
    inplace
        Let the gradient overwrite the logits, which must not be needed afterwards: no second tensor of their size.
        (That of a slice of a larger tensor, such as ``logits[:, :-1]``, is copied into one of the larger size by torch
        itself; pad the targets instead.)
    vocab_group
        The processes that hold the vocabulary in equal parts, in the order of their ranks; `target` and all else is the
        same on each, and so is the result. One collective of 16 bytes a token is added.

    Returns
    -------
    DomainLoss
        Sums, total and stats. A batch without tokens gives zeros.

    Raises
    ------
    InputError
        If a shape, dtype or device does not fit; if logits are a DTensor; or, for CPU tensors, if a target or domain
        does not exist. On a GPU, where looking would mean waiting, such tokens are counted in `stats`.

    Examples
    --------
    >>> logits = torch.zeros(3, 4, requires_grad=True)
    >>> loss = domain_cross_entropy(logits, torch.tensor([0, 1, 2]), torch.tensor([0, 1, 0]), 2)
    >>> [round(nats, 4) for nats in loss.sums.tolist()]
    [2.7726, 1.3863]
    """
    _check_logits(logits)
    check_labels("logits", logits, logits.shape[:-1], target, domain, num_domains, reference)
    weights = check_weights(weights, num_domains, logits)
    shards, rank = 1, 0
    if vocab_group is not None:
        shards, rank = torch.distributed.get_world_size(vocab_group), torch.distributed.get_rank(vocab_group)
    size = logits.shape[-1]
    options = make_options(ignore_index, rank * size, shards * size, softcap, z_loss, label_smoothing)
    check_bytes(vocab_bytes, options.vocab_size, logits)
    differentiable = torch.is_grad_enabled() and logits.requires_grad
    # A loss scale, without which the gradients of float16 logits vanish, is known in the backward pass only.
    form = weights is not None and differentiable and logits.dtype != torch.float16
    if inplace and differentiable:
        _check_inplace(logits)

    rows = logits if logits.dim() == 3 else logits[None]
    x = rows.detach()
    labels = make_labels(x, target, domain, reference, vocab_bytes)
    state: Tensor | None = None
    gradient: Tensor | None = None
    if vocab_group is not None:
        parts = operators.partials(x, labels.target, *options.flat())
        labels, parts = _gather(parts, labels, size, options, vocab_group)
        words, state = operators.combine(parts, *labels, num_domains, *options.flat())
    elif not form:
        words, state = operators.tally(x, *labels, num_domains, *options.flat())
    elif inplace:
        words, gradient = operators.tally_and_gradient_(x, *labels, weights, *options.flat()), x
    else:
        words, gradient = operators.tally_and_gradient(x, *labels, weights, *options.flat())
    if form and weights is not None and state is not None:
        gradient = operators.form_gradient(x, labels, options, state, weights, inplace)

    sums, weighted, kept = operators.finish(words, options.objective_row, weights)
    total = None if weights is None else weighted.to(compute_dtype(logits))
    if total is not None and gradient is not None:
        total = attach(total, [rows], [gradient])
        sums = refuse_gradient(sums, logits)
    elif differentiable:
        attached = operators.attach_sums(rows, sums, labels.target, labels.domain, state, inplace, *options.flat())
        if weights is None:
            sums = attached
        else:
            total = (weights.double() * attached).sum().to(compute_dtype(logits))
            sums = refuse_gradient(sums, logits)
    return DomainLoss(sums, total, DomainStats(kept))


def _check_logits(logits: Tensor) -> None:
    refuse_dtensor(
        "logits",
        logits,
        "pass logits.to_local(), and as `vocab_group` the process group of the mesh dimension that shards the "
        "vocabulary",
    )
    check_dtype("logits", logits, LOGIT_DTYPES)
    if logits.dim() not in (2, 3):
        raise InputError(f"logits must have the shape (N, V) or (B, T, V), not {tuple(logits.shape)}")
    if logits.shape[-1] == 0:
        raise InputError(f"logits of shape {tuple(logits.shape)}: the vocabulary is empty")
    if logits.stride(-1) != 1 and logits.shape[-1] > 1:
        raise InputError(
            f"the last dimension of logits must be contiguous, but its stride is {logits.stride(-1)}: "
            "pass logits.contiguous()"
        )


def _check_inplace(logits: Tensor) -> None:
    if logits.is_leaf:
        raise InputError("inplace: logits are a leaf that requires grad, and would become their own gradient")
    if torch.compiler.is_compiling():
        # Strides may be symbols; and what a captured graph overwrites is its own.
        return
    if logits._base is not None and logits._base.is_leaf:
        raise InputError("inplace: logits are a view of a leaf, which would be overwritten by their gradient")
    end = 0
    for stride, size in sorted(zip(logits.stride(), logits.shape, strict=True)):
        if size > 1 and stride <= end:
            raise InputError("inplace: several logits share their memory (an expanded or overlapping tensor)")
        end += stride * (size - 1)


def _gather(
    parts: Tensor, labels: Labels, size: int, options: Options, group: torch.distributed.ProcessGroup
) -> tuple[Labels, Tensor]:
    """Exchange the parts of the vocabulary; if they are not of one size, no token has a target that exists."""
    shards = options.vocab_size // size
    mine = torch.cat([parts.flatten(), parts.new_full((1,), size)])
    gathered = mine.new_empty(shards * len(mine))
    torch.distributed.all_gather_into_tensor(gathered, mine, group=group)
    all_parts = gathered.view(shards, len(mine))
    sizes = all_parts[:, -1]
    unequal = (sizes != size).any()
    if not (parts.is_cuda or torch.compiler.is_compiling()) and unequal:
        raise InputError(
            f"the parts of the vocabulary must be of one size, not {[int(each) for each in sizes]}: pad it"
        )
    unknown = -1 if options.ignore_index != -1 else -2
    counted = labels.target != options.ignore_index
    labels = labels._replace(target=labels.target.masked_fill(counted & unequal, unknown))
    return labels, all_parts[:, :-1].contiguous().view(shards, *parts.shape)
