import inspect

import pytest
import torch
from torch.nn import functional

from mixlaw import InputError
from mixlaw.kernels import DomainStats, cross_entropy


def test_the_signature_is_that_of_torch_and_more() -> None:
    ours = list(inspect.signature(cross_entropy).parameters)
    theirs = list(inspect.signature(functional.cross_entropy).parameters)
    assert ours == [*theirs, "domain", "stats"]
    for name in theirs:
        assert inspect.signature(cross_entropy).parameters[name].default == (
            inspect.signature(functional.cross_entropy).parameters[name].default
        )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"ignore_index": 3}])
@pytest.mark.parametrize("ids", [12, 4])
def test_loss_and_gradient_are_those_of_torch(reduction: str, options: dict[str, float], ids: int) -> None:
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(0, 7, (12,), generator=generator)
    domain = torch.arange(ids) % 3
    results = []
    stats = DomainStats.zeros(3)
    for function, extra in ((cross_entropy, {"domain": domain, "stats": stats}), (functional.cross_entropy, {})):
        logits = torch.randn(12, 7, generator=torch.Generator().manual_seed(2)).requires_grad_()
        loss = function(logits, target, reduction=reduction, **options, **extra)
        loss.backward()
        results.append((loss.detach(), logits.grad))
    (ours, our_gradient), (theirs, their_gradient) = results
    assert ours.dtype == theirs.dtype
    assert torch.allclose(ours, theirs, rtol=1e-6)
    assert torch.allclose(our_gradient, their_gradient, atol=1e-6)
    counted = target != options.get("ignore_index", -100)
    per_token = domain.repeat_interleave(12 // ids)
    assert stats.tokens.tolist() == [int((counted & (per_token == k)).sum()) for k in range(3)]


def test_stats_accumulate_over_calls() -> None:
    stats = DomainStats.zeros(1)
    for _ in range(3):
        cross_entropy(torch.zeros(2, 4), torch.tensor([0, 1]), domain=torch.tensor([0, 0]), stats=stats)
    assert stats.compute().loss.item() == pytest.approx(1.3862944)
    assert stats.tokens.tolist() == [6]


def test_a_single_token() -> None:
    logits, target, domain = torch.tensor([1.0, 2.0, 0.5]), torch.tensor(1), torch.tensor(0)
    loss = cross_entropy(logits, target, domain=domain, stats=DomainStats.zeros(1))
    assert torch.allclose(loss, functional.cross_entropy(logits, target))


def test_no_sequence_and_sequences_without_tokens() -> None:
    for ids in (0, 3):
        stats = DomainStats.zeros(2)
        logits, target = torch.zeros(0, 3, requires_grad=True), torch.zeros(0, dtype=torch.int64)
        loss = cross_entropy(logits, target, domain=torch.zeros(ids, dtype=torch.int64), stats=stats)
        loss.backward()
        assert loss.item() == 0.0


def test_the_mean_of_no_token_is_zero() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    target, domain = torch.full((2,), -100), torch.zeros(2, dtype=torch.int64)
    loss = cross_entropy(logits, target, domain=domain, stats=DomainStats.zeros(1))
    loss.backward()
    assert loss.item() == 0.0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(
    ("match", "changed"),
    [
        ("class weights", {"weight": torch.ones(3)}),
        ("size_average", {"size_average": True}),
        ("reduction must be 'mean' or 'sum', not 'none'", {"reduction": "none"}),
        (r"token ids \(N,\)", {"target": torch.ones(4, 3)}),
        (r"token ids \(N,\)", {"input": torch.ones(4, 3, 2), "target": torch.zeros(4, 2, dtype=torch.int64)}),
        ("4 tokens cannot be divided among 3 domain ids", {"domain": torch.zeros(3, dtype=torch.int64)}),
        ("4 tokens cannot be divided among 0 domain ids", {"domain": torch.zeros(0, dtype=torch.int64)}),
    ],
)
def test_what_torch_takes_and_this_does_not(match: str, changed: dict[str, object]) -> None:
    arguments = {
        "input": torch.ones(4, 3),
        "target": torch.zeros(4, dtype=torch.int64),
        "domain": torch.zeros(4, dtype=torch.int64),
        "stats": DomainStats.zeros(2),
    }
    with pytest.raises(InputError, match=match):
        cross_entropy(**(arguments | changed))
