"""The examples of docs/vne.md, run as they stand: what the page shows is what they print."""

import re
from pathlib import Path

import numpy as np
import pytest

import mixlaw

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "vne.md").read_text()


def test_the_examples_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("corpus.yaml").write_text("tokenizer: bytes\ndomains:\n  a: {paths: a.txt}\n  b: {paths: b.txt}\n")
    for name in ("a", "b"):
        Path(f"{name}.txt").write_text(f"a text about {name}")
        np.save(f"{name}.npy", np.eye(300))
    first, second = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(first, {})
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert capsys.readouterr().out == shown
    assert mixlaw.VneTable.read("vne-table.json").domains == ("a", "b")
    names: dict[str, mixlaw.SecondMoment] = {}
    exec(second, names)
    assert (names["moment"].count, names["other"].count) == (600, 900)
    assert mixlaw.SecondMoment.read("web.npz").entropy() == pytest.approx(np.log(300))
