"""Triton kernels, the torch operators that call them, and their plain references.

An operator is three files: ``<stem>.py``, the operator (checks, autograd, `torch.compile`); ``<stem>_triton.py``, the
kernels, imported when a CUDA tensor arrives; ``<stem>_reference.py``, the same arithmetic in plain torch, which CPU
tensors take. Nothing here needs the compiled core, and without triton everything runs on CPU.
"""

from mixlaw.errors import require

require("torch", "kernels")

from mixlaw.kernels.cross_entropy import DomainLoss, domain_cross_entropy  # noqa: E402 - torch is there from here on
from mixlaw.kernels.functional import cross_entropy  # noqa: E402
from mixlaw.kernels.linear_cross_entropy import domain_linear_cross_entropy  # noqa: E402
from mixlaw.kernels.stats import DomainReport, DomainStats  # noqa: E402
from mixlaw.kernels.sums import DomainSums, domain_sum  # noqa: E402
from mixlaw.kernels.weights import domain_weights  # noqa: E402

__all__ = [
    "DomainLoss",
    "DomainReport",
    "DomainStats",
    "DomainSums",
    "cross_entropy",
    "domain_cross_entropy",
    "domain_linear_cross_entropy",
    "domain_sum",
    "domain_weights",
]
