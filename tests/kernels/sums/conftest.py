"""The cases of `domain_sum`, which every backend has to pass: CPU reference, interpreter and GPU."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

NAN, INF = math.nan, math.inf


class Case(NamedTuple):
    """One call: shape of the losses, domains, dtypes, and what is special about it."""

    shape: tuple[int, ...]
    num_domains: int
    dtype: torch.dtype = torch.float32
    domain_dtype: torch.dtype = torch.int64
    per_sequence: bool = False
    masked: float = 0.0
    used: int | None = None  # how many of the domains have tokens; all if None
    special: tuple[float, ...] = ()  # losses of the first tokens

    def __str__(self) -> str:
        words = [
            "x".join(map(str, self.shape)),
            f"K{self.num_domains}",
            str(self.dtype)[6:],
            str(self.domain_dtype)[6:],
        ]
        words += ["sequences"] * self.per_sequence + [f"masked{self.masked:g}"] * (self.masked > 0)
        words += [f"used{self.used}"] * (self.used is not None) + ["special"] * bool(self.special)
        return "-".join(words)


CASES = [
    Case((0,), 1),
    Case((1,), 1, torch.bfloat16, torch.uint8),
    Case((63,), 22, torch.float16, torch.int32),
    Case((255,), 1024, torch.float64),
    Case((1271,), 22),
    Case((1271,), 1, torch.bfloat16),
    Case((1271,), 1024, torch.float16, masked=0.5),
    Case((2049,), 22, torch.bfloat16, torch.uint8, used=1),
    Case((2049,), 255, torch.float32, torch.uint8, masked=1.0),
    Case((0, 7), 3, per_sequence=True),
    Case((7, 0), 3, per_sequence=True),
    Case((1, 63), 22, torch.float16, torch.uint8, per_sequence=True),
    Case((5, 255), 4, torch.float32, torch.int32, per_sequence=True, masked=0.3),
    Case((3, 1271), 22, torch.bfloat16, per_sequence=True, used=2),
    Case((3, 1271), 1024, torch.float64, torch.uint8, masked=0.1),
    Case((63,), 2, torch.float32, special=(NAN, INF, -INF, 2.0**31, -(2.0**31), 3e38)),
    Case((63,), 2, torch.float16, special=(NAN, INF, -INF, 65504.0, -65504.0), masked=0.2),
    Case((63,), 2, torch.bfloat16, special=(NAN, INF, -INF, 2.0**31, 3e38), used=1),
    Case(
        (2, 63), 2, torch.float64, special=(NAN, INF, -INF, 2.0**31, 1e300, 2.0**31 - 1, -(2.0**30)), per_sequence=True
    ),
    Case((1271,), 3, torch.float32, special=(0.0, -0.0, 1e-30, -1e-30, 2.0**-33, -(2.0**-33), 2.0**30, -(2.0**30))),
]


class Arguments(NamedTuple):
    """Arguments of a call, as slices of larger buffers whose other elements would spoil the result if read."""

    losses: torch.Tensor
    domain: torch.Tensor
    mask: torch.Tensor | None
    num_domains: int


def within(poison: Any, values: torch.Tensor) -> torch.Tensor:
    buffer = torch.full((values.numel() + 64,), poison, dtype=values.dtype)
    slice_ = buffer[16 : 16 + values.numel()]
    slice_.copy_(values.flatten())
    return slice_.view(values.shape)


def build(case: Case) -> Arguments:
    generator = torch.Generator().manual_seed(sum(case.shape) * 31 + case.num_domains)
    losses = torch.randn(case.shape, generator=generator, dtype=torch.float64).mul(3).add(5).to(case.dtype)
    losses.view(-1)[: len(case.special)] = torch.tensor(case.special, dtype=torch.float64).to(case.dtype)
    used = case.num_domains if case.used is None else case.used
    shape = case.shape[:1] if case.per_sequence else case.shape
    domain = case.num_domains - 1 - torch.randint(0, used, shape, generator=generator)
    mask = None
    if case.masked:
        mask = within(True, torch.rand(case.shape, generator=generator) >= case.masked)
    return Arguments(
        within(NAN, losses), within(0, domain.clamp(max=255).to(case.domain_dtype)), mask, case.num_domains
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=str)


@pytest.fixture
def arguments(case: Case) -> Arguments:
    return build(case)


@pytest.fixture(scope="session")
def all_arguments() -> dict[str, Arguments]:
    return {str(case): build(case) for case in CASES}


class Truth(NamedTuple):
    """Expected sums (correctly rounded), tokens and tokens left out, per domain."""

    sums: list[float]
    tokens: list[int]
    nonfinite: list[int]


@pytest.fixture(scope="session")
def truth() -> Callable[[Arguments], Truth]:
    """The definition, token by token in Python."""

    def of(arguments: Arguments) -> Truth:
        losses, domain, mask, num_domains = arguments
        per_token = domain if domain.shape == losses.shape else domain[:, None].expand(losses.shape)
        counted = torch.ones(losses.shape, dtype=torch.bool) if mask is None else mask
        good: list[list[float]] = [[] for _ in range(num_domains)]
        bad = [0] * num_domains
        for loss, k in zip(losses[counted].double().tolist(), per_token[counted].tolist(), strict=True):
            if math.isfinite(loss) and abs(loss) < 2**31:
                good[k].append(loss)
            else:
                bad[k] += 1
        return Truth([math.fsum(losses) for losses in good], [len(losses) for losses in good], bad)

    return of
