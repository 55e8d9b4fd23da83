"""What the laws of mixture and length of training ask of runs and of questions, in the same words."""

import numpy as np
import numpy.typing as npt

from mixlaw.errors import FitError, InputError
from mixlaw.fitted import Array, Axis, FittedLaw
from mixlaw.laws.goodness import rank_correlation
from mixlaw.mixture import EXACT
from mixlaw.runs import RunTable

# Checkpoints closer than this factor are one and the same: a power law of s cannot be told from them.
SAME_CHECKPOINT = 1.01


def one_size(runs: RunTable, law: str) -> float | None:
    """Size of the models, None where the runs record none; `FitError` if there are several."""
    sizes = np.unique(runs.params)
    if len(sizes) > 1:
        shown = ", ".join("unknown" if np.isnan(size) else f"{size:.6g}" for size in sizes)
        raise FitError(
            f"the runs have models of {len(sizes)} sizes ({shown}) and {law} has no size term: "
            "fit one size at a time, with RunTable.select(runs.params == ...) or `mixlaw fit --params`"
        )
    return None if np.isnan(sizes[0]) else float(sizes[0])


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
        raise FitError("the runs have one mixture only, so alpha cannot be determined: add runs of other mixtures")
    s = runs.x(x)
    check_checkpoints("the runs have", s, x)
    if is_one_checkpoint(s):
        notes.append(
            f"The runs have one checkpoint only, at {s.max():.6g} {x}: this is the reduced form, "
            "without B and beta, and it predicts at that checkpoint alone."
        )
    return runs, notes


def is_one_checkpoint(s: npt.ArrayLike) -> bool:
    """Whether all lengths of training count as one."""
    return float(np.max(s)) <= float(np.min(s)) * SAME_CHECKPOINT


def check_checkpoints(where: str, s: Array, x: str) -> None:
    """Refuse two checkpoints: one is enough for the reduced form, three for the law."""
    count, start = 0, 0.0
    for value in np.unique(s):
        if value > start * SAME_CHECKPOINT:
            count, start = count + 1, value
    if count == 2:
        raise FitError(
            f"{where} two checkpoints only (near {s.min():.6g} and {s.max():.6g} {x}), which cannot determine B, beta "
            "and C: add checkpoints, or fit the last alone with RunTable.final"
        )


def check_question(law: FittedLaw, s: Array, params: float | None) -> None:
    """Refuse a model size, or a length of training, that a law without a size term cannot speak about."""
    if params is not None and params != law.params:
        runs = "record no model size" if law.params is None else f"have {law.params:.6g}"
        raise InputError(f"{law.law} has no size term: its runs {runs}, it cannot predict for {params:.6g} parameters")
    low, high = law.x_range
    if is_one_checkpoint(law.x_range):
        wrong = ~((s >= low / SAME_CHECKPOINT) & (s <= high * SAME_CHECKPOINT))
        if wrong.any():
            raise InputError(
                f"at: the runs have one checkpoint only, at {high:.6g} {law.x}; "
                f"the law fitted to them cannot predict at {s[wrong][0]:.6g}"
            )


def spearman_at_the_end(law: FittedLaw, runs: RunTable) -> float | None:
    """Spearman correlation of mean loss and prediction at the end of those runs whose prediction is finite."""
    last = runs.final(law.x)
    predicted = law.predict(last.proportions, at=last.x(law.x)).mean(axis=1)
    finite = np.isfinite(predicted)
    if np.count_nonzero(finite) < 3:
        return None
    return rank_correlation(last.losses.mean(axis=1)[finite], predicted[finite])
