"""What the losses of runs give away: noise, contradictions, and units or tokenizers that do not match.

symbol  meaning                                                        shape    unit
n       runs, each at its last checkpoint                              -        -
e       evaluation domains                                             -        -
Y       log losses                                                     (n, e)   -
D       deviation of two runs: sqrt(mean over domains of dY**2 / 2)    -        -

All differences are of logarithms, which are relative differences of losses. Another unit or tokenizer multiplies the
losses of all domains by about one factor, and shows as a level of Y that differs by the same amount in all of them.
"""

import math
from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from mixlaw.fitted import Array, Axis
from mixlaw.laws.checks import SAME_CHECKPOINT, checkpoints, mixture_numbers
from mixlaw.laws.finding import Finding, listed
from mixlaw.laws.goodness import rank_correlation
from mixlaw.runs import RunTable

Rows = npt.NDArray[np.intp]

# How many times the deviation of other repeated runs a pair contradicts them by.
CONTRADICTION = 4.0
# Differences of a level from which on a unit or a tokenizer is suspected, and how much they may vary between domains.
JUMP, ALIKE = 0.15, 0.25
# How near to ln 2, as a logarithm, a factor has to be to be called so; a larger model lowers losses by a few percent.
NEAR_BITS = 0.08
# A loss that rises by less along a run is noise of the evaluation.
RISE = 0.01
# Spearman correlation between sizes below which their ranks are said to differ.
RANKS_AGREE = 0.8
# Share of the deviation of all runs from which on noise drowns what tells mixtures apart.
NOISY = 0.5
# Fewest other groups or runs that say what is usual, runs in which two levels are looked for, and mixtures to rank.
ENOUGH, FEWEST_LEVELS, FEWEST_RANKED = 3, 4, 3


def loss_findings(runs: RunTable, x: Axis) -> Iterator[Finding]:
    """Findings about the losses."""
    last = runs.final(x)
    repeats = _repeats(last, x)
    yield from _twice(last)
    yield from _noise(last, repeats)
    yield from _contradictions(last, repeats)
    yield from _levels(last, x)
    yield from _jumps(runs, x)
    yield from _rises(runs, x)
    yield from _sizes(last, repeats)


def _alike(last: RunTable) -> list[Rows]:
    """Runs of one mixture and size, at least two each."""
    codes = np.column_stack([mixture_numbers(last)[1], np.nan_to_num(last.params)])
    _, group, count = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return [np.flatnonzero(group == k) for k in np.flatnonzero(count > 1)]


def _repeats(last: RunTable, x: Axis) -> list[Rows]:
    """Of runs of one mixture and size those that end at the same length, at least two each; of exact copies one."""
    s, groups = last.x(x), []
    for rows in _alike(last):
        longest = rows[s[rows] * SAME_CHECKPOINT >= s[rows].max()]
        _, first = np.unique(last.losses[longest], axis=0, return_index=True)
        if len(first) > 1:
            groups.append(longest[np.sort(first)])
    return groups


def _within(values: Array, groups: list[Rows]) -> Array:
    """Standard deviation within groups of rows, pooled; along the first axis."""
    squares = sum(np.sum((values[rows] - values[rows].mean(axis=0)) ** 2, axis=0) for rows in groups)
    return np.asarray(np.sqrt(squares / sum(len(rows) - 1 for rows in groups)))


def _objective(last: RunTable) -> Array:
    """Logarithm of the mean loss of each run, shape (n,)."""
    return np.asarray(np.log(last.losses.mean(axis=1)))


def _spread(last: RunTable) -> Array:
    """Standard deviation of Y between runs of one size, pooled over sizes, shape (e,); 0 where each has one run."""
    size = np.nan_to_num(last.params)
    groups = [rows for value in np.unique(size) if len(rows := np.flatnonzero(size == value)) > 1]
    return _within(np.log(last.losses), groups) if groups else np.zeros(last.losses.shape[1])


def _noise(last: RunTable, repeats: list[Rows]) -> Iterator[Finding]:
    """How much runs of one mixture differ."""
    if not repeats:
        yield Finding(
            "note",
            "noise",
            "No mixture was run twice to the same length, so that the noise between runs is not known: repeat two or "
            "three with other seeds.",
        )
        return
    noise, spread = _within(np.log(last.losses), repeats), _spread(last)
    most, least = int(np.argmax(noise)), int(np.argmin(noise))
    ratio = _rms(noise) / _rms(spread)
    yield Finding(
        "caution" if ratio > NOISY else "note",
        "noise",
        f"Runs of one mixture differ by {_percent(_rms(noise))} of the loss (standard deviation, from "
        f"{sum(map(len, repeats))} runs of {len(repeats)} mixtures; {last.eval_domains[least]} "
        f"{_percent(noise[least])}, {last.eval_domains[most]} {_percent(noise[most])}), all runs by "
        f"{_percent(_rms(spread))}."
        + (" What tells mixtures apart is little more than noise: average over seeds." if ratio > NOISY else ""),
    )


def _twice(last: RunTable) -> Iterator[Finding]:
    """Runs that stand twice in the table."""
    for a, b in (pair for rows in _alike(last) for pair in combinations(rows, 2)):
        if np.array_equal(last.losses[a], last.losses[b]):
            yield Finding(
                "problem",
                "copies",
                f"Runs {_both(last, a, b)} have the same mixture and the same losses to the last digit: a copy counts "
                "twice, and makes the noise look small.",
            )
        elif last.seed[a] == last.seed[b]:
            yield Finding(
                "caution",
                "duplicate runs",
                f"Runs {_both(last, a, b)} have the same mixture, size and seed ({last.seed[a]:.0f}), and different "
                "losses: something else differs between them.",
            )


def _contradictions(last: RunTable, repeats: list[Rows]) -> Iterator[Finding]:
    """Runs of one mixture that differ by more than others do, or, where there are few others, than mixtures do."""
    Y = np.log(last.losses)
    for number, rows in enumerate(repeats):
        others = [other for at, other in enumerate(repeats) if at != number]
        known = len(others) >= ENOUGH
        usual = CONTRADICTION * _rms(_within(Y, others)) if known else _rms(_spread(last))
        for a, b in combinations(rows, 2):
            deviation = _rms(Y[a] - Y[b]) / math.sqrt(2.0)
            if deviation > usual:
                than = (
                    f"{CONTRADICTION:.0f} times what other runs of one mixture do" if known else "those of all runs do"
                )
                yield Finding(
                    "problem",
                    "contradictory runs",
                    f"Runs {_both(last, a, b)} have the same mixture, and losses with a standard deviation of "
                    f"{_percent(deviation)}, more than {than} ({_percent(usual)}): one of them went wrong, or "
                    "something else differs between them.",
                )


def _levels(last: RunTable, x: Axis) -> Iterator[Finding]:
    """Runs of one size and length whose losses are all off by one factor."""
    s, Y = last.x(x), np.log(last.losses)
    for size in np.unique(np.nan_to_num(last.params)):
        rows = np.flatnonzero(np.nan_to_num(last.params) == size)
        rows = rows[s[rows] * SAME_CHECKPOINT >= s[rows].max()]
        if len(rows) < FEWEST_LEVELS:
            continue
        level = (Y[rows] - np.median(Y[rows], axis=0)).mean(axis=1)
        rows, level = rows[np.argsort(level)], np.sort(level)
        cut = int(np.argmax(np.diff(level))) + 1
        low, high = rows[:cut], rows[cut:]
        by_domain = Y[high].mean(axis=0) - Y[low].mean(axis=0)
        scatter = max(level[:cut].std(), level[cut:].std())
        if level[cut] - level[cut - 1] > 3.0 * scatter and _is_factor(by_domain):
            odd, by_domain = (high, by_domain) if len(high) <= len(low) else (low, -by_domain)
            yield Finding(
                "problem",
                "unit mismatch",
                f"Losses of {len(odd)} of {len(rows)} runs ({listed(last.run[np.sort(odd)].tolist())}) are "
                f"{_factor(by_domain)} those of the others.{_suspect(by_domain)}",
            )


def _jumps(runs: RunTable, x: Axis) -> Iterator[Finding]:
    """Runs whose losses all change by one factor between two checkpoints, which those of other runs do not."""
    s, Y = runs.x(x), np.log(runs.losses)
    number = np.searchsorted(checkpoints(s), s, side="right")
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for rows in _by_run(runs, s):
        for a, b in pairwise(rows):
            if number[a] != number[b]:
                steps.setdefault((number[a], number[b]), []).append((a, b))
    for pairs in steps.values():
        changes = np.array([Y[b] - Y[a] for a, b in pairs])
        usual = np.median(changes, axis=0) if len(pairs) >= ENOUGH else np.zeros(Y.shape[1])
        jumps = [
            (f"run {runs.run[a]} at {s[b]:.4g} {x}", s[a], change)
            for (a, b), change in zip(pairs, changes - usual, strict=True)
            if len(pairs) >= ENOUGH
            or change.mean() > 0.0  # without others to compare with, a fall is what training does
        ]
        if usual.mean() > 0.0:
            jumps.append((f"{len(pairs)} runs at {s[pairs[0][1]]:.4g} {x}", s[pairs[0][0]], usual))
        for where, before, change in jumps:
            if _is_factor(change):
                yield Finding(
                    "problem",
                    "loss jump",
                    f"Losses of {where} are {_factor(change)} what those at {before:.4g} {x} lead to expect."
                    f"{_suspect(change)}",
                )


def _rises(runs: RunTable, x: Axis) -> Iterator[Finding]:
    """Losses that rise along a run."""
    s, Y = runs.x(x), np.log(runs.losses)
    worst, rising = (0.0, 0, 0), 0
    every = _by_run(runs, s)
    for rows in every:
        rise = Y[rows[1:]] - np.minimum.accumulate(Y[rows], axis=0)[:-1]
        if rise.size and rise.max() > RISE:
            t, i = map(int, np.unravel_index(int(rise.argmax()), rise.shape))
            worst, rising = max(worst, (float(rise.max()), int(rows[t + 1]), i)), rising + 1
    if rising:
        most, row, i = worst
        yield Finding(
            "caution",
            "rising losses",
            f"In {rising} of {len(every)} runs a loss rises by more than {_percent(RISE)} above its lowest, most that "
            f"of {runs.eval_domains[i]} in run {runs.run[row]}, by {_percent(most)} at {s[row]:.4g} {x}. Laws assume "
            "that longer training lowers every loss.",
        )


def _sizes(last: RunTable, repeats: list[Rows]) -> Iterator[Finding]:
    """Model sizes next to each other: levels that do not match, and mixtures that change places."""
    numbers, Y, objective = mixture_numbers(last)[1], np.log(last.losses), _objective(last)
    noise = float(_within(objective, repeats)) if repeats else None
    for small, large in pairwise(np.unique(last.params[~np.isnan(last.params)])):
        common = np.intersect1d(numbers[last.params == small], numbers[last.params == large])
        if len(common) < FEWEST_RANKED:
            continue
        pairs = [[np.flatnonzero((numbers == c) & (last.params == size)) for size in (small, large)] for c in common]
        change = np.mean([Y[b].mean(axis=0) - Y[a].mean(axis=0) for a, b in pairs], axis=0)
        sizes = f"models of {small:.4g} and {large:.4g} parameters"
        if change.mean() > RISE:
            yield Finding(
                "problem",
                "size mismatch",
                f"Losses of the larger of {sizes} are {_factor(change)} those of the smaller on {len(common)} common "
                f"mixtures: they were trained for less, or measured otherwise.{_suspect(change)}",
            )
        means = np.array([[objective[rows].mean() for rows in pair] for pair in pairs])
        names = [str(last.run[a[0]]) for a, _ in pairs]
        yield _ranks(sizes, names, means, noise)


def _ranks(sizes: str, names: list[str], means: Array, noise: float | None) -> Finding:
    """Whether mixtures rank alike at two sizes; `means` is the objective of each at both, shape (mixtures, 2)."""
    rank = rank_correlation(means[:, 0], means[:, 1])
    swapped = []
    for a, b in combinations(range(len(names)), 2):
        first, second = means[a] - means[b]
        # Both differences beyond two standard errors of a difference, where these are known.
        if first * second < 0.0 and min(abs(first), abs(second)) > 2.0 * math.sqrt(2.0) * (noise or 0.0):
            swapped.append((min(abs(first), abs(second)), f"{names[a]} and {names[b]}"))
    shown = listed([f"{pair} ({_percent(by)})" for by, pair in sorted(swapped, reverse=True)], 3)
    beyond = "; the noise between runs is not known" if noise is None else f" by more than the noise, {_percent(noise)}"
    return Finding(
        "note" if rank is not None and rank >= RANKS_AGREE else "caution",
        "ranks between sizes",
        f"The mean losses of {len(names)} common mixtures of {sizes} have a Spearman correlation of "
        f"{'no value' if rank is None else f'{rank:.3f}'}; {len(swapped)} of {len(names) * (len(names) - 1) // 2} "
        f"pairs change places{beyond}{f': {shown}' if swapped else ''}.",
    )


def _by_run(runs: RunTable, s: Array) -> list[Rows]:
    """Rows of every run in the order of training."""
    order = np.argsort(s, kind="stable")
    return [order[runs.run[order] == run] for run in runs.runs]


def _is_factor(change: Array) -> bool:
    """Whether log losses of all domains change by about one amount, too large for a change of mixture or training."""
    return bool(abs(change.mean()) > JUMP and change.std() < ALIKE * abs(change.mean()))


def _factor(change: Array) -> str:
    low, high = np.exp(change.min()), np.exp(change.max())
    return f"{np.exp(change.mean()):.3g} times (by domain {low:.3g} to {high:.3g})"


def _suspect(change: Array) -> str:
    """What a common factor may come from."""
    if not _is_factor(change):
        return ""
    if abs(abs(change.mean()) + math.log(math.log(2.0))) < NEAR_BITS:
        return " That is about what bits and nats differ by."
    return " Another unit, or another tokenizer?"


def _rms(values: Array) -> float:
    return math.sqrt(float(np.mean(values**2)))


def _percent(difference: float) -> str:
    return f"{100.0 * difference:.2g} %"


def _both(last: RunTable, a: int, b: int) -> str:
    return f"{last.run[a]} and {last.run[b]}"
