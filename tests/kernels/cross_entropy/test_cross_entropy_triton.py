import itertools
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mixlaw.kernels import DomainStats, domain_cross_entropy, domain_linear_cross_entropy, domain_weights
from mixlaw.kernels import cross_entropy_reference as reference
from mixlaw.kernels.labels import ROWS, Labels, Options, make_labels, make_options

from .cases import Arguments, Case, assert_gradient, build, define, sums_tolerance
from .launch import Call, assert_no_spills, atomics, compile_kernel, interpret

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


def rows_of(logits: torch.Tensor) -> torch.Tensor:
    return logits if logits.dim() == 3 else logits[None]


def prepare(case: Case, a: Arguments) -> tuple[torch.Tensor, Labels, Options]:
    logits = rows_of(a.logits)
    labels = make_labels(logits, a.target, a.domain, a.reference, a.vocab_bytes)
    return logits, labels, make_options(-100, 0, case.vocab, *case.options.values())


def new_words(num_domains: int) -> torch.Tensor:
    return torch.zeros(ROWS, num_domains + 1, dtype=torch.int64)


def poisoned(logits: torch.Tensor) -> torch.Tensor:
    return torch.full(logits.shape, math.nan, dtype=logits.dtype)


def calls_of(name: str, case: Case, a: Arguments) -> dict[str, Call]:
    logits, labels, options = prepare(case, a)
    words = (new_words(a.num_domains), new_words(a.num_domains))
    module = "cross_entropy_triton"
    calls: dict[str, Call] = {
        f"{name}/formed": (
            module,
            "tally_and_gradient",
            (logits, labels, options, a.weights, words[0], poisoned(logits)),
        ),
        f"{name}/tally": (module, "tally", (logits, labels, options, words[1])),
    }
    if case.vocab % 2 == 0 and logits.numel():
        half = case.vocab // 2
        for part in range(2):
            here = options._replace(vocab_start=part * half)
            arguments = (logits[..., part * half : (part + 1) * half], labels.target, here)
            calls[f"{name}/partials{part}"] = (module, "partials", arguments)
    return calls


@pytest.fixture(scope="session")
def interpreted(all_arguments, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Two rounds: what needs only the case, then what needs results of the first."""
    calls: dict[str, Call] = {}
    for name, (case, arguments) in all_arguments.items():
        calls |= calls_of(name, case, arguments)
    results = interpret(calls, tmp_path_factory.mktemp("first"))
    calls = {}
    for name, (case, a) in all_arguments.items():
        logits, labels, options = prepare(case, a)
        state = results[f"{name}/tally"][0]
        arguments = (logits, labels, options, state, a.weights, poisoned(logits))
        calls[f"{name}/gradient"] = ("cross_entropy_triton", "gradient", arguments)
        words = results[f"{name}/formed"][1][4]
        calls[f"{name}/finish"] = ("cross_entropy_triton", "finish", (words, options.objective_row, a.weights))
        gradient = results[f"{name}/formed"][1][5]
        calls[f"{name}/scale"] = ("cross_entropy_triton", "scale", ([gradient.clone()], torch.tensor(0.5)))
        if f"{name}/partials0" in results:
            parts = torch.stack([results[f"{name}/partials{part}"][0] for part in range(2)])
            combine = (parts, labels, options, new_words(a.num_domains))
            calls[f"{name}/combine"] = ("cross_entropy_triton", "combine", combine)
            half = case.vocab // 2
            for part in range(2):
                x = logits[..., part * half : (part + 1) * half]
                here = options._replace(vocab_start=part * half)
                arguments = (x, labels, here, state, a.weights, poisoned(x))
                calls[f"{name}/gradient{part}"] = ("cross_entropy_triton", "gradient", arguments)
    return results | interpret(calls, tmp_path_factory.mktemp("second"))


def assert_words(words: torch.Tensor, case: Case, a: Arguments, truth) -> None:
    """Counts are those of the reference; sums are as near to the truth as torch's."""
    logits, labels, options = prepare(case, a)
    expected = new_words(a.num_domains)
    reference.tally(logits, labels, options, expected)
    assert torch.equal(words[4:9], expected[4:9])
    tolerance = sums_tolerance(truth, a)
    assert ((reference.finish(words, 0, None)[0] - truth.per_domain(a, truth.nll)).abs() <= tolerance).all()
    loss = reference.finish(words, options.objective_row, None)[0]
    assert ((loss - truth.per_domain(a, truth.loss)).abs() <= tolerance).all()
    excess = reference.finish(words, 2, None)[0] - truth.per_domain(a, truth.excess)
    assert (excess.abs() <= tolerance + 1e-6 * words[4, :-1]).all()


def test_the_interpreted_kernels_tally_as_the_definition_says(case, arguments, truth, interpreted) -> None:
    formed, tallied = (interpreted[f"{case}/{name}"] for name in ("formed", "tally"))
    words = formed[1][4]
    assert torch.equal(words, tallied[1][3])
    assert_words(words, case, arguments, truth)
    sums, total, kept = interpreted[f"{case}/finish"][0]
    _, _, options = prepare(case, arguments)
    expected, weighted, words = reference.finish(words, options.objective_row, arguments.weights)
    assert torch.equal(sums, expected)
    assert torch.equal(kept, words)
    assert torch.allclose(total, weighted, rtol=1e-14)


def test_the_interpreted_kernels_form_the_gradient(case, arguments, truth, interpreted) -> None:
    gradient = interpreted[f"{case}/formed"][1][5]
    assert_gradient(gradient, truth, arguments, arguments.weights)
    assert torch.equal(interpreted[f"{case}/gradient"][1][5], gradient)
    scaled = interpreted[f"{case}/scale"][1][0][0]
    unit = torch.finfo(gradient.dtype).tiny
    assert ((scaled.double() - 0.5 * gradient.double()).abs() <= unit).all()


def test_the_interpreted_kernels_put_parts_of_the_vocabulary_together(case, arguments, truth, interpreted) -> None:
    if f"{case}/combine" not in interpreted:
        assert case.vocab % 2 or not arguments.logits.numel()
        return
    state, (_, _, _, words) = interpreted[f"{case}/combine"]
    assert_words(words, case, arguments, truth)
    assert torch.equal(state[1] == 0, interpreted[f"{case}/tally"][0][1] == 0)
    halves = [interpreted[f"{case}/gradient{part}"][1][5] for part in range(2)]
    assert torch.equal(torch.cat(halves, -1), interpreted[f"{case}/formed"][1][5])


def test_what_does_not_exist_is_counted_and_touches_nothing_else(tmp_path: Path) -> None:
    logits = torch.randn(1, 8, 33)
    target = torch.tensor([[0, 33, -1, -100, 5, 2**40, 7, 32]])
    domain = torch.tensor([[0, 1, 0, 9, 2, 1, -1, 2**40]])
    vocab_bytes = torch.ones(33, dtype=torch.int64)
    labels = make_labels(logits, target, domain, torch.zeros(1, 8), vocab_bytes)
    options = make_options(-100, 0, 33, None, 0.0, 0.1)
    weights = torch.ones(2)
    # Words in the middle of a buffer: what is written beside them shows.
    buffer = torch.full((ROWS * 3 + 200,), 7)
    words = buffer[100:-100].view(ROWS, 3).zero_()
    module = "cross_entropy_triton"
    parts = reference.partials(logits, labels.target, options)[None]
    calls: dict[str, Call] = {
        "formed": (module, "tally_and_gradient", (logits, labels, options, weights, words, poisoned(logits))),
        "combine": (module, "combine", (parts, labels, options, new_words(2))),
    }
    results = interpret(calls, tmp_path)
    expected, out = new_words(2), torch.empty_like(logits)
    reference.tally_and_gradient(logits, labels, options, weights, expected, out)
    formed, gradient = results["formed"][1][4:]
    assert expected[4].tolist() == [1, 0, 6]
    for found in (formed, results["combine"][1][3]):
        assert torch.equal(found[4:9], expected[4:9])
    around = formed.as_strided((len(buffer),), (1,), 0)
    assert (around[:100] == 7).all()
    assert (around[-100:] == 7).all()
    assert (gradient[0, 1:] == 0).all()
    assert torch.allclose(gradient, out, atol=1e-6)


def test_parts_of_odd_sizes_and_gradients_of_slices(tmp_path: Path) -> None:
    logits = torch.randn(2, 5, 257) * 3.0
    target, domain = torch.randint(0, 257, (2, 5)), torch.tensor([0, 1])
    labels = make_labels(logits, target, domain, None, None)
    options = make_options(-100, 0, 257, 9.0, 1e-3, 0.1)
    cuts = [0, 1, 130, 257]
    module = "cross_entropy_triton"
    parts: dict[str, Call] = {
        str(i): (module, "partials", (logits[..., start:stop], labels.target, options._replace(vocab_start=start)))
        for i, (start, stop) in enumerate(itertools.pairwise(cuts))
    }
    sliced = torch.randn(2, 6, 33)
    scaled = sliced.clone()
    parts["scale"] = (module, "scale", ([scaled[:, :-1]], torch.tensor(0.5)))
    results = interpret(parts, tmp_path)
    words, expected = new_words(2), new_words(2)
    reference.combine(torch.stack([results[str(i)][0] for i in range(3)]), labels, options, words)
    reference.tally(logits, labels, options, expected)
    assert torch.equal(words[4:9], expected[4:9])
    sums = reference.finish(words, options.objective_row, None)[0]
    assert torch.allclose(sums, reference.finish(expected, options.objective_row, None)[0], rtol=1e-6)
    assert torch.equal(results["scale"][1][0][0], 0.5 * sliced[:, :-1])


def test_logits_beyond_2_to_the_31_are_addressed(tmp_path: Path) -> None:
    # Rows 2**31 elements apart; only the pages that are touched exist.
    stride = 2**31 + 16
    memory = torch.empty(stride + 300, dtype=torch.bfloat16)
    logits = memory.as_strided((1, 2, 257), (0, stride, 1))
    logits.copy_(torch.randn(1, 2, 257))
    copy = logits.clone()
    labels = make_labels(copy, torch.tensor([[3, 4]]), torch.tensor([[0, 1]]), None, None)
    options = make_options(-100, 0, 257, None, 0.0, 0.0)
    program = (
        "import torch\nfrom mixlaw.kernels import cross_entropy_triton as kernels\n"
        "from mixlaw.kernels.labels import ROWS, Labels, Options\n"
        "torch.serialization.add_safe_globals([Labels, Options])\n"
        f"copy, labels, options, weights = torch.load({str(tmp_path / 'in.pt')!r})\n"
        f"memory = torch.empty({stride} + 300, dtype=torch.bfloat16)\n"
        f"logits = memory.as_strided((1, 2, 257), (0, {stride}, 1))\n"
        "logits.copy_(copy)\n"
        "words = torch.zeros(ROWS, 3, dtype=torch.int64)\n"
        "kernels.tally_and_gradient(logits, labels, options, weights, words, logits)\n"
        f"torch.save((words, logits.clone()), {str(tmp_path / 'out.pt')!r})\n"
    )
    weights = torch.ones(2)
    torch.save((copy, labels, options, weights), tmp_path / "in.pt")
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "TRITON_INTERPRET": "1"}, check=True)
    words, gradient = torch.load(tmp_path / "out.pt")
    expected, out = new_words(2), torch.empty_like(copy)
    reference.tally_and_gradient(copy, labels, options, weights, expected, out)
    sums = reference.finish(words, 0, None)[0]
    assert torch.allclose(sums, reference.finish(expected, 0, None)[0], rtol=1e-6)
    assert torch.allclose(gradient.float(), out.float(), atol=2.0**-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "large",
    [
        Case((1271,), 32003, 1024, extras=True, softcap=30.0, z_loss=1e-4, label_smoothing=0.1),
        Case((255,), 128256, 22, torch.bfloat16, ignored=0.1, peak=20.0),
        Case((1271,), 50277, 22, torch.bfloat16, z_loss=1e-4),
    ],
    ids=str,
)
def test_many_tokens_of_a_large_vocabulary(large: Case, tmp_path: Path) -> None:
    arguments = build(large)
    truth = define(large, arguments)
    calls = calls_of("it", large, arguments)
    results = interpret({name: calls[name] for name in ("it/formed", "it/tally")}, tmp_path)
    words, gradient = results["it/formed"][1][4:]
    assert torch.equal(words, results["it/tally"][1][3])
    assert_words(words, large, arguments, truth)
    assert_gradient(gradient, truth, arguments, arguments.weights)


# Compiled ahead of time: no GPU is needed.

FLAGS = [{"CAP": False, "SMOOTH": False, "Z": False}, {"CAP": True, "SMOOTH": True, "Z": True}]
TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    return lambda *arguments, **options: compile_kernel(*arguments, tmp_path, **options)


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("flags", FLAGS, ids=["plain", "all"])
@pytest.mark.parametrize("dtype", TYPES, ids=TYPES.get)
@pytest.mark.parametrize("vocab", [257, 50304, 128256])
class TestCompiledRows:
    """The kernels that take a row of logits a program, as `tile` launches them."""

    def shape(self, vocab: int) -> tuple[dict[str, int], int]:
        from mixlaw.kernels.cross_entropy_triton import tile

        rows, columns, warps = tile(vocab)
        return {"R": rows, "C": columns}, warps

    @pytest.mark.parametrize("formed", [True, False])
    def test_tally(self, vocab, dtype, flags, architecture: int, formed: bool, compiled) -> None:
        from mixlaw.kernels.cross_entropy_triton import tally_kernel

        shape, warps = self.shape(vocab)
        kind = f"*{TYPES[dtype]}"
        extra = flags["CAP"]
        pointers = {
            "logits_ptr": kind,
            "target_ptr": "*i64",
            "domain_ptr": "*i64",
            "reference_ptr": "*fp32" if extra else None,
            "bytes_ptr": "*i32" if extra else None,
            "weights_ptr": "*fp32" if formed else None,
            "out_ptr": kind if formed else "*fp32",
            "words_ptr": "*i64",
        }
        ptx, report = compiled(tally_kernel, architecture, pointers, flags | shape, num_warps=warps)
        assert_no_spills(report)
        assert atomics(ptx) == {"atom.global.gpu.relaxed.add.u64"}
        # Rows of 16-byte multiples are read 16 bytes at a time, and one reduction at the end needs few barriers.
        assert re.search(r"ld\.global[\w.:]*\.v4\.b32", ptx)
        assert ptx.count("bar.sync") <= 16
        if formed:
            # No thread writes the gradient, which may lie over the logits, before all have read the target's logit.
            assert "bar.sync" in ptx[ptx.rindex("atom.") : ptx.rindex("st.global")].split("st.global")[0]

    def test_partials_and_gradient(self, vocab, dtype, flags, architecture: int, compiled) -> None:
        from mixlaw.kernels.cross_entropy_triton import gradient_kernel, partials_kernel

        shape, warps = self.shape(vocab)
        kind = f"*{TYPES[dtype]}"
        pointers = {"logits_ptr": kind, "target_ptr": "*i64", "partials_ptr": "*fp32"}
        constants = {name: value for name, value in flags.items() if name != "Z"} | shape
        ptx, report = compiled(partials_kernel, architecture, pointers, constants, num_warps=warps)
        assert_no_spills(report)
        assert not atomics(ptx)

        pointers = {"logits_ptr": kind, "target_ptr": "*i64", "domain_ptr": "*u8", "state_ptr": "*fp32"}
        pointers |= {"coefficients_ptr": "*fp32", "out_ptr": kind}
        constants = flags | {"BLOCK": shape["R"] * shape["C"]}
        ptx, report = compiled(gradient_kernel, architecture, pointers, constants, num_warps=warps)
        assert_no_spills(report)
        assert not atomics(ptx)
        assert re.search(r"st\.global[\w.:]*\.v4\.b32", ptx)


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("dtype", TYPES, ids=TYPES.get)
@pytest.mark.parametrize("vocab", [257, 50277, 128255])
def test_rows_at_odd_addresses_spill_nothing_either(
    vocab: int, dtype: torch.dtype, architecture: int, compiled
) -> None:
    from mixlaw.kernels.cross_entropy_triton import tally_kernel, tile

    rows, columns, warps = tile(vocab)
    kind = f"*{TYPES[dtype]}"
    pointers = {"logits_ptr": kind, "target_ptr": "*i64", "domain_ptr": "*i64", "reference_ptr": "*fp32"}
    pointers |= {"bytes_ptr": "*i32", "weights_ptr": "*fp32", "out_ptr": kind, "words_ptr": "*i64"}
    constants = FLAGS[1] | {"R": rows, "C": columns}
    _, report = compiled(tally_kernel, architecture, pointers, constants, num_warps=warps, aligned=False)
    assert_no_spills(report)


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("extra", [False, True])
def test_the_small_kernels_compile(architecture: int, extra: bool, compiled) -> None:
    from mixlaw.kernels import cross_entropy_triton as kernels

    pointers = {
        "parts_ptr": "*fp32",
        "target_ptr": "*i32",
        "domain_ptr": "*i32",
        "reference_ptr": "*fp32" if extra else None,
        "bytes_ptr": "*u8" if extra else None,
        "state_ptr": "*fp32",
        "words_ptr": "*i64",
    }
    constants = {"SMOOTH": extra, "Z": extra, "BLOCK": kernels.COMBINE_BLOCK}
    ptx, report = compiled(kernels.combine_kernel, architecture, pointers, constants)
    assert_no_spills(report)
    assert atomics(ptx) == {"atom.global.gpu.relaxed.add.u64"}

    pointers = {"words_ptr": "*i64", "weights_ptr": "*fp32" if extra else None}
    pointers |= {"sums_ptr": "*fp64", "weighted_ptr": "*fp64", "kept_ptr": "*i64"}
    ptx, report = compiled(kernels.finish_kernel, architecture, pointers, {"BLOCK": 1024})
    assert_no_spills(report)
    assert not atomics(ptx)

    pointers = {"gradient_ptr": "*bf16" if extra else "*fp32", "factor_ptr": "*fp32"}
    ptx, report = compiled(kernels.scale_kernel, architecture, pointers, {"BLOCK": kernels.SCALE_BLOCK})
    assert_no_spills(report)
    assert not atomics(ptx)


# On a GPU.


@needs_gpu
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("inplace", [False, True])
def test_the_gpu_agrees_with_the_definition(case, arguments, truth, weighted: bool, inplace: bool, never_waits) -> None:
    a = arguments
    leaf = a.logits.detach().cuda().requires_grad_()
    logits = leaf.clone() if inplace else leaf
    target, domain, weights = a.target.cuda(), a.domain.cuda(), a.weights.cuda()
    options = {name: None if value is None else value.cuda() for name, value in a.extras.items()} | case.options
    if weighted:
        options["weights"] = weights
    with never_waits():
        loss = domain_cross_entropy(logits, target, domain, a.num_domains, inplace=inplace, **options)
        objective = loss.total if weighted else (loss.sums * weights).sum()
        objective.backward()
        running = DomainStats.zeros(a.num_domains, "cuda")
        running.accumulate(loss.stats)
    assert ((loss.sums.detach().cpu() - truth.per_domain(a, truth.loss)).abs() <= sums_tolerance(truth, a)).all()
    assert running.compute().nonfinite.tolist() == truth.per_domain(a, truth.nonfinite.long()).tolist()
    assert_gradient(leaf.grad.cpu(), truth, a, a.weights)


@needs_gpu
def test_the_gpu_counts_what_does_not_exist_and_never_waits(never_waits) -> None:
    logits = torch.randn(6, 9, device="cuda", requires_grad=True)
    target = torch.tensor([0, 9, -1, -100, 3, 4], device="cuda")
    domain = torch.tensor([0, 0, 1, 1, 2, -1], device="cuda")
    with never_waits():
        weights = domain_weights(target, domain, 2)
        loss = domain_cross_entropy(logits, target, domain, 2, weights=weights)
        loss.total.backward()
    report = loss.stats.compute()
    assert report.tokens.tolist() == [1, 0]
    assert report.outside == 4
    assert (logits.grad[1:] == 0).all()


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_more_than_2_to_the_31_logits_on_a_gpu(dtype: torch.dtype) -> None:
    tokens, vocab = 2**31 // 128256 + 5, 128256
    logits = torch.zeros(tokens, vocab, device="cuda", dtype=dtype)
    logits[-1, 7] = 20.0
    target = torch.full((tokens,), 7, device="cuda")
    domain = torch.zeros(tokens, dtype=torch.int64, device="cuda")
    domain[-1] = 1
    loss = domain_cross_entropy(logits.requires_grad_().mul(1), target, domain, 2)
    expected = math.log(vocab - 1 + math.exp(20.0)) - 20.0
    assert abs(loss.sums[1].item() - expected) < 1e-5
    assert abs(loss.sums[0].item() / (tokens - 1) - math.log(vocab)) < 1e-5


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_linear_gpu_path_agrees_with_float64(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(11)
    hidden = (torch.randn(1271, 96, generator=generator) * 0.5).to(dtype)
    weight = (torch.randn(5003, 96, generator=generator) * 0.5).to(dtype)
    target, domain = torch.randint(0, 5003, (1271,), generator=generator), torch.arange(1271) % 7
    weights = torch.rand(7, generator=generator)
    results = []
    for device, kind in (("cuda", dtype), ("cpu", torch.float64)):
        h, w = hidden.to(device, kind).requires_grad_(), weight.to(device, kind).requires_grad_()
        labels = (target.to(device), domain.to(device), 7)
        loss = domain_linear_cross_entropy(h, w, *labels, weights=weights.to(device), chunk_bytes=5003 * 8 * 200)
        loss.total.backward()
        with torch.no_grad():
            evaluated = domain_linear_cross_entropy(h, w, *labels, weights=None)
        results.append([x.detach().double().cpu() for x in (loss.sums, evaluated.sums, h.grad, w.grad)])
    limit = {torch.float32: 2e-3, torch.bfloat16: 2e-2, torch.float16: 3e-3}[dtype]
    for got, expected in zip(*results, strict=True):
        assert (got - expected).norm() <= limit * expected.norm()
