import copy
import math
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError, Mixture, RunTable

ARRAYS = ("run", "tokens", "steps", "params", "seed", "status", "proportions", "losses")


def table(**changes: Any) -> RunTable:
    """Two runs of two checkpoints each, two training domains, three evaluation domains."""
    fields: dict[str, Any] = {
        "proportions": [[0.5, 0.5], [0.5, 0.5], [0.9, 0.1], [0.9, 0.1]],
        "losses": [[3.0, 2.0, 1.0], [2.5, 1.5, 0.5], [2.9, 2.1, 1.1], [2.4, 1.6, 0.6]],
        "train_domains": ["web", "code"],
        "eval_domains": ["web", "code", "math"],
        "run": ["a", "a", "b", "b"],
        "tokens": [1e9, 2e9, 1e9, 2e9],
        "steps": [10, 20, 10, 20],
        "params": 4e5,
        "seed": 0,
        "status": ["running", "done", "running", "done"],
    }
    fields.update(changes)
    return RunTable.from_arrays(fields.pop("proportions"), fields.pop("losses"), **fields)


def assert_same(left: RunTable, right: RunTable) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert left.train_domains == right.train_domains
    assert left.eval_domains == right.eval_domains
    assert left.fingerprint() == right.fingerprint()


names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1)
blank_or = st.just(math.nan).__or__


@st.composite
def tables(draw: st.DrawFn) -> RunTable:
    train = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    evaluation = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    runs = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    columns: dict[str, list[Any]] = {name: [] for name in ARRAYS}
    for run in runs:
        amounts = draw(st.lists(st.integers(0, 1000), min_size=len(train), max_size=len(train)).filter(any))
        mixture = Mixture.proportional(dict(zip(train, amounts, strict=True))).to_array(train)
        seed = draw(blank_or(st.integers(-(2**53), 2**53)))
        params = draw(blank_or(st.floats(1, 1e15)))
        at = draw(st.lists(st.integers(0, 2**60), min_size=1, max_size=3, unique_by=float))
        for tokens in at:
            losses = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
            columns["losses"].append(draw(st.lists(losses, min_size=len(evaluation), max_size=len(evaluation))))
            columns["proportions"].append(mixture)
            columns["run"].append(run)
            columns["tokens"].append(tokens)
            columns["steps"].append(tokens / 1024 if draw(st.booleans()) else math.nan)
            columns["params"].append(params)
            columns["seed"].append(seed)
            columns["status"].append(draw(st.sampled_from(["", "running", "done"])))
    return RunTable.from_arrays(**columns, train_domains=train, eval_domains=evaluation)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(runs=tables())
def test_a_file_reads_back_exactly(tmp_path_factory: pytest.TempPathFactory, suffix: str, runs: RunTable) -> None:
    path = tmp_path_factory.mktemp("runs") / f"runs{suffix}"
    runs.write(path)
    assert_same(RunTable.read(path), runs)


@given(runs=tables())
def test_a_data_frame_reads_back_exactly(runs: RunTable) -> None:
    assert_same(RunTable.from_pandas(runs.to_pandas()), runs)


def test_the_file_is_one_wide_table(tmp_path: Path) -> None:
    runs = table().select([1, 2])
    runs.write(tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").read_text() == (
        "run,step,tokens,params,seed,status,weight/web,weight/code,loss/web,loss/code,loss/math\n"
        "a,20,2000000000,400000,0,done,0.5,0.5,2.5,1.5,0.5\n"
        "b,10,1000000000,400000,0,running,0.9,0.1,2.9,2.1,1.1\n"
    )


def test_a_parquet_file_carries_schema_and_version(tmp_path: Path) -> None:
    from pyarrow import parquet

    import mixlaw

    table(seed=None).write(tmp_path / "runs.parquet")
    content = parquet.read_table(tmp_path / "runs.parquet")
    assert content.schema.metadata == {
        b"schema": b"mixlaw.run-table/1",
        b"mixlaw_version": mixlaw.__version__.encode(),
    }
    assert content["seed"].null_count == 4
    assert str(content.schema.field("seed").type) == "double"


@pytest.mark.parametrize("name", ["runs.tsv", "runs", "runs.csv.gz"])
def test_a_file_of_another_kind_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"ends in \.csv or \.parquet"):
        table().write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_blanks_are_nan_and_empty_text() -> None:
    runs = RunTable.from_arrays([[1.0]], [[2.0]], train_domains=["a"], eval_domains=["b"])
    assert len(runs) == 1
    assert np.isnan([runs.tokens, runs.steps, runs.params, runs.seed]).all()
    assert runs.status.tolist() == [""]
    assert runs.run.tolist() == ["run-000"]


@pytest.mark.parametrize("name", ARRAYS)
def test_the_arrays_are_read_only_and_the_names_fixed(name: str) -> None:
    runs = table()
    with pytest.raises(ValueError, match="read-only"):
        getattr(runs, name)[0] = 0
    with pytest.raises(AttributeError):
        setattr(runs, name, getattr(runs, name))


def test_the_arrays_it_was_made_of_do_not_change_it() -> None:
    proportions, losses = np.array([[0.5, 0.5]]), np.array([[1.0, 2.0, 3.0]])
    runs = table(proportions=proportions, losses=losses, run=["a"], tokens=[1.0], steps=None, status=None)
    proportions[:] = losses[:] = -1.0
    assert runs.proportions.tolist() == [[0.5, 0.5]]
    assert runs.losses.tolist() == [[1.0, 2.0, 3.0]]


def test_a_copy_is_the_same_table() -> None:
    assert_same(copy.deepcopy(table()), table())
    assert_same(pickle.loads(pickle.dumps(table())), table())


def test_names_of_runs_and_domains() -> None:
    runs = table(run=["b", "b", "a", "a"])
    assert runs.runs == ("b", "a")
    assert runs.train_domains == ("web", "code")
    assert runs.eval_domains == ("web", "code", "math")
    assert runs.mixture("a") == {"web": 0.9, "code": 0.1}
    assert repr(runs) == "RunTable(2 runs, 4 rows, 2 training domains, 3 evaluation domains)"


def test_an_unknown_run_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="no run 'uniform'; did you mean 'uniform-0'"):
        table(run=["uniform-0"] * 2 + ["natural"] * 2).mixture("uniform")


def test_rows_without_a_name_are_one_run_where_mixture_seed_and_params_agree() -> None:
    runs = RunTable.from_arrays(
        [[0.5, 0.5]] * 5 + [[0.25, 0.75]],
        [[1.0]] * 6,
        train_domains=["a", "b"],
        eval_domains=["a"],
        tokens=[1, 2, 1, 1, 1, 1],
        seed=[math.nan, math.nan, 0, 1, 0, math.nan],
        params=[math.nan] * 4 + [7, math.nan],
    )
    assert runs.run.tolist() == ["run-000", "run-000", "run-001", "run-002", "run-003", "run-004"]


def test_generated_names_sort_in_order_however_many_they_are() -> None:
    first = np.linspace(0.0, 1.0, 1271)
    runs = RunTable.from_arrays(
        np.column_stack([first, 1 - first]), np.ones((1271, 1)), train_domains=["a", "b"], eval_domains=["a"]
    )
    assert runs.runs == tuple(f"run-{i:04}" for i in range(1271))


def test_select_takes_masks_and_indices() -> None:
    runs = table()
    assert runs.select([3, 0]).losses[:, 0].tolist() == [2.4, 3.0]
    assert runs.select([-1]).run.tolist() == ["b"]
    assert_same(runs.select(runs.run == "b"), runs.select([2, 3]))
    assert_same(runs.select([True] * 4), runs)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "none of the 4 rows is selected"),
        ([False] * 4, "none of the 4 rows is selected"),
        ([True] * 3, r"a mask of 4 rows has the shape \(4,\), not \(3,\)"),
        ([4], "row index 4 of 4 rows"),
        ([0, -5], "row index -5 of 4 rows"),
        ([0.0, 1.0], "a mask or a list of indices, not float64"),
        (2, r"not int64 of shape \(\)"),
        (["a"], "a mask or a list of indices"),
    ],
)
def test_a_selection_of_rows_that_are_not_there_is_refused(rows: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        table().select(rows)


def test_a_row_cannot_be_selected_twice() -> None:
    with pytest.raises(InputError, match="run 'a' stands twice at tokens 1000000000"):
        table().select([0, 0])


def test_the_final_checkpoint_is_the_one_with_the_largest_x() -> None:
    runs = table(run=["b", "b", "a", "a"], tokens=[5, 3, 1, 2], steps=[1, 2, 1, 2])
    assert runs.final().losses[:, 0].tolist() == [3.0, 2.4]
    assert runs.final().run.tolist() == ["b", "a"]
    assert runs.final("steps").losses[:, 0].tolist() == [2.5, 2.4]


@given(runs=tables())
def test_the_final_checkpoints_are_the_maxima_run_by_run(runs: RunTable) -> None:
    expected = {run: max(runs.tokens[runs.run == run]) for run in runs.runs}
    final = runs.final()
    assert dict(zip(final.run.tolist(), final.tokens.tolist(), strict=True)) == expected
    assert final.runs == runs.runs


def test_runs_of_one_row_are_final_without_an_x() -> None:
    runs = table(run=list("abcd"), tokens=None, steps=None)
    assert_same(runs.final(), runs)


def test_the_final_checkpoint_needs_an_x_where_a_run_has_several_rows() -> None:
    with pytest.raises(InputError, match="no row has tokens; use x='steps'"):
        table(tokens=None).final()
    with pytest.raises(InputError, match=r"row index 2 \(run 'b'\) lacks tokens"):
        table(tokens=[1, 2, math.nan, math.nan]).final()


def test_x_is_tokens_or_steps() -> None:
    assert table().x("tokens").tolist() == [1e9, 2e9, 1e9, 2e9]
    assert table().x("steps").tolist() == [10, 20, 10, 20]
    with pytest.raises(InputError, match="x is 'tokens' or 'steps', not 'step'"):
        table().x("step")


def test_a_blank_x_names_the_row_and_what_to_do() -> None:
    with pytest.raises(InputError, match=r"row index 1 \(run 'a'\) lacks steps; use x='tokens'"):
        table(steps=[1, math.nan, 3, 4]).x("steps")
    with pytest.raises(InputError, match="no row has steps; give every row its steps"):
        table(run=list("abcd"), steps=None, tokens=None).x("steps")


def test_tables_are_put_under_each_other_in_the_domains_of_the_first() -> None:
    left = table()
    right = table(
        run=["c", "c", "d", "d"],
        train_domains=["code", "web"],
        eval_domains=["math", "web", "code"],
    )
    both = RunTable.concat([left, right])
    assert both.runs == ("a", "b", "c", "d")
    assert both.mixture("d") == right.mixture("d")
    assert both.train_domains == left.train_domains
    assert both.losses[4].tolist() == [2.0, 1.0, 3.0]
    assert_same(both.select(range(4)), left)
    assert_same(RunTable.concat(iter([left])), left)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "run 'a' stands twice at tokens 1000000000"),
        ({"proportions": [[0.4, 0.6]] * 4, "tokens": [3, 4, 5, 6], "steps": None}, "run 'a' has another mixture"),
        ({"eval_domains": ["web", "code", "maths"]}, "table 1 has other eval_domains than table 0: .*'math', 'maths'"),
        ({"train_domains": ["web", "law"]}, "table 1 has other train_domains than table 0: .*'code', 'law'"),
    ],
)
def test_tables_that_do_not_go_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RunTable.concat([table(), table(**changes)])


def test_no_tables_make_no_table() -> None:
    with pytest.raises(InputError, match="no tables"):
        RunTable.concat([])


def test_the_message_about_other_domains_names_what_makes_them_the_same() -> None:
    with pytest.raises(InputError, match="make them the same with add_domain, split_domain or merge_domains"):
        RunTable.concat([table(), table(train_domains=["web", "law"])])
    with pytest.raises(InputError, match="make them the same with keep_losses"):
        RunTable.concat([table(), table(eval_domains=["web", "code", "maths"])])


def test_an_added_domain_had_no_tokens() -> None:
    runs = table().add_domain("law")
    assert runs.train_domains == ("web", "code", "law")
    assert runs.mixture("b") == {"web": 0.9, "code": 0.1, "law": 0.0}
    assert_same(runs.drop_domain("law"), table())
    with pytest.raises(InputError, match="training domain 'web' stands twice"):
        table().add_domain("web")


def test_a_dropped_domain_leaves_the_runs_without_it() -> None:
    runs = table(proportions=[[1.0, 0.0]] * 2 + [[0.9, 0.1]] * 2)
    assert_same(
        runs.drop_domain("code"),
        table(proportions=[[1.0]] * 4, train_domains=["web"]).select([True, True, False, False]),
    )
    with pytest.raises(InputError, match="every run has tokens of 'web'; keep the domain, and give it a cap of 0"):
        runs.drop_domain("web")
    with pytest.raises(InputError, match="no training domain 'cod'; did you mean 'code'"):
        runs.drop_domain("cod")


@given(tables(), st.data())
def test_a_domain_that_is_split_and_merged_again_is_what_it_was(runs: RunTable, data: st.DataObject) -> None:
    domain = data.draw(st.sampled_from(runs.train_domains))
    parts = data.draw(
        st.lists(names.filter(lambda name: name not in runs.train_domains), min_size=1, max_size=3, unique=True)
    )
    shares = data.draw(st.lists(st.integers(0, 9), min_size=len(parts), max_size=len(parts)).filter(any))
    mixture = Mixture.proportional(dict(zip(parts, shares, strict=True)))
    split = runs.split_domain(domain, mixture)
    at = runs.train_domains.index(domain)
    assert split.train_domains[at : at + len(parts)] == tuple(parts)
    for k, part in enumerate(parts):
        np.testing.assert_allclose(split.proportions[:, at + k], mixture[part] * runs.proportions[:, at], atol=1e-15)
    merged = split.merge_domains(reversed(parts), domain)
    assert merged.train_domains == runs.train_domains
    np.testing.assert_allclose(merged.proportions, runs.proportions, atol=1e-12)
    np.testing.assert_array_equal(merged.losses, runs.losses)
    assert merged.runs == runs.runs


def test_a_part_may_keep_the_name_and_merged_domains_stand_where_the_first_did() -> None:
    runs = table().split_domain("web", {"forum": 0.25, "web": 0.75})
    assert runs.train_domains == ("forum", "web", "code")
    assert runs.mixture("a") == {"forum": 0.125, "web": 0.375, "code": 0.5}
    assert runs.merge_domains(["code", "forum"], "code").train_domains == ("code", "web")
    assert runs.merge_domains(["code", "forum"], "code").mixture("a") == {"code": 0.625, "web": 0.375}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda runs: runs.split_domain("law", {"a": 1.0}), "no training domain 'law'"),
        (lambda runs: runs.split_domain("web", {"a": 0.5, "b": 0.4}), "sum to 0.9, not 1"),
        (lambda runs: runs.split_domain("web", {"code": 0.5, "b": 0.5}), "training domain 'code' stands twice"),
        (lambda runs: runs.merge_domains(["web", "law"], "x"), "no training domain 'law'"),
        (lambda runs: runs.merge_domains(["web", "web"], "x"), "training domain 'web' stands twice"),
        (lambda runs: runs.merge_domains([], "x"), "no domains to merge"),
        (lambda runs: runs.merge_domains(["web"], "code"), "training domain 'code' stands twice"),
        (lambda runs: runs.keep_losses([]), "at least one evaluation domain"),
        (lambda runs: runs.keep_losses(["mth"]), "no losses of 'mth'; did you mean 'math'?"),
        (lambda runs: runs.keep_losses(["web", "web"]), "evaluation domain 'web' stands twice"),
    ],
)
def test_a_change_of_domains_that_cannot_be_is_refused(change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        change(table())


def test_losses_are_kept_in_the_order_given() -> None:
    runs = table().keep_losses(["math", "web"])
    assert runs.eval_domains == ("math", "web")
    np.testing.assert_array_equal(runs.losses, table().losses[:, [2, 0]])
    assert_same(runs, table(losses=table().losses[:, [2, 0]], eval_domains=["math", "web"]))


def test_earlier_runs_of_fewer_domains_help_to_fit_a_law() -> None:
    from mixlaw import laws

    rng, T = np.random.default_rng(0), np.array([[1.0, 0.1, 0.3], [0.05, 1.0, 0.02], [0.3, 0.1, 1.0]])

    def runs(mixtures: Any, name: str, **domains: Any) -> RunTable:
        whole = mixtures if mixtures.shape[1] == 3 else np.pad(mixtures, ((0, 0), (0, 1)))
        losses = 2.0 * (whole @ T.T) ** -np.array([0.06, 0.15, 0.1])
        run = [f"{name}{k}" for k in range(len(mixtures))]
        return RunTable.from_arrays(mixtures, losses, eval_domains=["a", "b", "c"], tokens=1e9, run=run, **domains)

    earlier = runs(rng.dirichlet(np.ones(2), 8), "early", train_domains=["a", "b"])
    later = runs(rng.dirichlet(np.ones(3), 4), "late", train_domains=["a", "b", "c"])
    together = RunTable.concat([earlier.add_domain("c"), later])
    new = runs(rng.dirichlet(np.ones(3), 50), "new", train_domains=["a", "b", "c"])
    error = [
        np.abs(laws.get("transfer").fit(table).predict(new.proportions, at=1e9) / new.losses - 1.0).mean()
        for table in (together, later)
    ]
    assert error[0] < 0.7 * error[1]


def test_the_example_of_domains_that_change_is_what_comes_out() -> None:
    import doctest

    path = Path(__file__).parents[1] / "docs" / "run-table.md"
    assert doctest.testfile(str(path), module_relative=False) == doctest.TestResults(failed=0, attempted=8)


def test_a_fingerprint_follows_the_content() -> None:
    reference = table().fingerprint()
    assert len(reference) == 64
    changed = [
        table(tokens=[1e9, 2e9, 1e9, 3e9]),
        table(steps=None),
        table(seed=1),
        table(seed=None),
        table(params=5e5),
        table(status=None),
        table(run=["a", "a", "c", "c"]),
        table(train_domains=["web", "cod"]),
        table(eval_domains=["web", "code", "maths"]),
        table(proportions=[[0.5, 0.5], [0.5, 0.5], [0.1, 0.9], [0.1, 0.9]]),
        table(losses=[[3.0, 2.0, 1.0], [2.5, 1.5, 0.5], [2.9, 2.1, 1.1], [2.4, 1.6, np.nextafter(0.6, 1)]]),
        table().select([1, 0, 2, 3]),
    ]
    assert len({reference, *(runs.fingerprint() for runs in changed)}) == 1 + len(changed)


def test_a_fingerprint_does_not_see_the_bits_of_blanks_and_zeros() -> None:
    odd_nan = np.array([0xFFF8000000000001], np.uint64).view(np.float64)[0]
    assert np.isnan(odd_nan)
    one = table(proportions=[[1.0, 0.0]] * 4, run=list("abcd"), seed=math.nan)
    other = table(proportions=[[1.0, -0.0]] * 4, run=list("abcd"), seed=odd_nan)
    assert one.fingerprint() == other.fingerprint()


def test_a_fingerprint_is_the_same_in_every_release() -> None:
    # Fitted laws on disk carry it: a change here is a change of schema.
    assert table().fingerprint() == "fd777159fe27b9fa8c0ebe4d2b0f2ca0c94fcc189e1a44c8962aab44d857a9f0"


bad_cells = [
    ({"losses": [[3, 2, 1], [2, math.nan, 1], [3, 2, 1], [2, math.nan, 1]]}, "1, loss/code: blank or NaN.*and 1 more"),
    ({"losses": [[3, 2, 1], [2, math.inf, 1], [3, 2, 1], [2, 1, 1]]}, "index 1, loss/code: inf, but a loss is finite"),
    ({"losses": [[3, 2, 1], [2, 1, 0.0], [3, 2, 1], [2, 1, 1]]}, "row index 1, loss/math: 0, but a loss is .* above 0"),
    ({"losses": [[3, 2, 1], [2, 1, -0.5], [3, 2, 1], [2, 1, 1]]}, r"row index 1, loss/math: -0\.5, but"),
    ({"proportions": [[0.5, 0.5], [0.5, 0.4], [1, 0], [1, 0]]}, r"row index 1: the weights sum to 0\.9, not 1"),
    ({"proportions": [[0.5, 0.5 + 2e-9]] * 4}, r"index 0: the weights sum to 1\.000000002, not 1 \(and 3 more"),
    ({"proportions": [[1.5, -0.5]] * 4}, r"row index 0, weight/code: -0\.5, but a weight is between 0 and 1"),
    ({"proportions": [[math.nan, 1.0]] * 4}, "row index 0, weight/web: blank or NaN.* is 0"),
    ({"proportions": [[math.inf, 1.0]] * 4}, "row index 0, weight/web: inf, but"),
    ({"proportions": [[math.inf, -math.inf]] * 4}, "row index 0, weight/web: inf, but"),
    ({"tokens": [1, 2, -1, 2]}, "row index 2, tokens: -1, but tokens are not negative"),
    ({"tokens": [1, 2, 1, math.inf]}, "row index 3, tokens: inf"),
    ({"steps": [1, 2, 1, -math.inf]}, "row index 3, step: -inf"),
    ({"params": [1, 1, 0, 0]}, "row index 2, params: 0, but a model has parameters"),
    ({"seed": 0.5}, r"row index 0, seed: 0\.5, but a seed is a whole number \(and 3 more"),
    ({"seed": 2**53 + 2}, r"seed: 9007199254740994, but a seed is at most 2\*\*53"),
    ({"status": ["", "", "", "finished"]}, "index 3, status: 'finished' is no status; known: '', 'running', 'done'"),
    ({"run": ["a", "a", "", ""]}, "row index 2, run: blank; name the run of every row, or of none"),
    ({"run": ["a", "a", None, None]}, "row index 2, run: blank"),
    ({"run": ["a", "a", "b\r", "b\r"]}, r"row index 2, run: 'b\\r' holds a control character \(and 1 more"),
    ({"run": ["a", "a", "\ud800", "\ud800"]}, r"row index 2, run: '\\ud800' holds"),
]  # fmt: skip
bad_runs = [
    ({"run": "a", "tokens": [1, 2, 3, 4], "steps": None}, "index 2: run 'a' has another mixture than in row index 0;"),
    ({"seed": [0, 0, 0, 1]}, "row index 3: run 'b' has another seed than in row index 2"),
    ({"seed": [0, 0, 0, math.nan]}, "run 'b' has another seed"),
    ({"params": [1, 2, 3, 3]}, "row index 1: run 'a' has another params than in row index 0"),
    ({"tokens": [1, 2, 2, 2]}, r"row index 3: run 'b' stands twice at tokens 2 \(first: row index 2\)"),
    ({"steps": [7, 7, 1, 2]}, "row index 1: run 'a' stands twice at step 7"),
    ({"tokens": None, "steps": None}, "row index 0: run 'a' has 2 rows, and this one has neither tokens nor step"),
    ({"tokens": [1, math.nan, 1, 2], "steps": [1, math.nan, 1, 2]}, "row index 1: run 'a' has 2 rows, and this"),
    ({"run": None, "tokens": 5, "steps": None}, "run 'run-000' stands twice at tokens 5.*name or seed them apart"),
]  # fmt: skip
bad_shapes = [
    ({"proportions": [0.5, 0.5]}, r"proportions of 2 domains have the shape \(rows, 2\), not \(2,\)"),
    ({"proportions": [[0.5, 0.25, 0.25]] * 4}, r"proportions of 2 domains have the shape \(rows, 2\), not \(4, 3\)"),
    ({"proportions": [[0.5, 0.5]] * 3}, r"tokens of 3 rows has the shape \(3,\), not \(4,\)"),
    ({"losses": [[1, 2, 3]] * 3}, r"losses of 3 domains have the shape \(4, 3\), not \(3, 3\)"),
    ({"losses": [["x", 1, 1]] * 4}, "losses: expected numbers"),
    ({"losses": [[1, 2], [1]]}, "losses: expected numbers"),
    ({"tokens": [1, 2, 3]}, r"tokens of 4 rows has the shape \(4,\), not \(3,\)"),
    ({"tokens": "many"}, "tokens: expected numbers"),
    ({"run": ["a", "a", "b"]}, "run of 4 rows has the length 4, not 3"),
    ({"status": ["done"]}, "status of 4 rows has the length 4, not 1"),
    ({"train_domains": ["web", "web"]}, "training domain 'web' stands twice"),
    ({"eval_domains": ["web", "", "x"]}, "must be a non-empty string without control characters, not ''"),
    ({"eval_domains": ["web", 3, "x"]}, "must be a non-empty string without control characters, not 3"),
    ({"train_domains": [], "proportions": np.empty((4, 0))}, "at least one training domain"),
    ({"eval_domains": [], "losses": np.empty((4, 0))}, "at least one evaluation domain"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), bad_cells + bad_runs + bad_shapes)
def test_what_is_no_run_table_is_refused_with_the_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        table(**changes)


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match="at least one row"):
        RunTable.from_arrays(np.empty((0, 2)), np.empty((0, 1)), train_domains=["a", "b"], eval_domains=["a"])


def test_a_run_keeps_its_mixture_up_to_rounding() -> None:
    runs = table(proportions=[[0.5, 0.5], [0.5 + 5e-10, 0.5 - 5e-10], [1, 0], [1, 0]])
    assert runs.mixture("a") == {"web": 0.5, "code": 0.5}


def test_two_runs_may_have_the_same_mixture_and_checkpoints() -> None:
    assert table(proportions=[[0.5, 0.5]] * 4).runs == ("a", "b")


def test_a_large_table_is_made_written_and_read_in_seconds(tmp_path: Path) -> None:
    rows, domains = 20_000, [f"d{i}" for i in range(17)]
    generator = np.random.default_rng(0)
    runs = RunTable.from_arrays(
        generator.dirichlet(np.ones(17), rows),
        generator.uniform(1, 5, (rows, 17)),
        train_domains=domains,
        eval_domains=domains,
        tokens=1e9,
    )
    runs.write(tmp_path / "runs.csv")
    begin = time.process_time()
    again = RunTable.read(tmp_path / "runs.csv")
    assert time.process_time() - begin < 5  # 0.4 s here
    assert_same(again, runs)
