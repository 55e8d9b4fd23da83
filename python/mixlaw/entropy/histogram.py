"""A sample as the histogram of its counts, which is all that an estimate of an entropy depends on.

symbol  meaning                                             shape  unit
j       how often types (tokens, or pairs) were counted     (k,)   -
f       how many types were counted as often                (k,)   -
n       sum of j f, the observations                        -      tokens, pairs
f1, f2  how many types were seen once, and twice            -      -

`NgramCounter.count_of_counts` gives j and f.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.uint64]

# Sums of counts are exact in float64 up to here.
MOST = 2**53


class Histogram(NamedTuple):
    """A checked histogram: `j` ascending and `f`, float64 of whole numbers, shape (k,), and `n`."""

    j: Floats
    f: Floats
    n: int

    def seen(self, times: int) -> int:
        """How many types were counted so many times."""
        return int(self.f[self.j == times].sum())

    @property
    def types(self) -> int:
        """How many types were counted at all."""
        return int(self.f.sum())


def histogram(counts: npt.ArrayLike, how_many: npt.ArrayLike) -> Histogram:
    """Check a histogram as `NgramCounter.count_of_counts` gives it.

    Parameters
    ----------
    counts, how_many
        `how_many[i]` types were counted `counts[i]` times; whole numbers above 0, `counts` ascending, shape (k,).

    Raises
    ------
    InputError
        If the arrays are none such, hold no observation, or more than 2**53.
    """
    j, f = np.asarray(counts), np.asarray(how_many)
    if j.ndim != 1 or j.shape != f.shape:
        raise InputError(f"counts and how_many must be of one shape (k,), not {j.shape} and {f.shape}")
    if not len(j):
        raise InputError("no observation was counted, so there is no entropy")
    for name, values in (("counts", j), ("how_many", f)):
        if values.dtype.kind not in "iu" or (values <= 0).any():
            raise InputError(f"{name} must be whole numbers above 0")
    if (j[1:] <= j[:-1]).any():
        raise InputError("counts must ascend")
    n = sum(map(int.__mul__, j.tolist(), f.tolist()))
    if n > MOST:
        raise InputError(f"{n:,} observations; at most 2**53 are supported")
    return Histogram(j.astype(np.float64), f.astype(np.float64), n)


def log_ratio(n: float, j: Floats) -> Floats:
    """log(n / j) for 0 < j <= n, shape (k,), without a loss of digits where j is near n."""
    return np.asarray(np.where(j > 0.5 * n, -np.log1p(-(n - j) / n), np.log(n / np.minimum(j, 0.5 * n))))
