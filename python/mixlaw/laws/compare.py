"""`compare`: every law on runs that it has not seen, and the one to use with as many runs as there are.

symbol  meaning                                         shape  unit
G       mixtures; runs of one mixture are never parted  -      -
d_g     error of one law minus another's on mixture g   (G,)   -

The error of a law is its mean relative error on the last checkpoint of held-out runs (`run_errors`). Two laws are
compared mixture by mixture: the mean of d_g has the standard error sd(d_g) / sqrt(G).

The rule (`choose`): a law is to be trusted if its error is below that of the mean of the runs by more than one standard
error, and the Spearman correlation of the objective is above its own, 1 / sqrt(G - 1), where there is no relation. Of
the trusted it is the default law, unless another's error is lower by more than one standard error: then the lowest.
"""

import math
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from mixlaw.errors import InputError
from mixlaw.fitted import Array, Axis, FittedLaw
from mixlaw.laws import default, get, names
from mixlaw.laws.comparison import Comparison
from mixlaw.laws.held_out import FEWEST, MEAN, Trial, mean_and_error
from mixlaw.laws.more_runs import MoreRuns, more_runs
from mixlaw.runs import RunTable
from mixlaw.weights import objective_weights


def compare(
    runs: RunTable,
    *,
    laws: Sequence[str] | None = None,
    x: Axis = "tokens",
    weights: Mapping[str, float] | None = None,
    folds: int = 10,
    draws: int = 6,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Measure how well laws predict runs that they were not fitted to, and name the one to use.

    Parameters
    ----------
    runs
        Losses of at least three mixtures.
    laws
        Names, as `mixlaw.laws.names` lists them; all if not given. A law that refuses the runs is fitted to their last
        checkpoints; if it refuses these, its reason is given.
    x
        What the laws measure the length of training in.
    weights
        Evaluation domain -> weight >= 0 in the objective and in the error, in any scale; domains that are not named
        have none. None for equal weights of all.
    folds
        Folds over mixtures; as many as there are mixtures if these are fewer.
    draws
        Draws of mixtures for each point of the learning curve; 0 for no learning curve.
    seed
        Of folds, draws and the laws' starting points.
    progress
        Whether to show a progress bar on stderr, where that is a terminal.

    Raises
    ------
    InputError
        If there are fewer than three mixtures; if a row lacks `x`; or if a law, weight or number is wrong.

    Examples
    --------
    >>> found = mixlaw.compare(runs)  # doctest: +SKIP
    >>> print(found.to_text())  # doctest: +SKIP
    >>> law = mixlaw.laws.get(found.law).fit(runs)  # doctest: +SKIP
    """
    chosen = tuple(dict.fromkeys(names() if laws is None else laws))
    for name in chosen:
        get(name)
    if not chosen:
        raise InputError("laws: there is none to compare")
    if folds < 2:
        raise InputError(f"folds: at least 2, not {folds}")
    if draws < 0 or draws == 1:
        raise InputError(f"draws: 0, or at least 2 for a standard error, not {draws}")
    w = objective_weights(runs.eval_domains, weights)
    with tqdm(unit=" fits", disable=None if progress else True) as bar:
        trial = Trial(runs, chosen, x, w, seed, bar.update)
        folds = min(folds, trial.mixtures)
        sizes = _curve_sizes(trial.mixtures) if draws else []
        bar.total = len(chosen) * (1 + folds + trial.extrapolates + draws * len(sizes))
        cross_validation, errors = trial.cross_validation(folds)
        extrapolation = trial.extrapolation() if trial.extrapolates else None
        learning_curve = tuple(trial.learning(k, draws) for k in sizes)
    ranks = {one.law: one.scores.objective.spearman for one in cross_validation.results if one.scores is not None}
    law, verdict = choose(errors, ranks)
    if law in trial.final:
        verdict += " Fit it to the last checkpoint of every run, as was done here (`mixlaw fit --final`)."
    return Comparison(
        runs=len(runs.runs),
        mixtures=trial.mixtures,
        fingerprint=runs.fingerprint(),
        x=x,
        final=tuple(name for name in chosen if name in trial.final),
        weights=dict(zip(runs.eval_domains, w.tolist(), strict=True)),
        folds=folds,
        draws=draws,
        seed=seed,
        cross_validation=cross_validation,
        extrapolation=extrapolation,
        learning_curve=learning_curve,
        law=law,
        verdict=verdict,
        more=None if law is None else _more(trial.fitted[law], seed),
    )


def _more(law: FittedLaw, seed: int) -> MoreRuns | None:
    try:
        return more_runs(law, params=max(law.sizes, default=None), seed=seed)
    except InputError:  # a law without standard errors
        return None


def choose(errors: Mapping[str, Array], spearman: Mapping[str, float | None]) -> tuple[str | None, str]:
    """Name the law to use, or none, and say why.

    Parameters
    ----------
    errors
        Law -> error on each mixture, shape (G,); among them `MEAN`.
    spearman
        Law -> Spearman correlation of the objective with its prediction.
    """
    laws = sorted((name for name in errors if name != MEAN), key=lambda name: float(errors[name].mean()))
    if not laws:
        return None, "Trust none of these laws: none has predictions for all runs."
    unrelated = 1.0 / math.sqrt(len(errors[MEAN]) - 1)
    ranks = {name: -math.inf if rank is None else rank for name, rank in spearman.items()}
    trusted = [name for name in laws if ranks[name] > unrelated and _lower(errors[name], errors[MEAN])]
    if not trusted:
        best = laws[0]
        rank = (
            "has no Spearman correlation" if spearman[best] is None else f"correlates by {ranks[best]:.3f} (Spearman)"
        )
        return None, (
            f"Trust none of these laws. {best} has the smallest error on unseen mixtures, {_percent(errors[best])}; "
            f"that of the mean of the runs is {_more_by(errors[MEAN], errors[best])} more. Its objective {rank}, where "
            f"one standard error is {unrelated:.3f} without any relation. Choose the best run, or add runs."
        )
    best, favourite = trusted[0], default().name
    name = best if favourite not in trusted or _lower(errors[best], errors[favourite]) else favourite
    why = f"Use {name}. Its error on unseen mixtures is {_percent(errors[name])}, "
    if name == best:
        why += "the smallest of the laws that are to be trusted"
    else:
        why += f"only {_more_by(errors[name], errors[best])} more than that of {best}, and it is the default"
    return name, f"{why}; that of the mean of the runs is {_percent(errors[MEAN])}."


def _lower(errors: Array, others: Array) -> bool:
    """Whether a mean error is lower than another by more than one standard error of the difference."""
    mean, standard_error = mean_and_error(others - errors)
    return mean > standard_error


def _percent(errors: Array) -> str:
    return f"{100.0 * errors.mean():.3g} %"


def _more_by(errors: Array, others: Array) -> str:
    mean, standard_error = mean_and_error(errors - others)
    return f"{100.0 * mean:.2g} ± {100.0 * standard_error:.2g} points"


def _curve_sizes(mixtures: int) -> list[int]:
    """Four fifths of the mixtures, and halves of it, ascending."""
    sizes, k = [], 4 * mixtures // 5
    while k >= FEWEST:
        sizes.append(k)
        k //= 2
    return sizes[::-1]
