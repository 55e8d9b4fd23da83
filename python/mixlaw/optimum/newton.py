"""The linear system of a step of Newton's method, for a curvature of few terms and bounds that may be near.

symbol  meaning                                                shape
m       domains                                                -
e       terms                                                  -
S       square root of the curvature of the terms by domain    (e, m)
sigma   curvature of each domain by itself, with its bounds'   (m,)
M       S' S + diag(sigma)                                     (m, m)
"""

import numpy as np

from mixlaw.fitted import Array

# Domains with sigma below this part of their curvature are eliminated last, see `Newton`.
LOOSE = 1e-6


class Newton:
    """M = S' S + diag(sigma), factorised.

    With e < m, domains are split in two: those whose sigma is not small against their curvature are eliminated first,
    with a matrix of shape (e, e) by Woodbury's identity; the loose rest is solved with the Schur complement. Near the
    minimum sigma spans more than 30 decades, and either part alone would lose all digits.

    Parameters
    ----------
    S
        Shape (e, m).
    sigma
        Shape (m,), >= 0, and > 0 where a column of S is 0.

    Raises
    ------
    numpy.linalg.LinAlgError
        If M is no positive definite matrix, as where numbers overflow.
    """

    def __init__(self, S: Array, sigma: Array) -> None:
        from scipy.linalg import cho_factor, solve_triangular

        self.loose = np.ones(len(sigma), dtype=np.bool_)
        if len(S) < len(sigma):
            self.loose = sigma < LOOSE * np.einsum("kj,kj->j", S, S)
        stiff = ~self.loose
        if stiff.any():
            inner = (S[:, stiff] / sigma[stiff]) @ S[:, stiff].T
            inner[np.diag_indices(len(inner))] += 1.0
            S = solve_triangular(np.linalg.cholesky(inner), S, lower=True, check_finite=False)
        self.sigma, self.S_stiff, self.S_loose = sigma[stiff], S[:, stiff], S[:, self.loose]
        outer = self.S_loose.T @ self.S_loose
        outer[np.diag_indices(len(outer))] += sigma[self.loose]
        self.scale = 1.0 / np.sqrt(np.diag(outer))
        outer *= self.scale[:, None]
        outer *= self.scale
        # Equal domains make the matrix singular; how share is divided among them does not matter.
        ridge = 4.0 * np.finfo(np.float64).eps
        while True:
            try:
                shifted = outer + ridge * np.eye(len(outer))
                self.factor = cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
                break
            except np.linalg.LinAlgError:
                ridge *= 100.0
                if ridge > 1.0:
                    raise

    def solve(self, b: Array) -> Array:
        """M^-1 b, for b of shape (m,) or columns, shape (m, k)."""
        from scipy.linalg import cho_solve

        found, loose = np.empty_like(b), self.loose
        scale, sigma = (one.reshape(-1, *[1] * (b.ndim - 1)) for one in (self.scale, self.sigma))
        if loose.all():
            return np.asarray(scale * cho_solve(self.factor, scale * b, check_finite=False))
        weighted = b[~loose] / sigma
        common = self.S_stiff @ weighted
        right = scale * (b[loose] - self.S_loose.T @ common)
        found[loose] = scale * cho_solve(self.factor, right, check_finite=False)
        found[~loose] = weighted - self.S_stiff.T @ (common + self.S_loose @ found[loose]) / sigma
        return found
