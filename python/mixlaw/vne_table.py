"""`VneTable`: per domain, the von Neumann entropy of its vectors, and the mixture that follows.

symbol    meaning                                                              shape  unit
m         domains                                                              -      -
d         dimension of the vectors, one for all domains                        -      -
vectors   vectors measured                                                     (m,)   vectors
vne       von Neumann entropy, at most log(min(vectors, d))                    (m,)   nats
vne_se    its standard error; NaN where it is not known                        (m,)   nats
r         proxy mixture, e^vne / sum of e^vne                                  (m,)   share of training tokens
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError, did_you_mean
from mixlaw.files import check_schema, read_json, write_json
from mixlaw.layout import aligned
from mixlaw.mixture import Mixture, check_domains

SCHEMA = "mixlaw.vne-table/1"
COLUMNS = ("vectors", "vne", "vne_se")
# How far rounding may carry an entropy over a bound that it has in exact arithmetic.
_SLACK = 1e-9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class VneTable:
    """Von Neumann entropies of the domains of a corpus, in nats; immutable.

    Attributes
    ----------
    domains
        Names of the m domains.
    embedding
        What made the vectors, for the record: entropies under different embeddings do not compare.
    dimension
        Dimension of the vectors.
    vectors
        How many vectors each domain has, int64, shape (m,).
    vne, vne_se
        Von Neumann entropy and its standard error in nats, float64, shape (m,); a standard error may be NaN.

    Raises
    ------
    InputError
        If shapes do not agree, a domain has no vector, or a value cannot be; the message names the domain.
    """

    domains: tuple[str, ...]
    embedding: str
    dimension: int
    vectors: npt.NDArray[np.int64]
    vne: Floats
    vne_se: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", tuple(self.domains))
        if not self.domains:
            raise InputError("a table of von Neumann entropies needs at least one domain")
        check_domains(self.domains)
        if not isinstance(self.embedding, str) or not self.embedding:
            raise InputError(f"embedding must be a text, not {self.embedding!r}")
        if type(self.dimension) is not int or self.dimension < 1:
            raise InputError(f"dimension must be a whole number above 0, not {self.dimension!r}")
        for name in COLUMNS:
            dtype = np.int64 if name == "vectors" else np.float64
            try:
                given = np.asarray(getattr(self, name))
                array = given.astype(dtype, casting="same_kind")
            except (OverflowError, TypeError, ValueError) as error:
                raise InputError(f"{name}: expected numbers ({error})") from error
            if array.shape != (len(self.domains),):
                raise InputError(f"{name} of {len(self.domains)} domains has the shape {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        most = np.log(np.minimum(np.maximum(self.vectors, 1), self.dimension)) + _SLACK
        for name, inside, what in (
            ("vectors", self.vectors >= 1, "at least 1"),
            ("vne", (self.vne >= -_SLACK) & (self.vne <= most), "between 0 and log(min(vectors, dimension)) nats"),
            ("vne_se", ~(self.vne_se < 0) & ~np.isinf(self.vne_se), "at least 0 and finite, or unknown"),
        ):
            if not inside.all():
                i = int(np.argmin(inside))
                raise InputError(f"domain {self.domains[i]!r}: {name} is {getattr(self, name)[i]}; expected: {what}")

    def mixture(self) -> Mixture:
        """Give the mixture r_i = e^{VNE_i} / sum_j e^{VNE_j} (BiMix, arXiv 2405.14908, Eq. 13)."""
        return Mixture.proportional(dict(zip(self.domains, np.exp(self.vne - self.vne.max()).tolist(), strict=True)))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "VneTable":
        """Read a table that `write` wrote.

        Raises
        ------
        InputError
            If the file is unreadable or holds no such table; the message names file, domain and value.
        """
        content = check_schema(path, read_json(path), SCHEMA)
        try:
            _close(content, ("schema", "mixlaw_version", "embedding", "dimension", "domains"), "the table")
            rows = content["domains"]
            if not isinstance(rows, dict):
                raise InputError("domains: expected an object of domain -> vectors and entropy")
            for domain, row in rows.items():
                _close(row, COLUMNS, f"domain {domain!r}")
                for name, value in row.items():
                    if type(value) not in (int, float) and not (name == "vne_se" and value is None):
                        raise InputError(f"domain {domain!r}: {name} is {value!r}, no number")
            return cls(
                domains=tuple(rows),
                embedding=content["embedding"],
                dimension=content["dimension"],
                vectors=np.array([row["vectors"] for row in rows.values()]),
                vne=np.array([row["vne"] for row in rows.values()], np.float64),
                vne_se=np.array([row["vne_se"] for row in rows.values()], np.float64),  # None becomes NaN
            )
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table as JSON, atomically; it reads back exactly."""
        write_json(path, SCHEMA, self.content())

    def content(self) -> dict[str, Any]:
        """The table as JSON holds it, without schema and version."""
        columns = zip(self.domains, self.vectors.tolist(), self.vne.tolist(), self.vne_se.tolist(), strict=True)
        rows = {
            domain: {"vectors": vectors, "vne": vne, "vne_se": None if np.isnan(se) else se}
            for domain, vectors, vne, se in columns
        }
        return {"embedding": self.embedding, "dimension": self.dimension, "domains": rows}

    def to_text(self) -> str:
        """The table and its mixture as aligned text, one line a domain; entropies in nats."""
        mixture = self.mixture()
        rows = [["domain", "vectors", "VNE", "s.e.", "e^VNE", "mixture"]]
        for i, domain in enumerate(self.domains):
            vne, se = self.vne[i], self.vne_se[i]
            rows.append(
                [
                    domain,
                    f"{self.vectors[i]:,}",
                    f"{vne:.4f}",
                    "-" if np.isnan(se) else f"{se:.4f}",
                    f"{np.exp(vne):.1f}",
                    f"{mixture[domain]:.4f}",
                ]
            )
        return f"{aligned(rows)}\nentropies in nats, of {self.embedding} ({self.dimension} dimensions)"


def _close(found: Any, known: tuple[str, ...], where: str) -> None:
    """Refuse `found` unless it is a dict with exactly the keys `known`."""
    if not isinstance(found, dict):
        raise InputError(f"{where}: expected an object with {', '.join(known)}")
    for name in found:
        if name not in known:
            raise InputError(f"{where}: unknown key {name!r}{did_you_mean(name, known)}")
    for name in known:
        if name not in found:
            raise InputError(f"{where}: no {name!r}")
