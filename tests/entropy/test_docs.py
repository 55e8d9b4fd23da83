"""The examples of docs/vne.md and docs/counting.md, run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest

import mixlaw

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "vne.md").read_text()


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


def test_the_programs_of_the_page_on_counting_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tokens = (np.random.default_rng(0).random(250_000) ** 4 * 50_257).astype(np.uint16)
    tokens.tofile("tokens.bin")
    np.save("documents.npy", np.array([0, 100_001, 250_000]))
    names: dict[str, object] = {}
    for program in re.findall(r"```python\n(.*?)```", (DOCS / "counting.md").read_text(), re.DOTALL):
        exec(program, names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("[[0, 0], [0, 1], [1, 0]]")
    assert printed[-1] == "True"
    assert mixlaw.NgramCounter.read("counts.mlc").total(2) == 249_998
