import math

import pytest
import torch

from mixlaw import InputError
from mixlaw.kernels import domain_cross_entropy, domain_weights

TARGET = torch.tensor([[3, 1, -100, 4], [-100, -100, -100, -100], [0, 2, 1, 1]])
PER_SEQUENCE = torch.tensor([1, 2, 0], dtype=torch.uint8)


@pytest.fixture
def sums() -> torch.Tensor:
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    return domain_cross_entropy(logits, TARGET, PER_SEQUENCE, 3).sums


def objective(weights: torch.Tensor, sums: torch.Tensor) -> float:
    return (weights.double() * sums).sum().item()


@pytest.mark.parametrize("domain", [PER_SEQUENCE, PER_SEQUENCE.int()[:, None].expand(3, 4)])
def test_the_token_mean_is_that_of_all_tokens(sums: torch.Tensor, domain: torch.Tensor) -> None:
    weights = domain_weights(TARGET, domain, 3)
    assert weights.dtype == torch.float32
    assert objective(weights, sums) == pytest.approx(sums.sum().item() / 7)


def test_the_domain_mean_is_over_the_domains_that_are_there(sums: torch.Tensor) -> None:
    weights = domain_weights(TARGET, PER_SEQUENCE, 3, scheme="domain_mean")
    assert weights[2] == 0.0
    assert objective(weights, sums) == pytest.approx((sums[0] / 4 + sums[1] / 3).item() / 2)


def test_the_domain_mean_takes_proportions(sums: torch.Tensor) -> None:
    p = torch.tensor([0.2, 0.3, 0.5])
    weights = domain_weights(TARGET, PER_SEQUENCE, 3, scheme="domain_mean", proportions=p)
    assert objective(weights, sums) == pytest.approx((0.4 * sums[0] / 4 + 0.6 * sums[1] / 3).item())


def test_doremi_weights_every_token_by_its_domain(sums: torch.Tensor) -> None:
    p = torch.tensor([0.2, 0.3, 0.5])
    weights = domain_weights(TARGET, PER_SEQUENCE, 3, scheme="doremi", proportions=p)
    per_token = p[PER_SEQUENCE.long()][:, None] * (TARGET != -100)
    expected = (0.2 * sums[0] + 0.3 * sums[1]).item() / per_token.sum().item()
    assert objective(weights, sums) == pytest.approx(expected)


@pytest.mark.parametrize("scheme", ["token_mean", "domain_mean", "doremi"])
def test_without_tokens_all_weights_are_zero(scheme: str) -> None:
    for target in (torch.full((3, 4), -100), torch.zeros(3, 0, dtype=torch.int64)):
        assert domain_weights(target, PER_SEQUENCE, 3, scheme=scheme).tolist() == [0.0, 0.0, 0.0]
    none = torch.zeros(0, dtype=torch.int64)
    assert domain_weights(none, none, 2, scheme=scheme).tolist() == [0.0, 0.0]


def test_domains_that_do_not_exist_are_not_counted() -> None:
    weights = domain_weights(torch.tensor([1, 1, 1]), torch.tensor([0, 5, -1]), 2)
    assert weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("match", "changed"),
    [
        ("unknown scheme 'doremy'; did you mean 'doremi'", {"scheme": "doremy"}),
        ("takes no proportions", {"proportions": torch.ones(3)}),
        (r"proportions must have the shape \(3,\)", {"scheme": "doremi", "proportions": torch.ones(2)}),
        ("proportions must be of one of float32", {"scheme": "doremi", "proportions": torch.ones(3).long()}),
        ("of domain 1 must be finite", {"scheme": "doremi", "proportions": torch.tensor([1.0, math.nan, 1.0])}),
        ("of domain 2 must be .* 0 or more", {"scheme": "doremi", "proportions": torch.tensor([1.0, 1.0, -1.0])}),
        ("target must be of one of int64", {"target": TARGET.float()}),
        ("domain must have the shape of target", {"domain": PER_SEQUENCE[:2]}),
    ],
)
def test_bad_input_is_refused(match: str, changed: dict[str, object]) -> None:
    with pytest.raises(InputError, match=match):
        domain_weights(**({"target": TARGET, "domain": PER_SEQUENCE, "num_domains": 3} | changed))
