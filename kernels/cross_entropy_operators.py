"""The operators of `domain_cross_entropy`: what `torch.compile` sees of it.

Arguments are those of the functions of `cross_entropy_reference`, flattened as a schema wants them: `Labels` become
four tensors, `Options` become `ids` (integers) and `terms` (numbers). Operators that end in an underscore overwrite the
logits with their gradient. Only `attach_sums` is differentiable; the others are given detached tensors.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlaw.kernels import stats
from mixlaw.kernels.backends import backend
from mixlaw.kernels.formed import refuse_second_order, refuse_second_use
from mixlaw.kernels.labels import ROWS, Labels, Options, compute_dtype, refuse_outside


def new_words(labels: Labels, options: Options, num_domains: int) -> Tensor:
    """Words of one call, int64, shape (ROWS, K + 1), zero; for CPU tensors, labels that do not exist are refused."""
    if labels.target.device.type == "cpu":
        refuse_outside(labels, options, num_domains)
    return empty_words(labels.target, num_domains).zero_()


def empty_words(target: Tensor, num_domains: int) -> Tensor:
    """What stands for `new_words` while a graph is captured."""
    return target.new_empty(ROWS, num_domains + 1, dtype=torch.int64)


def _empty_gradient(logits: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


@torch.library.custom_op("mixlaw::cross_entropy_tally", mutates_args=())
def tally(
    logits: Tensor,
    target: Tensor,
    domain: Tensor,
    reference: Tensor | None,
    vocab_bytes: Tensor | None,
    num_domains: int,
    ids: Sequence[int],
    terms: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Words, and m and s of every token."""
    labels, options = Labels(target, domain, reference, vocab_bytes), Options(*ids, *terms)
    words = new_words(labels, options, num_domains)
    return words, backend(logits).tally(logits, labels, options, words)


@tally.register_fake
def _(
    logits: Tensor, target: Tensor, domain: Tensor, reference: Any, vocab_bytes: Any, num_domains: int, *_: Any
) -> tuple[Tensor, Tensor]:
    return empty_words(target, num_domains), logits.new_empty(2, target.shape[0], dtype=compute_dtype(logits))


@torch.library.custom_op("mixlaw::cross_entropy_tally_and_gradient", mutates_args=())
def tally_and_gradient(
    logits: Tensor,
    target: Tensor,
    domain: Tensor,
    reference: Tensor | None,
    vocab_bytes: Tensor | None,
    weights: Tensor,
    ids: Sequence[int],
    terms: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Words and gradient."""
    labels, options = Labels(target, domain, reference, vocab_bytes), Options(*ids, *terms)
    words, out = new_words(labels, options, len(weights)), _empty_gradient(logits)
    backend(logits).tally_and_gradient(logits, labels, options, weights, words, out)
    return words, out


@tally_and_gradient.register_fake
def _(
    logits: Tensor, target: Tensor, domain: Tensor, reference: Any, vocab_bytes: Any, weights: Tensor, *_: Any
) -> tuple[Tensor, Tensor]:
    return empty_words(target, len(weights)), _empty_gradient(logits)


@torch.library.custom_op("mixlaw::cross_entropy_tally_and_gradient_", mutates_args=("logits",))
def tally_and_gradient_(
    logits: Tensor,
    target: Tensor,
    domain: Tensor,
    reference: Tensor | None,
    vocab_bytes: Tensor | None,
    weights: Tensor,
    ids: Sequence[int],
    terms: Sequence[float],
) -> Tensor:
    """Words; the logits become the gradient."""
    labels, options = Labels(target, domain, reference, vocab_bytes), Options(*ids, *terms)
    words = new_words(labels, options, len(weights))
    backend(logits).tally_and_gradient(logits, labels, options, weights, words, logits)
    return words


@tally_and_gradient_.register_fake
def _(
    logits: Tensor, target: Tensor, domain: Tensor, reference: Any, vocab_bytes: Any, weights: Tensor, *_: Any
) -> Tensor:
    return empty_words(target, len(weights))


@torch.library.custom_op("mixlaw::cross_entropy_partials", mutates_args=())
def partials(logits: Tensor, target: Tensor, ids: Sequence[int], terms: Sequence[float]) -> Tensor:
    """Partials of the logits that are here, (4, N)."""
    parts: Tensor = backend(logits).partials(logits, target, Options(*ids, *terms))
    return parts


@partials.register_fake
def _(logits: Tensor, target: Tensor, *_: Any) -> Tensor:
    return logits.new_empty(4, target.shape[0], dtype=compute_dtype(logits))


@torch.library.custom_op("mixlaw::cross_entropy_combine", mutates_args=())
def combine(
    parts: Tensor,
    target: Tensor,
    domain: Tensor,
    reference: Tensor | None,
    vocab_bytes: Tensor | None,
    num_domains: int,
    ids: Sequence[int],
    terms: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Words, and m and s of every token, from partials (S, 4, N)."""
    labels, options = Labels(target, domain, reference, vocab_bytes), Options(*ids, *terms)
    words = new_words(labels, options, num_domains)
    return words, backend(parts).combine(parts, labels, options, words)


@combine.register_fake
def _(
    parts: Tensor, target: Tensor, domain: Tensor, reference: Any, vocab_bytes: Any, num_domains: int, *_: Any
) -> tuple[Tensor, Tensor]:
    return empty_words(target, num_domains), parts.new_empty(2, target.shape[0])


@torch.library.custom_op("mixlaw::cross_entropy_gradient", mutates_args=())
def gradient(
    logits: Tensor,
    target: Tensor,
    domain: Tensor,
    state: Tensor,
    coefficients: Tensor,
    ids: Sequence[int],
    terms: Sequence[float],
) -> Tensor:
    """Gradient of tokens whose m and s are known."""
    out = _empty_gradient(logits)
    labels = Labels(target, domain, None, None)
    backend(logits).gradient(logits, labels, Options(*ids, *terms), state, coefficients, out)
    return out


@gradient.register_fake
def _(logits: Tensor, *_: Any) -> Tensor:
    return _empty_gradient(logits)


@torch.library.custom_op("mixlaw::cross_entropy_gradient_", mutates_args=("logits",))
def gradient_(
    logits: Tensor,
    target: Tensor,
    domain: Tensor,
    state: Tensor,
    coefficients: Tensor,
    ids: Sequence[int],
    terms: Sequence[float],
) -> None:
    """As `gradient`; the logits become the gradient."""
    labels = Labels(target, domain, None, None)
    backend(logits).gradient(logits, labels, Options(*ids, *terms), state, coefficients, logits)


@gradient_.register_fake
def _(logits: Tensor, *_: Any) -> None:
    return None


def form_gradient(
    logits: Tensor, labels: Labels, options: Options, state: Tensor, coefficients: Tensor, inplace: bool
) -> Tensor:
    """Gradient of detached logits, in their place or in a new tensor."""
    arguments = (labels.target, labels.domain, state, coefficients.to(compute_dtype(logits)), *options.flat())
    if inplace:
        gradient_(logits, *arguments)
        return logits
    new: Tensor = gradient(logits, *arguments)
    return new


@torch.library.custom_op("mixlaw::finish_words", mutates_args=())
def finish(words: Tensor, row: int, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of the domains, their weighted sum, and the words of the stats."""
    sums, weighted, kept = backend(words).finish(words, row, weights)
    return sums, weighted, kept


@finish.register_fake
def _(words: Tensor, row: int, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    sums = words.new_empty(words.shape[1] - 1, dtype=torch.float64)
    return sums, sums.new_empty(()), torch.empty_like(words[: stats.ROWS])


@torch.library.custom_op("mixlaw::attach_domain_sums", mutates_args=())
def attach_sums(
    logits: Tensor,
    sums: Tensor,
    target: Tensor,
    domain: Tensor,
    state: Tensor,
    inplace: bool,
    ids: Sequence[int],
    terms: Sequence[float],
) -> Tensor:
    """The sums, differentiable with respect to the logits."""
    return sums.clone()


@attach_sums.register_fake
def _(logits: Tensor, sums: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(sums)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    logits, _, target, domain, state, ctx.inplace, ids, terms = inputs
    ctx.options = Options(*ids, *terms)
    ctx.save_for_backward(logits, target, domain, state)
    ctx.used = False


def _backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    refuse_second_order()
    if ctx.inplace:
        refuse_second_use(ctx)
    logits, target, domain, state = ctx.saved_tensors
    labels = Labels(target, domain, None, None)
    return form_gradient(logits.detach(), labels, ctx.options, state, upstream, ctx.inplace), *[None] * 7


attach_sums.register_autograd(_backward, setup_context=_setup_context)
