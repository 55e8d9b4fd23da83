"""Weights that make a weighted sum of domain losses an objective; computed on the device.

symbol  meaning                                                          shape   unit
K       domains                                                          -       -
n       tokens of every domain that are not ignored, finite or not       (K,)    tokens
p       proportions of the domains in the objective                      (K,)    -
w       weights: the objective is sum_k w_k S_k, S the sums of losses    (K,)    1/tokens

scheme           w_k                                the objective is
"token_mean"     1 / sum_j n_j                      the mean loss over tokens
"domain_mean"    p_k / n_k, over sum p of those     the mean over domains, weighted by p, of their mean losses
                 domains that have tokens
"doremi"         p_k / sum_j p_j n_j                the mean over tokens, a token of domain k weighted by p_k
"""

from typing import Literal

import torch
from torch import Tensor

from mixlaw.errors import InputError, did_you_mean
from mixlaw.kernels.arguments import TARGET_DTYPES, check_devices, check_dtype, check_tokens

SCHEMES = ("token_mean", "domain_mean", "doremi")


def domain_weights(
    target: Tensor,
    domain: Tensor,
    num_domains: int,
    *,
    scheme: Literal["token_mean", "domain_mean", "doremi"] = "token_mean",
    proportions: Tensor | None = None,
    ignore_index: int = -100,
    group: torch.distributed.ProcessGroup | None = None,
) -> Tensor:
    """Weights of the domains for the batch at hand, for `domain_cross_entropy(weights=...)`.

    Parameters
    ----------
    target, domain, num_domains, ignore_index
        As for `domain_cross_entropy`.
    scheme
        ``"token_mean"``: the usual mean over tokens. ``"domain_mean"``: the mean over domains of their mean losses, the
        objective of Algorithm 1 of DoReMi (arXiv 2305.10429) if `proportions` are its domain weights. ``"doremi"``:
        every token weighted by the proportion of its domain, over the sum of these weights, as DoReMi's published
        trainer does.
    proportions
        p, shape (K,), float32 or float64, 0 or more; uniform if not given. Not for ``"token_mean"``.
    group
        Processes that train on different parts of one batch. The tokens are counted over all of them, and the weights
        multiplied by their number, because data-parallel training takes the mean of the gradients.

    Returns
    -------
    Tensor
        w, float32, shape (K,); 0 for a domain without tokens under ``"domain_mean"``, and 0 everywhere if no token
        counts.

    Raises
    ------
    InputError
        If a shape or dtype does not fit, the scheme is not known, or, on CPU, a proportion is negative or not finite.

    Examples
    --------
    >>> domain_weights(torch.tensor([5, 6, 7, -100]), torch.tensor([0, 0, 1, 1]), 2, scheme="domain_mean").tolist()
    [0.25, 0.5]
    """
    if scheme not in SCHEMES:
        raise InputError(f"unknown scheme {scheme!r}{did_you_mean(scheme, SCHEMES)}")
    check_dtype("target", target, TARGET_DTYPES)
    check_tokens("target", target.shape, domain, num_domains)
    check_devices("target", target, {"domain": domain, "proportions": proportions})
    if proportions is not None:
        if scheme == "token_mean":
            raise InputError("scheme 'token_mean' takes no proportions: did you mean 'domain_mean' or 'doremi'?")
        check_dtype("proportions", proportions, (torch.float32, torch.float64))
        if proportions.shape != (num_domains,):
            raise InputError(f"proportions must have the shape ({num_domains},), not {tuple(proportions.shape)}")
        if proportions.device.type == "cpu" and not torch.compiler.is_compiling():
            bad = ~((proportions >= 0.0) & (proportions < torch.inf))
            if bad.any():
                k = int(bad.nonzero()[0])
                raise InputError(f"the proportion of domain {k} must be finite and 0 or more, not {proportions[k]}")
    tokens, replicas = _count(target, domain, num_domains, ignore_index), 1
    if group is not None:
        torch.distributed.all_reduce(tokens, group=group)
        replicas = torch.distributed.get_world_size(group)
    n = tokens.double()
    p = torch.ones_like(n) if proportions is None else proportions.detach().double()
    share, whole = p, (p * n).sum()
    if scheme == "domain_mean":
        present = p.where(tokens > 0, 0.0)
        share, whole = present / n.clamp(min=1.0), present.sum()
    return (share * replicas / whole).where(whole != 0.0, 0.0).float()


def _count(target: Tensor, domain: Tensor, num_domains: int, ignore_index: int) -> Tensor:
    """Tokens of every domain that count, int64, shape (K,)."""
    ids = domain.to(torch.int64).flatten()
    counted = (target.flatten() != ignore_index).view(ids.numel(), -1) if ids.numel() else target.flatten()[:, None] > 0
    slot = ids.where((ids >= 0) & (ids < num_domains), num_domains)
    tokens = torch.zeros(num_domains + 1, dtype=torch.int64, device=target.device)
    return tokens.index_add_(0, slot, counted.sum(1))[:-1]
