"""Cross-entropy per domain: the Triton kernels.

Symbols, arguments and results as in `cross_entropy_reference`. One program takes one row of logits. It reads the row
once for m, s and the loss, adds the token to the words of its domain by integer atomics, so that the order of the
programs does not matter, and, where the gradient is wanted at once, reads the row again, from the L2 cache if it is
still there.

Logits are (B, T, V) with any strides between sequences and between tokens, so that logits[:, :-1] needs no copy.
"""

# Triton has no types; mypy checks what calls the kernels.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls

import torch
import triton
import triton.language as tl
from torch import Tensor

from mixlaw.kernels import stats
from mixlaw.kernels.arguments import tokens_per_id
from mixlaw.kernels.fixed_point_triton import STEPS, addable, to_words
from mixlaw.kernels.labels import OBJECTIVE as _OBJECTIVE
from mixlaw.kernels.labels import Labels, Options

LOSS = tl.constexpr(stats.LOSS)
EXCESS = tl.constexpr(stats.EXCESS)
TOKENS = tl.constexpr(stats.TOKENS)
REFERENCED = tl.constexpr(stats.REFERENCED)
NONFINITE = tl.constexpr(stats.NONFINITE)
CORRECT = tl.constexpr(stats.CORRECT)
BYTES = tl.constexpr(stats.BYTES)
STATS_ROWS = tl.constexpr(stats.ROWS)
OBJECTIVE = tl.constexpr(_OBJECTIVE)
INFINITY = tl.constexpr(float("inf"))

COMBINE_BLOCK = 128
SCALE_BLOCK = 4096
SCALE_PROGRAMS = 1024
# Not worth a compilation for every residue: sizes and ids that no address is a multiple of.
PLAIN = ["N", "T", "S", "K", "row", "tokens_per_id", "ignore_index", "vocab_start", "vocab_size"]


def kernel(function):
    """Compile a kernel that is not specialised on the values of `PLAIN` arguments."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return triton.jit(function, do_not_specialize=[name for name in names if name in PLAIN])


@triton.jit
def tanh(x):
    """Hyperbolic tangent in float32, to 2 units in the last place: an odd polynomial near 0, where exp would cancel."""
    square = x * x
    small = -5.70498872745e-3 * square + 2.06390887954e-2
    small = small * square - 5.37397155531e-2
    small = small * square + 1.33314422036e-1
    small = (small * square - 3.33332819422e-1) * square * x + x
    large = 1.0 - 2.0 / (tl.exp(2.0 * tl.abs(x)) + 1.0)
    return tl.where(tl.abs(x) < 0.625, small, tl.where(x < 0.0, -large, large))


@triton.jit
def capped(x, softcap, CAP: tl.constexpr):
    """Logits z from the logits x that were read."""
    x = x.to(tl.float32)
    if CAP:
        x = tanh(x / softcap) * softcap
    return x


@triton.jit
def row_partials(row_ptr, target, V, softcap, CAP: tl.constexpr, SUM: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Reduce a row to m, s, z_t and sum_v z_v: R x C logits at a time, C running values, one reduction at the end."""
    top = tl.full((C,), -INFINITY, tl.float32)
    total = tl.zeros((C,), tl.float32)
    all_logits = tl.zeros((C,), tl.float32)
    for start in range(0, V, R * C):
        at = start + tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
        here = at < V
        z = capped(tl.load(row_ptr + at, mask=here, other=0.0, eviction_policy="evict_last"), softcap, CAP)
        if SUM:
            all_logits += tl.sum(tl.where(here, z, 0.0), 0)
        z = tl.where(here, z, -INFINITY)
        higher = tl.maximum(top, tl.max(z, 0))
        base = tl.where(higher > -INFINITY, higher, 0.0)
        total = total * tl.exp(top - base) + tl.sum(tl.exp(z - base[None, :]), 0)
        top = higher
    highest = tl.max(top, 0)
    total = tl.sum(total * tl.exp(top - tl.where(highest > -INFINITY, highest, 0.0)), 0)
    at_target = 0.0
    if (target >= 0) & (target < V):
        at_target = capped(tl.load(row_ptr + target), softcap, CAP)
    return highest, total, at_target, tl.sum(all_logits, 0)


@triton.jit
def add_loss(words_ptr, columns, slot, row, loss, added):
    """Add losses to the two words at `row`."""
    high, low = to_words(tl.where(added, loss, 0.0))
    tl.atomic_add(words_ptr + row * columns + slot, high, mask=added, sem="relaxed")
    tl.atomic_add(words_ptr + (row + 1) * columns + slot, low, mask=added, sem="relaxed")


@triton.jit
def add_tokens(
    words_ptr,
    K,
    token,
    target,
    domain,
    top,
    total,
    at_target,
    all_logits,
    counted,
    reference_ptr,
    bytes_ptr,
    z_loss,
    label_smoothing,
    vocab_size,
    SMOOTH: tl.constexpr,
    Z: tl.constexpr,
):
    """Add one token, or a block of them, to the words of their domains; True for those that were added."""
    columns = K + 1
    log_total = tl.log(total)
    nll = log_total + (top - at_target)
    loss = nll
    if SMOOTH:
        smooth = log_total + (top - all_logits / vocab_size)
        loss = (1.0 - label_smoothing) * nll + label_smoothing * smooth
    if Z:
        lse = top + log_total
        loss = loss + z_loss * lse * lse
    known = (target >= 0) & (target < vocab_size) & (domain >= 0) & (domain < K)
    finite = addable(nll) & addable(loss)
    excess = nll
    if reference_ptr is not None:
        excess = nll - tl.load(reference_ptr + token, mask=counted, other=0.0)
        finite = finite & addable(excess)
    added = counted & known & finite
    slot = tl.where(known, domain, K)
    one = tl.where(counted, 1, 0).to(tl.int64)
    add_loss(words_ptr, columns, slot, LOSS, nll, added)
    tl.atomic_add(words_ptr + TOKENS * columns + slot, one, mask=added | (counted & (known == 0)), sem="relaxed")
    tl.atomic_add(words_ptr + NONFINITE * columns + slot, one, mask=counted & known & (finite == 0), sem="relaxed")
    tl.atomic_add(words_ptr + CORRECT * columns + slot, one, mask=added & (at_target >= top), sem="relaxed")
    if reference_ptr is not None:
        add_loss(words_ptr, columns, slot, EXCESS, tl.maximum(excess, 0.0), added)
        tl.atomic_add(words_ptr + REFERENCED * columns + slot, one, mask=added, sem="relaxed")
    if bytes_ptr is not None:
        size = tl.load(bytes_ptr + tl.where(known, target, 0), mask=added, other=0).to(tl.int64)
        tl.atomic_add(words_ptr + BYTES * columns + slot, size, mask=added, sem="relaxed")
    if SMOOTH or Z:
        add_loss(words_ptr, columns, slot, OBJECTIVE, loss, added)
    return added


@triton.jit
def write_gradient(
    row_ptr,
    out_ptr,
    target,
    top,
    total,
    c,
    V,
    softcap,
    z_loss,
    label_smoothing,
    vocab_size,
    CAP: tl.constexpr,
    SMOOTH: tl.constexpr,
    Z: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write g of a row; zeros, without reading the row, where c is 0."""
    if c == 0.0:
        for start in range(0, V, BLOCK):
            at = start + tl.arange(0, BLOCK)
            tl.store(out_ptr + at, tl.zeros((BLOCK,), out_ptr.dtype.element_ty), mask=at < V)
    else:
        scale = c / total
        if Z:
            scale *= 1.0 + 2.0 * z_loss * (top + tl.log(total))
        at_target = c * (label_smoothing - 1.0)
        spread = c * label_smoothing / vocab_size
        for start in range(0, V, BLOCK):
            at = start + tl.arange(0, BLOCK)
            z = capped(tl.load(row_ptr + at, mask=at < V, other=0.0, eviction_policy="evict_first"), softcap, CAP)
            g = tl.exp(z - top) * scale
            if SMOOTH:
                g -= spread
            g = tl.where(at == target, g + at_target, g)
            if CAP:
                u = z / softcap
                g *= 1.0 - u * u
            tl.store(out_ptr + at, g.to(out_ptr.dtype.element_ty), mask=at < V, eviction_policy="evict_first")


@kernel
def tally_kernel(
    logits_ptr,  # (B, T, V)
    target_ptr,  # (N,) integer
    domain_ptr,  # (N / tokens_per_id,) integer
    reference_ptr,  # (N,) float32, or None
    bytes_ptr,  # (V,) integer, or None
    weights_ptr,  # (K,) float32: write the gradient with these coefficients; or None: write m and s
    out_ptr,  # (B, T, V): the gradient, may be the logits; or (2, N) float32: m and s
    words_ptr,  # (ROWS, K + 1) int64
    N,
    T,
    V,
    K,
    tokens_per_id,
    sequence_stride,
    token_stride,
    out_sequence_stride,
    out_token_stride,
    ignore_index,
    softcap,
    z_loss,
    label_smoothing,
    CAP: tl.constexpr,
    SMOOTH: tl.constexpr,
    Z: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
):
    """Tally one token of logits that hold the whole vocabulary."""
    token = tl.program_id(0).to(tl.int64)
    sequence, position = token // T, token % T
    row_ptr = logits_ptr + sequence * sequence_stride + position * token_stride
    target = tl.load(target_ptr + token).to(tl.int64)
    domain = tl.load(domain_ptr + token // tokens_per_id).to(tl.int64)
    counted = target != ignore_index
    top = 0.0
    total = 1.0
    added = target != target  # False, of the type that it has below
    if counted:
        top, total, at_target, all_logits = row_partials(row_ptr, target, V, softcap, CAP, SMOOTH, R, C)
        added = add_tokens(
            words_ptr,
            K,
            token,
            target,
            domain,
            top,
            total,
            at_target,
            all_logits,
            counted,
            reference_ptr,
            bytes_ptr,
            z_loss,
            label_smoothing,
            V,
            SMOOTH,
            Z,
        )
    if weights_ptr is not None:
        c = tl.load(weights_ptr + domain, mask=added, other=0.0)
        to_ptr = out_ptr + sequence * out_sequence_stride + position * out_token_stride
        # The gradient may overwrite the logits: no thread may write before all have read z_t.
        tl.debug_barrier()
        write_gradient(
            row_ptr, to_ptr, target, top, total, c, V, softcap, z_loss, label_smoothing, V, CAP, SMOOTH, Z, R * C
        )
    else:
        tl.store(out_ptr + token, top)
        tl.store(out_ptr + N + token, tl.where(added, total, 0.0))


@kernel
def partials_kernel(
    logits_ptr,  # (B, T, V)
    target_ptr,  # (N,) integer
    partials_ptr,  # (4, N) float32
    N,
    T,
    V,
    sequence_stride,
    token_stride,
    vocab_start,
    softcap,
    CAP: tl.constexpr,
    SMOOTH: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
):
    """Reduce one row of logits that hold a part of the vocabulary."""
    token = tl.program_id(0).to(tl.int64)
    row_ptr = logits_ptr + (token // T) * sequence_stride + (token % T) * token_stride
    target = tl.load(target_ptr + token).to(tl.int64) - vocab_start
    top, total, at_target, all_logits = row_partials(row_ptr, target, V, softcap, CAP, SMOOTH, R, C)
    tl.store(partials_ptr + token, top)
    tl.store(partials_ptr + N + token, total)
    plane = N.to(tl.int64)
    tl.store(partials_ptr + 2 * plane + token, at_target)
    tl.store(partials_ptr + 3 * plane + token, all_logits)


@kernel
def combine_kernel(
    parts_ptr,  # (S, 4, N) float32
    target_ptr,  # (N,) integer
    domain_ptr,  # (N / tokens_per_id,) integer
    reference_ptr,  # (N,) float32, or None
    bytes_ptr,  # (vocab_size,) integer, or None
    state_ptr,  # (2, N) float32
    words_ptr,  # (ROWS, K + 1) int64
    S,
    N,
    K,
    tokens_per_id,
    vocab_size,
    ignore_index,
    z_loss,
    label_smoothing,
    SMOOTH: tl.constexpr,
    Z: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Put the parts of the vocabulary together for a block of tokens, one part after the other."""
    token = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = token < N
    plane = N.to(tl.int64)
    top = tl.full((BLOCK,), -INFINITY, tl.float32)
    for part in range(0, S):
        top = tl.maximum(top, tl.load(parts_ptr + part * 4 * plane + token, mask=here, other=0.0))
    base = tl.where(top > -INFINITY, top, 0.0)
    total = tl.zeros((BLOCK,), tl.float32)
    at_target = tl.zeros((BLOCK,), tl.float32)
    all_logits = tl.zeros((BLOCK,), tl.float32)
    for part in range(0, S):
        part_ptr = parts_ptr + part * 4 * plane + token
        part_top = tl.load(part_ptr, mask=here, other=0.0)
        total += tl.load(part_ptr + plane, mask=here, other=0.0) * tl.exp(part_top - base)
        at_target += tl.load(part_ptr + 2 * plane, mask=here, other=0.0)
        all_logits += tl.load(part_ptr + 3 * plane, mask=here, other=0.0)
    target = tl.load(target_ptr + token, mask=here, other=0).to(tl.int64)
    domain = tl.load(domain_ptr + token // tokens_per_id, mask=here, other=0).to(tl.int64)
    counted = here & (target != ignore_index)
    added = add_tokens(
        words_ptr,
        K,
        token,
        target,
        domain,
        top,
        total,
        at_target,
        all_logits,
        counted,
        reference_ptr,
        bytes_ptr,
        z_loss,
        label_smoothing,
        vocab_size,
        SMOOTH,
        Z,
    )
    tl.store(state_ptr + token, top, mask=here)
    tl.store(state_ptr + plane + token, tl.where(added, total, 0.0), mask=here)


@kernel
def gradient_kernel(
    logits_ptr,  # (B, T, V)
    target_ptr,  # (N,) integer
    domain_ptr,  # (N / tokens_per_id,) integer
    state_ptr,  # (2, N) float32
    coefficients_ptr,  # (K,) float32
    out_ptr,  # (B, T, V): may be the logits
    N,
    T,
    V,
    tokens_per_id,
    sequence_stride,
    token_stride,
    out_sequence_stride,
    out_token_stride,
    vocab_start,
    vocab_size,
    softcap,
    z_loss,
    label_smoothing,
    CAP: tl.constexpr,
    SMOOTH: tl.constexpr,
    Z: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the gradient of one row of logits, of which m and s are known."""
    token = tl.program_id(0).to(tl.int64)
    sequence, position = token // T, token % T
    top = tl.load(state_ptr + token)
    total = tl.load(state_ptr + N + token)
    added = total > 0.0
    domain = tl.load(domain_ptr + token // tokens_per_id).to(tl.int64)
    c = tl.load(coefficients_ptr + domain, mask=added, other=0.0)
    write_gradient(
        logits_ptr + sequence * sequence_stride + position * token_stride,
        out_ptr + sequence * out_sequence_stride + position * out_token_stride,
        tl.load(target_ptr + token).to(tl.int64) - vocab_start,
        top,
        total,
        c,
        V,
        softcap,
        z_loss,
        label_smoothing,
        vocab_size,
        CAP,
        SMOOTH,
        Z,
        BLOCK,
    )


@kernel
def finish_kernel(
    words_ptr,  # (ROWS, K + 1) int64
    weights_ptr,  # (K,) float32, or None
    sums_ptr,  # (K,) float64
    weighted_ptr,  # () float64
    kept_ptr,  # (stats.ROWS, K + 1) int64
    row,
    K,
    BLOCK: tl.constexpr,
):
    """Turn words into nats, into one weighted sum and into stats; a single program, so that its order is fixed."""
    columns = K + 1
    weighted = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, columns, BLOCK):
        k = start + tl.arange(0, BLOCK)
        here = k < columns
        for kept in tl.static_range(LOSS, TOKENS, 2):
            high = tl.load(words_ptr + kept * columns + k, mask=here, other=0)
            low = tl.load(words_ptr + (kept + 1) * columns + k, mask=here, other=0)
            tl.store(kept_ptr + kept * columns + k, high + (low >> 32), mask=here)
            tl.store(kept_ptr + (kept + 1) * columns + k, low & 0xFFFFFFFF, mask=here)
        for kept in tl.static_range(TOKENS, STATS_ROWS):
            count = tl.load(words_ptr + kept * columns + k, mask=here, other=0)
            tl.store(kept_ptr + kept * columns + k, count, mask=here)
        high = tl.load(words_ptr + row * columns + k, mask=k < K, other=0)
        low = tl.load(words_ptr + (row + 1) * columns + k, mask=k < K, other=0)
        nats = (high + (low >> 32)).to(tl.float64) + (low & 0xFFFFFFFF).to(tl.float64) / STEPS
        tl.store(sums_ptr + k, nats, mask=k < K)
        if weights_ptr is not None:
            weighted += nats * tl.load(weights_ptr + k, mask=k < K, other=0.0)
    tl.store(weighted_ptr, tl.sum(weighted, 0))


@kernel
def scale_kernel(gradient_ptr, factor_ptr, N, T, V, sequence_stride, token_stride, BLOCK: tl.constexpr):
    """Multiply (B, T, V) in place by a scalar on the device; nothing is read or written where the scalar is 1."""
    factor = tl.load(factor_ptr).to(tl.float32)
    if factor != 1.0:
        for token in range(tl.program_id(0).to(tl.int64), N, tl.num_programs(0)):
            row_ptr = gradient_ptr + token // T * sequence_stride + token % T * token_stride
            for start in range(0, V, BLOCK):
                at = start + tl.arange(0, BLOCK)
                value = tl.load(row_ptr + at, mask=at < V, other=0.0).to(tl.float32)
                tl.store(row_ptr + at, (value * factor).to(gradient_ptr.dtype.element_ty), mask=at < V)


def tile(vocab_size: int) -> tuple[int, int, int]:
    """Logits that a program takes at a time, R x C, and its warps.

    Programs are wide, so that few rows are in flight and the second reading of a row finds it in the L2 cache: two
    programs of 16 warps, which the 64 registers a thread of bfloat16 logits without options leave room for, on each of
    132 multiprocessors hold 27 MB of rows of 50,304. Chosen by this count, not by measurement.
    """
    if vocab_size <= 4096:
        columns = max(256, triton.next_power_of_2(vocab_size))
        return 1, columns, max(1, columns // 256)
    return (4, 4096, 16) if vocab_size <= 2**16 else (2, 8192, 32)


def _flags(options: Options) -> dict[str, bool]:
    return {"CAP": options.softcap > 0, "SMOOTH": options.label_smoothing > 0, "Z": options.z_loss > 0}


def tally(logits: Tensor, labels: Labels, options: Options, words: Tensor) -> Tensor:
    """`cross_entropy_reference.tally`."""
    state = torch.empty(2, len(labels.target), dtype=torch.float32, device=logits.device)
    _tally(logits, labels, options, None, words, state)
    return state


def tally_and_gradient(
    logits: Tensor, labels: Labels, options: Options, weights: Tensor, words: Tensor, out: Tensor
) -> None:
    """`cross_entropy_reference.tally_and_gradient`."""
    _tally(logits, labels, options, weights, words, out)


def _tally(
    logits: Tensor, labels: Labels, options: Options, weights: Tensor | None, words: Tensor, out: Tensor
) -> None:
    _, T, V = logits.shape
    N = len(labels.target)
    if N == 0:
        return
    R, C, warps = tile(V)
    with torch.cuda.device_of(logits):
        tally_kernel[(N,)](
            logits,
            *labels,
            weights,
            out,
            words,
            N,
            T,
            V,
            words.shape[1] - 1,
            tokens_per_id(N, labels.domain),
            logits.stride(0),
            logits.stride(1),
            out.stride(0),
            out.stride(1),
            options.ignore_index,
            options.softcap,
            options.z_loss,
            options.label_smoothing,
            **_flags(options),
            R=R,
            C=C,
            num_warps=warps,
        )


def partials(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """`cross_entropy_reference.partials`."""
    _, T, V = logits.shape
    N = len(target)
    parts = torch.empty(4, N, dtype=torch.float32, device=logits.device)
    if N == 0:
        return parts
    R, C, warps = tile(V)
    flags = _flags(options)
    del flags["Z"]
    with torch.cuda.device_of(logits):
        partials_kernel[(N,)](
            logits,
            target,
            parts,
            N,
            T,
            V,
            logits.stride(0),
            logits.stride(1),
            options.vocab_start,
            options.softcap,
            **flags,
            R=R,
            C=C,
            num_warps=warps,
        )
    return parts


def combine(parts: Tensor, labels: Labels, options: Options, words: Tensor) -> Tensor:
    """`cross_entropy_reference.combine`."""
    S, _, N = parts.shape
    state = torch.empty(2, N, dtype=torch.float32, device=parts.device)
    if N == 0:
        return state
    flags = _flags(options)
    del flags["CAP"]
    with torch.cuda.device_of(parts):
        combine_kernel[(triton.cdiv(N, COMBINE_BLOCK),)](
            parts,
            *labels,
            state,
            words,
            S,
            N,
            words.shape[1] - 1,
            tokens_per_id(N, labels.domain),
            options.vocab_size,
            options.ignore_index,
            options.z_loss,
            options.label_smoothing,
            **flags,
            BLOCK=COMBINE_BLOCK,
        )
    return state


def gradient(
    logits: Tensor, labels: Labels, options: Options, state: Tensor, coefficients: Tensor, out: Tensor
) -> None:
    """`cross_entropy_reference.gradient`."""
    _, T, V = logits.shape
    N = len(labels.target)
    if N == 0:
        return
    R, C, warps = tile(V)
    with torch.cuda.device_of(logits):
        gradient_kernel[(N,)](
            logits,
            labels.target,
            labels.domain,
            state,
            coefficients,
            out,
            N,
            T,
            V,
            tokens_per_id(N, labels.domain),
            logits.stride(0),
            logits.stride(1),
            out.stride(0),
            out.stride(1),
            options.vocab_start,
            options.vocab_size,
            options.softcap,
            options.z_loss,
            options.label_smoothing,
            **_flags(options),
            BLOCK=R * C,
            num_warps=warps,
        )


def finish(words: Tensor, row: int, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """`cross_entropy_reference.finish`."""
    K = words.shape[1] - 1
    sums = torch.empty(K, dtype=torch.float64, device=words.device)
    weighted, kept = sums.new_empty(()), torch.empty_like(words[: stats.ROWS])
    block = min(1024, triton.next_power_of_2(K + 1))
    with torch.cuda.device_of(words):
        finish_kernel[(1,)](words, weights, sums, weighted, kept, row, K, BLOCK=block)
    return sums, weighted, kept


def scale(gradients: list[Tensor], factor: Tensor) -> None:
    """`cross_entropy_reference.scale`, of vectors, matrices and (B, T, V)."""
    for each in gradients:
        rows = each[(None,) * (3 - each.dim())]
        B, T, V = rows.shape
        if rows.numel():
            with torch.cuda.device_of(rows):
                scale_kernel[(min(B * T, SCALE_PROGRAMS),)](
                    rows, factor, B * T, T, V, rows.stride(0), rows.stride(1), BLOCK=SCALE_BLOCK
                )
