import pytest
import torch
from torch.nn.functional import cross_entropy

from mixlaw import ProxySettings
from mixlaw.train.model import build_model, count_parameters, mean_loss, measure_losses


@pytest.fixture(scope="module")
def small() -> ProxySettings:
    return ProxySettings(layers=2, hidden=32, heads=2, sequence_length=15)


def token_losses(model, tokens: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=tokens[:, :-1]).logits
    return cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").view(len(tokens), -1)


def test_both_losses_are_the_cross_entropy_of_the_next_token(small: ProxySettings) -> None:
    model = build_model(small, 50, seed=0)
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 50, (3, 16), generator=generator)
    mask, domain = torch.rand(3, 15, generator=generator) < 0.7, torch.tensor([1, 0, 1])
    expected = token_losses(model, tokens)
    assert torch.allclose(mean_loss(model, tokens), expected.mean(), atol=1e-5)
    stats = measure_losses(model, tokens, mask, domain, 2)
    assert stats.tokens.tolist() == [int(mask[1].sum()), int(mask[[0, 2]].sum())]
    sums = torch.stack([expected[1][mask[1]].sum(), expected[[0, 2]][mask[[0, 2]]].sum()])
    assert torch.allclose(stats.loss_sums, sums.double(), atol=1e-4)


def test_the_gradient_is_that_of_the_whole_model(small: ProxySettings) -> None:
    model = build_model(small, 50, seed=0)
    tokens = torch.randint(0, 50, (3, 16), generator=torch.Generator().manual_seed(1))
    token_losses(model, tokens).mean().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    mean_loss(model, tokens).backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)


def test_a_token_is_predicted_from_those_before_it_alone(small: ProxySettings) -> None:
    model = build_model(small, 50, seed=0)
    tokens = torch.randint(0, 50, (1, 16), generator=torch.Generator().manual_seed(1))
    changed = tokens.clone()
    changed[0, 9] = (changed[0, 9] + 1) % 50
    every, none = torch.arange(15), torch.zeros(15, dtype=torch.bool)
    losses = []
    for given in (tokens, changed):
        # Every token a domain of its own.
        stats = [measure_losses(model, given, (every == i)[None], torch.tensor([0]), 1) for i in every]
        losses.append(torch.cat([each.loss_sums for each in stats]))
    same = losses[0].isclose(losses[1], atol=1e-6)
    assert same[:8].all()  # losses 0..7 predict tokens 1..8
    assert not same[8:].any()
    assert measure_losses(model, tokens, none[None], torch.tensor([0]), 1).tokens.item() == 0


def test_the_seed_alone_decides_the_weights_and_the_global_generator_stays(small: ProxySettings) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = build_model(small, 50, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again, other = (build_model(small, 50, seed=seed).state_dict() for seed in (1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    name = "gpt_neox.embed_in.weight"
    assert not torch.equal(one[name], other[name])


def test_parameters_count_embeddings_layers_and_output(small: ProxySettings) -> None:
    h = small.hidden
    layer = 4 * h * h + 4 * h + 8 * h * h + 5 * h + 4 * h  # attention, feed-forward, two norms
    assert count_parameters(build_model(small, 50, seed=0)) == 2 * 50 * h + small.layers * layer + 2 * h
