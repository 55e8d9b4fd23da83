"""The examples of docs/cli, run as they stand: what the pages show is what the commands print."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cli"
# How far an optimum is from exact is rounding alone, which differs between machines.
ROUNDING = re.compile(r"(?<=is better by more than )\S+")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)


def test_the_pages_of_fit_optimize_pareto_and_predict_show_what_is_printed(
    mixlaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (runs,) = blocks("fit", "csv")
    (natural,) = blocks("predict", "json")
    Path("runs.csv").write_text(runs)
    Path("natural.json").write_text(natural)
    shown = [block for page in ("fit", "optimize", "pareto", "predict") for block in blocks(page, "console")]
    assert len(shown) == 6
    for block in shown:
        command, _, expected = block.partition("\n")
        dollar, program, *words = shlex.split(command)
        assert (dollar, program) == ("$", "mixlaw")
        done = mixlaw(*words)
        assert ROUNDING.sub("tiny", done.stderr + done.stdout) == ROUNDING.sub("tiny", expected)


def test_the_pages_of_entropy_and_tokenize_show_what_is_printed(
    mixlaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (script,) = blocks("entropy", "sh")
    subprocess.run(["bash", "-ec", script], check=True)
    shown = [block for page in ("entropy", "tokenize") for block in blocks(page, "console")]
    assert len(shown) == 2
    for block in shown:
        command, _, expected = block.partition("\n")
        done = mixlaw(*shlex.split(command)[2:])
        assert done.stderr + done.stdout == expected


def test_the_pages_of_compare_and_diagnose_show_what_is_printed(
    mixlaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs.csv").write_text(*blocks("fit", "csv"))
    Path("suspect.csv").write_text(*blocks("diagnose", "csv"))
    Path("much-web.json").write_text(*blocks("diagnose", "json"))
    shown = [block for page in ("compare", "diagnose") for block in blocks(page, "console")]
    assert len(shown) == 2
    for block in shown:
        command, _, expected = block.partition("\n")
        done = mixlaw(*shlex.split(command)[2:])
        assert done.stderr + done.stdout == expected


def test_the_pages_of_propose_and_baseline_show_what_is_printed(
    mixlaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs.csv").write_text(*blocks("fit", "csv"))
    assert mixlaw("fit", "runs.csv", "--out", "law.json").code == 0
    shown = [block for page in ("propose", "baseline") for block in blocks(page, "console")]
    assert len(shown) == 3
    for block in shown:
        command, _, expected = block.partition("\n")
        done = mixlaw(*shlex.split(command)[2:])
        assert done.stderr + done.stdout == expected


def test_the_pages_of_count_and_merge_show_what_is_printed(
    mixlaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (script,) = blocks("entropy", "sh")
    subprocess.run(["bash", "-ec", script], check=True)
    shown = [block for page in ("count", "merge") for block in blocks(page, "console")]
    assert len(shown) == 5
    for block in shown:
        command, _, expected = block.partition("\n")
        done = mixlaw(*shlex.split(command)[2:])
        assert done.stderr + done.stdout == expected
    for domain in ("prose", "code"):
        assert Path(f"merged/{domain}.mlc").read_bytes() == Path(f"counts/{domain}.mlc").read_bytes()
