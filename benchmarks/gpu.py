"""What the benchmarks of the GPU kernels share: inputs, truth in float64, contenders, and how they are measured.

symbol  meaning                                                                          shape     unit
N       tokens                                                                           -         tokens
V       vocabulary                                                                       -         -
K       domains                                                                          -         -
x       logits                                                                           (N, V)    nats
lse     log sum_v e^x_v                                                                  (N,)      nats
nll     loss of a token, lse - x_target                                                  (N,)      nats
c       coefficient of a token: the weight of its domain in the objective                (N,)      1/tokens
g       gradient of the objective with respect to x, c (e^(x - lse) - [v = target])      (N, V)    1/tokens

A contender gives the sums of the losses of the domains and their weighted sum, the objective, which is differentiated.
It is compared with the truth before it is timed. A step is a forward and a backward pass. Steps are timed by CUDA
events, and the host does not wait between them, as in training; on a CPU, which only tries the programs, by a clock.
"""

import argparse
import functools
import importlib
import math
import statistics
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from table import Row, Table, place, results_path
from torch import Tensor
from torch.nn import functional

from mixlaw.kernels import domain_weights

DOMAINS = 22
# Logits are normal with this standard deviation, so that softmax has some large entries whatever V is.
SPREAD = 3.0
# Share of the tokens whose target has the logit PEAK, far above all others, as in a trained model.
PEAKED = {"random": 0.0, "peaked": 0.9}
PEAK = 24.0
CHECKED_ROWS = 256
BUDGET_MS, LEAST_REPEATS, MOST_REPEATS = 300.0, 3, 20


class Tokens(NamedTuple):
    """Labels of N tokens, and the weights of the domains in the objective."""

    target: Tensor
    domain: Tensor
    weights: Tensor

    @property
    def num_domains(self) -> int:
        return len(self.weights)

    @property
    def coefficients(self) -> Tensor:
        return self.weights.double()[self.domain]

    def in_one_domain(self) -> "Tokens":
        """The same targets; the objective is the mean over tokens."""
        weights = torch.full_like(self.weights[:1], 1.0 / len(self.target))
        return Tokens(self.target, torch.zeros_like(self.domain), weights)


def draw_tokens(num_tokens: int, vocab_size: int, device: str) -> Tokens:
    """Random targets, a random domain a token; the objective is the mean over domains of their mean losses."""
    target = torch.randint(vocab_size, (num_tokens,), device=device)
    domain = torch.randint(DOMAINS, (num_tokens,), device=device)
    return Tokens(target, domain, domain_weights(target, domain, DOMAINS, scheme="domain_mean"))


def domain_sums(losses: Tensor, tokens: Tokens) -> Tensor:
    """Sums of the domains in plain torch, in float32 or float64."""
    dtype = torch.promote_types(losses.dtype, torch.float32)
    return losses.new_zeros(tokens.num_domains, dtype=dtype).index_add(0, tokens.domain, losses.to(dtype))


def weigh(sums: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """Sums and objective."""
    return sums, (tokens.weights * sums).sum()


def eager_loss(logits: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """What a training loop has without mixlaw."""
    return weigh(domain_sums(functional.cross_entropy(logits, tokens.target, reduction="none"), tokens), tokens)


class Truth(NamedTuple):
    """Sums in float64; and of every gradient, which rows were computed, and these."""

    tokens: Tokens
    sums: Tensor
    gradients: tuple[tuple[Tensor, Tensor], ...]


class Problem(NamedTuple):
    """Inputs, and what every contender should make of them.

    Attributes
    ----------
    inputs
        Tensors that require grad.
    truth, truth_of_one
        The truth with K domains, and with all tokens in one.
    floor_ms
        The time that no step falls below, by the rates measured in this run; a third of it for a forward pass alone.
    """

    inputs: tuple[Tensor, ...]
    truth: Truth
    truth_of_one: Truth
    floor_ms: float


def true_losses(logits_of: Callable[[slice], Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
    """lse and nll of all tokens; `logits_of` gives the logits of some in float64."""
    parts = []
    for start in range(0, len(target), CHECKED_ROWS):
        rows = slice(start, start + CHECKED_ROWS)
        x = logits_of(rows)
        lse = x.logsumexp(1)
        parts.append(torch.stack([lse, lse - x.gather(1, target[rows, None]).squeeze(1)]))
    lse, nll = torch.cat(parts, 1)
    return lse, nll


def true_gradient(x: Tensor, lse: Tensor, target: Tensor, c: Tensor, vocab: Tensor) -> Tensor:
    """g of the tokens given, for the ids of the vocabulary that x holds."""
    return ((x - lse[:, None]).exp() - (target[:, None] == vocab).double()) * c[:, None]


def checked_rows(matrix: Tensor) -> Tensor:
    """Rows of a gradient that are compared with the truth: spread evenly, the first and the last among them."""
    rows = len(matrix)
    return torch.linspace(0, rows - 1, min(rows, CHECKED_ROWS), device=matrix.device).long()


def relative_error(found: Tensor, truth: Tensor) -> float:
    """Norm of the difference over the norm of the truth."""
    return ((found.double() - truth).norm() / truth.norm()).item()


class Tolerance(NamedTuple):
    """Relative errors up to which an answer is right."""

    sums: float
    gradients: float


# Of peers. bfloat16 losses or accumulators, and gradients left out where they are small, are off by up to 2 %.
PEERS = Tolerance(sums=2**-5, gradients=2**-5)


class Contender(NamedTuple):
    """A way to compute the loss.

    Attributes
    ----------
    name
        Ours begin with "mixlaw".
    loss
        Function of the inputs and `Tokens`: sums and objective.
    tolerance
        How closely it should give the truth.
    overwrites
        It destroys the inputs. They are brought back before every step, untimed.
    one_domain
        It is given, or can take, only one domain.
    backward
        False: a step is a forward pass without gradients.
    """

    name: str
    loss: Callable[..., tuple[Tensor, Tensor | None]]
    tolerance: Tolerance
    overwrites: bool = False
    one_domain: bool = False
    backward: bool = True


@functools.cache
def peer(module: str, name: str) -> Any:
    """A function of another library; None where that is not installed or cannot be imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(importlib.import_module(module), name)
    except Exception as error:  # noqa: BLE001 - whatever keeps a peer from being imported keeps it out of the table
        print(f"without {module}.{name}: {error!r}")
        return None


def compiled(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for the first size that comes; what was compiled before is forgotten, since torch keeps only a few."""
    torch.compiler.reset()
    return torch.compile(loss, dynamic=False, fullgraph=True)


class Speed(NamedTuple):
    """Rates of this GPU: bytes read and written by a copy, and bfloat16 matrix products; NaN on a CPU."""

    bytes_per_ms: float
    flop_per_ms: float


def measure_speed(device: str) -> Speed:
    if device == "cpu":
        return Speed(math.nan, math.nan)
    source = torch.randint(256, (2**30,), dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    a, b = torch.randn(2, 8192, 8192, dtype=torch.bfloat16, device=device)
    product = torch.empty_like(a)
    return Speed(
        2 * source.numel() / median_ms(lambda: copy.copy_(source), device),
        2 * 8192**3 / median_ms(lambda: torch.mm(a, b, out=product), device),
    )


def _nothing() -> None:
    pass


def median_ms(step: Callable[[], object], device: str, prepare: Callable[[], None] = _nothing) -> float:
    """Median time of a step, after a first one that tells how often it can be repeated; `prepare` is not timed."""
    [once] = _times(step, device, prepare, 1)
    repeats = min(MOST_REPEATS, max(LEAST_REPEATS, int(BUDGET_MS / once)))
    return statistics.median(_times(step, device, prepare, repeats))


def _times(step: Callable[[], object], device: str, prepare: Callable[[], None], repeats: int) -> list[float]:
    marks = []
    for _ in range(repeats):
        prepare()
        start = _mark(device)
        step()
        marks.append((start, _mark(device)))
    if device == "cpu":
        return [1e3 * (end - start) for start, end in marks]
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in marks]


def _mark(device: str) -> Any:
    if device == "cpu":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


class Measured(NamedTuple):
    """What was found out about a contender; NaN was not measured.

    Attributes
    ----------
    status
        "ok", "wrong", "out of memory" or "failed", of which the traceback is printed.
    ms
        Median time of a step.
    extra_MiB
        Memory that a step takes at its peak, on top of what was there before.
    host_syncs
        Whether torch sees the step wait for the GPU: 0, "yes", or "" on a CPU.
    sum_error, gradient_error
        Relative errors against the truth.
    """

    status: str
    ms: float = math.nan
    extra_MiB: float = math.nan  # noqa: N815 - the name of a column
    host_syncs: int | str = ""
    sum_error: float = math.nan
    gradient_error: float = math.nan


def measure(contender: Contender, problem: Problem) -> Measured:
    """Check a contender and, if it is right, measure it."""
    inputs = problem.inputs
    device = inputs[0].device.type
    truth = problem.truth_of_one if contender.one_domain else problem.truth
    work = [each.detach().clone().requires_grad_() for each in inputs] if contender.overwrites else inputs

    def prepare() -> None:
        if contender.overwrites:
            with torch.no_grad():
                for mine, each in zip(work, inputs, strict=True):
                    mine.copy_(each)

    def step() -> tuple[Tensor, tuple[Tensor, ...]]:
        with torch.set_grad_enabled(contender.backward):
            sums, objective = contender.loss(*work, truth.tokens)
        return sums.detach(), torch.autograd.grad(objective, work) if contender.backward else ()

    errors = _errors(*step(), truth)
    # Not ">", which is never true of NaN.
    if not all(error <= most for error, most in zip(errors, contender.tolerance, strict=True)):
        return Measured("wrong", sum_error=errors[0], gradient_error=errors[1])
    host_syncs: int | str = ""
    extra = math.nan
    if device == "cuda":
        prepare()
        host_syncs = _host_syncs(step)
        prepare()
        extra = _extra_mebibytes(step)
    return Measured("ok", median_ms(step, device, prepare), extra, host_syncs, *errors)


def _errors(sums: Tensor, gradients: tuple[Tensor, ...], truth: Truth) -> tuple[float, float]:
    pairs = zip(gradients, truth.gradients, strict=False)  # without a backward pass there are none to compare
    of_gradients = [relative_error(found[rows], expected) for found, (rows, expected) in pairs]
    return relative_error(sums, truth.sums), max(of_gradients, default=0.0)


def _host_syncs(step: Callable[[], object]) -> int | str:
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        return "yes"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return 0


def _extra_mebibytes(step: Callable[[], object]) -> float:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def compare(contenders: Sequence[Contender], problem: Problem, size: Row) -> Iterator[dict[str, Any]]:
    """Rows of the contenders, one after the other; times are also given as multiples of that of the first, ours."""
    our_ms = None
    for contender in contenders:
        if problem.inputs[0].is_cuda:
            torch.cuda.empty_cache()
        try:
            with warnings.catch_warnings():
                # Those of peers, and torch's, that its debug mode of synchronisations is a prototype.
                warnings.simplefilter("ignore")
                measured = measure(contender, problem)
        except torch.OutOfMemoryError:
            measured = Measured("out of memory")
        except Exception:  # noqa: BLE001 - a failure becomes a row; one of ours ends the run when all rows are there
            traceback.print_exc(limit=-5)
            measured = Measured("failed")
        our_ms = measured.ms if our_ms is None else our_ms
        floor_ms = problem.floor_ms if contender.backward else problem.floor_ms / 3.0
        yield {
            "contender": contender.name,
            **size,
            "K": 1 if contender.one_domain else DOMAINS,
            "status": measured.status,
            "ms": measured.ms,
            "times_ours": measured.ms / our_ms,
            "share_of_floor": floor_ms / measured.ms,
            **dict(zip(measured._fields[2:], measured[2:], strict=True)),
        }


def run(
    table: Table,
    contenders: Sequence[Contender],
    draw: Callable[[float], Problem],
    size: Row,
    more: Callable[[Row], Row] = lambda row: {},
) -> None:
    """Compare contenders at one size, on all kinds of inputs.

    Parameters
    ----------
    draw
        Makes a problem of a share of peaked tokens.
    size
        Columns that say what was compared.
    more
        Columns that follow from the others.
    """
    for inputs, share in PEAKED.items():
        torch.manual_seed(0)
        try:
            problem = draw(share)
        except torch.OutOfMemoryError:
            print(f"out of memory before any contender: {size}")
            return
        for row in compare(contenders, problem, {**size, "inputs": inputs}):
            table.add({**row, **more(row)})
        del problem  # before the next is drawn


def make_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu only tries the program")
    parser.add_argument("--tokens", type=int, nargs="+", default=[8192, 32768], metavar="N")
    parser.add_argument("--vocab", type=int, nargs="+", default=[50304, 128256, 151936], metavar="V")
    parser.add_argument("--out", type=Path, help="CSV file; by default in benchmarks/results")
    return parser


def parse(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    arguments = parser.parse_args(words)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA GPU: try the program with --device cpu and small sizes")
    return arguments


def open_table(arguments: argparse.Namespace, stem: str, peers: Sequence[str], speed: Speed) -> Table:
    """The table of a program, under the GPU, its measured speed and all versions."""
    cuda = arguments.device == "cuda"
    here = place(["torch", "triton", *peers]) | {
        "cuda": torch.version.cuda if cuda else "none",
        "gpu": torch.cuda.get_device_name() if cuda else "none",
        "copy_GB_per_s": speed.bytes_per_ms / 1e6,
        "matmul_TFLOP_per_s": speed.flop_per_ms / 1e9,
    }
    return Table(arguments.out or results_path(stem), here, first_width=40)


def refuse_wrong(rows: Sequence[Row]) -> None:
    """End with an error if one of ours is wrong or failed."""
    bad = [row for row in rows if str(row["contender"]).startswith("mixlaw") and row["status"] in ("wrong", "failed")]
    if bad:
        raise AssertionError("\n".join(map(str, bad)))
