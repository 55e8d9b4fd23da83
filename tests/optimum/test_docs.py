"""The example of docs/optimum.md, run as it stands: what the page shows is what it prints."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
# How far an optimum is from exact is rounding alone, which differs between machines.
ROUNDING = re.compile(r"(?<=is better by more than )\S+")


def block(page: str, language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return found


def test_the_example_prints_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs.csv").write_text(block("cli/fit.md", "csv"))
    exec(block("optimum.md", "python"), {})
    assert ROUNDING.sub("tiny", capsys.readouterr().out) == ROUNDING.sub("tiny", block("optimum.md", "text"))
