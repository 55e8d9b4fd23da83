"""The Python of the README runs as written."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_python_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("web", "code", "books")
    for name in names:
        Path(f"{name}.txt").write_text(f"a text about {name}, with some more words behind it")
    domains = "".join(f"  {name}: {{paths: {name}.txt}}\n" for name in names)
    Path("corpus.yaml").write_text(f"tokenizer: bytes\ndomains:\n{domains}")
    shares = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]]).repeat(3, axis=0)
    tokens = np.tile([1e9, 2e9, 4e9], 3)
    header = "tokens," + ",".join(f"{kind}/{name}" for kind in ("weight", "loss") for name in names)
    losses = (4e3 / tokens[:, None] ** 0.5 + 2.0) * shares**-0.1
    rows = [",".join(map(repr, map(float, (t, *r, *loss)))) for t, r, loss in zip(tokens, shares, losses, strict=True)]
    Path("runs.csv").write_text("\n".join([header, *rows]) + "\n")

    [program] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    logits = torch.zeros(2, 4, requires_grad=True)
    exec(program, {"logits": logits, "target": torch.tensor([1, 3]), "domain": torch.tensor([0, 0])})
    assert (logits.grad != 0).any()
    printed = capsys.readouterr().out
    assert "transfer" in printed
    assert "tensor([1.3863,    nan,    nan]" in printed
