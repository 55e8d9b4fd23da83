import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.kernels import cross_entropy_reference as reference
from mixlaw.kernels import domain_cross_entropy, domain_linear_cross_entropy
from mixlaw.kernels import linear_cross_entropy as linear
from mixlaw.kernels.labels import ROWS, Labels, make_labels, make_options

from .launch import assert_no_spills, atomics, compile_kernel, interpret

EVERYTHING = {"softcap": 5.0, "z_loss": 1e-2, "label_smoothing": 0.1}


def inputs(n: int, d: int, v: int, dtype: torch.dtype = torch.float32, *, seed: int = 0, shape: tuple[int, ...] = ()):
    generator = torch.Generator().manual_seed(seed)
    hidden = (torch.randn(*(shape or (n,)), d, generator=generator) / math.sqrt(d) * 3.0).to(dtype)
    weight = torch.randn(v, d, generator=generator).to(dtype)
    bias = torch.randn(v, generator=generator).to(dtype)
    target = torch.randint(0, v, shape or (n,), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.1] = -100
    return hidden, weight, bias, target, torch.randint(0, 3, target.shape[:1], generator=generator)


def gradients(loss, *leaves: torch.Tensor) -> list[torch.Tensor]:
    (3.0 * loss.total).backward()
    return [leaf.grad.double() for leaf in leaves]


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("shape", [(1,), (63,), (255,), (7, 31)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_sums_and_gradients_are_those_of_the_logits(shape, dtype: torch.dtype, options: dict[str, float]) -> None:
    hidden, weight, bias, target, domain = inputs(0, 24, 257, dtype, shape=shape)
    weights, chunk = torch.tensor([0.5, 0.2, 0.3]), 257 * 8 * 10
    results = []
    for kind, chunked in ((dtype, True), (dtype, False), (torch.float64, False)):
        leaves = [each.detach().to(kind).requires_grad_() for each in (hidden, weight, bias)]
        labels = (target, domain, 3)
        if chunked:
            loss = domain_linear_cross_entropy(
                *leaves[:2], *labels, weights=weights, bias=leaves[2], chunk_bytes=chunk, **options
            )
        else:
            logits = torch.nn.functional.linear(*leaves)
            loss = domain_cross_entropy(logits, *labels, weights=weights, **options)
        results.append([loss.sums.detach(), loss.total.detach().double(), *gradients(loss, *leaves)])
    unit = torch.finfo(dtype).eps
    for ours, theirs, truth in zip(*results, strict=True):
        # At most twice the error of logits that are formed at once, in the same precision; and of rounding the result.
        scale = truth.norm()
        assert (ours - truth).norm() <= 2.0 * (theirs - truth).norm() + 2.0 * unit * scale + 1e-8


@given(st.integers(0, 40), st.integers(1, 50), st.booleans())
def test_the_size_of_a_chunk_matters_to_rounding_only(n: int, rows: int, everything: bool) -> None:
    hidden, weight, _, target, domain = inputs(n, 5, 11, torch.float64, seed=n)
    results = []
    for chunk_bytes in (rows * 11 * 8, None):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        loss = domain_linear_cross_entropy(
            h,
            w,
            target,
            domain,
            3,
            weights=torch.ones(3),
            chunk_bytes=chunk_bytes,
            **(EVERYTHING if everything else {}),
        )
        results.append([loss.sums.detach(), *gradients(loss, h, w)])
    for ours, whole in zip(*results, strict=True):
        assert torch.allclose(ours, whole, rtol=1e-12, atol=1e-9)


def test_no_more_than_chunk_bytes_of_logits_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    form = linear.linear_cross_entropy_reference._logits

    def watched(h, weight, bias, buffer):
        sizes.append(buffer.untyped_storage().nbytes())
        return form(h, weight, bias, buffer)

    monkeypatch.setattr(linear.linear_cross_entropy_reference, "_logits", watched)
    hidden, weight, _, target, domain = inputs(1000, 4, 50)
    hidden.requires_grad_()
    domain_linear_cross_entropy(hidden, weight, target, domain, 3, weights=torch.ones(3), chunk_bytes=33_333)
    assert len(sizes) > 1
    assert max(sizes) <= 33_333


def test_evaluation_gives_the_sums_of_training() -> None:
    hidden, weight, bias, target, domain = inputs(100, 8, 40)
    extras = {"reference": torch.randn(100) + 4.0, "vocab_bytes": torch.arange(40) % 5 + 1}
    trained = domain_linear_cross_entropy(
        hidden.requires_grad_(), weight, target, domain, 3, weights=torch.ones(3), bias=bias, **extras
    )
    with torch.no_grad():
        evaluated = domain_linear_cross_entropy(hidden, weight, target, domain, 3, weights=None, bias=bias, **extras)
    assert evaluated.total is None
    assert not evaluated.sums.requires_grad
    assert torch.equal(evaluated.stats.words, trained.stats.words)


@pytest.mark.parametrize(
    "wanted", [(True, False, False), (False, True, False), (False, False, True), (True, True, False)]
)
def test_only_what_requires_grad_gets_one(wanted: tuple[bool, bool, bool]) -> None:
    hidden, weight, bias, target, domain = inputs(30, 6, 20, torch.float64)
    results = []
    for everything in (False, True):
        leaves = [
            each.clone().requires_grad_(everything or want)
            for each, want in zip((hidden, weight, bias), wanted, strict=True)
        ]
        loss = domain_linear_cross_entropy(
            leaves[0], leaves[1], target, domain, 3, weights=torch.tensor([1.0, 2.0, 3.0]), bias=leaves[2]
        )
        loss.total.backward()
        results.append([leaf.grad for leaf in leaves])
    for want, some, every in zip(wanted, *results, strict=True):
        assert (some is not None) == want
        assert some is None or torch.allclose(some, every, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_keeps_the_gradient_of_a_float32_weight_in_float32(dtype: torch.dtype) -> None:
    hidden, weight, _, target, domain = inputs(200, 8, 40)
    weights = torch.full((3,), 1e-6)
    h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    with torch.autocast("cpu", dtype):
        loss = domain_linear_cross_entropy(h, w, target, domain, 3, weights=weights)
    (loss.total * 2.0**16).backward()
    truth_h, truth_w = (each.detach().double().requires_grad_() for each in (h, w))
    truth = domain_linear_cross_entropy(truth_h, truth_w, target, domain, 3, weights=weights)
    (truth.total * 2.0**16).backward()
    assert (h.grad.dtype, w.grad.dtype) == (torch.float32, torch.float32)
    for ours, exact in ((h.grad, truth_h.grad), (w.grad, truth_w.grad)):
        assert (ours - exact).norm() <= 8.0 * torch.finfo(dtype).eps * exact.norm()
    # It was not rounded to the type of the products on the way.
    assert not torch.equal(w.grad, w.grad.to(dtype).float())


def test_gradients_in_float16_do_not_overflow_before_they_are_scaled() -> None:
    n = 4096
    hidden = torch.full((n, 2), 30.0, dtype=torch.float16)
    weight = torch.zeros(3, 2, dtype=torch.float16, requires_grad=True)
    target, domain = torch.zeros(n, dtype=torch.int64), torch.zeros(n, dtype=torch.int64)
    loss = domain_linear_cross_entropy(hidden, weight, target, domain, 1, weights=torch.tensor([1.0 / n]))
    loss.total.backward()
    assert torch.allclose(weight.grad.float(), torch.tensor([[-20.0], [10.0], [10.0]]).expand(3, 2), rtol=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_hidden_states_that_are_not_finite_do_not_reach_the_gradient_of_the_weight(bad: float) -> None:
    hidden, weight, _, target, domain = inputs(40, 6, 20)
    keep = torch.ones(40, dtype=torch.bool)
    keep[[3, 9]] = False
    target[3], target[9] = -100, 5  # what padding may leave behind, and a token that counts
    spoiled = hidden.clone()
    spoiled[[3, 9], 2] = bad
    results = []
    for h, t, d in ((spoiled, target, domain), (hidden[keep], target[keep], domain[keep])):
        w = weight.clone().requires_grad_()
        loss = domain_linear_cross_entropy(h, w, t, d, 3, weights=torch.ones(3))
        loss.total.backward()
        results.append((loss.sums.detach(), w.grad))
    assert torch.allclose(results[0][0], results[1][0], rtol=1e-6)
    assert torch.allclose(results[0][1], results[1][1], rtol=1e-5, atol=1e-6)


def test_chunks_are_of_one_size_and_of_multiples_of_128() -> None:
    for n, v, limit in ((32768, 151936, 2**29), (8192, 50304, 2**29), (1000, 100, 90_000), (5, 9, 40), (0, 9, 40)):
        rows = linear._chunk_rows(limit, torch.empty(n, 1, dtype=torch.bfloat16), v)
        assert 1 <= rows <= limit // (2 * v)
        assert rows % 128 == 0 or rows < 128 or rows >= n


def test_no_token_gives_zeros() -> None:
    hidden, weight = torch.ones(0, 4, requires_grad=True), torch.ones(5, 4, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    loss = domain_linear_cross_entropy(hidden, weight, none, none, 2, weights=torch.ones(2))
    loss.total.backward()
    assert loss.total.item() == 0.0
    assert (weight.grad == 0).all()


class TestWhatCannotBeRight:
    def refused(self, match: str, **changed: Any) -> None:
        hidden, weight, _, target, domain = inputs(12, 4, 9)
        arguments = {"hidden": hidden, "weight": weight, "target": target, "domain": domain, "num_domains": 3}
        with pytest.raises(InputError, match=match):
            domain_linear_cross_entropy(**(arguments | {"weights": torch.ones(3)} | changed))

    def test_gradients_without_weights(self) -> None:
        self.refused("weights=None is for evaluation", hidden=torch.ones(12, 4, requires_grad=True), weights=None)

    def test_sums_cannot_be_weighted_afterwards(self) -> None:
        hidden, weight, _, target, domain = inputs(12, 4, 9)
        loss = domain_linear_cross_entropy(hidden, weight.requires_grad_(), target, domain, 3, weights=torch.ones(3))
        with pytest.raises(InputError, match="cannot be weighted again"):
            (loss.sums * 2.0).sum().backward()

    def test_hidden_states_of_one_dimension(self) -> None:
        self.refused(r"\(N, D\) or \(B, T, D\), not \(4,\)", hidden=torch.ones(4))

    def test_a_weight_of_another_width(self) -> None:
        self.refused(r"weight must have the shape \(V, 4\), not \(9, 5\)", weight=torch.ones(9, 5))

    def test_an_empty_vocabulary(self) -> None:
        self.refused(r"weight must have the shape \(V, 4\), not \(0, 4\)", weight=torch.ones(0, 4))

    def test_two_types_without_autocast(self) -> None:
        self.refused("cast one, or call under torch.autocast", weight=torch.ones(9, 4, dtype=torch.bfloat16))

    def test_a_bias_of_another_shape(self) -> None:
        self.refused(r"bias must be torch.float32 of shape \(9,\)", bias=torch.ones(8))

    def test_chunks_without_room_for_a_row(self) -> None:
        self.refused("chunk_bytes is 35, but the logits of one token take 36 bytes", chunk_bytes=35)

    def test_targets_that_do_not_exist(self) -> None:
        self.refused(r"target 9 of token 0 is outside 0\.\.8", target=torch.full((12,), 9))

    def test_weights_of_another_shape(self) -> None:
        self.refused(r"weights must have the shape \(3,\)", weights=torch.ones(2))


def operator_calls() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    hidden, weight, bias, target, domain = inputs(12, 4, 9)
    labels: Labels = make_labels(hidden, target, domain, torch.ones(12), torch.ones(9, dtype=torch.int64))
    ids, terms = make_options(-100, 0, 9, 3.0, 0.1, 0.1).flat()
    weights = torch.tensor([1.0, 2.0, 3.0])
    common = (hidden, weight, bias, *labels)
    return {
        "tally": (linear._tally, (*common, 3, 5, ids, terms)),
        "gradients": (linear._tally_and_gradients, (*common, weights, 5, [True, True, True], ids, terms)),
        "some": (linear._tally_and_gradients, (*common, weights, 5, [False, True, False], ids, terms)),
        "no bias": (
            linear._tally_and_gradients,
            (hidden.half(), weight.half(), None, *labels, weights, 5, [True, True], ids, terms),
        ),
    }


@pytest.mark.parametrize("name", operator_calls())
def test_the_operators_keep_the_rules_of_torch_operators(name: str) -> None:
    operator, arguments = operator_calls()[name]
    torch.library.opcheck(operator, arguments)


# The kernel of the evaluation. The interpreter multiplies bfloat16 wrongly; float16 takes the same path.

SHAPES = [
    (1, 16, 257, torch.float32, {}),
    (63, 40, 1000, torch.float32, EVERYTHING),
    (130, 100, 5000, torch.float16, {"label_smoothing": 0.1}),
    (200, 33, 4097, torch.float32, {"softcap": 3.0}),
]


def test_the_interpreted_kernel_reduces_logits_as_the_definition_says(tmp_path: Path) -> None:
    calls = {}
    for i, (n, d, v, dtype, options) in enumerate(SHAPES):
        hidden, weight, bias, target, _ = inputs(n, d, v, dtype)
        here = make_options(-100, 0, v, *({"softcap": None, "z_loss": 0.0, "label_smoothing": 0.0} | options).values())
        calls[str(i)] = (
            "linear_cross_entropy_triton",
            "linear_partials",
            (hidden, weight, bias if i % 2 else None, target, here, 1),
        )
    results = interpret(calls, tmp_path)
    for name, (parts, (hidden, weight, bias, target, options, _)) in results.items():
        n, _, v, _, _ = SHAPES[int(name)]
        assert parts.shape == (math.ceil(v / 4096), 4, n)
        x = hidden.double() @ weight.double().T + (0.0 if bias is None else bias.double())
        labels = make_labels(x, target, torch.zeros(n, dtype=torch.int64), None, None)
        sums = []
        for each in (parts, reference.partials(x[None], target, options)[None]):
            words = torch.zeros(ROWS, 2, dtype=torch.int64)
            reference.combine(each, labels, options, words)
            sums.append(reference.finish(words, options.objective_row, None)[0].item())
            assert words[4, 0] == (target != -100).sum()
        assert abs(sums[0] / sums[1] - 1.0) < 1e-6


def test_the_precision_of_float32_products_is_that_of_torch() -> None:
    # Either way of saying it; torch refuses to answer by the old one once the new one was used.
    program = (
        "import torch\nfrom mixlaw.kernels import linear_cross_entropy_triton as kernels\n"
        "from mixlaw.kernels.labels import make_options\n"
        "seen = []\n"
        "class Watched:\n"
        "    def __getitem__(self, grid): return lambda *a, **k: seen.append(k['PRECISION'])\n"
        "kernels.linear_partials_kernel = Watched()\n"
        "options = make_options(-100, 0, 5, None, 0.0, 0.0)\n"
        "target = torch.zeros(1, dtype=torch.int64)\n"
        "def call(): kernels.linear_partials(torch.ones(1, 4), torch.ones(5, 4), None, target, options, 1)\n"
        "call()\ntorch.set_float32_matmul_precision('high'); call()\n"
        "torch.set_float32_matmul_precision('highest'); call()\n"
        "torch.backends.cuda.matmul.fp32_precision = 'tf32'; call()\nprint(seen)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "['ieee', 'tf32', 'ieee', 'tf32']\n", done.stderr


def test_the_result_of_a_token_does_not_depend_on_the_others(tmp_path: Path) -> None:
    hidden, weight, bias, target, _ = inputs(150, 24, 4500)
    # Multiples of 1/16, whose products are exact: a library may sum a row by where it stands in the matrix.
    hidden, weight = torch.round(16 * hidden) / 16, torch.round(16 * weight) / 16
    options = make_options(-100, 0, 4500, None, 0.0, 0.0)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(3))
    function = ("linear_cross_entropy_triton", "linear_partials")
    results = interpret(
        {
            "all": (*function, (hidden, weight, bias, target, options, 1)),
            "some": (*function, (hidden[order][:70], weight, bias, target[order][:70], options, 1)),
        },
        tmp_path,
    )
    assert torch.equal(results["all"][0][:, :, order[:70]], results["some"][0])


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(
    ("kind", "precision"), [("bf16", "tf32"), ("fp16", "tf32"), ("fp32", "tf32"), ("fp32", "ieee")]
)
def test_the_compiled_kernel_spills_nothing(
    kind: str,
    precision: str,
    aligned: bool,
    everything: bool,
    architecture: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    from mixlaw.kernels import linear_cross_entropy_triton as kernels

    width = 96 if aligned else 33
    blocks, warps = kernels.tile(torch.empty(1, width, dtype=torch.float32 if kind == "fp32" else torch.bfloat16))
    pointers = {"hidden_ptr": f"*{kind}", "weight_ptr": f"*{kind}", "bias_ptr": f"*{kind}" if everything else None}
    pointers |= {"target_ptr": "*i64", "parts_ptr": "*fp32"}
    constants = {
        "CAP": everything,
        "SMOOTH": everything,
        "PRECISION": precision,
        "TILES": kernels.PART // blocks["BLOCK_V"],
        **blocks,
    }
    ptx, report = compile_kernel(
        kernels.linear_partials_kernel,
        architecture,
        pointers,
        constants,
        tmp_path,
        num_warps=warps,
        num_stages=kernels.STAGES,
        aligned=aligned,
    )
    assert_no_spills(report)
    assert not atomics(ptx)
    # The products are those of the matrix units, which have no full float32.
    assert precision == "ieee" or not aligned or ("wgmma.mma_async" if architecture == 90 else "mma.sync") in ptx
