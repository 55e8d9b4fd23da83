"""`SecondMoment`: the density matrix of a stream of vectors, and its von Neumann entropy with an error bar.

symbol   meaning                                                                   shape      unit
n        vectors                                                                   -          -
d        their dimension                                                           -          -
v        a vector, scaled to length 1                                              (d,)       -
rho      density matrix, (1 / n) sum of v v^T; trace 1                             (d, d)     -
lambda   its eigenvalues; those above 0 are those of the Gram matrix K / n too     (d,)       -
VNE      von Neumann entropy, -sum of lambda log(lambda), at most log(min(n, d))   -          nats

exp(VNE) is the Vendi score of the vectors under the cosine kernel (Friedman and Dieng, arXiv 2210.02410, Eq. 2). A
domain's VNE is a proxy for its share of a mixture in BiMix, arXiv 2405.14908.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError
from mixlaw.files import atomic_write, package_version

SCHEMA = "mixlaw.second-moment/1"
# Groups of the jackknife: enough for a standard error that is itself known to a fifth, at 16 d**2 numbers.
GROUPS = 16

Vectors = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Numbers that are held as float64 at a time, and the fewest rows a group that make a product worth its sum.
_BLOCK = 2**21
_ROWS = 128
# Beyond these, a sum of squares has lost digits or overflowed, and the vector is scaled by its largest entry first.
_SMALL, _LARGE = 1e-200, 1e200
# Squares that are summed at a time: einsum sums longer rows in another order where there is one row alone.
_COLUMNS = 8192
# How far rounding may carry the trace of a group from the number of its vectors, as a share.
_SLACK = 1e-9


class _State(NamedTuple):
    """What was added, replaced in one assignment, so that an interrupt finds either the old state or the new one.

    `sums` holds what was added of every group, and `counts` the numbers of all vectors. The first `held` rows of the
    block belong to the sums as well. Once it is full, those of the groups before `group` are in `sums`, and
    `sums[group]` is to become `total`.
    """

    sums: Floats
    counts: Integers
    held: int = 0
    group: int = 0
    total: Floats | None = None


class SecondMoment:
    """Sum v v^T over any number of vectors in constant memory, in float64 throughout.

    Vectors are spread over groups, whose sums are held apart: leaving one group out at a time gives the standard error.
    They are added in blocks that begin and end at the same vectors however they are cut into calls, so that results
    are the same bits for the same vectors in the same order. Sums of floats depend on their order: entropies of another
    order, of parts that are merged, or on another number of threads differ by some 1e-13 nats.

    Parameters
    ----------
    dimension
        d, at least 1.
    groups
        How many groups there are; 8 d**2 bytes each, beside a few matrices of d x d and the 16 MiB, or more for d above
        1,024, of a block of vectors. With 1 there is no standard error.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> moment = SecondMoment(3)
    >>> moment.update(np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    >>> moment.count, round(float(np.exp(moment.entropy())), 12)
    (2, 2.0)
    """

    def __init__(self, dimension: int, *, groups: int = GROUPS) -> None:
        for name, value in (("dimension", dimension), ("groups", groups)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
        self._state = _State(np.zeros((groups, dimension, dimension)), np.zeros(groups, np.int64))
        # The block that is not full yet, and so not among the sums: vectors of length 1, and their groups.
        size = max(_BLOCK // dimension, _ROWS * groups)
        self._rows: Floats = np.empty((size, dimension))
        self._groups: Integers = np.empty(size, np.int64)

    @property
    def dimension(self) -> int:
        """Dimension d of the vectors."""
        return int(self._state.sums.shape[1])

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self._state.counts)

    @property
    def count(self) -> int:
        """How many vectors were given."""
        return int(self._state.counts.sum())

    def update(self, vectors: Vectors, groups: npt.NDArray[np.integer[Any]] | None = None) -> None:
        """Add vectors, each scaled to length 1; on an `InputError` nothing is added.

        After an interrupt, or where memory runs out, the vectors up to `count` are added, and none of the others.

        Parameters
        ----------
        vectors
            Shape (n, d), float16, float32 or float64; may be a memory map.
        groups
            Each vector's group, integers, shape (n,): vectors that are not independent, as passages of one document,
            belong in one group. None: one group after the other.

        Raises
        ------
        InputError
            If an array has another shape or dtype, a group is not there, or a vector is zero or not finite; the message
            names the row.
        """
        vectors = np.asarray(vectors)
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise InputError(f"expected vectors of shape (n, {self.dimension}), found shape {vectors.shape}")
        if vectors.dtype.kind != "f" or vectors.dtype.itemsize > 8:
            raise InputError(f"expected vectors of float16, float32 or float64, found {vectors.dtype}")
        if groups is None:
            groups = (np.arange(len(vectors)) + self.count) % self.groups
        self._check_groups(groups, len(vectors))
        self._finish()
        size, begin = len(self._rows), 0
        if self._state.held + len(vectors) > size:
            # A later block cannot be refused when others were added.
            _check_rows(vectors, size)
        while begin < len(vectors):
            sums, counts, held = self._state[:3]
            end = min(begin + size - held, len(vectors))
            filled = held + end - begin
            unit_rows(vectors[begin:end], begin, self._rows[held:filled])
            self._groups[held:filled] = groups[begin:end]
            self._state = _State(sums, counts + np.bincount(groups[begin:end], minlength=self.groups), filled)
            self._finish()
            begin = end

    def _finish(self) -> None:
        """Add a full block to the sums, or what an interrupt left of it."""
        sums, counts, held, group, total = self._state
        if held < len(self._rows):
            return
        if total is not None:
            sums[group] = total
            group += 1
        for g, new in enumerate(self._totals(group), group):
            # To write it twice is no harm, as to add it twice would be.
            self._state = _State(sums, counts, held, g, new)
            sums[g] = new
        self._state = _State(sums, counts)

    def _totals(self, first: int = 0) -> Iterator[Floats]:
        """Yield the sum of every group from `first` on, the rows of the block among them; new arrays."""
        groups = self._groups[: self._state.held]
        order = np.argsort(groups, kind="stable")
        borders = np.searchsorted(groups, np.arange(self.groups + 1), sorter=order)
        for g in range(first, self.groups):
            rows = self._rows[order[borders[g] : borders[g + 1]]]
            # A product of a matrix with its own transpose is BLAS's syrk: half the work, and symmetric to the bit.
            total = rows.T @ rows
            total += self._state.sums[g]
            yield total

    def _sum(self) -> Floats:
        """Sum over all groups."""
        self._finish()
        sum_ = np.zeros((self.dimension, self.dimension))
        for total in self._totals():
            sum_ += total
        return sum_

    def _check_groups(self, groups: npt.NDArray[np.integer[Any]], n: int) -> None:
        if groups.shape != (n,) or groups.dtype.kind not in "iu":
            raise InputError(f"{n} vectors need integers of shape ({n},) as groups, not {groups.dtype} {groups.shape}")
        outside = (groups < 0) | (groups >= self.groups)
        if outside.any():
            row = int(outside.argmax())
            raise InputError(f"row {row}: there is no group {groups[row]}, they go from 0 to {self.groups - 1}")

    def merge(self, other: "SecondMoment") -> None:
        """Add what `other` was given, group by group; `other` stays as it is. Sums are held twice meanwhile.

        Raises
        ------
        InputError
            If dimensions or numbers of groups differ.
        """
        for name, mine, theirs in (
            ("dimension", self.dimension, other.dimension),
            ("number of groups", self.groups, other.groups),
        ):
            if mine != theirs:
                raise InputError(f"second moments of one {name} can be merged, not of {mine} and {theirs}")
        self._finish()
        other._finish()
        sums = np.empty_like(self._state.sums)
        for sum_, one, two in zip(sums, self._totals(), other._totals(), strict=True):
            np.add(one, two, out=sum_)
        self._state = _State(sums, self._state.counts + other._state.counts)

    def density(self) -> Floats:
        """Rho, shape (d, d).

        Raises
        ------
        InputError
            If no vector was given.
        """
        if not self.count:
            raise InputError("no vectors were given, so there is no density matrix")
        return self._sum() / self.count

    def entropy(self) -> float:
        """VNE, in nats.

        Raises
        ------
        InputError
            If no vector was given.
        """
        return _entropy(self.density())

    def standard_error(self) -> float:
        """Standard error of `entropy` in nats, by a jackknife over groups; NaN where fewer than two hold vectors.

        It takes groups for independent, and says nothing of the bias: with few vectors beside d the entropy is too low.
        """
        counts = self._state.counts
        if np.count_nonzero(counts) < 2:
            return np.nan
        sum_ = self._sum()
        parts = zip(counts, self._totals(), strict=True)
        without = np.array([_entropy((sum_ - part) / (self.count - count)) for count, part in parts if count])
        return float(np.sqrt((len(without) - 1) * without.var()))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write everything to an ``.npz`` file, atomically, so that another process can go on or merge it."""
        self._finish()
        state = self._state
        with atomic_write(path, "wb") as file:
            np.savez(
                file,
                schema=np.array(SCHEMA),
                mixlaw_version=np.array(package_version()),
                counts=state.counts,
                sums=state.sums,
                rows=self._rows[: state.held],
                groups=self._groups[: state.held],
                sha256=np.array(self._checksum()),
            )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "SecondMoment":
        """Read what `write` wrote; the sums are the same bits.

        Raises
        ------
        InputError
            If the file cannot be read, is of another schema, or is damaged; the message names it.
        """
        try:
            # Opened here, as `np.load` leaves damaged files open.
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        # What numpy and zipfile raise on a truncated or damaged archive.
        except (
            EOFError,
            ValueError,
            KeyError,
            AttributeError,
            TypeError,
            NotImplementedError,
            zipfile.BadZipFile,
        ) as e:
            raise InputError(f"{path}: not a whole .npz file ({e})") from e
        except OSError as e:
            raise InputError(f"{path}: cannot be read ({e.strerror or e})") from e
        schema = str(found.get("schema"))
        if schema != SCHEMA:
            raise InputError(f"{path}: expected a file of schema {SCHEMA!r}, found {schema!r}")
        counts, sums, rows, groups = (found.get(name, np.empty(0)) for name in ("counts", "sums", "rows", "groups"))
        if (
            [array.dtype for array in (counts, sums, rows, groups)] != [np.int64, np.float64, np.float64, np.int64]
            or sums.ndim != 3
            or 0 in sums.shape
            or sums.shape != (len(counts), *2 * sums.shape[1:2])
            or rows.shape != (len(groups), sums.shape[1])
            or not ((groups >= 0) & (groups < len(counts))).all()
        ):
            raise InputError(f"{path}: does not hold the counts and sums of a second moment")
        moment = cls(sums.shape[1], groups=len(counts))
        held = len(rows)
        if held >= len(moment._rows):
            raise InputError(f"{path}: holds {held} vectors beside the sums, where {len(moment._rows)} are a block")
        moment._state = _State(sums, counts, held)
        moment._rows[:held], moment._groups[:held] = rows, groups
        if str(found.get("sha256")) != moment._checksum():
            raise InputError(f"{path}: damaged: its content is not what its checksum says")
        traces = np.trace(sums, axis1=1, axis2=2) + np.bincount(groups, minlength=len(counts))
        if counts.min() < 0 or not np.allclose(traces, counts, rtol=_SLACK, atol=0.0):
            raise InputError(f"{path}: the traces of the sums are not the numbers of vectors")
        return moment

    def _checksum(self) -> str:
        sums, counts, held = self._state[:3]
        digest = hashlib.sha256(repr(sums.shape).encode())
        digest.update(counts.astype("<i8").tobytes())
        digest.update(sums.astype("<f8", copy=False).data)
        digest.update(self._rows[:held].astype("<f8", copy=False).data)
        digest.update(self._groups[:held].astype("<i8", copy=False).data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"SecondMoment(dimension={self.dimension}, groups={self.groups}, count={self.count})"


def unit_rows(vectors: Vectors, first: int = 0, out: Floats | None = None) -> Floats:
    """Scale every row to length 1, as float64; shape (n, d). A row's bits do not depend on the others.

    Parameters
    ----------
    vectors
        Shape (n, d).
    first
        Number of the first row, for messages.
    out
        Where the result goes, shape (n, d), in C order; a new array if not given.

    Raises
    ------
    InputError
        If a row is zero or not finite; the message names it.
    """
    # Not in the order of `vectors`, by which sums over columns would be others.
    unit = np.empty(vectors.shape) if out is None else out
    unit[:] = vectors
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.zeros(len(unit))
        for begin in range(0, unit.shape[1], _COLUMNS):
            part = unit[:, begin : begin + _COLUMNS]
            squares += np.einsum("ij,ij->i", part, part)
    for row in np.flatnonzero(~((squares > _SMALL) & (squares < _LARGE))):
        largest = np.abs(unit[row]).max()
        _check_largest(largest, first + int(row))
        # In two steps, as the reciprocal of the smallest numbers overflows.
        unit[row] /= largest
        squares[row] = unit[row] @ unit[row]
    unit /= np.sqrt(squares)[:, None]
    return unit


def _check_rows(vectors: Vectors, size: int) -> None:
    """Refuse what `unit_rows` refuses, `size` rows at a time."""
    for begin in range(0, len(vectors), size):
        largest = np.abs(vectors[begin : begin + size]).max(axis=1)
        for row in np.flatnonzero(~((largest > 0.0) & (largest < np.inf))):
            _check_largest(largest[row], begin + int(row))


def _check_largest(largest: np.floating[Any], row: int) -> None:
    if not 0.0 < largest < np.inf:
        what = "all zeros" if largest == 0.0 else "not finite"
        raise InputError(f"row {row}: the vector is {what} and has no direction: leave it out")


def _entropy(density: Floats) -> float:
    """-sum lambda log(lambda) over the eigenvalues; those that rounding made negative count as 0."""
    eigenvalues = np.linalg.eigvalsh(density)
    eigenvalues = eigenvalues[eigenvalues > 0.0]
    return max(0.0, -float(eigenvalues @ np.log(eigenvalues)))
