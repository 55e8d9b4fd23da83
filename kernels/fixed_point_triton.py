"""Fixed-point sums inside Triton kernels; symbols and layout as in `mixlaw.kernels.fixed_point`."""

# Triton has no types; mypy checks what calls the kernels.
# mypy: allow-untyped-defs, allow-untyped-decorators

import triton
import triton.language as tl

STEPS = tl.constexpr(4294967296.0)  # fixed_point.STEPS
LIMIT = tl.constexpr(2147483648.0)  # fixed_point.LIMIT


@triton.jit
def addable(value):
    """`fixed_point.addable`: False for NaN, for infinity, and from LIMIT on."""
    return tl.abs(value) < LIMIT


@triton.jit
def to_words(value):
    """`fixed_point.to_words` of addable values."""
    fixed = tl.floor(value.to(tl.float64) * STEPS + 0.5).to(tl.int64)
    return fixed >> 32, fixed & 0xFFFFFFFF
