"""Gradients that are formed in the forward pass: how they reach autograd, and what is refused.

A loss that is one number has a gradient up to a factor that only the backward pass knows. So it is formed along with
the loss, and `attach` gives the loss a gradient function that multiplies it by that factor, in place, or leaves it
alone where the factor is 1. What has been multiplied cannot be used again.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mixlaw.errors import InputError
from mixlaw.kernels.backends import backend


@torch.library.custom_op("mixlaw::scale_gradients", mutates_args=("gradients",))
def _scale(gradients: Sequence[Tensor], factor: Tensor) -> None:
    for each in gradients:
        backend(each).scale([each], factor)


@_scale.register_fake
def _(gradients: Sequence[Tensor], factor: Tensor) -> None:
    return None


@torch.library.custom_op("mixlaw::attach_gradients", mutates_args=())
def _attach(inputs: Sequence[Tensor], gradients: Sequence[Tensor], total: Tensor, factor: Tensor | None) -> Tensor:
    return total.clone()


@_attach.register_fake
def _(inputs: Any, gradients: Any, total: Tensor, factor: Any) -> Tensor:
    return torch.empty_like(total)


def _setup_context(ctx: Any, inputs: tuple[Any, Sequence[Tensor], Tensor, Tensor | None], output: Tensor) -> None:
    _, gradients, _, factor = inputs
    ctx.save_for_backward(*gradients, factor)
    ctx.used = False


def _backward(ctx: Any, upstream: Tensor) -> tuple[list[Tensor], list[None], None, None]:
    refuse_second_order()
    refuse_second_use(ctx)
    *gradients, factor = ctx.saved_tensors
    _scale(gradients, upstream if factor is None else upstream * factor)
    return gradients, [None] * len(gradients), None, None


_attach.register_autograd(_backward, setup_context=_setup_context)


def attach(total: Tensor, inputs: list[Tensor], gradients: list[Tensor], factor: Tensor | None = None) -> Tensor:
    """Make `total` differentiable: the backward pass scales the gradients in place and hands them to the inputs.

    Parameters
    ----------
    factor
        What the gradients lack besides the factor of the backward pass, a scalar.
    """
    attached: Tensor = _attach(inputs, gradients, total, factor)
    return attached


def refuse_second_order() -> None:
    """Refuse a backward pass whose result is to be differentiated: the kernels would drop that derivative."""
    if torch.is_grad_enabled():
        raise InputError("the gradient of a domain loss cannot be differentiated again: leave out create_graph=True")


def refuse_second_use(ctx: Any) -> None:
    """Refuse the second backward pass of an operator that overwrites what it saved."""
    if ctx.used:
        raise InputError(
            "a gradient that is scaled in place, or that took the place of the logits, can be used once: call backward "
            "once, without retain_graph"
        )
    ctx.used = True


class _Refusal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sums: Tensor, anchor: Tensor) -> Tensor:
        # A gradient of zeros that nobody asked for must not be taken for one that somebody did.
        ctx.set_materialize_grads(False)
        return sums.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor | None) -> tuple[None, None]:
        if upstream is None:
            return None, None
        raise InputError(
            "`sums` has no gradient where `weights` are given: the gradient of `total` was formed in the forward pass "
            "and cannot be weighted again. Differentiate `total`; or use `sums.detach()`; or, for a function of the "
            "sums, call `domain_cross_entropy` without weights"
        )


def refuse_gradient(sums: Tensor, anchor: Tensor) -> Tensor:
    """Let a backward pass through `sums` fail with a message, instead of contributing nothing in silence.

    Parameters
    ----------
    anchor
        A tensor that requires grad, and that the gradient would have been wanted of.
    """
    if torch.compiler.is_compiling():
        # A captured graph asks for the gradients of all that it returns, used or not.
        return sums
    refused: Tensor = _Refusal.apply(sums, anchor)  # type: ignore[no-untyped-call]
    return refused
