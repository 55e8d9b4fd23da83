import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.kernels import domain_sum
from mixlaw.kernels.sums import _domain_sum


def test_sums_and_counts_are_those_of_the_definition(arguments, truth) -> None:
    losses, domain, mask, num_domains = arguments
    got = domain_sum(losses, domain, num_domains, mask=mask)
    expected = truth(arguments)
    tokens = torch.tensor(expected.tokens)
    sums = torch.tensor(expected.sums, dtype=torch.float64)
    assert got.tokens.tolist() == expected.tokens
    assert got.nonfinite.tolist() == expected.nonfinite
    assert got.outside.item() == 0
    # Half a step a token, a whole one for float64, and one rounding of the total.
    step = 2.0**-32 if losses.dtype == torch.float64 else 2.0**-33
    assert ((got.sums - sums).abs() <= tokens * step + sums.abs() * 2.0**-52).all()
    assert (got.sums[tokens == 0] == 0).all()


def test_the_order_of_the_tokens_does_not_change_a_bit(arguments) -> None:
    losses, domain, mask, num_domains = arguments
    first = domain_sum(losses, domain, num_domains, mask=mask)
    order = torch.randperm(len(losses), generator=torch.Generator().manual_seed(1))
    again = domain_sum(losses[order], domain[order], num_domains, mask=None if mask is None else mask[order])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_the_gradient_of_a_token_is_that_of_its_domain(arguments) -> None:
    losses, domain, mask, num_domains = arguments
    losses = losses.clone().requires_grad_()
    upstream = torch.randn(num_domains, generator=torch.Generator().manual_seed(2)).double()
    domain_sum(losses, domain, num_domains, mask=mask).sums.backward(upstream)
    per_token = domain if domain.shape == losses.shape else domain[:, None].expand(losses.shape)
    expected = upstream[per_token.long()].to(losses.dtype)
    left_out = ~(losses.detach().double().abs() < 2**31)
    if mask is not None:
        left_out |= ~mask
    expected[left_out] = 0
    assert losses.grad is not None
    assert losses.grad.dtype == losses.dtype
    assert torch.equal(losses.grad, expected)


def test_a_domain_per_sequence_is_that_domain_for_each_of_its_tokens() -> None:
    losses = torch.randn(5, 63)
    domain = torch.tensor([2, 0, 2, 1, 0], dtype=torch.uint8)
    one = domain_sum(losses, domain, 3)
    each = domain_sum(losses, domain[:, None].expand(5, 63), 3)
    assert all(torch.equal(a, b) for a, b in zip(one, each, strict=True))


def test_strided_losses_give_the_sums_of_their_copies() -> None:
    losses = torch.randn(63, 10)[:, ::2]
    domain = torch.randint(0, 4, (126, 5))[::2]
    assert torch.equal(domain_sum(losses, domain, 4).sums, domain_sum(losses.clone(), domain.clone(), 4).sums)


def test_the_mean_of_an_empty_domain_is_nan() -> None:
    mean = domain_sum(torch.tensor([1.0, 2.0]), torch.tensor([1, 1]), 2).mean()
    assert mean.isnan().tolist() == [True, False]
    assert mean[1] == 1.5


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(1, 5))
def test_gradients_agree_with_finite_differences(seed: int, n: int, num_domains: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    losses = torch.randn(n, generator=generator, dtype=torch.float64, requires_grad=True)
    domain = torch.randint(0, num_domains, (n,), generator=generator)
    mask = torch.rand(n, generator=generator) < 0.8

    def weighted(losses: torch.Tensor) -> torch.Tensor:
        return domain_sum(losses, domain, num_domains, mask=mask).sums

    # The function is linear, so a difference over 2**-10 is exact up to the fixed-point step.
    assert torch.autograd.gradcheck(weighted, (losses,), eps=2.0**-10)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(63,), (5, 7)])
def test_the_operator_keeps_the_rules_of_torch_operators(shape: tuple[int, ...], masked: bool) -> None:
    losses = torch.randn(shape, requires_grad=True)
    mask = torch.rand(shape) < 0.5 if masked else None
    torch.library.opcheck(_domain_sum, (losses, torch.randint(0, 3, shape[:1]), mask, 3))


def test_torch_compile_captures_the_whole_graph() -> None:
    def objective(losses: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        return domain_sum(losses, domain, 4, mask=losses > -1).mean().nan_to_num().square().sum()

    domain = torch.tensor([0, 1, 1, 3, 0])
    eager = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    compiled = eager.detach().clone().requires_grad_()
    value = objective(eager, domain)
    value.backward()
    again = torch.compile(objective, backend="aot_eager", fullgraph=True)(compiled, domain)
    again.backward()
    assert torch.equal(value, again)
    assert torch.equal(eager.grad, compiled.grad)


class TestBadInput:
    losses = torch.ones(4, 3)
    domain = torch.zeros(4, dtype=torch.int64)

    def refused(self, match: str, **changed: object) -> None:
        arguments = {"losses": self.losses, "domain": self.domain, "num_domains": 2, **changed}
        with pytest.raises(InputError, match=match):
            domain_sum(**arguments)

    def test_integer_losses(self) -> None:
        self.refused("losses must be of one of float64.*not torch.int64", losses=self.losses.long())

    def test_domains_of_a_strange_type(self) -> None:
        self.refused("domain must be of one of uint8, int32, int64, not torch.float32", domain=self.domain.float())

    def test_losses_of_three_dimensions(self) -> None:
        self.refused(r"\(N,\) or \(B, T\), not \(4, 3, 1\)", losses=self.losses[..., None])

    def test_domains_that_do_not_match(self) -> None:
        self.refused(r"shape of losses, \(4, 3\), or one id a sequence, \(4,\), not \(3,\)", domain=self.domain[:3])

    def test_no_domain(self) -> None:
        self.refused("num_domains must be at least 1, not 0", num_domains=0)

    def test_a_mask_of_another_shape(self) -> None:
        self.refused(r"mask must be bool of the shape \(4, 3\)", mask=self.domain.bool())

    def test_a_mask_of_numbers(self) -> None:
        self.refused(r"mask must be bool", mask=self.losses)

    def test_tensors_on_different_devices(self) -> None:
        self.refused("losses is on cpu, domain is on meta", domain=self.domain.to("meta"))

    def test_more_tokens_than_one_call_takes(self) -> None:
        huge = torch.empty(2**31, device="meta")
        self.refused("2147483648 tokens: one call takes fewer", losses=huge, domain=huge.long())

    @pytest.mark.parametrize("bad", [-1, 2])
    def test_a_domain_that_is_not_there(self, bad: int) -> None:
        self.refused(rf"domain {bad} is outside 0\.\.1 \(3 tokens\)", domain=torch.tensor([0, 1, bad, 0]))

    def test_a_domain_that_is_not_there_counts_only_where_the_mask_does(self) -> None:
        mask = torch.tensor([True, True, False, True])[:, None].expand(4, 3)
        got = domain_sum(self.losses, torch.tensor([0, 1, -1, 0]), 2, mask=mask)
        assert got.tokens.tolist() == [6, 3]


def without(*modules: str) -> str:
    return f"import sys\nfor name in {modules}: sys.modules[name] = None\n"


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)


def test_cpu_tensors_need_neither_triton_nor_the_compiled_core() -> None:
    done = python(
        without("triton", "mixlaw._core")
        + "import torch\nfrom mixlaw.kernels import domain_sum\n"
        + "print(domain_sum(torch.tensor([1.0, 2.0]), torch.tensor([1, 1]), 2).sums.tolist())"
    )
    assert done.stdout == "[0.0, 3.0]\n", done.stderr


def test_without_torch_the_message_names_the_extra() -> None:
    done = python(
        without("torch")
        + "import mixlaw\ntry: mixlaw.kernels\n"
        + "except mixlaw.MixlawError as error: print(type(error).__name__, error)"
    )
    assert done.stdout.startswith("MissingDependencyError"), done.stderr
    assert "pip install 'mixlaw[kernels]'" in done.stdout
