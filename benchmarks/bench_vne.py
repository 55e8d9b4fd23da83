"""Von Neumann entropy of vectors, with its standard error, against one product of them all.

Correctness first: at every size the entropies of both are the same to 1e-9 nats.

forms    float32: vectors as models give them; float16: half of the memory
peer     the dual form of the Vendi score: scale, X^T X in float64, eigenvalues; holds all vectors in float64
"""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mixlaw import SecondMoment

SIZES = ((10**6, 300, np.float32), (10**6, 300, np.float16), (10**5, 768, np.float32))


def dual(vectors: np.ndarray) -> float:
    unit = vectors.astype(np.float64)
    unit /= np.sqrt(np.einsum("ij,ij->i", unit, unit))[:, None]
    eigenvalues = np.linalg.eigvalsh(unit.T @ unit / len(unit))
    eigenvalues = eigenvalues[eigenvalues > 0]
    return -float(eigenvalues @ np.log(eigenvalues))


def streamed(vectors: np.ndarray) -> tuple[float, float]:
    moment = SecondMoment(vectors.shape[1])
    moment.update(vectors)
    return moment.entropy(), moment.standard_error()


def seconds(function: Callable[[np.ndarray], Any], vectors: np.ndarray) -> tuple[float, Any]:
    start = time.perf_counter()
    value = function(vectors)
    return time.perf_counter() - start, value


def test_vne(benchmark: Any, record: Callable[..., None]) -> None:
    rows = []
    for n, d, dtype in SIZES:
        rng = np.random.default_rng(0)
        vectors = (rng.standard_normal((n, d), np.float32) * np.linspace(1, 0.01, d, dtype=np.float32)).astype(dtype)
        ours, (entropy, _) = min(seconds(streamed, vectors) for _ in range(2))
        peer, expected = min(seconds(dual, vectors) for _ in range(2))
        assert abs(entropy - expected) <= 1e-9
        rows.append(
            {
                "threads": os.environ.get("OMP_NUM_THREADS", os.cpu_count()),
                "vectors": n,
                "dimension": d,
                "dtype": np.dtype(dtype).name,
                "seconds": ours,
                "peer_seconds": peer,
                "peer/ours": peer / ours,
                "difference": abs(entropy - expected),
            }
        )
    record(rows, ["numpy"])
    benchmark.pedantic(streamed, args=(vectors,), rounds=1)
