"""The programs of docs/kernels.md run as they stand, one after the other."""

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from mixlaw import kernels

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kernels.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("name", kernels.__all__)
def test_the_examples_of_the_docstrings_print_what_they_say(name: str) -> None:
    tests = doctest.DocTestFinder(recurse=False).find(
        getattr(kernels, name), name, globs=vars(kernels) | {"torch": torch}
    )
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the blocks of the page defined."""
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "docs"}
    for block in BLOCKS:
        exec(block, names)
    return names


def test_the_page_has_its_programs() -> None:
    assert len(BLOCKS) == 8


def test_the_loop_measures_every_domain(names: dict[str, Any]) -> None:
    assert names["report"].tokens.sum() == 4 * names["B"] * names["T"]
    assert names["report"].loss.isfinite().all()


def test_doremi_weights_stay_proportions(names: dict[str, Any]) -> None:
    assert names["alpha"].sum().item() == pytest.approx(1.0)
    assert (names["alpha"] > 0).all()


def test_the_evaluation_measures_what_the_token_losses_are(names: dict[str, Any]) -> None:
    # `result` is the last block's, of the same model and tokens.
    assert torch.equal(names["stats"].tokens, names["result"].tokens)
    assert torch.allclose(names["stats"].loss_sums, names["result"].sums, rtol=1e-6)


def test_the_trainer_logs_the_loss_of_every_domain(names: dict[str, Any], tmp_path: Path) -> None:
    import transformers

    config = transformers.GPTNeoXConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    rows = [{"input_ids": torch.randint(50, (12,)), "domain": torch.tensor(i % 3)} for i in range(16)]
    trainer = names["DomainTrainer"](
        model=transformers.GPTNeoXForCausalLM(config),
        args=transformers.TrainingArguments(
            tmp_path,
            max_steps=2,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            logging_steps=1,
            remove_unused_columns=False,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
            eval_strategy="steps",
            eval_steps=1,
        ),
        train_dataset=[row | {"labels": row["input_ids"]} for row in rows],
        eval_dataset=[row | {"labels": row["input_ids"]} for row in rows[:3]],
    )
    trainer.train()
    assert all("loss/web" not in entry for entry in trainer.state.log_history if "eval_loss" in entry)
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == 2
    for entry in logged:
        per_domain = [entry[f"loss/{name}"] for name in ("web", "code", "books")]
        assert min(per_domain) - 0.05 < entry["loss"] < max(per_domain) + 0.05
