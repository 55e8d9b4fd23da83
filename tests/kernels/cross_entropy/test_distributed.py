"""Two processes over gloo find what one process finds."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from mixlaw.kernels import domain_cross_entropy, domain_weights

EVERYTHING = {"softcap": 5.0, "z_loss": 1e-2, "label_smoothing": 0.1}


@pytest.fixture(scope="module")
def given() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 10, (6, 4), generator=generator)
    target[torch.rand(6, 4, generator=generator) < 0.2] = -100
    return {
        "hidden": torch.randn(6, 4, 6, generator=generator),
        "weight": torch.randn(10, 6, generator=generator),
        "target": target,
        "domain": torch.tensor([0, 1, 1, 1, 0, 1]),
        "weights": torch.tensor([0.3, 0.7, 1.0]),
        "reference": torch.rand(6, 4, generator=generator) * 4.0,
        "vocab_bytes": torch.arange(10) + 1,
    }


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def found(given: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("distributed")
    torch.save(given, folder / "in.pt")
    program = Path(__file__).with_name("run_distributed.py")
    with ThreadPoolExecutor(2) as processes:
        done = processes.map(lambda rank: run(sys.executable, "-W", "ignore", program, str(rank), folder), range(2))
    for each in done:
        assert each.returncode == 0, each.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def alone(given: dict[str, torch.Tensor], options: dict[str, float]) -> dict[str, torch.Tensor]:
    weight = given["weight"].clone().requires_grad_()
    extras = {"reference": given["reference"], "vocab_bytes": given["vocab_bytes"]}
    loss = domain_cross_entropy(given["hidden"] @ weight.T, given["target"], given["domain"], 3, **extras, **options)
    objective = (loss.sums * given["weights"]).sum()
    objective.backward()
    return {"objective": objective, "sums": loss.sums, "words": loss.stats.words, "gradient": weight.grad}


@pytest.mark.parametrize("way", ["plain", "sums", "inplace", "weighted", "both", "compiled"])
def test_halves_of_the_vocabulary_give_the_loss_and_gradient_of_the_whole(way: str, given, found) -> None:
    expected = alone(given, {} if way == "plain" else EVERYTHING)
    both = [each[way] for each in found]
    for name in ("objective", "sums", "words"):
        assert torch.equal(both[0][name], both[1][name])
    assert torch.allclose(both[0]["sums"], expected["sums"], rtol=1e-6)
    assert both[0]["objective"].item() == pytest.approx(expected["objective"].item(), rel=1e-6)
    assert torch.equal(both[0]["words"][4:], expected["words"][4:])
    gradient = torch.cat([each["gradient"] for each in both])
    assert torch.allclose(gradient, expected["gradient"], rtol=1e-5, atol=1e-6)


def test_halves_of_a_batch_give_the_stats_of_the_whole_to_the_bit_and_its_gradient(given, found) -> None:
    weight = given["weight"].clone().requires_grad_()
    weights = domain_weights(given["target"], given["domain"], 3, scheme="domain_mean")
    loss = domain_cross_entropy(given["hidden"] @ weight.T, given["target"], given["domain"], 3, weights=weights)
    loss.total.backward()
    for each in found:
        assert torch.equal(each["data"]["words"], loss.stats.words)
        # DistributedDataParallel takes the mean of the gradients, so the weights are twice as large.
        assert torch.allclose(each["data"]["weights"], 2.0 * weights)
        assert torch.allclose(each["data"]["gradient"], weight.grad, rtol=1e-5, atol=1e-7)


def test_a_module_may_return_all_and_use_the_total(given, found) -> None:
    weight = given["weight"].clone().requires_grad_()
    logits = given["hidden"] @ weight.T
    domain_cross_entropy(logits, given["target"], given["domain"], 3, weights=given["weights"]).total.backward()
    for each in found:
        for gradient in each["modules"]:
            assert torch.allclose(gradient, weight.grad, rtol=1e-5, atol=1e-7)


def test_parts_of_the_vocabulary_of_several_sizes_are_refused(found) -> None:
    for each in found:
        assert each["refused"]["unequal"] == "the parts of the vocabulary must be of one size, not [5, 6]: pad it"


def test_a_dtensor_is_refused(found) -> None:
    for each in found:
        assert each["refused"]["dtensor"].startswith("logits is a DTensor: pass logits.to_local()")
