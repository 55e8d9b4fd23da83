"""Cross-entropy per domain from hidden states, forward and backward: ours against eager, compiled and fused peers.

On a machine with a GPU, torch and triton, and mixlaw not built, from the checkout:

    PYTHONPATH=python python benchmarks/bench_linear_cross_entropy.py

`make bench` runs the smallest size. Correctness first: the sums of all tokens and some rows of both gradients are
compared with float64. The floor is the time of the three products of a step, 6 N V D operations, at the rate of a
product of 8192 x 8192 matrices; a forward pass alone needs one of them. Peers that know no domains ("no domains") give
the mean over all tokens, so they do less.
"""

import itertools
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gpu
import torch
from gpu import PEERS, Contender, Problem, Speed, Tokens, Tolerance, Truth
from torch import Tensor
from torch.nn import functional

from mixlaw.kernels import domain_linear_cross_entropy

# Logits are rounded to bfloat16 before the softmax, as in eager; few tokens with large logits feel it most.
OURS = Tolerance(sums=2**-8, gradients=2**-5)
PACKAGES = ("liger-kernel", "cut-cross-entropy")


def draw_problem(num_tokens: int, vocab_size: int, width: int, device: str, speed: Speed, peaked: float) -> Problem:
    """bfloat16 hidden states and output matrix whose logits are those of `bench_cross_entropy`."""
    tokens = gpu.draw_tokens(num_tokens, vocab_size, device)
    target = tokens.target
    weight = torch.randn(vocab_size, width, dtype=torch.bfloat16, device=device).mul_(gpu.SPREAD / math.sqrt(width))
    hidden = torch.randn(num_tokens, width, dtype=torch.bfloat16, device=device)
    at_peak = (torch.rand(num_tokens, device=device) < peaked)[:, None]
    hidden += at_peak * (gpu.PEAK / gpu.SPREAD**2) * weight[target]

    h, W = hidden.double(), weight.double()
    lse, nll = gpu.true_losses(lambda rows: h[rows] @ W.T, target)
    rows, ids, vocab = gpu.checked_rows(h), gpu.checked_rows(W), torch.arange(vocab_size, device=device)

    def truth(tokens: Tokens) -> Truth:
        c = tokens.coefficients
        g_of_rows = gpu.true_gradient(h[rows] @ W.T, lse[rows], target[rows], c[rows], vocab)
        g_of_ids = gpu.true_gradient(h @ W[ids].T, lse, target, c, ids)
        return Truth(tokens, gpu.domain_sums(nll, tokens), ((rows, g_of_rows @ W), (ids, g_of_ids.T @ h)))

    floor_ms = 6.0 * num_tokens * vocab_size * width / speed.flop_per_ms
    inputs = (hidden.requires_grad_(), weight.requires_grad_())
    return Problem(inputs, truth(tokens), truth(tokens.in_one_domain()), floor_ms)


def ours(hidden: Tensor, weight: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor | None]:
    weights = tokens.weights if torch.is_grad_enabled() else None
    return domain_linear_cross_entropy(
        hidden, weight, tokens.target, tokens.domain, tokens.num_domains, weights=weights
    )[:2]


def eager_loss(hidden: Tensor, weight: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    return gpu.eager_loss(functional.linear(hidden, weight), tokens)


def per_token_loss(losses: Any, hidden: Tensor, weight: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """Sums and objective from a peer's losses of tokens."""
    return gpu.weigh(gpu.domain_sums(losses(hidden, weight, tokens.target), tokens), tokens)


def mean_loss(mean: Any, hidden: Tensor, weight: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """The only sum, and the objective, from a peer's mean over all tokens."""
    objective = mean(hidden, weight, tokens.target)
    return objective.detach()[None] * len(tokens.target), objective


def make_contenders(device: str) -> list[Contender]:
    found = [
        Contender("mixlaw", ours, OURS),
        Contender("mixlaw, forward only", ours, OURS, backward=False),
        Contender("eager, bfloat16", eager_loss, PEERS),
    ]
    if hasattr(torch.nn, "LinearCrossEntropyOptions"):
        chunked = partial(functional.linear_cross_entropy, options=torch.nn.LinearCrossEntropyOptions())
        found.append(Contender("torch, chunked, no domains", partial(mean_loss, chunked), PEERS, one_domain=True))
    if device == "cpu":
        return found
    found.append(Contender("compiled, bfloat16", gpu.compiled(eager_loss), PEERS))
    if liger := gpu.peer("liger_kernel.transformers.functional", "liger_fused_linear_cross_entropy"):
        found.append(Contender("Liger, no domains", partial(mean_loss, liger), PEERS, one_domain=True))
    if cut := gpu.peer("cut_cross_entropy", "linear_cross_entropy"):
        losses = partial(per_token_loss, partial(cut, reduction="none"))
        found.append(Contender("cut cross-entropy", losses, PEERS))
    return found


def main(words: Sequence[str] | None = None) -> None:
    parser = gpu.make_parser(__doc__)
    parser.add_argument("--hidden", type=int, nargs="+", default=[768, 2048, 4096], metavar="D")
    arguments = gpu.parse(parser, words)
    device = arguments.device
    speed = gpu.measure_speed(device)
    table = gpu.open_table(arguments, "linear_cross_entropy", PACKAGES, speed)
    for N, V, D in itertools.product(arguments.tokens, arguments.vocab, arguments.hidden):
        draw = partial(draw_problem, N, V, D, device, speed)
        gpu.run(table, make_contenders(device), draw, {"N": N, "V": V, "D": D})
    gpu.refuse_wrong(table.rows)


def test_linear_cross_entropy(benchmark: Any, tmp_path: Path) -> None:
    import pytest

    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    words = ["--tokens", "8192", "--vocab", "50304", "--hidden", "768", "--out", str(tmp_path / "linear.csv")]
    benchmark.pedantic(main, args=(words,), rounds=1)


if __name__ == "__main__":
    main()
