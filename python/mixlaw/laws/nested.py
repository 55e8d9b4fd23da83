"""The exponential mixing law at any length of training and model size, nested in laws of steps and of size.

symbol  meaning                                                                  shape   unit
n       runs                                                                     -       -
q       mixtures of which the losses at a length and size are known              -       -
m, e    training and evaluation domains                                          -       -
r       proportions                                                              (q, m)  share of training tokens
L       losses at that length and size                                           (q, e)  nats per token
theta   log c and log k + t_j, of losses over their geometric mean L0            (1+m,)  -

    log(L / L0) = log(exp(theta_0) + exp(sum_j theta_j r_j))

The priors of theta are so weak that they settle only what the runs do not (`PRIOR`); `mixlaw.laws.panel` has the rest.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mixlaw.errors import InputError
from mixlaw.fitted import Array
from mixlaw.laws.panel import Piece, Prior, fit_panel
from mixlaw.laws.power import Power, fit_power

# Means and standard deviations of log c, and of log k + t.
PRIOR = ((math.log(0.7), 1.5), (math.log(0.3), 10.0))
# Shares of the smallest loss from which c starts.
STARTS = (0.2, 0.6, 0.95)
# A power law above a floor has three coefficients.
FEWEST_POINTS = 3


class Mixing(NamedTuple):
    """The mixing law at one length and size: log c, shape (e,), and log k + t, shape (e, m)."""

    log_c: Array
    slopes: Array


class Nested:
    """Step laws of runs, and the mixing law that follows from them at any length and size.

    Attributes
    ----------
    proportions
        Shape (n, m).
    sizes
        Shape (n,); NaN where they are unknown.
    curves
        The step law of each run, with a curve for each evaluation domain.
    bend
        Huber's bend of the mixing law, in standard deviations.
    length, size, reference
        The mixing law at the longest length and the largest size of the runs.
    """

    def __init__(
        self,
        proportions: Array,
        sizes: Array,
        curves: Sequence[Power],
        bend: float,
        length: float,
        size: float | None,
        reference: Mixing,
    ) -> None:
        self.proportions, self.sizes, self.curves = proportions, sizes, curves
        self.bend, self.length, self.size, self.reference = bend, length, size, reference
        self._known = {(length, size): reference}
        self._flat = not any(curve.B.any() for curve in curves)

    def at(self, length: float, size: float | None) -> Mixing:
        """The mixing law at a length and size; `InputError` if the runs say nothing of the size."""
        point = (self.length if self._flat else length, size)
        if point not in self._known:
            r, losses = points(self.proportions, self.sizes, self.curves, *point)
            self._known[point] = mixing(*fit_mixing(r, losses, self.bend, self.reference))
        return self._known[point]

    def content(self) -> dict[str, Any]:
        """What `read` reads, in the types of JSON."""
        return {
            "bend": self.bend,
            "reference": {
                "length": self.length,
                "size": self.size,
                "log_c": self.reference.log_c.tolist(),
                "slopes": self.reference.slopes.tolist(),
            },
            "runs": [
                {
                    "proportions": r.tolist(),
                    "size": None if math.isnan(size) else size,
                    "x0": curve.x0,
                    "beta": curve.beta,
                    "E": curve.E.tolist(),
                    "B": curve.B.tolist(),
                }
                for r, size, curve in zip(self.proportions, self.sizes.tolist(), self.curves, strict=True)
            ],
        }

    @classmethod
    def read(cls, content: Mapping[str, Any], m: int, e: int) -> "Nested":
        """Read `content`; `InputError` if it is not for m training and e evaluation domains."""
        try:
            reference, runs = content["reference"], content["runs"]
            nested = cls(
                np.array([run["proportions"] for run in runs], dtype=np.float64),
                np.array([run["size"] for run in runs], dtype=np.float64),
                [
                    Power(float(run["x0"]), float(run["beta"]), *(np.array(run[k], dtype=np.float64) for k in "EB"))
                    for run in runs
                ],
                float(content["bend"]),
                float(reference["length"]),
                None if reference["size"] is None else float(reference["size"]),
                Mixing(*(np.array(reference[name], dtype=np.float64) for name in Mixing._fields)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"extra: not the step laws of the exponential law ({error})") from error
        shapes = {curve.E.shape for curve in nested.curves} | {curve.B.shape for curve in nested.curves}
        if (
            shapes != {(e,)}
            or nested.proportions.shape[1:] != (m,)
            or nested.reference.log_c.shape != (e,)
            or nested.reference.slopes.shape != (e, m)
        ):
            raise InputError(f"extra: the step laws are not those of {m} training and {e} evaluation domains")
        return nested


def points(
    proportions: Array, sizes: Array, curves: Sequence[Power], length: float, size: float | None
) -> tuple[Array, Array]:
    """Mixtures, (q, m), and their losses at a length and size, (q, e), by the step laws and the size law."""
    losses = np.array([curve.at(length) for curve in curves])
    if size is None:
        return proportions, losses
    here = sizes == size
    if here.any():
        return proportions[here], losses[here]
    return _by_size_law(proportions, sizes, losses, size)


def _by_size_law(proportions: Array, sizes: Array, losses: Array, size: float) -> tuple[Array, Array]:
    """Losses at another size, of those mixtures that three or more sizes of models were trained on."""
    known, of_run = np.unique(sizes, return_inverse=True)
    mixtures, mixture = np.unique(proportions.round(12), axis=0, return_inverse=True)
    counts = np.zeros((len(known), len(mixtures)))
    np.add.at(counts, (of_run, mixture), 1.0)
    several = np.count_nonzero(counts, axis=0) >= FEWEST_POINTS
    if not several.any():
        raise InputError(
            f"params: no mixture was trained on at {FEWEST_POINTS} model sizes, so the runs say nothing of "
            f"{size:.6g} parameters, but of {', '.join(f'{one:.6g}' for one in known)}"
        )
    sums = np.zeros((*counts.shape, losses.shape[1]))
    np.add.at(sums, (of_run, mixture), losses)
    sums, counts = sums[:, several], counts[:, several]
    means = (sums / np.maximum(counts, 1.0)[:, :, None]).reshape(len(known), -1)
    curves = fit_power(known, means, np.repeat(counts, losses.shape[1], axis=1))
    return mixtures[several], curves.at(size).reshape(-1, losses.shape[1])


def fit_mixing(r: Array, losses: Array, bend: float, near: Mixing | None = None) -> tuple[list[Piece], Array]:
    """Fit the mixing law to losses, shape (q, e), starting near another if there is one; also gives log L0, (e,)."""
    logs = np.log(losses)
    log_l0 = logs.mean(axis=0)
    y = logs - log_l0
    q, m = r.shape

    def model(theta: Array) -> tuple[Array, Array]:
        logs = r @ theta[1:]
        f = np.logaddexp(theta[0], logs)
        share = np.exp(logs - f)
        return f, np.column_stack([1.0 - share, share[:, None] * r])

    pairs = np.array([PRIOR[0], *[PRIOR[1]] * m])
    if near is None:
        starts = [np.array([_start(r, own, share) for share in STARTS]) for own in y.T]
    else:
        starts = [
            np.array([[c - shift, *(slopes - shift)]])
            for c, slopes, shift in zip(near.log_c, near.slopes, log_l0, strict=True)
        ]
    runs = np.arange(q).astype(str)
    return fit_panel([model] * y.shape[1], y, runs, Prior(pairs[:, 0], pairs[:, 1]), starts, bend), log_l0


def _start(r: Array, y: Array, share: float) -> Array:
    """For c of a share of the smallest loss, log k + t by linear regression, drawn towards their mean."""
    c = share * math.exp(y.min())
    z = np.log(np.exp(y) - c)
    slopes = np.linalg.solve(r.T @ r + 0.01 * np.eye(r.shape[1]), r.T @ (z - z.mean()))
    return np.array([math.log(c), *(z.mean() + slopes)])


def mixing(pieces: Sequence[Piece], log_l0: Array) -> Mixing:
    """The law that was fitted, in units of the losses."""
    theta = np.array([piece.mode.theta for piece in pieces])
    return Mixing(theta[:, 0] + log_l0, theta[:, 1:] + log_l0[:, None])
