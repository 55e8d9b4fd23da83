"""`diagnose`: what is wrong with runs, or limits what a law can say of them, in sentences.

Nothing is fitted. Findings come from the mixtures and checkpoints (`diagnose_design`), from the losses
(`diagnose_losses`), from a fitted law if one is given, and from what is to be predicted.
"""

from collections.abc import Iterator

import numpy as np

from mixlaw.errors import InputError
from mixlaw.fitted import Array, Axis, FittedLaw
from mixlaw.hull import INSIDE, distance_to_hull, nearest
from mixlaw.laws.checks import SAME_CHECKPOINT
from mixlaw.laws.diagnose_design import design_findings
from mixlaw.laws.diagnose_losses import loss_findings
from mixlaw.laws.finding import Finding, Severity, listed
from mixlaw.mixture import Mixture
from mixlaw.runs import RunTable

ORDER: tuple[Severity, ...] = ("problem", "caution", "note")


def diagnose(
    runs: RunTable,
    *,
    x: Axis = "tokens",
    law: FittedLaw | None = None,
    mixture: Mixture | None = None,
    at: float | None = None,
) -> list[Finding]:
    """Say what is wrong with runs, or limits what a law can say of them.

    Parameters
    ----------
    runs
        What proxy runs measured.
    x
        What the length of training is measured in.
    law
        A law fitted to them, whose coefficients are looked at too.
    mixture, at
        Mixture and length of training that are to be predicted: how far they are from the runs.

    Returns
    -------
    list of Finding
        Problems first, then cautions, then notes.

    Raises
    ------
    InputError
        If a row lacks `x`, the mixture has other domains, `at` is not positive, or the law has another x.

    Examples
    --------
    >>> for finding in mixlaw.diagnose(runs, at=1e11):  # doctest: +SKIP
    ...     print(finding.severity, finding.text)
    """
    if law is not None and law.x != x:
        raise InputError(f"law: it is fitted to {law.x}, not to {x}")
    found = []
    if (at_zero := runs.x(x) == 0.0).any():
        text = f"{np.count_nonzero(at_zero)} of {len(runs)} rows are at 0 {x}, where laws have no value: left out."
        found.append(Finding("problem" if at_zero.all() else "note", "untrained rows", text))
    if not at_zero.all():
        trained = runs.select(~at_zero)
        found += [*design_findings(trained, x), *loss_findings(trained, x)]
    if law is not None:
        found += _law(runs, law)
    if mixture is not None:
        found += _mixture(runs, mixture.to_array(runs.train_domains))
    if at is not None:
        found += _length(runs.x(x), at, x)
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))


def _law(runs: RunTable, law: FittedLaw) -> Iterator[Finding]:
    """Coefficients that the runs do not determine, and a law of other runs."""
    if law.fingerprint != runs.fingerprint():
        yield Finding(
            "caution",
            "other runs",
            f"The law was fitted to other runs, rows or columns than these (fingerprint {law.fingerprint[:8]}, not "
            f"{runs.fingerprint()[:8]}).",
        )
    total, vague = 0, []
    without: dict[str, list[str]] = {}
    for domain, mine in law.coefficients.items():
        for name, one in mine.items():
            total += 1
            if np.isnan(one.standard_error):
                if one.note != "fixed":
                    without.setdefault(one.note, []).append(f"{domain} {name}")
            elif one.standard_error >= abs(one.value):
                vague.append(f"{domain} {name} ({one.value:.3g} ± {one.standard_error:.2g})")
    if without:
        yield Finding(
            "note",
            "unidentified coefficients",
            f"{sum(map(len, without.values()))} of {total} coefficients of {law.law} have no standard error: "
            + "; ".join(f"{why} ({listed(names, 3)})" for why, names in without.items())
            + ".",
        )
    if vague:
        yield Finding(
            "note",
            "vague coefficients",
            f"{len(vague)} of {total} coefficients of {law.law} have a standard error as large as themselves: "
            f"{listed(vague)}. Read nothing into them one by one.",
        )


def _mixture(runs: RunTable, r: Array) -> Iterator[Finding]:
    """Whether the runs surround a mixture."""
    outside = distance_to_hull(runs.proportions, r)
    row, distance = nearest(runs.proportions, r)
    nearby = f"the nearest run, {runs.run[row]}, differs from it in {distance:.3g} of the tokens"
    if outside <= INSIDE:
        yield Finding("note", "mixture inside", f"The mixture lies within the hull of the runs' mixtures; {nearby}.")
    else:
        low, high = runs.proportions.min(axis=0), runs.proportions.max(axis=0)
        beyond = [
            f"{domain} {share:.3g} (runs: {least:.3g} to {most:.3g})"
            for domain, share, least, most in zip(runs.train_domains, r, low, high, strict=True)
            if not least - INSIDE <= share <= most + INSIDE
        ]
        yield Finding(
            "caution",
            "mixture outside",
            f"The mixture lies outside the hull of the runs' mixtures, by {outside:.3g} of the tokens; {nearby}. "
            + (f"Beyond the runs: {listed(beyond)}. " if beyond else "")
            + "What a law says there is extrapolation.",
        )


def _length(s: Array, at: float, x: Axis) -> Iterator[Finding]:
    """How far a length of training is beyond the runs."""
    if not (np.isfinite(at) and at > 0.0):
        raise InputError(f"at: {x} must be positive and finite, not {at!r}")
    s = s[s > 0.0]
    if not len(s):
        return
    low, high = float(s.min()), float(s.max())
    if at > high * SAME_CHECKPOINT:
        yield Finding(
            "caution",
            "length outside",
            f"{at:.4g} {x} are {at / high:.3g} times the longest run ({high:.4g}). What a law says there is "
            "extrapolation: `mixlaw compare` measures how well the last checkpoint follows from the earlier ones.",
        )
    elif at * SAME_CHECKPOINT < low:
        yield Finding("caution", "length outside", f"{at:.4g} {x} are before the first checkpoint ({low:.4g}).")
