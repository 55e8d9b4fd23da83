"""Which implementation a tensor takes: the Triton kernels for CUDA, plain torch for CPU and for float64."""

from types import ModuleType

import torch
from torch import Tensor

from mixlaw.kernels import cross_entropy_reference


def backend(tensor: Tensor) -> ModuleType:
    """The module, `cross_entropy_triton` or `cross_entropy_reference`, that works on this tensor."""
    if tensor.is_cuda and tensor.dtype != torch.float64:
        from mixlaw.kernels import cross_entropy_triton

        return cross_entropy_triton
    return cross_entropy_reference
