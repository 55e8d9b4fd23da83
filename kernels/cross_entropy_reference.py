"""Cross-entropy per domain in plain torch: what CPU and float64 tensors take, and the reference of the kernels.

symbol     meaning                                                                          shape      unit
V          vocabulary; with vocabulary-parallel logits, the part of it that is here         -          -
x          logits, here of two dimensions; computed in float32 (float64 if they are)        (N, V)     nats
z          cap tanh(x / cap) with a softcap, else x                                         (N, V)     nats
m, s       max_v z_v and sum_v e^(z_v - m)                                                  (N,)       nats, -
t          target                                                                           (N,)       token id
nll        cross-entropy, log s + (m - z_t)                                                 (N,)       nats
lse        log sum_v e^z_v = m + log s                                                      (N,)       nats
eps, zeta  label smoothing; weight of the z-loss                                            -          -
loss       (1 - eps) nll + eps (lse - mean_v z_v) + zeta lse^2                              (N,)       nats
c          coefficient of a token, that of its domain, or 0 where it was left out           (N,)       -
g          c dloss/dx = c (e^(z - m)/s (1 + 2 zeta lse) - (1 - eps) [v = t] - eps/V) dz/dx  (N, V)     -
dz/dx      1 - (z / cap)^2 with a softcap, else 1                                           (N, V)     -

The cross-entropy is formed from m - z_t and log s, not from lse - z_t, so that it keeps its digits where logits are
large. A token is left out if its target is `ignore_index`; if its target or domain does not exist; or if its loss, or
its excess over the reference, is not addable. Its s is stored as 0, and its gradient is 0 whatever its logits are.
"""

import torch
from torch import Tensor

from mixlaw.kernels import stats
from mixlaw.kernels.fixed_point import addable, from_words, to_words
from mixlaw.kernels.labels import OBJECTIVE, Labels, Options, compute_dtype

# Logits that are summed at a time.
BLOCK = 4096


def _capped(logits: Tensor, options: Options) -> Tensor:
    x = logits.flatten(0, -2).to(compute_dtype(logits))
    return torch.tanh(x / options.softcap) * options.softcap if options.softcap else x


def _sum_of_rows(values: Tensor) -> Tensor:
    """Sum of every row, in an order that the number of rows does not change.

    torch lets the threads of a CPU share one long sum, but not one of several; so none may be long.
    """
    blocks = values.shape[1] // BLOCK
    head = values[:, : blocks * BLOCK].reshape(len(values), blocks, BLOCK)
    return head.sum(2).sum(1) + values[:, blocks * BLOCK :].sum(1)


def _reduce(z: Tensor, target: Tensor, options: Options, room: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What `partials` returns, and e^(z - m), which takes the place of z if that is the `room`."""
    top = z.amax(1)
    base = top.where(top > -torch.inf, 0.0)
    local = target.to(torch.int64) - options.vocab_start
    here = (local >= 0) & (local < z.shape[1])
    at_target = z.gather(1, local.clamp(0, z.shape[1] - 1)[:, None]).squeeze(1).where(here, 0.0)
    all_logits = _sum_of_rows(z) if options.label_smoothing else torch.zeros_like(top)
    exponentials = torch.sub(z, base[:, None], out=room).exp_()
    return torch.stack([top, _sum_of_rows(exponentials), at_target, all_logits]), exponentials


def _write_gradient(
    z: Tensor, g: Tensor, labels: Labels, options: Options, state: Tensor, coefficients: Tensor, out: Tensor
) -> None:
    """Turn e^(z - m), which is overwritten, into the gradient, and have that in `out`."""
    top, total = state
    added = total > 0
    ids = labels.domain_of_token().clamp(0, len(coefficients) - 1)
    c = coefficients.to(z.dtype)[ids].where(added, 0.0)
    scale = c / total.where(added, 1.0)
    if options.z_loss:
        scale = scale * (1.0 + 2.0 * options.z_loss * (top + total.log()))
    g *= scale[:, None]
    if options.label_smoothing:
        g -= c[:, None] * (options.label_smoothing / options.vocab_size)
    local = labels.target.to(torch.int64) - options.vocab_start
    here = added & (local >= 0) & (local < z.shape[1])
    at_target = (c * (options.label_smoothing - 1.0)).where(here, 0.0)
    g.scatter_add_(1, local.clamp(0, z.shape[1] - 1)[:, None], at_target[:, None])
    if options.softcap:
        g *= 1.0 - (z / options.softcap).square()
    left_out = c == 0.0
    if g.is_cuda or left_out.any():  # a pass that only rows without a gradient need; on a GPU, looking would be waiting
        g.masked_fill_(left_out[:, None], 0.0)
    if g.data_ptr() != out.data_ptr():
        out.copy_(g.view(out.shape))


def partials(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """Reduce every row of logits to m, s, z_t (0 if t is not here) and sum_v z_v (0 unless smoothing needs it).

    Parameters
    ----------
    logits
        Shape (..., V), of N rows.
    target
        Shape (N,).

    Returns
    -------
    Tensor
        Shape (4, N), of the type that logits are computed in.
    """
    return _reduce(_capped(logits, options), target, options)[0]


def combine(parts: Tensor, labels: Labels, options: Options, words: Tensor) -> Tensor:
    """Put the parts of the vocabulary together and add every token to the words of its domain.

    Parameters
    ----------
    parts
        `partials` of S parts of the vocabulary, shape (S, 4, N).
    words
        int64, shape (ROWS, K + 1); added to.

    Returns
    -------
    Tensor
        m and s of every token, shape (2, N); s is 0 where the token was left out.
    """
    top = parts[:, 0].amax(0)
    base = top.where(top > -torch.inf, 0.0)
    total, at_target, all_logits = torch.zeros_like(top), torch.zeros_like(top), torch.zeros_like(top)
    for part in parts:  # one after the other, so that the order of the sum is fixed
        total = total + part[1] * torch.exp(part[0] - base)
        at_target = at_target + part[2]
        all_logits = all_logits + part[3]
    log_total = total.log()
    nll = log_total + (top - at_target)
    loss = nll
    if options.label_smoothing:
        smooth = log_total + (top - all_logits / options.vocab_size)
        loss = (1.0 - options.label_smoothing) * nll + options.label_smoothing * smooth
    if options.z_loss:
        loss = loss + options.z_loss * (top + log_total).square()

    num_domains = words.shape[1] - 1
    target, ids = labels.target, labels.domain_of_token()
    counted = target != options.ignore_index
    known = (target >= 0) & (target < options.vocab_size) & (ids >= 0) & (ids < num_domains)
    finite = addable(nll) & addable(loss)
    excess = None
    if labels.reference is not None:
        excess = nll - labels.reference
        finite &= addable(excess)
    added = counted & known & finite
    correct = added & (at_target >= top)
    amounts = torch.zeros(words.shape[0], len(target), dtype=torch.int64, device=words.device)
    amounts[stats.LOSS : stats.LOSS + 2] = torch.stack(to_words(nll.where(added, 0.0)))
    amounts[stats.TOKENS] = added | (counted & ~known)
    amounts[stats.NONFINITE] = counted & known & ~finite
    amounts[stats.CORRECT] = correct
    if excess is not None:
        amounts[stats.EXCESS : stats.EXCESS + 2] = torch.stack(to_words(excess.clamp(min=0.0).where(added, 0.0)))
        amounts[stats.REFERENCED] = added
    if labels.vocab_bytes is not None:
        amounts[stats.BYTES] = labels.vocab_bytes[target.clamp(0, options.vocab_size - 1)].where(added, 0)
    if options.objective_row == OBJECTIVE:
        amounts[OBJECTIVE : OBJECTIVE + 2] = torch.stack(to_words(loss.where(added, 0.0)))
    words.index_add_(1, ids.where(known, num_domains), amounts)
    return torch.stack([top, total.where(added, 0.0)])


def tally(logits: Tensor, labels: Labels, options: Options, words: Tensor) -> Tensor:
    """Add every token to the words of its domain; the result is that of `combine`."""
    return combine(partials(logits, labels.target, options)[None], labels, options, words)


def gradient(
    logits: Tensor, labels: Labels, options: Options, state: Tensor, coefficients: Tensor, out: Tensor
) -> None:
    """Write g into `out`, which may be the logits.

    Parameters
    ----------
    state
        m and s of every token, from `combine` or `tally`.
    coefficients
        c of every domain, shape (K,).
    out
        Of the shape and dtype of `logits`.
    """
    z = _capped(logits, options)
    _write_gradient(z, (z - state[0][:, None]).exp_(), labels, options, state, coefficients, out)


def tally_and_gradient(
    logits: Tensor, labels: Labels, options: Options, weights: Tensor, words: Tensor, out: Tensor
) -> None:
    """`tally`, and `gradient` with the coefficients `weights`; `out` may be the logits."""
    z = _capped(logits, options)
    overwritten = z.data_ptr() == out.data_ptr()
    parts, exponentials = _reduce(z, labels.target, options, z if overwritten else None)
    state = combine(parts[None], labels, options, words)
    _write_gradient(z, exponentials, labels, options, state, weights, out)


def finish(words: Tensor, row: int, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the words at `row` into nats, and all into those of `DomainStats`.

    Returns
    -------
    tuple of Tensor
        Sums of every domain, float64, shape (K,); their sum weighted by `weights`, float64, shape (), 0 without
        weights; and the words of the stats, int64, shape (stats.ROWS, K + 1), whose low words are below 2**32.
    """
    sums = from_words(words[row, :-1], words[row + 1, :-1])
    weighted = sums.new_zeros(()) if weights is None else (weights.double() * sums).sum()
    kept = words[: stats.ROWS].clone()
    stats.carry(kept)
    return sums, weighted, kept


def scale(gradients: list[Tensor], factor: Tensor) -> None:
    """Multiply gradients by a scalar, in place."""
    for each in gradients:
        each.mul_(factor)
