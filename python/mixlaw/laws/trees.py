"""Gradient-boosted trees on proportions, with the settings of RegMix (arXiv 2407.01492), by LightGBM.

One booster for each evaluation domain maps the proportions of a run to its log loss. What trees say is constant between
the splits that they found, and near the losses of the runs everywhere: they never extrapolate.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError, require
from mixlaw.fitted import Array, Axis, FittedLaw, Proportions
from mixlaw.laws.checks import check_question, facts, one_size, spearman_at_the_end, usable_at_one_checkpoint
from mixlaw.laws.goodness import domain_fit
from mixlaw.runs import RunTable

# RegMix's; the last three make the same trees on any number of threads.
SETTINGS = {
    "objective": "regression",
    "metric": ["l1", "l2"],
    "learning_rate": 1e-2,
    "seed": 42,
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
}
ROUNDS = 1000
# Fewest runs in a leaf: LightGBM's default, which RegMix takes for 512 runs, but no more than a tenth of the runs, for
# few could not be split else.
LEAF, LEAF_SHARE = 20, 10


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedTrees(FittedLaw):
    """Boosted trees; made by `Trees.fit` or read by `mixlaw.laws.read`.

    `extra` has the boosters as LightGBM's text. There are no coefficients, so no intervals; and `gradient` refuses.
    """

    law: ClassVar[str] = "trees"
    formula: ClassVar[str] = "log L_i(r) = a sum of regression trees"

    def __post_init__(self) -> None:
        boosters = self.extra.get("boosters")
        if not isinstance(boosters, list) or not all(isinstance(text, str) for text in boosters):
            raise InputError("extra: expected the boosters of the trees, as text")
        if len(boosters) != len(self.eval_domains):
            raise InputError(f"extra: {len(boosters)} boosters for {len(self.eval_domains)} evaluation domains")

    def predict(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.predict`; needs LightGBM (`pip install 'mixlaw[trees]'`)."""
        r = self.to_array(proportions)
        check_question(self, self.positions(at, len(r)), params)
        return np.asarray(np.exp(np.column_stack([booster.predict(r) for booster in self._boosters])))

    def gradient(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """Refuse: the gradient of trees is 0 almost everywhere.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(
            "trees are constant between their splits, so that their gradient is 0 almost everywhere: compare "
            "predictions of many mixtures, or use another law"
        )

    @cached_property
    def _boosters(self) -> list[Any]:
        lightgbm = require("lightgbm", "trees")
        try:
            boosters = [lightgbm.Booster(model_str=text) for text in self.extra["boosters"]]
        except lightgbm.basic.LightGBMError as error:
            raise InputError(f"extra: a booster that LightGBM cannot read: {error}") from error
        return boosters


class Trees:
    """Gradient-boosted trees on log losses, by LightGBM; see `Law`."""

    name: ClassVar[str] = FittedTrees.law
    fitted: ClassVar[type[FittedLaw]] = FittedTrees

    def fit(self, runs: RunTable, *, x: Axis = "tokens", seed: int = 0, robust: bool = False) -> FittedTrees:
        """See `Law.fit`; with RegMix's settings nothing is drawn, so `seed` changes nothing.

        If `robust`, absolute errors are minimised instead of squares: leaves hold medians instead of means.

        Raises
        ------
        FitError
            If there are several model sizes or checkpoints, or one mixture only.
        InputError
            If a row lacks `x`.
        MissingDependencyError
            If LightGBM is not installed (``pip install 'mixlaw[trees]'``).
        """
        lightgbm = require("lightgbm", "trees")
        sizes = one_size(runs, self.name)
        used, notes = usable_at_one_checkpoint(runs, x, self.name)
        leaf = max(1, min(LEAF, len(used) // LEAF_SHARE))
        settings = SETTINGS | {"min_data_in_leaf": leaf}
        if robust:
            settings["objective"] = "regression_l1"
            notes.append("Absolute errors are minimised instead of squares.")
        boosters = [
            lightgbm.train(settings, lightgbm.Dataset(used.proportions, losses), ROUNDS).model_to_string()
            for losses in np.log(used.losses).T
        ]
        notes.append(
            f"{ROUNDS} trees a domain, their leaves of {leaf} runs or more. The quality is that "
            "on the runs they were fitted to, which trees follow closely: it says little of other mixtures."
        )
        law = FittedTrees(
            **facts(runs, used, x, sizes),
            coefficients={domain: {} for domain in runs.eval_domains},
            covariance={domain: np.empty((0, 0)) for domain in runs.eval_domains},
            quality={},
            spearman=None,
            notes=tuple(notes),
            extra={"boosters": boosters},
        )
        predicted = law.predict(used.proportions, at=used.x(x))
        quality = {
            domain: domain_fit(used.losses[:, i], predicted[:, i], used.run, None)
            for i, domain in enumerate(runs.eval_domains)
        }
        return replace(law, quality=quality, spearman=spearman_at_the_end(law, used))
