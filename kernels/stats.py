"""`DomainStats`: what a step measured per domain, kept on the device as integers until somebody asks.

symbol  meaning                                                                     shape            unit
K       domains                                                                     -                -
words   one row a quantity, see below; the last column takes what has no domain     (ROWS, K + 1)    int64

Losses are sums in fixed point, two rows each (`mixlaw.kernels.fixed_point`). All rows are integers, so a sum over
steps, over micro-batches and over processes has the same bits in any order.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mixlaw.errors import InputError
from mixlaw.kernels.fixed_point import STEPS, from_words

# Rows of `words`: cross-entropy and excess loss in two words each, then counts.
LOSS, EXCESS, TOKENS, REFERENCED, NONFINITE, CORRECT, BYTES, ROWS = 0, 2, 4, 5, 6, 7, 8, 9


def carry(words: Tensor) -> None:
    """Bring low words below 2**32, in place: never carried, they would overflow after 2**31 tokens."""
    high, low = words[LOSS:TOKENS:2], words[LOSS + 1 : TOKENS : 2]
    high.add_(low >> 32)
    low.bitwise_and_(STEPS - 1)


class DomainReport(NamedTuple):
    """What `DomainStats.compute` returns, on the CPU; float64 or int64 of shape (K,).

    Attributes
    ----------
    loss
        Mean cross-entropy in nats per token, without label smoothing and z-loss; NaN for a domain without tokens.
    accuracy
        Share of the tokens whose logit was the largest of its row (or equal to the largest); NaN without tokens.
    excess
        Mean of max(loss - reference loss, 0) in nats, over the tokens that came with a reference; NaN without any.
    bits_per_byte
        Sum of the cross-entropy in bits over the bytes of the tokens; NaN where no bytes were given.
    tokens
        How many tokens the means are over.
    nonfinite
        Tokens that are in none of the above because a loss of theirs is NaN, infinite, or of 2**31 nats or more.
    outside
        Tokens of all domains that are in none of the above because their target is outside the vocabulary or their
        domain outside 0..K-1. Always 0 on CPU, where either is an error.
    """

    loss: Tensor
    accuracy: Tensor
    excess: Tensor
    bits_per_byte: Tensor
    tokens: Tensor
    nonfinite: Tensor
    outside: int


@dataclass(frozen=True, eq=False)
class DomainStats:
    """Sums per domain of a step, or of many: losses, tokens, correct predictions, excess losses, bytes.

    Everything stays on the device, and nothing waits for it, until `compute`. The attributes are of shape (K,).

    Attributes
    ----------
    words
        The sums as integers, int64, shape (ROWS, K + 1), for checkpoints; low words are below 2**32.
    """

    words: Tensor

    @classmethod
    def zeros(cls, num_domains: int, device: torch.device | str | None = None) -> "DomainStats":
        """Nothing measured yet: what a run, or an evaluation, accumulates into."""
        if num_domains < 1:
            raise InputError(f"num_domains must be at least 1, not {num_domains}")
        return cls(torch.zeros(ROWS, num_domains + 1, dtype=torch.int64, device=device))

    @property
    def num_domains(self) -> int:
        """K."""
        return self.words.shape[1] - 1

    @property
    def loss_sums(self) -> Tensor:
        """Sum of the cross-entropy, without label smoothing and z-loss; nats, float64."""
        return self._nats(LOSS)

    @property
    def excess_sums(self) -> Tensor:
        """Sum of max(loss - reference loss, 0) over the tokens that came with a reference; nats, float64."""
        return self._nats(EXCESS)

    @property
    def tokens(self) -> Tensor:
        """How many tokens the sums hold, int64."""
        return self.words[TOKENS, :-1]

    def _nats(self, row: int) -> Tensor:
        return from_words(self.words[row, :-1], self.words[row + 1, :-1])

    def accumulate(self, other: "DomainStats") -> None:
        """Add what another step measured, in place.

        Raises
        ------
        InputError
            If the other has a different number of domains or lies on another device.
        """
        if other.words.shape != self.words.shape or other.words.device != self.words.device:
            raise InputError(
                f"cannot add stats of {other.num_domains} domains on {other.words.device} "
                f"to those of {self.num_domains} on {self.words.device}"
            )
        self.words.add_(other.words)
        carry(self.words)

    def all_reduce(self, group: torch.distributed.ProcessGroup | None = None) -> None:
        """Add up the stats of all processes, in place, in one collective; every process then holds the sum."""
        torch.distributed.all_reduce(self.words, group=group)
        carry(self.words)

    def compute(self) -> DomainReport:
        """Means per domain, on the CPU. This waits for the device: call it when you log, not every step."""
        here = DomainStats(self.words.cpu())
        tokens = here.tokens
        numbers = here.words[:, :-1].double()
        nan_without = numbers.where(numbers > 0, torch.nan)
        return DomainReport(
            loss=here.loss_sums / tokens,
            accuracy=numbers[CORRECT] / nan_without[TOKENS],
            excess=here.excess_sums / nan_without[REFERENCED],
            bits_per_byte=here.loss_sums / nan_without[BYTES] / torch.log(torch.tensor(2.0, dtype=torch.float64)),
            tokens=tokens.clone(),
            nonfinite=here.words[NONFINITE, :-1].clone(),
            outside=int(here.words[TOKENS, -1]),
        )
