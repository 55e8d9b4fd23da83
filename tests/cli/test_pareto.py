import json
from pathlib import Path

import numpy as np
import pytest

import mixlaw as package
from mixlaw import RunTable, laws

DOMAINS = ["web", "code", "books"]


@pytest.fixture
def law(tmp_path: Path) -> Path:
    shares = np.array([[0.2, 0.3, 0.5], [0.5, 0.2, 0.3], [0.3, 0.5, 0.2], [0.6, 0.3, 0.1]])
    r, tokens = np.repeat(shares, 4, axis=0), np.tile([100.0, 200.0, 400.0, 800.0], 4)
    losses = r ** [-0.1, -0.3, -0.05] * (2.0 + 30.0 * tokens[:, None] ** -0.5)
    runs = RunTable.from_arrays(r, losses, train_domains=DOMAINS, eval_domains=DOMAINS, tokens=tokens)
    laws.get("bimix").fit(runs).write(tmp_path / "law.json")
    return tmp_path / "law.json"


WORDS = [
    "--at",
    "1e4",
    "--first",
    "web=2",
    "--first",
    "books=1",
    "--second",
    "code=1",
    "--floor",
    "0.02",
    "--points",
    "5",
]


def test_the_front_is_printed_and_written(mixlaw, law: Path, tmp_path: Path) -> None:
    done = mixlaw("pareto", law, *WORDS, "--out", tmp_path / "front.json")
    front = package.pareto(
        laws.read(law), at=1e4, first={"web": 2.0, "books": 1.0}, second={"code": 1.0}, floors=0.02, points=5
    )
    assert (done.code, done.stderr) == (0, f"wrote {tmp_path / 'front.json'}\n")
    assert done.stdout == front.to_text() + "\n"
    written = json.loads((tmp_path / "front.json").read_text())
    assert len(written["points"]) == 5
    printed = json.loads(mixlaw("pareto", law, *WORDS, "--json").stdout)
    assert printed == written
    assert printed["schema"] == "mixlaw.front/1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--points", "1"], "points: expected a whole number of at least 2, not 1"),
        (["--first", "wbe=1"], "first group: weight of 'wbe': no evaluation domain; did you mean 'web'?"),
        (["--second", "code"], "Invalid value for --second: 'code' is not DOMAIN=NUMBER"),
        (["--cap", "0.2"], "no mixture satisfies cap of 'web' 0.2, cap of 'code' 0.2 and cap of 'books' 0.2"),
        (
            ["--group", "web,code=0.99:"],
            "no mixture satisfies floor of group {web, code} 0.99 and floor of 'books' 0.02",
        ),
    ],
)
def test_what_has_no_front_is_bad_input(mixlaw, law: Path, words: list[str], message: str) -> None:
    done = mixlaw("pareto", law, *WORDS, *words)
    assert done.code == 2
    assert done.stdout == ""
    assert message in done.stderr


def test_both_groups_are_required(mixlaw, law: Path) -> None:
    done = mixlaw("pareto", law, "--at", "1e4", "--first", "web=1")
    assert done.code == 2
    assert "Missing option '--second'" in done.stderr
