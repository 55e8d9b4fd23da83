"""`Validation`: per-domain losses of a model on the validation documents.

symbol  meaning                                                          shape         unit
e       evaluation domains, those of the split                           -             -
T       tokens of context                                                -             tokens
v       sequences of all domains together                                -             -
tokens  validation documents end to end, in blocks that overlap by one   (v, T + 1)    token ids
mask    True for the tokens that are predicted; the last block of a      (v, T)        -
        domain may be filled up
domain  which domain a sequence is of                                    (v,)          -
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mixlaw.kernels import DomainStats
from mixlaw.train.model import measure_losses
from mixlaw.train.packed import PackedDocuments
from mixlaw.train.settings import ProxySettings
from mixlaw.train.split import CorpusSplit

# Tokens of a forward pass.
FORWARD = 2**13


class Validation:
    """The validation tokens of every domain, ready for a model.

    Parameters
    ----------
    split
        Where the documents are.
    settings
        Sequence length, and how many tokens of each domain are predicted at most.
    device
        Where the models will be.
    """

    def __init__(self, split: CorpusSplit, settings: ProxySettings, device: torch.device) -> None:
        self._domains = len(split.domains)
        parts = [
            _blocks(domain.validation, settings.evaluation_tokens, settings.sequence_length)
            for domain in split.domains.values()
        ]
        self._tokens = torch.from_numpy(np.concatenate([tokens for tokens, _ in parts])).to(device)
        self._mask = torch.from_numpy(np.concatenate([mask for _, mask in parts])).to(device)
        self._domain = torch.repeat_interleave(torch.tensor([len(mask) for _, mask in parts])).to(device)
        self._batch = max(1, FORWARD // settings.sequence_length)

    def losses(self, model: Any) -> npt.NDArray[np.float64]:
        """Mean loss of every domain in nats per token, float64, shape (e,); NaN where a token's loss is not finite."""
        stats = DomainStats.zeros(self._domains, self._tokens.device)
        for start in range(0, len(self._tokens), self._batch):
            now = slice(start, start + self._batch)
            stats.accumulate(
                measure_losses(model, self._tokens[now], self._mask[now], self._domain[now], self._domains)
            )
        report = stats.compute()
        means: npt.NDArray[np.float64] = report.loss.where(report.nonfinite == 0, torch.nan).numpy()
        return means


def _blocks(packed: PackedDocuments, most: int, length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Tokens, shape (b, T + 1), and mask, shape (b, T), of the first tokens of a domain."""
    predicted = min(most, packed.tokens - 1)
    blocks = -(-predicted // length)
    ids = np.zeros(blocks * length + 1, np.int64)
    ids[: predicted + 1] = packed.read(0, predicted + 1)
    starts = np.arange(blocks)[:, None] * length
    return ids[starts + np.arange(length + 1)], starts + np.arange(length) < predicted
