"""`RunTable`: what proxy runs measured, one row a checkpoint.

symbol       meaning                                                    shape   unit
n            rows: checkpoints of runs                                  -       -
m            training domains                                           -       -
e            evaluation domains                                         -       -
proportions  mixture that the row's run trains on                       (n, m)  share of training tokens
losses       validation losses at the checkpoint                        (n, e)  nats per token
tokens       trained on up to the checkpoint; NaN where unknown         (n,)    tokens
steps        done up to the checkpoint; NaN where unknown               (n,)    optimizer steps
params       size of the run's model; NaN where unknown                 (n,)    parameters
seed         of the run; NaN where unknown                              (n,)    -
x            tokens or steps: what a law extrapolates in                (n,)    tokens or optimizer steps
"""

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError, did_you_mean, require
from mixlaw.mixture import Mixture, check_domains
from mixlaw.run_checks import ArrayPlaces, Places, check
from mixlaw.run_formats import RunsRead, read_files, read_sheet
from mixlaw.sheet import Sheet, write_sheet

SCHEMA = "mixlaw.run-table/1"

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]

_IN_ARRAYS = ArrayPlaces()


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RunTable:
    """What proxy runs measured: an immutable table with one row for each checkpoint of each run.

    Make one with `read`, `from_arrays` or `from_pandas`. Whatever way it was made, it has at least one row, its
    proportions sum to 1, its losses are finite and positive, a run has one mixture, one seed and one model size, and no
    two checkpoints of a run are at the same x.

    Attributes
    ----------
    run
        Name of each row's run, shape (n,).
    tokens, steps
        Tokens trained on and optimizer steps done up to the checkpoint, float64, shape (n,); NaN where unknown.
    params, seed
        Model size in parameters and seed of the run, float64, shape (n,); NaN where unknown.
    status
        ``"running"``, ``"done"`` or ``""``, shape (n,).
    train_domains, eval_domains
        Names of the m training domains and of the e evaluation domains.
    proportions
        Shares of training tokens, float64, shape (n, m).
    losses
        Validation losses in nats per token, float64, shape (n, e).

    Examples
    --------
    >>> runs = RunTable.from_arrays(
    ...     [[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]],
    ...     [[3.1, 2.9], [2.8, 2.6], [2.7, 3.3]],
    ...     train_domains=["web", "code"],
    ...     eval_domains=["web", "code"],
    ...     tokens=[1e9, 2e9, 2e9],
    ... )
    >>> runs
    RunTable(2 runs, 3 rows, 2 training domains, 2 evaluation domains)
    >>> runs.final().losses[:, 0].tolist()
    [2.8, 2.7]
    """

    run: Texts
    tokens: Floats
    steps: Floats
    params: Floats
    seed: Floats
    status: Texts
    train_domains: tuple[str, ...]
    eval_domains: tuple[str, ...]
    proportions: Floats
    losses: Floats
    places: InitVar[Places] = _IN_ARRAYS

    def __post_init__(self, places: Places) -> None:
        check(self, places)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        metrics: str | os.PathLike[str] | None = None,
        key: str | None = None,
        columns: Mapping[str, str | None] | None = None,
        missing: Literal["error", "drop"] = "error",
    ) -> "RunTable":
        """Read a run table from ``.csv`` or ``.parquet``: our own form, or that of RegMix, olmix or DMSL.

        docs/run-table.md describes the forms. Weights that rounding moved from a sum of 1 by up to 5e-3 (olmix: 1e-2)
        are renormalised, and rows with the status ``failed`` are left out, each with one warning that counts the rows.

        Parameters
        ----------
        path
            The table, or the weights where the losses are in a second file.
        metrics
            The second file, one with a loss a column.
        key
            Column that names the run in both files; found by itself if it is ``run``, ``run_id`` or ``index``.
        columns
            Names of columns in the file -> our names (``run``, ``step``, ``tokens``, ``params``, ``seed``, ``status``,
            ``weight/<domain>``, ``loss/<domain>``), or ``None`` to leave the column out.
        missing
            What becomes of a row that lacks a loss (and of a run that only one of two files has): an error, or it is
            left out with a warning.

        Raises
        ------
        InputError
            If the file is unreadable or what it holds is no run table; the message names file, line and column.
        """
        return cls._from_read(read_files(path, metrics=metrics, key=key, columns=columns, missing=missing))

    @classmethod
    def from_pandas(
        cls,
        frame: Any,
        *,
        columns: Mapping[str, str | None] | None = None,
        missing: Literal["error", "drop"] = "error",
    ) -> "RunTable":
        """Take a run table from a `pandas.DataFrame` with the columns of a file that `read` takes; see there."""
        return cls._from_read(read_sheet(Sheet.from_pandas(frame), columns=columns, missing=missing))

    @classmethod
    def _from_read(cls, read: RunsRead) -> "RunTable":
        for notice in read.notices:
            warnings.warn(notice, stacklevel=3)
        return cls._make(read.places, **read.fields)

    @classmethod
    def from_arrays(
        cls,
        proportions: npt.ArrayLike,
        losses: npt.ArrayLike,
        *,
        train_domains: Sequence[str],
        eval_domains: Sequence[str],
        tokens: npt.ArrayLike | None = None,
        steps: npt.ArrayLike | None = None,
        params: npt.ArrayLike | None = None,
        run: str | Sequence[object] | npt.NDArray[Any] | None = None,
        seed: npt.ArrayLike | None = None,
        status: str | Sequence[str] | npt.NDArray[Any] | None = None,
    ) -> "RunTable":
        """Make a run table from arrays, which are copied.

        Parameters
        ----------
        proportions
            Shares of training tokens, shape (n, m); each row sums to 1 within 1e-9.
        losses
            Validation losses in nats per token, shape (n, e).
        train_domains, eval_domains
            Names of the columns of `proportions` and `losses`.
        tokens, steps, params, seed
            Shape (n,), or one number for all rows; NaN where unknown.
        run
            Name of each row's run, shape (n,), or one for all rows. If not given, rows with equal proportions, seed
            and params are one run, and runs are called run-000, run-001, ... in order of appearance.
        status
            ``""``, ``"running"`` or ``"done"``, shape (n,), or one for all rows.

        Raises
        ------
        InputError
            If shapes do not agree or the values are no run table; the message names the row, counted from 0.
        """
        return cls._make(
            _IN_ARRAYS,
            proportions,
            losses,
            train_domains=train_domains,
            eval_domains=eval_domains,
            tokens=tokens,
            steps=steps,
            params=params,
            run=run,
            seed=seed,
            status=status,
        )

    @classmethod
    def _make(
        cls,
        places: Places,
        proportions: npt.ArrayLike,
        losses: npt.ArrayLike,
        *,
        train_domains: Sequence[str],
        eval_domains: Sequence[str],
        run: Any,
        status: Any,
        **numbers: Any,
    ) -> "RunTable":
        shares = _matrix("proportions", proportions, len(train_domains))
        n = len(shares)
        columns = {name: _column(name, values, n) for name, values in numbers.items()}
        return cls(
            run=_run_names(shares, columns["seed"], columns["params"]) if run is None else _texts("run", run, n),
            status=np.full(n, "") if status is None else _texts("status", status, n),
            train_domains=tuple(train_domains),
            eval_domains=tuple(eval_domains),
            proportions=shares,
            losses=_matrix("losses", losses, len(eval_domains), n),
            places=places,
            **columns,
        )

    @classmethod
    def concat(cls, tables: Iterable["RunTable"]) -> "RunTable":
        """Put tables of the same domains (in any order) under each other; the order of the first is kept.

        Raises
        ------
        InputError
            If there is no table, the domains differ, or a run of the same name stands in two tables with different
            mixtures or with the same checkpoint.
        """
        parts = list(tables)
        if not parts:
            raise InputError("no tables to put together")
        first = parts[0]
        for number, part in enumerate(parts[1:], start=1):
            for kind in ("train_domains", "eval_domains"):
                here, there = set(getattr(part, kind)), set(getattr(first, kind))
                if here != there:
                    only = ", ".join(sorted(map(repr, here ^ there)))
                    do = "add_domain, split_domain or merge_domains" if kind == "train_domains" else "keep_losses"
                    raise InputError(
                        f"table {number} has other {kind} than table 0: only one of them has {only}; "
                        f"make them the same with {do}"
                    )
        train = [[part.train_domains.index(domain) for domain in first.train_domains] for part in parts]
        evaluation = [[part.eval_domains.index(domain) for domain in first.eval_domains] for part in parts]
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROW_COLUMNS
        }
        return cls(
            train_domains=first.train_domains,
            eval_domains=first.eval_domains,
            proportions=np.concatenate([part.proportions[:, at] for part, at in zip(parts, train, strict=True)]),
            losses=np.concatenate([part.losses[:, at] for part, at in zip(parts, evaluation, strict=True)]),
            **columns,
        )

    def select(self, rows: npt.ArrayLike) -> "RunTable":
        """Keep some rows.

        Parameters
        ----------
        rows
            A boolean mask of shape (n,), or the indices of the rows to keep, in their new order.

        Raises
        ------
        InputError
            If no row is left, or `rows` is neither a mask of that shape nor indices of rows that there are.
        """
        chosen = np.asarray(rows)
        n = len(self)
        if chosen.dtype == np.bool_:
            if chosen.shape != (n,):
                raise InputError(f"a mask of {n} rows has the shape ({n},), not {chosen.shape}")
            chosen = np.flatnonzero(chosen)
        if chosen.size == 0:
            raise InputError(f"none of the {n} rows is selected; a run table needs at least one")
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise InputError(f"rows are a mask or a list of indices, not {chosen.dtype} of shape {chosen.shape}")
        if chosen.min() < -n or chosen.max() >= n:
            raise InputError(f"row index {chosen.max() if chosen.max() >= n else chosen.min()} of {n} rows")
        columns: dict[str, Any] = {name: getattr(self, name)[chosen] for name in _ROW_COLUMNS}
        return RunTable(
            train_domains=self.train_domains,
            eval_domains=self.eval_domains,
            proportions=self.proportions[chosen],
            losses=self.losses[chosen],
            **columns,
        )

    def add_domain(self, domain: str) -> "RunTable":
        """Add a training domain of which the runs had no tokens.

        Raises
        ------
        InputError
            If there is one of that name.
        """
        return self._trained_on((*self.train_domains, domain), np.pad(self.proportions, ((0, 0), (0, 1))))

    def drop_domain(self, domain: str) -> "RunTable":
        """Keep the runs that had no tokens of a training domain, and leave the domain out.

        Raises
        ------
        InputError
            If there is no such domain, or every run had tokens of it.
        """
        at = self._position(domain)
        without = self.proportions[:, at] == 0.0
        if not without.any():
            raise InputError(
                f"every run has tokens of {domain!r}; keep the domain, and give it a cap of 0 where no more is wanted"
            )
        kept = self.select(without)
        names = [name for name in self.train_domains if name != domain]
        return kept._trained_on(names, np.delete(kept.proportions, at, axis=1))

    def split_domain(self, domain: str, shares: Mapping[str, float]) -> "RunTable":
        """Put parts in the place of a training domain that consisted of them.

        Parameters
        ----------
        domain
            The training domain, whose tokens were drawn from all parts alike.
        shares
            Part -> its share of the tokens of the domain; they sum to 1, as those of a `Mixture` do.

        Raises
        ------
        InputError
            If there is no such domain, the shares are no mixture, or a part has the name of another domain.
        """
        at, parts = self._position(domain), Mixture(shares)
        names = (*self.train_domains[:at], *parts, *self.train_domains[at + 1 :])
        divided = self.proportions[:, at, None] * np.array(list(parts.values()))
        return self._trained_on(names, np.insert(np.delete(self.proportions, at, 1), [at] * len(parts), divided, 1))

    def merge_domains(self, domains: Iterable[str], into: str) -> "RunTable":
        """Put one training domain in the place of several; its proportion is the sum of theirs.

        Raises
        ------
        InputError
            If there is no such domain, one stands twice, or `into` is the name of another domain.
        """
        merged = list(domains)
        check_domains(merged, "training domain")
        at = sorted(map(self._position, merged))
        if not at:
            raise InputError("no domains to merge")
        names = [name for name in self.train_domains if name not in merged]
        names.insert(at[0], into)
        together = self.proportions[:, at].sum(axis=1)
        return self._trained_on(names, np.insert(np.delete(self.proportions, at, 1), at[0], together, 1))

    def keep_losses(self, domains: Iterable[str]) -> "RunTable":
        """Keep the losses of some evaluation domains, in the order given.

        Raises
        ------
        InputError
            If a domain was not evaluated or stands twice, or none is given.
        """
        kept = tuple(domains)
        for domain in kept:
            if domain not in self.eval_domains:
                raise InputError(f"there are no losses of {domain!r}{did_you_mean(domain, self.eval_domains)}")
        at = [self.eval_domains.index(domain) for domain in kept]
        return replace(self, eval_domains=kept, losses=self.losses[:, at])

    def _position(self, domain: str) -> int:
        if domain not in self.train_domains:
            raise InputError(f"there is no training domain {domain!r}{did_you_mean(domain, self.train_domains)}")
        return self.train_domains.index(domain)

    def _trained_on(self, domains: Iterable[str], proportions: Floats) -> "RunTable":
        return replace(self, train_domains=tuple(domains), proportions=proportions)

    def x(self, name: str) -> Floats:
        """Training so far at each row, shape (n,): tokens if `name` is ``"tokens"``, optimizer steps if ``"steps"``.

        Raises
        ------
        InputError
            If a row lacks it; the message names the row and the run.
        """
        values = self._x(name)
        blank = np.isnan(values)
        if blank.any():
            i = int(np.argmax(blank))
            where = "no row has" if blank.all() else f"row index {i} (run {str(self.run[i])!r}) lacks"
            other = "steps" if name == "tokens" else "tokens"
            do = f"; use x={other!r}" if not np.isnan(self._x(other)).any() else f"; give every row its {name}"
            raise InputError(f"{where} {name}{do}")
        return values

    def _x(self, name: str) -> Floats:
        if name not in ("tokens", "steps"):
            raise InputError(f"x is 'tokens' or 'steps', not {name!r}")
        return self.tokens if name == "tokens" else self.steps

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the runs, each once, in order of first appearance."""
        return tuple(dict.fromkeys(self.run.tolist()))

    def final(self, x: str = "tokens") -> "RunTable":
        """Keep the last checkpoint of every run (the one with the largest `x`), in order of first appearance.

        A run of one row needs no `x`.
        """
        values = self._x(x)
        _, first, code, rows = np.unique(self.run, return_index=True, return_inverse=True, return_counts=True)
        if np.isnan(values[rows[code] > 1]).any():
            self.x(x)
        order = np.lexsort((values, code))
        last = order[np.cumsum(rows) - 1]
        return self.select(last[np.argsort(first)])

    def mixture(self, run: str) -> Mixture:
        """Give the mixture that a run trains on.

        Raises
        ------
        InputError
            If there is no such run.
        """
        rows = np.flatnonzero(self.run == run)
        if not len(rows):
            raise InputError(f"the table has no run {run!r}{did_you_mean(run, self.runs)}")
        return Mixture.from_array(self.train_domains, self.proportions[rows[0]])

    def fingerprint(self) -> str:
        """SHA-256 of everything the table holds, as hexadecimal digits; the same whatever file it came from."""
        names = [self.run.tolist(), self.status.tolist(), self.train_domains, self.eval_domains]
        digest = hashlib.sha256(json.dumps([SCHEMA, *names]).encode())
        for values in (self.tokens, self.steps, self.params, self.seed, self.proportions, self.losses):
            # One bit pattern for all NaNs; that of zero is settled when the table is made.
            digest.update(np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes())
        return digest.hexdigest()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table to ``.csv`` or ``.parquet``, atomically; it reads back exactly."""
        write_sheet(path, SCHEMA, self._sheet())

    def to_pandas(self) -> Any:
        """Give a `pandas.DataFrame` with the columns of the file form."""
        return require("pandas", "data").DataFrame(self._sheet())

    def _sheet(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "run": self.run,
            "step": self.steps,
            "tokens": self.tokens,
            "params": self.params,
            "seed": self.seed,
            "status": self.status,
            **{f"weight/{domain}": self.proportions[:, j] for j, domain in enumerate(self.train_domains)},
            **{f"loss/{domain}": self.losses[:, j] for j, domain in enumerate(self.eval_domains)},
        }

    def __len__(self) -> int:
        return len(self.proportions)

    def __repr__(self) -> str:
        return (
            f"RunTable({len(self.runs)} runs, {len(self)} rows, {len(self.train_domains)} training domains, "
            f"{len(self.eval_domains)} evaluation domains)"
        )


_ROW_COLUMNS = ("run", "tokens", "steps", "params", "seed", "status")


def _matrix(name: str, values: npt.ArrayLike, columns: int, rows: int | None = None) -> Floats:
    array = _floats(name, values)
    if array.ndim != 2 or array.shape[1] != columns or (rows is not None and array.shape[0] != rows):
        expected = f"({'rows' if rows is None else rows}, {columns})"
        raise InputError(f"{name} of {columns} domains have the shape {expected}, not {array.shape}")
    return array


def _column(name: str, values: npt.ArrayLike | None, n: int) -> Floats:
    array = _floats(name, np.nan if values is None else values)
    if array.shape not in ((), (n,)):
        raise InputError(f"{name} of {n} rows has the shape ({n},), not {array.shape}")
    return np.array(np.broadcast_to(array, (n,)))


def _floats(name: str, values: npt.ArrayLike) -> Floats:
    try:
        # + 0.0 copies, and makes -0.0 the one zero.
        return np.asarray(values, dtype=np.float64) + 0.0
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected numbers ({error})") from error


def _texts(name: str, values: Any, n: int) -> Texts:
    each = [values] * n if isinstance(values, str) else values
    texts = ["" if value is None else str(value) for value in each]
    if len(texts) != n:
        raise InputError(f"{name} of {n} rows has the length {n}, not {len(texts)}")
    return np.array(texts, dtype=np.str_)


def _run_names(proportions: Floats, seed: Floats, params: Floats) -> Texts:
    """Names for rows that have none: equal proportions, seed and params are one run."""
    known = np.column_stack([proportions, seed, params])
    known[np.isnan(known)] = np.nan  # NaNs with different bits are the same blank
    numbers: dict[bytes, int] = {}
    codes = [numbers.setdefault(row.tobytes(), len(numbers)) for row in known]
    width = max(3, len(str(len(numbers) - 1)))
    return np.array([f"run-{code:0{width}}" for code in codes], dtype=np.str_)
