"""`cross_entropy`: what `torch.nn.functional.cross_entropy` returns, with the losses of the domains on the side."""

import torch
from torch import Tensor

from mixlaw.errors import InputError
from mixlaw.kernels.cross_entropy import domain_cross_entropy
from mixlaw.kernels.stats import DomainStats
from mixlaw.kernels.weights import domain_weights


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    domain: Tensor,
    stats: DomainStats,
) -> Tensor:
    """`torch.nn.functional.cross_entropy` of token ids, for code that calls it already; `stats` gains every domain's.

    Parameters
    ----------
    input
        Logits, shape (N, V) or (V,).
    target
        Token ids, shape (N,) or ().
    ignore_index, label_smoothing
        As in torch.
    reduction
        ``"mean"`` over the tokens that count, or ``"sum"``.
    domain
        Domain of every token, shape (N,), or (); or of every sequence of N / len(domain) tokens, one behind the other.
    stats
        Where the step is added, in place: `DomainStats.zeros(num_domains, device)`, kept until the next log line.

    Returns
    -------
    Tensor
        The loss, float32, shape (); its gradient is formed in the forward pass. Unlike torch's, the mean over no token
        is 0, not NaN.

    Raises
    ------
    InputError
        As `domain_cross_entropy`; and for class weights, probabilities as targets, targets of more dimensions, and
        ``reduction="none"``.
    """
    if weight is not None or size_average is not None or reduce is not None:
        raise InputError("class weights, size_average and reduce are not supported: a domain's weight is not a class's")
    if reduction not in ("mean", "sum"):
        raise InputError(f"reduction must be 'mean' or 'sum', not {reduction!r}: losses per token are never stored")
    if target.is_floating_point() or target.dim() > 1 or input.dim() != target.dim() + 1:
        raise InputError(
            f"input must be (N, V) or (V,) with token ids (N,) or () as target, not {tuple(input.shape)} with "
            f"{target.dtype} {tuple(target.shape)}: flatten all dimensions but the vocabulary"
        )
    logits, tokens = (input, target) if target.dim() == 1 else (input[None], target[None])
    ids = domain.flatten()
    length, rest = divmod(len(tokens), max(1, len(ids)))
    if rest or (length and not len(ids)):
        raise InputError(f"{len(tokens)} tokens cannot be divided among {len(ids)} domain ids")
    if len(ids) != len(tokens):
        logits, tokens = logits.view(len(ids), length, logits.shape[1]), tokens.view(len(ids), length)
    num_domains = stats.num_domains
    if reduction == "sum":
        weights = torch.ones(num_domains, device=input.device)
    else:
        weights = domain_weights(tokens, ids, num_domains, ignore_index=ignore_index)
    loss = domain_cross_entropy(
        logits,
        tokens,
        ids,
        num_domains,
        weights=weights,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
    )
    stats.accumulate(loss.stats)
    assert loss.total is not None
    return loss.total
