"""What the mixtures and checkpoints of runs allow a law to find out, whatever the losses are.

symbol  meaning                              shape   unit
k       distinct mixtures                    -       -
m       training domains                     -       -
P       the mixtures                         (k, m)  share of training tokens
q       domains whose proportion varies      -       -
"""

from collections.abc import Iterator

import numpy as np

from mixlaw.fitted import Array, Axis
from mixlaw.laws.checks import SAME_CHECKPOINT, checkpoints, mixture_numbers
from mixlaw.laws.finding import Finding, listed
from mixlaw.mixture import EXACT
from mixlaw.runs import RunTable

# Correlation of two proportions from which on their effects are hard to tell apart.
TOGETHER = 0.99
# Singular values of the centred mixtures, relative to the largest, that count as more than rounding.
SINGULAR = 1e-6


def design_findings(runs: RunTable, x: Axis) -> Iterator[Finding]:
    """Findings about mixtures, domains and checkpoints."""
    last = runs.final(x)
    mixtures, _ = mixture_numbers(runs)
    if len(mixtures) == 1:
        yield Finding(
            "problem",
            "one mixture",
            f"All {len(runs.runs)} runs have the same mixture: no law of mixtures can be fitted. Run others.",
        )
    else:
        yield from _varied(runs, mixtures)
        yield from _together(runs, mixtures)
    yield from _zeros(last)
    yield from _domains(runs)
    yield from _lengths(runs, x)


def _varied(runs: RunTable, mixtures: Array) -> Iterator[Finding]:
    """Domains that do not vary, and directions in which the mixtures do not."""
    varies = np.ptp(mixtures, axis=0) > EXACT
    for j in np.flatnonzero(~varies):
        domain, share = runs.train_domains[j], mixtures[0, j]
        yield Finding(
            "caution",
            "constant domain",
            (f"Every run gives {domain} the same share, {share:.4g}" if share else f"No run trains on {domain}")
            + ": what a law says of other shares rests on its assumptions. Vary it, or leave it out.",
        )
    k, m, q = *mixtures.shape, int(varies.sum())
    if k < m + 1:
        yield Finding(
            "caution",
            "few mixtures",
            f"{k} mixtures of {m} domains determine {k} coefficients of an evaluation domain, and the transfer law has "
            f"{m + 1} that depend on the mixture (a level, alpha, {m - 1} of T): its priors settle the rest.",
        )
    values = np.linalg.svd(mixtures - mixtures.mean(axis=0), compute_uv=False)
    rank = int(np.sum(values > SINGULAR * values[0]))
    if rank < min(q, k) - 1:
        yield Finding(
            "caution",
            "redundant design",
            f"The {k} mixtures vary in {rank} independent directions, where {q} domains that vary allow "
            f"{min(q, k) - 1}: the effects of some domains cannot be told apart. Add mixtures that change one domain "
            "against the others.",
        )


def _together(runs: RunTable, mixtures: Array) -> Iterator[Finding]:
    """Pairs of domains whose proportions always move together; any two do among few mixtures or domains."""
    varies = np.flatnonzero(np.ptp(mixtures, axis=0) > EXACT)
    if len(varies) < 3 or len(mixtures) < 4:
        return
    correlation = np.atleast_2d(np.corrcoef(mixtures[:, varies], rowvar=False))
    pairs = [(a, b) for a, b in np.argwhere(np.abs(correlation) >= TOGETHER) if a < b]
    if pairs:
        named = [
            f"{runs.train_domains[varies[a]]} and {runs.train_domains[varies[b]]} ({correlation[a, b]:.4f})"
            for a, b in sorted(pairs, key=lambda pair: -abs(correlation[pair]))
        ]
        yield Finding(
            "caution",
            "redundant domains",
            f"Proportions that move together, with their correlation: {listed(named)}. The runs hardly tell the "
            "effects of such domains apart.",
        )


def _zeros(last: RunTable) -> Iterator[Finding]:
    """Runs without tokens of a domain that others have; `last` holds one row a run."""
    zero = last.proportions == 0.0
    zero[:, zero.all(axis=0)] = False
    counts = zero.sum(axis=0)
    if counts.any():
        named = [f"{last.train_domains[j]} ({counts[j]})" for j in np.argsort(-counts, kind="stable") if counts[j]]
        yield Finding(
            "note",
            "zero proportions",
            f"{int(zero.any(axis=1).sum())} of {len(last)} runs give some domain no tokens: {listed(named)}. BiMix has "
            "no value there and leaves these runs out of the domain's fit; the transfer law takes them.",
        )


def _domains(runs: RunTable) -> Iterator[Finding]:
    """Domains that are evaluated or trained on, and not both."""
    untrained = [domain for domain in runs.eval_domains if domain not in runs.train_domains]
    if untrained:
        yield Finding(
            "note",
            "untrained domains",
            f"Evaluated and not trained on: {listed(untrained)}. BiMix refuses such losses (`--without` leaves a "
            "column out); other laws take them.",
        )
    unmeasured = [domain for domain in runs.train_domains if domain not in runs.eval_domains]
    if unmeasured:
        yield Finding(
            "note",
            "unmeasured domains",
            f"Trained on and not evaluated: {listed(unmeasured)}. Their tokens count only as far as they help other "
            "domains: an optimum gives them little, or a floor.",
        )


def _lengths(runs: RunTable, x: Axis) -> Iterator[Finding]:
    """Too few checkpoints, and runs that end early."""
    s = runs.x(x)
    count = len(checkpoints(s))
    if count < 3:
        at = " and ".join(f"{value:.4g}" for value in checkpoints(s))
        yield Finding(
            "note" if count == 1 else "problem",
            "few checkpoints",
            f"One checkpoint only, at {at} {x}: laws say nothing about another length of training."
            if count == 1
            else f"{count} checkpoints only, at {at} {x}: a curve of training takes three. Add some, or fit the last "
            "alone (`mixlaw fit --final`).",
        )
    own = {run: s[runs.run == run] for run in runs.runs}
    few = [run for run, lengths in own.items() if len(checkpoints(lengths)) < min(count, 3)]
    if few:
        yield Finding(
            "caution",
            "few checkpoints",
            f"{len(few)} of {len(own)} runs have fewer than {min(count, 3)} checkpoints, where all together have "
            f"{count}: {listed(few)}.",
        )
    early = [run for run, lengths in own.items() if lengths.max() * SAME_CHECKPOINT < s.max()]
    if early:
        yield Finding(
            "caution",
            "early ends",
            f"{len(early)} of {len(own)} runs end before the longest, at {s.max():.4g} {x}: "
            f"{listed([f'{run} ({own[run].max():.4g})' for run in early])}. Compare runs at the same length.",
        )
