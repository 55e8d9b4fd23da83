import json
from pathlib import Path

import numpy as np
import pytest

from mixlaw import RunTable, laws


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Four mixtures of two domains at four checkpoints; the loss of web is r**-0.1 (2 + 30 s**-0.5), without noise."""
    web = np.repeat([0.2, 0.4, 0.6, 0.8], 4)
    tokens = np.tile([100.0, 200.0, 400.0, 800.0], 4)
    r = np.column_stack([web, 1.0 - web])
    losses = r ** [-0.1, -0.3] * (np.array([2.0, 1.0]) + [30.0, 10.0] * tokens[:, None] ** [-0.5, -0.4])
    table = RunTable.from_arrays(
        r, losses, train_domains=["web", "code"], eval_domains=["web", "code"], tokens=tokens,
        steps=tokens / 10.0, params=1e6, run=[f"run-{share:g}" for share in web],
    )  # fmt: skip
    table.write(tmp_path / "runs.csv")
    return tmp_path / "runs.csv"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_default_law_is_fitted_when_nothing_is_said(mixlaw, runs: Path) -> None:
    content = json.loads(mixlaw("fit", runs, "--json").stdout)
    assert content["law"] == laws.default().name
    assert content["coefficients"]["web"]["alpha"]["value"] == pytest.approx(0.1, rel=0.1)


def test_a_fit_prints_a_report_and_writes_the_law(mixlaw, runs: Path, tmp_path: Path) -> None:
    done = mixlaw("fit", runs, "--law", "bimix", "--out", tmp_path / "law.json")
    assert done.code == 0
    assert done.stderr == f"wrote {tmp_path / 'law.json'}\n"
    law = laws.read(tmp_path / "law.json")
    assert done.stdout == law.report() + "\n"
    assert law.coefficients["web"]["alpha"].value == pytest.approx(0.1, rel=1e-6)
    assert law.fingerprint == RunTable.read(runs).fingerprint()


def test_json_is_alone_on_stdout_and_is_the_content_of_the_file(mixlaw, runs: Path, tmp_path: Path) -> None:
    done = mixlaw("fit", runs, "--out", tmp_path / "law.json", "--json")
    assert json.loads(done.stdout) == json.loads((tmp_path / "law.json").read_text())


def test_a_law_may_be_fitted_to_steps(mixlaw, runs: Path) -> None:
    content = json.loads(mixlaw("fit", runs, "--x", "steps", "--seed", 3, "--law", "bimix", "--json").stdout)
    assert content["x"] == {"unit": "steps", "min": 10.0, "max": 80.0}


@pytest.mark.parametrize("name", laws.names())
def test_every_law_may_be_fitted(mixlaw, runs: Path, tmp_path: Path, name: str) -> None:
    final = ["--final"] if name in ("linear", "trees") else []
    done = mixlaw("fit", runs, "--law", name, *final, "--out", tmp_path / "law.json")
    assert done.code == 0
    law = laws.read(tmp_path / "law.json")
    assert law.law == name
    assert done.stdout == law.report() + "\n"


@pytest.mark.parametrize("name", ["linear", "trees"])
def test_laws_of_one_checkpoint_say_how_to_take_the_last(mixlaw, runs: Path, name: str) -> None:
    refused = mixlaw("fit", runs, "--law", name)
    assert refused.code == 2
    assert (
        f"runs.csv: {name} has no term in the length of training, and the runs have several checkpoints"
        in refused.stderr
    )
    assert "`mixlaw fit --final`" in refused.stderr


def test_the_last_checkpoints_may_be_chosen(mixlaw, runs: Path) -> None:
    content = json.loads(mixlaw("fit", runs, "--law", "bimix", "--final", "--json").stdout)
    assert content["x"] == {"unit": "tokens", "min": 800.0, "max": 800.0}
    assert content["quality"]["web"]["rows"] == 4


def test_a_fit_may_be_robust(mixlaw, runs: Path) -> None:
    edited = runs.read_text().splitlines()
    cells = edited[6].split(",")
    cells[-1] = str(1.2 * float(cells[-1]))
    edited[6] = ",".join(cells)
    runs.write_text("\n".join(edited) + "\n")

    def alpha(*words: str) -> float:
        content = json.loads(mixlaw("fit", runs, "--law", "bimix", "--json", *words).stdout)
        return content["coefficients"]["code"]["alpha"]["value"]

    assert abs(alpha("--robust") - 0.3) < 0.01 * abs(alpha() - 0.3)


def test_several_sizes_are_one_fit_where_the_law_has_a_size_term(mixlaw, runs: Path) -> None:
    header, *rows = runs.read_text().splitlines()
    at = header.split(",").index("params")
    big = []
    for row in rows:
        cells = row.split(",")
        cells[0], cells[at] = f"big-{cells[0]}", "2000000"
        big.append(",".join(cells))
    runs.write_text("\n".join([header, *rows, *big]) + "\n")
    for name in ("exponential", "additive", "joint"):
        content = json.loads(mixlaw("fit", runs, "--law", name, "--json").stdout)
        assert content["sizes"] == [1e6, 2e6]


@pytest.mark.filterwarnings("default:.*rows left out")
def test_losses_may_stand_in_a_second_file_whose_untrained_column_is_left_out(mixlaw, tmp_path: Path) -> None:
    (tmp_path / "ratios.csv").write_text("run,web,code\na,0.2,0.8\nb,0.5,0.5\nc,0.9,0.1\n")
    (tmp_path / "metrics.csv").write_text("run,tokens,web,code,exam\na,1e9,3,2,4\nb,1e9,2.9,2.2,4\nc,1e9,2.7,2.5,\n")
    words = ["fit", tmp_path / "ratios.csv", "--metrics", tmp_path / "metrics.csv", "--key", "run"]
    refused = mixlaw(*words, "--missing", "drop", "--law", "bimix")
    assert refused.code == 2
    assert "'exam' is not trained on" in refused.stderr
    done = mixlaw(*words, "--without", "exam", "--json")
    assert done.code == 0
    content = json.loads(done.stdout)
    assert content["eval_domains"] == ["web", "code"]
    assert content["quality"]["web"]["rows"] == 3
    assert any("this is the reduced form" in note for note in content["notes"])


@pytest.mark.filterwarnings("default:.*rows left out")
def test_rows_without_a_loss_are_an_error_or_dropped_with_a_notice(mixlaw, runs: Path) -> None:
    lines = runs.read_text().splitlines()
    lines[3] = lines[3].rpartition(",")[0] + ","
    runs.write_text("\n".join(lines) + "\n")
    refused = mixlaw("fit", runs)
    assert refused.code == 2
    assert "runs.csv" in refused.stderr
    assert "line 4" in refused.stderr
    done = mixlaw("fit", runs, "--missing", "drop", "--json")
    assert done.code == 0
    assert "runs.csv: rows left out, as they lack a loss: 1" in done.stderr
    assert json.loads(done.stdout)["quality"]["code"]["rows"] == 15


def test_one_size_of_several_may_be_chosen(mixlaw, runs: Path) -> None:
    text = runs.read_text()
    edit(runs, "run-0.8", "run-big")
    header, *rows = text.splitlines()
    at = header.split(",").index("params")
    big = [row.split(",") for row in runs.read_text().splitlines()[1:] if "run-big" in row]
    for cells in big:
        cells[at] = "2000000"
    small = [row for row in rows if "run-0.8" not in row]
    runs.write_text("\n".join([header, *small, *(",".join(cells) for cells in big)]) + "\n")
    refused = mixlaw("fit", runs, "--law", "bimix")
    assert refused.code == 2
    assert "runs.csv: the runs have models of 2 sizes (1e+06, 2e+06)" in refused.stderr
    content = json.loads(mixlaw("fit", runs, "--params", "1e6", "--json").stdout)
    assert content["sizes"] == [1e6]
    assert content["quality"]["web"]["runs"] == 3
    absent = mixlaw("fit", runs, "--params", "3e6")
    assert absent.code == 2
    assert "runs.csv: no run has 3e+06 parameters" in absent.stderr


def test_runs_that_cannot_identify_the_law_are_refused(mixlaw, runs: Path) -> None:
    header, *rows = runs.read_text().splitlines()
    runs.write_text("\n".join([header, *rows[:4]]) + "\n")
    done = mixlaw("fit", runs)
    assert done.code == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"mixlaw: {runs}: the runs have one mixture only, of which no law of mixtures follows: "
        "add runs of other mixtures\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--law", "bimx"], "no mixing law is called 'bimx'; did you mean 'bimix'?"),
        (["--x", "epochs"], "'epochs' is not one of 'tokens', 'steps'"),
        (["--missing", "ignore"], "'ignore' is not one of 'error', 'drop'"),
        (["--without", "los/web"], "which is no column; did you mean 'loss/web'?"),
        (["--seed", "one"], "'one' is not a valid integer"),
    ],
)
def test_bad_options_are_bad_usage(mixlaw, runs: Path, words: list[str], message: str) -> None:
    done = mixlaw("fit", runs, *words)
    assert done.code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss/web": "nan"}, "runs.csv, line 4, column 'loss/web': blank or NaN"),
        ({"weight/web": "0.1"}, "runs.csv, line 4: the weights sum to 0.9, not 1"),
        ({"tokens": "200", "step": "20"}, "runs.csv, line 4: run 'run-0.2' stands twice at tokens 200"),
    ],
    ids=["a NaN loss", "proportions that sum to 0.9", "a row that stands twice"],
)
def test_a_bad_row_is_bad_input_with_its_place(
    mixlaw, runs: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    lines = [line.split(",") for line in runs.read_text().splitlines()]
    for column, value in change.items():
        lines[3][lines[0].index(column)] = value
    runs.write_text("".join(",".join(line) + "\n" for line in lines))
    done = mixlaw("fit", runs, "--out", tmp_path / "law.json")
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (tmp_path / "law.json").exists()


def test_an_absent_table_is_bad_input(mixlaw, tmp_path: Path) -> None:
    done = mixlaw("fit", tmp_path / "none.csv")
    assert done.code == 2
    assert "none.csv" in done.stderr


def test_a_law_cannot_be_written_into_a_folder_that_is_not_there(mixlaw, runs: Path, tmp_path: Path) -> None:
    done = mixlaw("fit", runs, "--out", tmp_path / "no" / "law.json")
    assert done.code == 2
    assert "law.json: cannot be written, there is no folder" in done.stderr
