"""The cases of the cross-entropy operators, which every backend has to pass: CPU reference, interpreter and GPU."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

NAN, INF = math.nan, math.inf
# Of a loss: two units in the last place of its float32, and the fixed-point step.
UNIT = 2.0**-22
F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16


class Case(NamedTuple):
    """One call: sizes, types, and what is special about it."""

    shape: tuple[int, ...]
    vocab: int
    num_domains: int
    dtype: torch.dtype = F32
    domain_dtype: torch.dtype = torch.int64
    target_dtype: torch.dtype = torch.int64
    per_sequence: bool = False
    ignored: float = 0.0
    used: int | None = None  # how many of the domains have tokens; all if None
    spread: float = 3.0  # standard deviation of the logits
    peak: float = 0.0  # added to the logit of most targets
    special: bool = False  # rows with NaN and infinities
    extras: bool = False  # with a reference and bytes
    strided: bool = False  # logits[:, :-1] of longer sequences
    softcap: float | None = None
    z_loss: float = 0.0
    label_smoothing: float = 0.0

    def __str__(self) -> str:
        words = ["x".join(map(str, self.shape)), f"V{self.vocab}", f"K{self.num_domains}", str(self.dtype)[6:]]
        words += [
            f"{name}{'' if value is True else value}"
            for name, value in self._asdict().items()
            if name not in ("shape", "vocab", "num_domains", "dtype") and value != self._field_defaults[name]
        ]
        return "-".join(words).replace("torch.", "")

    @property
    def options(self) -> dict[str, Any]:
        return {"softcap": self.softcap, "z_loss": self.z_loss, "label_smoothing": self.label_smoothing}


CASES = [
    Case((1,), 257, 1),
    Case((63,), 1000, 22, BF16, torch.uint8, torch.int32),
    Case((255,), 257, 1024, F16, torch.int32),
    Case((1271,), 257, 22),
    Case((63,), 1000, 22, ignored=0.3, extras=True, softcap=5.0, z_loss=1e-2, label_smoothing=0.1),
    Case((5, 51), 257, 4, BF16, per_sequence=True, strided=True, softcap=30.0, extras=True),
    Case((3, 21), 1000, 22, F16, torch.uint8, strided=True, label_smoothing=0.1, ignored=0.1),
    Case((6,), 32003, 3, F16, z_loss=1e-3),
    Case((5,), 50277, 22, BF16, label_smoothing=0.1),
    Case((3,), 128256, 2, F32, extras=True, softcap=20.0, z_loss=1e-4, label_smoothing=0.05),
    Case((63,), 257, 3, ignored=1.0, extras=True),
    Case((63,), 257, 2, special=True, extras=True),
    Case((63,), 257, 2, BF16, special=True, softcap=10.0, z_loss=1e-2),
    Case((63,), 257, 2, F16, special=True, label_smoothing=0.1, used=1),
    Case((0,), 257, 3),
    Case((0, 7), 257, 3, per_sequence=True),
    Case((7, 0), 257, 3, per_sequence=True, extras=True),
    Case((63,), 1000, 22, BF16, used=1),
    Case((63,), 1000, 3, peak=30.0),
    Case((63,), 1000, 3, BF16, peak=30.0, z_loss=1e-3),
    Case((63,), 257, 3, spread=100.0),
    Case((7, 1), 1, 2, per_sequence=True),
]


class Arguments(NamedTuple):
    """Arguments of a call, as slices of larger buffers whose other elements would spoil the result if read."""

    logits: Tensor
    target: Tensor
    domain: Tensor
    num_domains: int
    reference: Tensor | None
    vocab_bytes: Tensor | None
    weights: Tensor

    @property
    def extras(self) -> dict[str, Tensor | None]:
        return {"reference": self.reference, "vocab_bytes": self.vocab_bytes}

    def domain_of_token(self) -> Tensor:
        ids = self.domain if self.domain.shape == self.target.shape else self.domain[:, None].expand(self.target.shape)
        return ids.flatten().long()


def within(poison: Any, values: Tensor) -> Tensor:
    buffer = torch.full((values.numel() + 64,), poison, dtype=values.dtype)
    slice_ = buffer[16 : 16 + values.numel()]
    slice_.copy_(values.flatten())
    return slice_.view(values.shape)


def build(case: Case) -> Arguments:
    generator = torch.Generator().manual_seed(sum(case.shape) * 31 + case.vocab)
    n = math.prod(case.shape)
    target = torch.randint(0, case.vocab, (n,), generator=generator)
    logits = torch.randn(n, case.vocab, generator=generator) * case.spread
    if n:
        peaked = torch.rand(n, generator=generator) < 0.9
        logits[torch.arange(n)[peaked], target[peaked]] += case.peak
    if case.special:
        logits[0, 0] = NAN
        logits[1, 5] = INF
        logits[2] = -INF
        logits[3, target[3]] = -INF
        logits[4, (target[4] + 1) % case.vocab] = -INF
        logits[5, target[5]] = INF
        logits[6] = NAN
    target[torch.rand(n, generator=generator) < case.ignored] = -100
    used = case.num_domains if case.used is None else case.used
    domain_shape = case.shape[:1] if case.per_sequence else case.shape
    domain = case.num_domains - 1 - torch.randint(0, used, domain_shape, generator=generator)
    reference = vocab_bytes = None
    if case.extras:
        reference = within(NAN, torch.randn(case.shape, generator=generator) + 5.0)
        if case.special:
            reference[7:9] = torch.tensor([NAN, -INF])
        vocab_bytes = within(-1, torch.randint(1, 9, (case.vocab,), generator=generator))
    logits = logits.view(*case.shape, case.vocab).to(case.dtype)
    if case.strided:
        longer = torch.full((case.shape[0], case.shape[1] + 1, case.vocab), NAN, dtype=case.dtype)
        longer[:, :-1] = logits
        logits = within(NAN, longer)[:, :-1]
    else:
        logits = within(NAN, logits)
    return Arguments(
        logits,
        within(0, target.view(case.shape).to(case.target_dtype)),
        within(0, domain.clamp(max=255).to(case.domain_dtype)),
        case.num_domains,
        reference,
        vocab_bytes,
        within(NAN, torch.rand(case.num_domains, generator=generator) + 0.1),
    )


class Truth(NamedTuple):
    """The definition in float64, token by token, and torch's own error in the precision of computations, float32."""

    loss: Tensor  # of every token, 0 where it is left out; so are all others
    nll: Tensor
    excess: Tensor
    added: Tensor
    nonfinite: Tensor
    correct: Tensor
    gradient: Tensor  # of every token's loss, (N, V); 0 where it is left out
    loss_error: float  # the largest of a token
    gradient_error: float  # the largest of a number, before it is rounded to the type of the logits

    def per_domain(self, arguments: Arguments, values: Tensor) -> Tensor:
        sums = torch.zeros(arguments.num_domains, dtype=values.dtype)
        return sums.index_add_(0, arguments.domain_of_token(), values)


def losses(case: Case, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and cross-entropy of every token, differentiable, in torch and in the precision of the logits."""
    if case.softcap:
        logits = torch.tanh(logits / case.softcap) * case.softcap
    nll = cross_entropy(logits, target, reduction="none")
    loss = cross_entropy(logits, target, reduction="none", label_smoothing=case.label_smoothing)
    if case.z_loss:
        loss = loss + case.z_loss * torch.logsumexp(logits, 1).square() * (target != -100)
    return loss, nll


def define(case: Case, arguments: Arguments) -> Truth:
    target = arguments.target.flatten().long()
    counted = target != -100
    results = []
    for dtype in (torch.float64, torch.float32):
        logits = arguments.logits.detach().flatten(0, -2).to(dtype).requires_grad_()
        loss, nll = losses(case, logits, target)
        excess = torch.zeros_like(nll.detach().double())
        if arguments.reference is not None:
            excess = nll.detach().double() - arguments.reference.flatten().double()
        finite = loss.isfinite() & nll.isfinite() & excess.isfinite()
        # A row at a time: NaN of one row must not reach the gradient of another.
        (gradient,) = torch.autograd.grad(loss[finite & counted].sum(), logits)
        gradient = gradient.double().where((finite & counted)[:, None], 0.0)
        results.append((loss.detach().double(), nll.detach().double(), excess, finite, gradient))
    (loss, nll, excess, finite, gradient), (torch_loss, _, _, torch_finite, torch_gradient) = results
    added = counted & finite
    comparable = added & torch_finite
    z = arguments.logits.flatten(0, -2).double()
    top = z.amax(1) if len(z) else z.new_zeros(0)
    at_target = z.gather(1, target.clamp(min=0)[:, None]).squeeze(1)
    return Truth(
        loss.where(added, 0.0),
        nll.where(added, 0.0),
        excess.clamp(min=0.0).where(added, 0.0),
        added,
        counted & ~finite,
        added & (at_target >= top),
        gradient,
        (loss - torch_loss)[comparable].abs().max().item() if comparable.any() else 0.0,
        (gradient - torch_gradient)[comparable].abs().max().item() if comparable.any() else 0.0,
    )


def sums_tolerance(truth: Truth, arguments: Arguments) -> torch.Tensor:
    """Twice torch's largest error of a token in the same precision, for every token of a domain."""
    tokens = truth.per_domain(arguments, truth.added.double())
    sizes = truth.per_domain(arguments, truth.loss.abs() + truth.nll.abs())
    return 2.0 * truth.loss_error * tokens + sizes * UNIT + tokens * 2.0**-32


def gradient_tolerance(truth: Truth, coefficients: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Twice torch's largest error in float32, and one rounding of each number, up or down, to the type it has here."""
    kind = torch.finfo(dtype)
    size = coefficients.abs()[:, None]
    return (2.0 * truth.gradient_error + 2.0**-26 + kind.eps * truth.gradient.abs()) * size + kind.tiny * kind.eps


def assert_gradient(got: Tensor, truth: Truth, arguments: Arguments, weights: Tensor) -> None:
    coefficients = weights.double()[arguments.domain_of_token()].where(truth.added, 0.0)
    expected = truth.gradient * coefficients[:, None]
    error = (got.double().view(expected.shape) - expected).abs()
    assert (error <= gradient_tolerance(truth, coefficients, got.dtype)).all()
