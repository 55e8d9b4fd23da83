import math

import pytest
import torch
import torch.utils.checkpoint
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.kernels import DomainStats, domain_cross_entropy
from mixlaw.kernels import cross_entropy_operators as operators
from mixlaw.kernels.formed import _attach, _scale
from mixlaw.kernels.labels import Labels, Options, make_labels

from .cases import assert_gradient, sums_tolerance


def test_sums_and_stats_are_those_of_the_definition(case, arguments, truth) -> None:
    a = arguments
    loss = domain_cross_entropy(a.logits, a.target, a.domain, a.num_domains, **a.extras, **case.options)
    report = loss.stats.compute()
    tokens = truth.per_domain(a, truth.added.long())
    tolerance = sums_tolerance(truth, a)
    assert loss.total is None
    assert loss.sums.dtype == torch.float64
    assert ((loss.sums - truth.per_domain(a, truth.loss)).abs() <= tolerance).all()
    assert ((loss.stats.loss_sums - truth.per_domain(a, truth.nll)).abs() <= tolerance).all()
    assert report.tokens.tolist() == tokens.tolist()
    assert report.nonfinite.tolist() == truth.per_domain(a, truth.nonfinite.long()).tolist()
    assert report.outside == 0
    correct = truth.per_domain(a, truth.correct.long())
    assert torch.equal(report.accuracy.nan_to_num(), (correct.double() / tokens).nan_to_num())
    if a.reference is not None:
        assert ((loss.stats.excess_sums - truth.per_domain(a, truth.excess)).abs() <= tolerance + tokens * 1e-6).all()
        sizes = a.vocab_bytes[a.target.flatten().clamp(min=0)].where(truth.added, 0)
        bits = truth.per_domain(a, truth.nll) / truth.per_domain(a, sizes) / math.log(2)
        assert torch.allclose(report.bits_per_byte, bits, rtol=1e-5, atol=1e-6, equal_nan=True)
    else:
        assert report.excess.isnan().all()
        assert report.bits_per_byte.isnan().all()
    assert report.loss.isnan().tolist() == (tokens == 0).tolist()


def test_gradients_of_a_function_of_the_sums(case, arguments, truth) -> None:
    a = arguments
    logits = a.logits.detach().requires_grad_()
    loss = domain_cross_entropy(logits, a.target, a.domain, a.num_domains, **a.extras, **case.options)
    (loss.sums * a.weights).sum().backward()
    assert logits.grad.dtype == logits.dtype
    assert_gradient(logits.grad, truth, a, a.weights)


def test_gradients_of_the_total(case, arguments, truth) -> None:
    a = arguments
    logits = a.logits.detach().requires_grad_()
    call = (a.target, a.domain, a.num_domains)
    loss = domain_cross_entropy(logits, *call, weights=a.weights, **a.extras, **case.options)
    unweighted = domain_cross_entropy(a.logits, *call, **a.extras, **case.options)
    assert torch.equal(loss.sums, unweighted.sums)
    assert torch.equal(loss.stats.words, unweighted.stats.words)
    total = (loss.sums.detach() * a.weights.double()).sum()
    assert loss.total.dtype == torch.float32
    assert abs(loss.total.item() - total.item()) <= 1e-6 * abs(total.item())
    loss.total.backward()
    assert_gradient(logits.grad, truth, a, a.weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_in_place_gives_the_same_bits(case, arguments, weighted: bool) -> None:
    a = arguments
    gradients = []
    for inplace in (False, True):
        leaf = a.logits.detach().clone().requires_grad_()
        logits = leaf.clone()
        logits.retain_grad()
        weights = a.weights if weighted else None
        loss = domain_cross_entropy(
            logits, a.target, a.domain, a.num_domains, weights=weights, inplace=inplace, **a.extras, **case.options
        )
        objective = loss.total if weighted else (loss.sums * a.weights).sum()
        (3.0 * objective).backward()
        gradients.append(leaf.grad)
        if inplace:
            assert torch.equal(logits.detach(), leaf.grad)
    assert torch.equal(*gradients)


def test_the_order_of_the_tokens_does_not_change_a_bit(case, arguments) -> None:
    a = arguments
    flat = (a.logits.flatten(0, -2), a.target.flatten(), a.domain_of_token())
    reference = None if a.reference is None else a.reference.flatten()
    order = torch.randperm(len(flat[0]), generator=torch.Generator().manual_seed(1))
    first = domain_cross_entropy(*flat, a.num_domains, reference=reference, vocab_bytes=a.vocab_bytes, **case.options)
    again = domain_cross_entropy(
        *(each[order] for each in flat),
        a.num_domains,
        reference=None if reference is None else reference[order],
        vocab_bytes=a.vocab_bytes,
        **case.options,
    )
    assert torch.equal(first.sums, again.sums)
    assert torch.equal(first.stats.words, again.stats.words)


@given(st.data(), st.sampled_from([257, 40_000]))
def test_how_a_batch_is_split_does_not_change_a_bit(data: st.DataObject, vocab: int) -> None:
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**32 - 1)))
    n = data.draw(st.integers(1, 40 if vocab == 257 else 6))
    logits = torch.randn(n, vocab, generator=generator) * 3.0
    target = torch.randint(0, vocab, (n,), generator=generator)
    domain = torch.randint(0, 3, (n,), generator=generator)
    whole = domain_cross_entropy(logits, target, domain, 3).stats
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    parts = DomainStats.zeros(3)
    for start, stop in zip([0, *cuts], [*cuts, n], strict=True):
        part = domain_cross_entropy(logits[start:stop], target[start:stop], domain[start:stop], 3)
        parts.accumulate(part.stats)
    assert torch.equal(parts.loss_sums, whole.loss_sums)
    assert torch.equal(parts.tokens, whole.tokens)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"softcap": 3.0},
        {"z_loss": 0.1},
        {"label_smoothing": 0.2},
        {"softcap": 3.0, "z_loss": 0.1, "label_smoothing": 1.0},
    ],
)
def test_gradients_agree_with_finite_differences(options: dict[str, float]) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 4, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[0, 6, -100, 3], [2, 2, 5, 1]])

    def sums(logits: torch.Tensor) -> torch.Tensor:
        return domain_cross_entropy(logits, target, torch.tensor([1, 0]), 3, **options).sums

    # Steps so large that the fixed-point step of the sums, 2**-32, does not matter.
    assert torch.autograd.gradcheck(sums, (logits,), eps=1e-4, atol=1e-5)


def test_a_batch_of_ignored_tokens_gives_zeros() -> None:
    logits = torch.full((4, 9), math.nan, requires_grad=True)
    target, domain = torch.full((4,), -100), torch.tensor([0, 1, 0, 1])
    loss = domain_cross_entropy(logits, target, domain, 2, weights=torch.ones(2))
    loss.total.backward()
    assert loss.total.item() == 0.0
    assert loss.sums.tolist() == [0.0, 0.0]
    assert (logits.grad == 0).all()


def test_an_ignored_index_may_be_a_token_of_the_vocabulary() -> None:
    logits = torch.randn(3, 5)
    loss = domain_cross_entropy(logits, torch.tensor([0, 2, 0]), torch.tensor([0, 1, 1]), 2, ignore_index=0)
    assert loss.stats.tokens.tolist() == [0, 1]


def test_float16_gradients_survive_small_weights_and_a_loss_scale() -> None:
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(64, 500, generator=generator).half().requires_grad_()
    target, domain = torch.randint(0, 500, (64,), generator=generator), torch.zeros(64, dtype=torch.int64)
    weights = torch.tensor([1e-5])
    (domain_cross_entropy(logits, target, domain, 1, weights=weights).total * 2.0**16).backward()
    truth = logits.detach().double().requires_grad_()
    (domain_cross_entropy(truth, target, domain, 1, weights=weights).total * 2.0**16).backward()
    assert (logits.grad.double() - truth.grad).norm() <= 1e-3 * truth.grad.norm()


def test_autocast_leaves_the_logits_as_they_are() -> None:
    hidden, weight = torch.randn(6, 4), torch.randn(11, 4, requires_grad=True)
    target, domain = torch.arange(6), torch.tensor([0, 1, 0, 1, 0, 1])
    with torch.autocast("cpu", torch.bfloat16):
        logits = hidden @ weight.T
        loss = domain_cross_entropy(logits, target, domain, 2, weights=torch.full((2,), 1 / 6))
    assert logits.dtype == torch.bfloat16
    loss.total.backward()
    expected = torch.nn.functional.cross_entropy(logits.float(), target)
    assert abs(loss.total.item() - expected.item()) < 1e-6
    assert weight.grad.dtype == torch.float32
    assert (weight.grad != 0).any()


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_recomputes_the_loss(reentrant: bool) -> None:
    hidden, weight = torch.randn(6, 4, requires_grad=True), torch.randn(11, 4, requires_grad=True)
    target, domain = torch.arange(6), torch.tensor([0, 1, 0, 1, 0, 1])

    def total(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        logits = hidden @ weight.T
        return domain_cross_entropy(logits, target, domain, 2, weights=torch.tensor([0.1, 0.3]), inplace=True).total

    expected = torch.autograd.grad(total(hidden, weight), (hidden, weight))
    torch.utils.checkpoint.checkpoint(total, hidden, weight, use_reentrant=reentrant).backward()
    assert torch.equal(hidden.grad, expected[0])
    assert torch.equal(weight.grad, expected[1])


def test_nothing_is_formed_where_nothing_requires_grad() -> None:
    logits = torch.randn(4, 9)
    loss = domain_cross_entropy(logits, torch.arange(4), torch.zeros(4, dtype=torch.uint8), 1, weights=torch.ones(1))
    assert not loss.total.requires_grad
    assert not loss.sums.requires_grad
    with torch.no_grad():
        again = domain_cross_entropy(
            logits.requires_grad_(), torch.arange(4), torch.zeros(4, dtype=torch.uint8), 1, weights=torch.ones(1)
        )
    assert torch.equal(again.total, loss.total)
    assert not again.total.requires_grad


class TestWhatCannotBeRight:
    logits = torch.ones(4, 3, 9)
    target = torch.zeros(4, 3, dtype=torch.int64)
    domain = torch.zeros(4, dtype=torch.int64)

    def refused(self, match: str, **changed: object) -> None:
        arguments = {
            "logits": self.logits,
            "target": self.target,
            "domain": self.domain,
            "num_domains": 2,
            **changed,
        }
        with pytest.raises(InputError, match=match):
            domain_cross_entropy(**arguments)

    def test_sums_cannot_be_weighted_again(self) -> None:
        leaf = self.logits.clone().requires_grad_()
        loss = domain_cross_entropy(leaf, self.target, self.domain, 2, weights=torch.ones(2))
        with pytest.raises(InputError, match="`sums` has no gradient where `weights` are given"):
            (loss.total + loss.sums.sum()).backward()

    @pytest.mark.parametrize(
        "way", [{"weights": torch.ones(2)}, {"weights": torch.ones(2), "inplace": True}, {"inplace": True}]
    )
    def test_a_gradient_that_was_overwritten_is_used_once(self, way: dict[str, object]) -> None:
        leaf = self.logits.clone().requires_grad_()
        # Hooks that keep tensors from torch's own check of their versions.
        with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
            loss = domain_cross_entropy(leaf * 1.0, self.target, self.domain, 2, **way)
            objective = loss.sums.sum() if loss.total is None else loss.total
        objective.backward(retain_graph=True)
        with pytest.raises(InputError, match="can be used once"):
            objective.backward()

    def test_sums_that_stay_have_as_many_backward_passes_as_one_likes(self) -> None:
        leaf = self.logits.clone().requires_grad_()
        loss = domain_cross_entropy(leaf, self.target, self.domain, 2)
        first, second = (torch.autograd.grad(loss.sums.sum(), leaf, retain_graph=True)[0] for _ in range(2))
        assert torch.equal(first, second)

    @pytest.mark.parametrize("weights", [None, torch.ones(2)])
    def test_a_gradient_is_not_differentiated_again(self, weights: torch.Tensor | None) -> None:
        leaf = self.logits.clone().requires_grad_()
        loss = domain_cross_entropy(leaf * 1.0, self.target, self.domain, 2, weights=weights)
        objective = loss.sums.sum() if loss.total is None else loss.total
        with pytest.raises(InputError, match="cannot be differentiated again"):
            torch.autograd.grad(objective, leaf, create_graph=True)

    def test_a_gradient_of_sums_that_nobody_asked_for_is_no_error(self) -> None:
        class Head(torch.nn.Module):
            def forward(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                loss = domain_cross_entropy(logits, target, domain, 2, weights=torch.ones(2))
                return loss.total, loss.sums

        target, domain = self.target, self.domain
        head = Head()
        # A hook makes torch ask for the gradients of all outputs.
        head.register_full_backward_hook(lambda *_: None)
        leaf = self.logits.clone().requires_grad_()
        total, _ = head(leaf)
        total.backward()
        assert (leaf.grad != 0).any()

    def test_logits_of_one_dimension(self) -> None:
        self.refused(r"\(N, V\) or \(B, T, V\), not \(9,\)", logits=self.logits[0, 0])

    def test_integer_logits(self) -> None:
        self.refused("logits must be of one of float32.*not torch.int64", logits=self.logits.long())

    def test_an_empty_vocabulary(self) -> None:
        self.refused("the vocabulary is empty", logits=self.logits[..., :0])

    def test_a_vocabulary_that_is_not_contiguous(self) -> None:
        self.refused(r"stride is 3: pass logits.contiguous\(\)", logits=torch.ones(4, 9, 3).mT)

    def test_targets_of_another_shape(self) -> None:
        self.refused(r"target must have the shape \(4, 3\).*not \(3, 4\)", target=self.target.T)

    def test_targets_of_a_strange_type(self) -> None:
        self.refused("target must be of one of int64, int32", target=self.target.to(torch.uint8))

    def test_domains_that_do_not_match(self) -> None:
        self.refused(r"domain must have the shape of target, \(4, 3\)", domain=self.domain[:3])

    def test_no_domain(self) -> None:
        self.refused("num_domains must be at least 1, not 0", num_domains=0)

    def test_weights_of_another_shape(self) -> None:
        self.refused(r"weights must have the shape \(2,\), one a domain, not \(3,\)", weights=torch.ones(3))

    def test_weights_of_integers(self) -> None:
        self.refused("weights must be of one of float32, float64", weights=torch.ones(2, dtype=torch.int64))

    def test_weights_that_want_a_gradient(self) -> None:
        self.refused("weights require grad", weights=torch.ones(2, requires_grad=True))

    def test_a_reference_of_another_shape(self) -> None:
        self.refused(r"reference must be the loss of every token.*not torch.float32 \(4,\)", reference=torch.ones(4))

    def test_bytes_of_another_vocabulary(self) -> None:
        self.refused(r"vocab_bytes must have the shape \(9,\)", vocab_bytes=torch.ones(8, dtype=torch.int64))

    @pytest.mark.parametrize("softcap", [0.0, -1.0, math.nan, math.inf])
    def test_a_softcap_that_caps_nothing(self, softcap: float) -> None:
        self.refused("softcap must be above 0", softcap=softcap)

    @pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
    def test_a_negative_z_loss(self, value: float) -> None:
        self.refused("z_loss must be 0 or more", z_loss=value)

    @pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
    def test_a_smoothing_that_is_no_share(self, value: float) -> None:
        self.refused("label_smoothing must be between 0 and 1", label_smoothing=value)

    def test_tensors_on_different_devices(self) -> None:
        self.refused("logits is on cpu, target is on meta", target=self.target.to("meta"))

    def test_more_tokens_than_one_call_takes(self) -> None:
        target = torch.empty(2**31, device="meta", dtype=torch.int64)
        self.refused("2147483648 tokens", logits=torch.empty(2**31, 1, device="meta"), target=target, domain=target)

    @pytest.mark.parametrize("bad", [-1, 9])
    def test_a_target_that_is_not_there(self, bad: int) -> None:
        target = self.target.clone()
        target[1, 2] = bad
        self.refused(rf"target {bad} of token 5 is outside 0\.\.8 \(1 tokens\)", target=target)

    @pytest.mark.parametrize("bad", [-1, 2])
    def test_a_domain_that_is_not_there(self, bad: int) -> None:
        self.refused(rf"domain {bad} of token 6 is outside 0\.\.1 \(3 tokens\)", domain=torch.tensor([0, 1, bad, 0]))

    def test_a_domain_that_is_not_there_matters_only_where_tokens_count(self) -> None:
        target = self.target.clone()
        target[2] = -100
        loss = domain_cross_entropy(self.logits, target, torch.tensor([0, 1, 7, 0]), 2)
        assert loss.stats.tokens.tolist() == [6, 3]

    def test_in_place_on_a_leaf(self) -> None:
        self.refused("inplace: logits are a leaf", logits=self.logits.clone().requires_grad_(), inplace=True)

    def test_in_place_on_rows_that_share_memory(self) -> None:
        shared = (torch.ones(1, 1, 9, requires_grad=True) * 2.0).expand(4, 3, 9)
        self.refused("share their memory", logits=shared, inplace=True)
        overlapping = (torch.ones(200, requires_grad=True) * 2.0).as_strided((4, 3, 9), (40, 8, 1))
        self.refused("share their memory", logits=overlapping, inplace=True)

    def test_in_place_on_a_view_of_a_leaf(self) -> None:
        leaf = torch.ones(12, 9, requires_grad=True)
        self.refused("a view of a leaf", logits=leaf.view(4, 3, 9), inplace=True)

    def test_logits_changed_between_the_passes(self) -> None:
        leaf = self.logits.clone().requires_grad_()
        logits = leaf * 1.0
        loss = domain_cross_entropy(logits, self.target, self.domain, 2)
        logits.detach().mul_(2.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.sums.sum().backward()


OPTIONS = Options(-100, 0, 9, 3.0, 0.1, 0.1)


def operator_calls() -> dict[str, tuple[object, tuple[object, ...]]]:
    logits = torch.randn(2, 3, 9)
    target, domain = torch.tensor([[1, 2, -100], [3, 4, 5]]), torch.tensor([0, 1])
    labels: Labels = make_labels(logits, target, domain, torch.ones(2, 3), torch.ones(9, dtype=torch.int64))
    weights = torch.tensor([0.5, 0.25])
    ids, terms = OPTIONS.flat()
    words, state = operators.tally(logits, *labels, 2, ids, terms)
    parts = operators.partials(logits, labels.target, ids, terms)[None]
    sums, total, _ = operators.finish(words, OPTIONS.objective_row, weights)
    backward = (labels.target, labels.domain, state, weights, ids, terms)
    differentiable = logits.clone().requires_grad_()
    return {
        "tally": (operators.tally, (logits, *labels, 2, ids, terms)),
        "tally_and_gradient": (operators.tally_and_gradient, (logits, *labels, weights, ids, terms)),
        "tally_and_gradient_": (operators.tally_and_gradient_, (logits.clone(), *labels, weights, ids, terms)),
        "partials": (operators.partials, (logits, labels.target, ids, terms)),
        "combine": (operators.combine, (parts, *labels, 2, ids, terms)),
        "gradient": (operators.gradient, (logits, *backward)),
        "gradient_": (operators.gradient_, (logits.clone(), *backward)),
        "finish": (operators.finish, (words, OPTIONS.objective_row, weights)),
        "attach_sums": (
            operators.attach_sums,
            (differentiable, sums, labels.target, labels.domain, state, False, ids, terms),
        ),
        "attach": (_attach, ([differentiable], [logits.clone()], total.float(), None)),
        "scale": (_scale, ([logits.clone()], torch.tensor(2.0))),
    }


@pytest.mark.parametrize("name", operator_calls())
def test_the_operators_keep_the_rules_of_torch_operators(name: str) -> None:
    operator, arguments = operator_calls()[name]
    torch.library.opcheck(operator, arguments)
