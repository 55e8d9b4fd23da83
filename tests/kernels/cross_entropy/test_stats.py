import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.kernels import DomainStats, domain_cross_entropy
from mixlaw.kernels import stats as rows
from mixlaw.kernels.cross_entropy_reference import finish
from mixlaw.kernels.labels import ROWS


def measured(n: int, seed: int = 0, num_domains: int = 3) -> DomainStats:
    generator = torch.Generator().manual_seed(seed)
    return domain_cross_entropy(
        torch.randn(n, 11, generator=generator) * 3.0,
        torch.randint(0, 11, (n,), generator=generator),
        torch.randint(0, num_domains, (n,), generator=generator),
        num_domains,
        reference=torch.rand(n, generator=generator) * 4.0,
        vocab_bytes=torch.arange(11) + 1,
    ).stats


@given(st.lists(st.integers(0, 9), max_size=6), st.randoms())
def test_accumulated_steps_have_the_same_bits_in_any_order(sizes: list[int], random: object) -> None:
    steps = [measured(n, seed=i) for i, n in enumerate(sizes)]
    totals = []
    for _ in range(2):
        total = DomainStats.zeros(3)
        for step in steps:
            total.accumulate(step)
        totals.append(total)
        random.shuffle(steps)  # type: ignore[attr-defined]
    assert torch.equal(totals[0].words, totals[1].words)
    assert torch.equal(totals[0].tokens, sum((step.tokens for step in steps), torch.zeros(3, dtype=torch.int64)))
    for name in ("loss_sums", "excess_sums"):
        expected = sum((getattr(step, name) for step in steps), torch.zeros(3, dtype=torch.float64))
        assert torch.allclose(getattr(totals[0], name), expected, rtol=1e-14)


def test_a_total_that_one_word_cannot_hold_is_exact() -> None:
    # A call of 2**31 - 1 tokens of almost 1 nat fills the low word, in steps of 2**-32 nat, almost to its end.
    words = torch.zeros(ROWS, 2, dtype=torch.int64)
    words[rows.LOSS + 1, 0] = (2**31 - 1) * (2**32 - 1)
    step = DomainStats(finish(words, rows.LOSS, None)[2])
    total = DomainStats.zeros(1)
    for _ in range(1000):
        total.accumulate(step)
    assert total.loss_sums.item() == float(1000 * (2**31 - 1) * Fraction(2**32 - 1, 2**32))
    assert 0 <= total.words[rows.LOSS + 1, 0] < 2**32


def test_the_report_gives_means_of_what_was_measured() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    target, domain = torch.tensor([0, 0, 1, -100]), torch.tensor([0, 0, 2, 1])
    bytes_ = torch.tensor([3, 5], dtype=torch.uint8)
    report = domain_cross_entropy(
        logits, target, domain, 3, reference=torch.tensor([0.0, 10.0, 0.1, 0.0]), vocab_bytes=bytes_
    ).stats.compute()
    nll = [math.log(1 + math.exp(-2.0)), math.log(1 + math.e), math.log(1 + math.exp(-1.0))]
    assert report.loss.tolist() == pytest.approx([(nll[0] + nll[1]) / 2, math.nan, nll[2]], abs=1e-6, nan_ok=True)
    assert report.accuracy.tolist() == pytest.approx([0.5, math.nan, 1.0], nan_ok=True)
    assert report.excess.tolist() == pytest.approx([nll[0] / 2, math.nan, nll[2] - 0.1], abs=1e-6, nan_ok=True)
    bits = [(nll[0] + nll[1]) / 6 / math.log(2), math.nan, nll[2] / 5 / math.log(2)]
    assert report.bits_per_byte.tolist() == pytest.approx(bits, abs=1e-6, nan_ok=True)
    assert report.tokens.tolist() == [2, 0, 1]
    assert report.outside == 0


def test_a_tie_with_the_largest_logit_is_a_correct_prediction() -> None:
    report = domain_cross_entropy(torch.zeros(1, 5), torch.tensor([4]), torch.tensor([0]), 1).stats.compute()
    assert report.accuracy.tolist() == [1.0]


def test_stats_of_other_domains_are_refused() -> None:
    with pytest.raises(InputError, match="stats of 2 domains on cpu to those of 3 on cpu"):
        DomainStats.zeros(3).accumulate(DomainStats.zeros(2))


def test_there_is_a_domain() -> None:
    with pytest.raises(InputError, match="num_domains must be at least 1, not 0"):
        DomainStats.zeros(0)
