"""Run kernels under Triton's interpreter: ``TRITON_INTERPRET=1 python run_interpreted.py INPUT OUTPUT``.

A process of its own, because Triton reads the variable when a kernel is decorated. INPUT maps a name to a call: the
module in `mixlaw.kernels`, its function, and the arguments; OUTPUT maps it to the result and to the arguments
afterwards.
"""

import importlib
import sys

import numpy as np
import torch

from mixlaw.kernels.labels import Labels, Options

torch.serialization.add_safe_globals([Labels, Options])


def main(given: str, result: str) -> None:
    out = {}
    # NaN and infinities are given on purpose.
    np.seterr(all="ignore")
    for name, (module, function, arguments) in torch.load(given).items():
        returned = getattr(importlib.import_module(f"mixlaw.kernels.{module}"), function)(*arguments)
        out[name] = (returned, arguments)
    torch.save(out, result)


main(*sys.argv[1:])
