"""`torch.compile(fullgraph=True)` gives what eager execution gives, for every way that leads to a loss."""

from collections.abc import Callable

import pytest
import torch
import torch._dynamo.testing

from mixlaw.kernels import (
    DomainStats,
    cross_entropy,
    domain_cross_entropy,
    domain_linear_cross_entropy,
    domain_sum,
    domain_weights,
)

TARGET = torch.tensor([[1, 2, 3, -100], [4, 5, 6, 7], [8, 0, 1, 2]])
DOMAIN = torch.tensor([0, 2, 0])
WEIGHTS = torch.tensor([0.5, 1.0, 2.0])
EVERYTHING = {"softcap": 5.0, "z_loss": 1e-2, "label_smoothing": 0.1}
Result = tuple[torch.Tensor, DomainStats]


def sums(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    loss = domain_cross_entropy(hidden @ weight.T, TARGET, DOMAIN, 3, **EVERYTHING)
    return loss.sums.square().sum(), loss.stats


def sums_inplace(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    loss = domain_cross_entropy(hidden @ weight.T, TARGET, DOMAIN, 3, inplace=True)
    return loss.sums.max(), loss.stats


def total(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    loss = domain_cross_entropy(hidden @ weight.T, TARGET, DOMAIN, 3, weights=WEIGHTS, **EVERYTHING)
    return 3.0 * loss.total, loss.stats


def total_inplace(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    weights = domain_weights(TARGET, DOMAIN, 3, scheme="doremi", proportions=WEIGHTS)
    loss = domain_cross_entropy(hidden @ weight.T, TARGET, DOMAIN, 3, weights=weights, inplace=True)
    return loss.total, loss.stats


def shifted(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    logits = (hidden @ weight.T)[:, :-1]
    loss = domain_cross_entropy(logits, TARGET[:, 1:], DOMAIN, 3, weights=WEIGHTS, reference=torch.ones(3, 3))
    return loss.total, loss.stats


def linear(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    loss = domain_linear_cross_entropy(hidden, weight, TARGET, DOMAIN, 3, weights=WEIGHTS, chunk_bytes=200)
    return loss.total, loss.stats


def linear_evaluation(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    with torch.no_grad():
        loss = domain_linear_cross_entropy(hidden, weight, TARGET, DOMAIN, 3, weights=None)
    return (hidden * loss.sums[0]).sum() + (weight * loss.sums[2]).sum(), loss.stats


def autocast(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    with torch.autocast("cpu", torch.bfloat16):
        loss = domain_linear_cross_entropy(hidden, weight, TARGET, DOMAIN, 3, weights=WEIGHTS)
    return loss.total, loss.stats


def drop_in(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    running = DomainStats.zeros(3)
    return cross_entropy((hidden @ weight.T).flatten(0, 1), TARGET.flatten(), domain=DOMAIN, stats=running), running


def token_losses(hidden: torch.Tensor, weight: torch.Tensor) -> Result:
    losses = (hidden @ weight.T).logsumexp(-1)
    return domain_sum(losses, DOMAIN, 3).sums.square().sum(), DomainStats.zeros(3)


WAYS = [
    sums,
    sums_inplace,
    total,
    total_inplace,
    shifted,
    linear,
    linear_evaluation,
    autocast,
    drop_in,
    token_losses,
]


def run(way: Callable[..., Result]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(3, 4, 6, generator=generator), torch.randn(9, 6, generator=generator)
    hidden.requires_grad_()
    weight.requires_grad_()
    value, stats = way(hidden, weight)
    value.backward()
    return [value.detach(), stats.words, hidden.grad, weight.grad]


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_captured_graph_gives_the_same_bits(way: Callable[..., Result]) -> None:
    for ours, eager in zip(run(torch.compile(way, backend="aot_eager", fullgraph=True)), run(way), strict=True):
        assert torch.equal(ours, eager)


def loss_of(kind: str, hidden: torch.Tensor, weight: torch.Tensor, target: torch.Tensor, domain: torch.Tensor):
    if kind == "linear":
        weights = domain_weights(target, domain, 3, scheme="doremi", proportions=WEIGHTS)
        return domain_linear_cross_entropy(hidden, weight, target, domain, 3, weights=weights).total
    if kind == "sums":
        return domain_cross_entropy(hidden @ weight.T, target, domain, 3).sums.max()
    weights = domain_weights(target, domain, 3)
    return domain_cross_entropy(
        hidden @ weight.T, target, domain, 3, weights=weights, inplace=kind == "total, in place"
    ).total


@pytest.mark.parametrize("kind", ["sums", "total", "total, in place", "linear"])
def test_batches_of_many_sizes_take_two_compilations(kind: str) -> None:
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(loss_of, backend=counter, fullgraph=True)
    for sequences in range(2, 9):
        hidden, weight = torch.randn(sequences, 4, 6, requires_grad=True), torch.randn(9, 6, requires_grad=True)
        target, domain = torch.randint(9, (sequences, 4)), torch.randint(3, (sequences,))
        value = compiled(kind, hidden, weight, target, domain)
        value.backward()
        assert torch.allclose(value, loss_of(kind, hidden, weight, target, domain))
    assert counter.frame_count <= 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # of torch by its own compiler
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_generated_code_gives_the_same_losses(way: Callable[..., Result]) -> None:
    for ours, eager in zip(run(torch.compile(way, fullgraph=True)), run(way), strict=True):
        assert torch.allclose(ours, eager, rtol=1e-5, atol=1e-6)
