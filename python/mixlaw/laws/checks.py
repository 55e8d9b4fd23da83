"""What the laws of mixture and length of training ask of runs and of questions, in the same words."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from mixlaw.errors import FitError, InputError
from mixlaw.fitted import Array, Axis, FittedLaw
from mixlaw.laws.goodness import rank_correlation
from mixlaw.mixture import EXACT
from mixlaw.runs import RunTable

# Checkpoints closer than this factor are one and the same: a power law of s cannot be told from them.
SAME_CHECKPOINT = 1.01


def one_size(runs: RunTable, law: str) -> tuple[float, ...]:
    """`FittedLaw.sizes` for a law without a size term; `FitError` if there are several."""
    sizes = np.unique(runs.params)
    if len(sizes) > 1:
        shown = ", ".join("unknown" if np.isnan(size) else f"{size:.6g}" for size in sizes)
        raise FitError(
            f"the runs have models of {len(sizes)} sizes ({shown}) and {law} has no size term: "
            "fit one size at a time, with RunTable.select(runs.params == ...) or `mixlaw fit --params`"
        )
    return () if np.isnan(sizes[0]) else (float(sizes[0]),)


def model_sizes(runs: RunTable, law: str) -> tuple[float, ...]:
    """`FittedLaw.sizes` for a law with a size term; `FitError` if only some runs record theirs."""
    sizes = np.unique(runs.params)
    unknown = np.isnan(sizes)
    if unknown.any() and len(sizes) > 1:
        raise FitError(f"{law} has a size term, and some runs have no model size: give every run its params, or none")
    return () if unknown.any() else tuple(sizes.tolist())


def usable(runs: RunTable, x: Axis, law: str) -> tuple[RunTable, list[str]]:
    """Rows where a law has a value, and what a reader has to know; `FitError` if they cannot identify any law."""
    notes = []
    at_zero = int(np.count_nonzero(runs.x(x) == 0.0))
    if at_zero == len(runs):
        raise FitError(f"all {at_zero} rows are at 0 {x}, where {law} has no value")
    if at_zero:
        runs = runs.select(runs.x(x) > 0.0)
        notes.append(f"{at_zero} rows at 0 {x} are left out: the law has no value there.")
    if np.ptp(runs.proportions, axis=0).max() <= EXACT:
        raise FitError(
            "the runs have one mixture only, of which no law of mixtures follows: add runs of other mixtures"
        )
    s = runs.x(x)
    check_checkpoints("the runs have", s, x)
    if is_one_checkpoint(s):
        notes.append(
            f"The runs have one checkpoint only, at {s.max():.6g} {x}: this is the reduced form, "
            "without a term in the length of training, and it predicts at that checkpoint alone."
        )
    return runs, notes


def usable_at_one_checkpoint(runs: RunTable, x: Axis, law: str) -> tuple[RunTable, list[str]]:
    """As `usable`, for a law without any term in the length of training: `FitError` if the runs have several."""
    used, notes = usable(runs, x, law)
    s = used.x(x)
    if not is_one_checkpoint(s):
        what = f"{law} has no term in the length of training, and the runs"
        if len(used) > len(used.runs):
            raise FitError(
                f"{what} have several checkpoints: fit the last with RunTable.final, or `mixlaw fit --final`"
            )
        raise FitError(f"{what} are from {s.min():.6g} to {s.max():.6g} {x} long: choose some by RunTable.select")
    return used, notes


class Facts(TypedDict):
    """What every fitted law says of its runs: fields of `FittedLaw`."""

    train_domains: tuple[str, ...]
    eval_domains: tuple[str, ...]
    x: Axis
    x_range: tuple[float, float]
    sizes: tuple[float, ...]
    mixtures: Array
    fingerprint: str


def facts(runs: RunTable, used: RunTable, x: Axis, sizes: tuple[float, ...]) -> Facts:
    """Facts about the runs that were given, and the rows of them that a law is fitted to."""
    s = used.x(x)
    return Facts(
        train_domains=runs.train_domains,
        eval_domains=runs.eval_domains,
        x=x,
        x_range=(float(s.min()), float(s.max())),
        sizes=sizes,
        mixtures=np.unique(used.proportions, axis=0),
        fingerprint=runs.fingerprint(),
    )


def constant_note(runs: RunTable) -> list[str]:
    """Name the domains that no run varies, if there are any, for a law that knows of them from its prior alone."""
    constant = np.ptp(runs.proportions, axis=0) <= EXACT
    names = [domain for domain, fixed in zip(runs.train_domains, constant, strict=True) if fixed]
    return [f"No run varies the proportion of {', '.join(names)}: what is said of it is the prior's."] if names else []


def stopped_note(eval_domains: Sequence[str], converged: Sequence[bool]) -> list[str]:
    """Name the domains whose optimiser did not converge, if there are any."""
    stopped = [domain for domain, done in zip(eval_domains, converged, strict=True) if not done]
    return [f"The optimiser stopped before it converged: {', '.join(stopped)}."] if stopped else []


def mixture_numbers(runs: RunTable) -> tuple[Array, npt.NDArray[np.intp]]:
    """The different mixtures of some rows, shape (G, m), equal up to rounding; and the number of each row's, (n,)."""
    mixtures, number = np.unique(np.round(runs.proportions / EXACT), axis=0, return_inverse=True)
    return mixtures * EXACT, number


def is_one_checkpoint(s: npt.ArrayLike) -> bool:
    """Whether all lengths of training count as one."""
    return float(np.max(s)) <= float(np.min(s)) * SAME_CHECKPOINT


def checkpoints(s: Array) -> Array:
    """Lengths of training > 0 that do not count as one, ascending; of those that do, the smallest."""
    starts = [0.0]
    for value in np.unique(s).tolist():
        if value > starts[-1] * SAME_CHECKPOINT:
            starts.append(value)
    return np.array(starts[1:])


def check_checkpoints(where: str, s: Array, x: str) -> None:
    """Refuse two checkpoints: one is enough for the reduced form, three for the law."""
    if len(checkpoints(s)) == 2:
        raise FitError(
            f"{where} two checkpoints only (near {s.min():.6g} and {s.max():.6g} {x}), which cannot determine a power "
            "law above a floor: add checkpoints, or fit the last alone with RunTable.final or `mixlaw fit --final`"
        )


def check_question(law: FittedLaw, s: Array, params: float | None) -> None:
    """Refuse a model size, or a length of training, that a law without a size term cannot speak about."""
    if params is not None and (params,) != law.sizes:
        runs = f"have {law.sizes[0]:.6g}" if law.sizes else "record no model size"
        raise InputError(f"{law.law} has no size term: its runs {runs}, it cannot predict for {params:.6g} parameters")
    check_length(law, s)


def size_of(law: FittedLaw, params: float | None) -> float | None:
    """Model size to predict for, by a law with a size term; refuse another than that of runs of one size."""
    size = law.size(params)
    if params is not None and len(law.sizes) < 2 and (size,) != law.sizes:
        runs = f"have one, of {law.sizes[0]:.6g} parameters" if law.sizes else "record none"
        raise InputError(f"params: to speak of other model sizes {law.law} needs runs of several, and its runs {runs}")
    return size


def check_length(law: FittedLaw, s: Array) -> None:
    """Refuse a length of training that a law fitted to one checkpoint cannot speak about."""
    low, high = law.x_range
    if is_one_checkpoint(law.x_range):
        wrong = ~((s >= low / SAME_CHECKPOINT) & (s <= high * SAME_CHECKPOINT))
        if wrong.any():
            raise InputError(
                f"at: the runs have one checkpoint only, at {high:.6g} {law.x}; "
                f"the law fitted to them cannot predict at {s[wrong][0]:.6g}"
            )


def spearman_at_the_end(law: FittedLaw, runs: RunTable) -> float | None:
    """Spearman correlation of mean loss and prediction at the end of those runs whose prediction is finite.

    With several model sizes it is the mean over sizes, for runs are compared with others of their size.
    """
    last = runs.final(law.x)
    found = []
    for size in law.sizes or (None,):
        own = last if size is None else last.select(last.params == size)
        predicted = law.predict(own.proportions, at=own.x(law.x), params=size).mean(axis=1)
        finite = np.isfinite(predicted)
        if np.count_nonzero(finite) >= 3:
            found.append(rank_correlation(own.losses.mean(axis=1)[finite], predicted[finite]))
    known = [rank for rank in found if rank is not None]
    return float(np.mean(known)) if known else None
