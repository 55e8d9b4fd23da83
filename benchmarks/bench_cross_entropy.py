"""Cross-entropy per domain from logits, forward and backward: ours against eager, compiled and fused peers.

On a machine with a GPU, torch and triton, and mixlaw not built, from the checkout:

    PYTHONPATH=python python benchmarks/bench_cross_entropy.py            the full grid
    PYTHONPATH=python python benchmarks/bench_cross_entropy.py --sweep    ours, under other launch shapes

`make bench` runs the smallest size. Correctness first: the sums of all tokens and the gradients of some are compared
with float64. The floor is the time of two readings and one writing of the logits at the bandwidth of a copy; where the
second reading comes from the L2 cache it can be undercut, so the share of one reading and one writing is given as well.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import gpu
import torch
from gpu import PEERS, Contender, Problem, Speed, Tokens, Tolerance, Truth
from table import Row
from torch import Tensor

from mixlaw.kernels import domain_cross_entropy

# The losses are float32, the gradient is rounded to bfloat16.
OURS = Tolerance(sums=1e-6, gradients=2**-8)
PACKAGES = ("liger-kernel", "flash-attn")
NO_DOMAINS = "the kernel without domains"


def draw_problem(num_tokens: int, vocab_size: int, device: str, speed: Speed, peaked: float) -> Problem:
    """bfloat16 logits, for a share of the tokens with a peak at the target."""
    tokens = gpu.draw_tokens(num_tokens, vocab_size, device)
    logits = torch.randn(num_tokens, vocab_size, dtype=torch.bfloat16, device=device).mul_(gpu.SPREAD)
    at_peak = (torch.rand(num_tokens, device=device) < peaked).nonzero().squeeze(1)
    logits[at_peak, tokens.target[at_peak]] = gpu.PEAK

    lse, nll = gpu.true_losses(lambda rows: logits[rows].double(), tokens.target)
    rows, vocab = gpu.checked_rows(logits), torch.arange(vocab_size, device=device)
    some = logits[rows].double()

    def truth(tokens: Tokens) -> Truth:
        gradient = gpu.true_gradient(some, lse[rows], tokens.target[rows], tokens.coefficients[rows], vocab)
        return Truth(tokens, gpu.domain_sums(nll, tokens), ((rows, gradient),))

    floor_ms = 3 * logits.nbytes / speed.bytes_per_ms
    return Problem((logits.requires_grad_(),), truth(tokens), truth(tokens.in_one_domain()), floor_ms)


def call_ours(logits: Tensor, tokens: Tokens, **options: Any) -> tuple[Tensor, Tensor | None]:
    return domain_cross_entropy(logits, tokens.target, tokens.domain, tokens.num_domains, **options)[:2]


def formed(logits: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor | None]:
    """The gradient is formed in the forward pass."""
    return call_ours(logits, tokens, weights=tokens.weights)


class Produced(torch.autograd.Function):
    """The same logits as what a layer produced, since those that are a leaf must not be overwritten."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        return logits.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def formed_in_place(logits: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor | None]:
    return call_ours(Produced.apply(logits), tokens, weights=tokens.weights, inplace=True)


def without_domains(logits: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    from no_domains import Formed

    return Formed.apply(logits, tokens.target)


def from_sums(logits: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """The gradient comes from a second kernel in the backward pass."""
    return gpu.weigh(call_ours(logits, tokens)[0], tokens)


def upcast_loss(logits: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    return gpu.eager_loss(logits.float(), tokens)


def per_token_loss(losses: Any, logits: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """Sums and objective from a peer's losses of tokens."""
    return gpu.weigh(gpu.domain_sums(losses(logits, tokens.target), tokens), tokens)


def make_contenders(device: str) -> list[Contender]:
    found = [
        Contender("mixlaw", formed, OURS),
        Contender("mixlaw, in place", formed_in_place, OURS, overwrites=True),
        Contender("mixlaw, sums", from_sums, OURS),
        Contender("mixlaw, one domain", formed, OURS, one_domain=True),
        Contender("eager, float32", upcast_loss, PEERS),
        Contender("eager, bfloat16", gpu.eager_loss, PEERS),
    ]
    if device == "cpu":
        return found
    found += [
        Contender(NO_DOMAINS, without_domains, OURS, one_domain=True),
        Contender("mixlaw, compiled", gpu.compiled(formed), OURS),
        Contender("compiled, float32", gpu.compiled(upcast_loss), PEERS),
        Contender("compiled, bfloat16", gpu.compiled(gpu.eager_loss), PEERS),
    ]
    if liger := gpu.peer("liger_kernel.transformers.functional", "liger_cross_entropy"):
        losses = partial(per_token_loss, partial(liger, reduction="none"))
        found.append(Contender("Liger", losses, PEERS, overwrites=True))
    if flash := gpu.peer("flash_attn.ops.triton.cross_entropy", "cross_entropy_loss"):
        losses = partial(per_token_loss, lambda x, target: flash(x, target)[0])
        in_place = partial(per_token_loss, lambda x, target: flash(x, target, inplace_backward=True)[0])
        found += [
            Contender("flash-attn", losses, PEERS),
            Contender("flash-attn, in place", in_place, PEERS, overwrites=True),
        ]
    return found


def formed_under(shape: tuple[int, int, int], logits: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor | None]:
    """`formed`, with (R, C, warps) instead of what `tile` says."""
    from mixlaw.kernels import cross_entropy_triton

    with mock.patch.object(cross_entropy_triton, "tile", return_value=shape):
        return formed(logits, tokens)


def make_shapes() -> list[Contender]:
    """Ours as it is, then under all shapes of 4,096 to 32,768 logits a program and 8 to 64 a thread."""
    found = [Contender("mixlaw", formed, OURS)]
    for shape in itertools.product((1, 2, 4, 8), (1024, 2048, 4096, 8192, 16384), (4, 8, 16, 32)):
        R, C, warps = shape
        if 4096 <= R * C <= 32768 and 8 <= R * C / (32 * warps) <= 64:
            found.append(Contender(f"R {R}, C {C}, warps {warps}", partial(formed_under, shape), OURS))
    return found


def more_columns(row: Row) -> Row:
    """What a share of the floor is of one reading and one writing, and what 22 domains cost over the kernel without."""
    cost = 100.0 * (1.0 / row["times_ours"] - 1.0) if row["contender"] == NO_DOMAINS else ""
    return {"share_of_1R_1W": row["share_of_floor"] * 2.0 / 3.0, "domains_cost_%": cost}


def main(words: Sequence[str] | None = None) -> None:
    parser = gpu.make_parser(__doc__)
    parser.add_argument("--sweep", action="store_true", help="ours, under other launch shapes, at the first N")
    arguments = gpu.parse(parser, words)
    device, sweep = arguments.device, arguments.sweep
    speed = gpu.measure_speed(device)
    table = gpu.open_table(arguments, "cross_entropy_sweep" if sweep else "cross_entropy", PACKAGES, speed)
    for N, V in itertools.product(arguments.tokens[:1] if sweep else arguments.tokens, arguments.vocab):
        contenders = make_shapes() if sweep else make_contenders(device)
        draw = partial(draw_problem, N, V, device, speed)
        gpu.run(table, contenders, draw, {"N": N, "V": V}, more_columns)
    gpu.refuse_wrong(table.rows)


def test_cross_entropy(benchmark: Any, tmp_path: Path) -> None:
    import pytest

    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    words = ["--tokens", "8192", "--vocab", "50304", "--out", str(tmp_path / "cross_entropy.csv")]
    benchmark.pedantic(main, args=(words,), rounds=1)


if __name__ == "__main__":
    main()
