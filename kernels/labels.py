"""What a loss needs besides logits: the labels of the tokens, the options of the loss, and the checks of both."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from mixlaw.errors import InputError
from mixlaw.kernels import stats
from mixlaw.kernels.arguments import TARGET_DTYPES, check_devices, check_dtype, check_tokens

BYTE_DTYPES = (torch.uint8, torch.int16, torch.int32, torch.int64)
# Rows of the words of one call: those of `DomainStats`, then the loss in two words where it is not the cross-entropy.
OBJECTIVE, ROWS = stats.ROWS, stats.ROWS + 2


class Options(NamedTuple):
    """What defines the loss of a token, in types that an operator's schema knows.

    Attributes
    ----------
    ignore_index
        The target of tokens that do not count.
    vocab_start, vocab_size
        First token id of the logits that are here, and the size of the whole vocabulary.
    softcap
        Cap of the logits in nats; 0 for none.
    z_loss
        Weight of the square of the log of the sum of e^logit.
    label_smoothing
        Share of the target's probability that is spread over the vocabulary, in [0, 1].
    """

    ignore_index: int
    vocab_start: int
    vocab_size: int
    softcap: float
    z_loss: float
    label_smoothing: float

    def flat(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The integers and the numbers, as operators take them."""
        return self[:3], self[3:]

    @property
    def objective_row(self) -> int:
        """Row of the words that holds the loss."""
        return OBJECTIVE if self.z_loss or self.label_smoothing else stats.LOSS


class Labels(NamedTuple):
    """What is known of every token besides its logits: flat, contiguous, on the device of the logits.

    Attributes
    ----------
    target
        int64 or int32, shape (N,).
    domain
        Shape (N,), or one id for N / len(domain) tokens in a row.
    reference
        Loss of the reference model in nats, float32 (float64 with float64 logits), shape (N,); or None.
    vocab_bytes
        Bytes of every token of the whole vocabulary, integers, shape (vocab_size,); or None.
    """

    target: Tensor
    domain: Tensor
    reference: Tensor | None
    vocab_bytes: Tensor | None

    def domain_of_token(self) -> Tensor:
        """Domain of every token, int64, shape (N,)."""
        ids = self.domain.to(torch.int64)
        if len(ids) == len(self.target):
            return ids
        return ids[:, None].expand(-1, len(self.target) // len(ids)).flatten()


def compute_dtype(logits: Tensor) -> torch.dtype:
    """The type that logits are computed in."""
    return torch.promote_types(logits.dtype, torch.float32)


def make_options(
    ignore_index: int,
    vocab_start: int,
    vocab_size: int,
    softcap: float | None,
    z_loss: float,
    label_smoothing: float,
) -> Options:
    """Check the options of a loss."""
    if softcap is not None and not 0.0 < softcap < math.inf:
        raise InputError(f"softcap must be above 0 and finite, or None for no cap, not {softcap}")
    if not 0.0 <= z_loss < math.inf:
        raise InputError(f"z_loss must be 0 or more and finite, not {z_loss}")
    if not 0.0 <= label_smoothing <= 1.0:
        raise InputError(f"label_smoothing must be between 0 and 1, not {label_smoothing}")
    return Options(ignore_index, vocab_start, vocab_size, softcap or 0.0, float(z_loss), float(label_smoothing))


def make_labels(
    tensor: Tensor, target: Tensor, domain: Tensor, reference: Tensor | None, vocab_bytes: Tensor | None
) -> Labels:
    """Flatten what is known of the tokens; copies only where it is not contiguous."""
    return Labels(
        target.contiguous().view(-1),
        domain.contiguous().view(-1),
        None if reference is None else reference.detach().to(compute_dtype(tensor)).contiguous().view(-1),
        None if vocab_bytes is None else vocab_bytes.contiguous(),
    )


def refuse_dtensor(name: str, tensor: Tensor, do: str) -> None:
    """Refuse a DTensor, whose local part would be taken for the whole, and say what to do."""
    if type(tensor) is not Tensor and type(tensor).__name__ == "DTensor":
        raise InputError(f"{name} is a DTensor: {do}")


def check_labels(
    name: str,
    tensor: Tensor,
    shape: tuple[int, ...],
    target: Tensor,
    domain: Tensor,
    num_domains: int,
    reference: Tensor | None,
) -> None:
    """Refuse labels that do not go with tokens of this shape."""
    check_dtype("target", target, TARGET_DTYPES)
    if target.shape != shape:
        raise InputError(
            f"target must have the shape {tuple(shape)}, that of {name} without the last dimension, "
            f"not {tuple(target.shape)}"
        )
    check_tokens("target", target.shape, domain, num_domains)
    if reference is not None and (reference.shape != target.shape or not reference.is_floating_point()):
        raise InputError(
            f"reference must be the loss of every token, floating point of shape {tuple(target.shape)}, "
            f"not {reference.dtype} {tuple(reference.shape)}"
        )
    check_devices(name, tensor, {"target": target, "domain": domain, "reference": reference})


def check_weights(weights: Tensor | None, num_domains: int, tensor: Tensor) -> Tensor | None:
    """Refuse weights of the wrong shape, and those that want a gradient; the result is of the type of computations."""
    if weights is None:
        return None
    check_dtype("weights", weights, (torch.float32, torch.float64))
    if weights.shape != (num_domains,):
        raise InputError(f"weights must have the shape ({num_domains},), one a domain, not {tuple(weights.shape)}")
    if weights.requires_grad and torch.is_grad_enabled():
        raise InputError(
            "weights require grad, and have none here: pass weights.detach(), or differentiate "
            "(weights * loss.sums).sum() of `domain_cross_entropy` without weights"
        )
    check_devices("weights", weights, {"the input": tensor})
    return weights.detach().to(compute_dtype(tensor))


def check_bytes(vocab_bytes: Tensor | None, vocab_size: int, tensor: Tensor) -> None:
    """Refuse a table of bytes that is not one of the vocabulary."""
    if vocab_bytes is None:
        return
    check_dtype("vocab_bytes", vocab_bytes, BYTE_DTYPES)
    if vocab_bytes.shape != (vocab_size,):
        raise InputError(
            f"vocab_bytes must have the shape ({vocab_size},), one number a token of the vocabulary, "
            f"not {tuple(vocab_bytes.shape)}"
        )
    check_devices("logits", tensor, {"vocab_bytes": vocab_bytes})


def refuse_outside(labels: Labels, options: Options, num_domains: int) -> None:
    """Name the first token whose target or domain does not exist; for CPU tensors, where looking costs nothing.

    Raises
    ------
    InputError
        If there is such a token among those that count.
    """
    target, ids = labels.target, labels.domain_of_token()
    counted = target != options.ignore_index
    for name, values, end in (("target", target, options.vocab_size), ("domain", ids, num_domains)):
        bad = counted & ((values < 0) | (values >= end))
        if bad.any():
            at = int(bad.nonzero()[0])
            raise InputError(
                f"{name} {int(values[at])} of token {at} is outside 0..{end - 1} ({int(bad.sum())} tokens); "
                f"tokens that do not count have the target ignore_index={options.ignore_index}"
            )
