import csv
import json
import math
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import EntropyTable, InputError

COUNTS = ("tokens", "types", "token_singletons", "pairs", "pair_types", "pair_singletons")
MEASURES = ("se", "ce", "je")


def table(**changes: Any) -> EntropyTable:
    fields: dict[str, Any] = {
        "domains": ("web", "code"),
        "tokenizer": "tokenizer.json#1a2b",
        "vocab_size": 50257,
        "estimator": "plugin",
        "tokens": [1_234_567, 400],
        "types": [40_000, 100],
        "token_singletons": [9_000, 40],
        "pairs": [1_234_000, 390],
        "pair_types": [600_000, 300],
        "pair_singletons": [400_000, 280],
        "se": [7.5, 4.25],
        "ce": [4.125, 1.5],
        "je": [11.5, 5.5],
    }
    return EntropyTable(**{**fields, **changes})


def assert_same(left: EntropyTable, right: EntropyTable) -> None:
    assert (left.domains, left.tokenizer, left.vocab_size, left.estimator) == (
        right.domains,
        right.tokenizer,
        right.vocab_size,
        right.estimator,
    )
    for name in (*COUNTS, *MEASURES):
        assert getattr(left, name).dtype == getattr(right, name).dtype
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


@st.composite
def tables(draw: st.DrawFn) -> EntropyTable:
    names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1)
    domains = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    columns: dict[str, list[Any]] = {name: [] for name in (*COUNTS, *MEASURES)}
    for _ in domains:
        tokens = draw(st.integers(1, 2**53))
        pairs = draw(st.integers(0, tokens))
        types, pair_types = draw(st.integers(1, min(tokens, 10**6))), draw(st.integers(min(pairs, 1), pairs))
        je = draw(st.floats(0, math.log(max(pair_types, 1))))
        for name, value in {
            "tokens": tokens,
            "types": types,
            "token_singletons": draw(st.integers(0, types)),
            "pairs": pairs,
            "pair_types": pair_types,
            "pair_singletons": draw(st.integers(0, pair_types)),
            "se": draw(st.floats(0, math.log(types))),
            "ce": draw(st.floats(0, je)),
            "je": je,
        }.items():
            columns[name].append(value)
    tokenizer = draw(st.none() | names)
    return EntropyTable(domains=tuple(domains), tokenizer=tokenizer, vocab_size=10**6, estimator="plugin", **columns)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".json", ".csv"])
@given(entropies=tables())
def test_a_file_reads_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, entropies: EntropyTable
) -> None:
    path = tmp_path_factory.mktemp("entropies") / f"entropies{suffix}"
    entropies.write(path)
    assert_same(EntropyTable.read(path), entropies)


def test_the_json_file(tmp_path: Path) -> None:
    table().write(tmp_path / "e.json")
    content = json.loads((tmp_path / "e.json").read_text())
    assert content.pop("mixlaw_version")
    assert content["schema"] == "mixlaw.entropy-table/1"
    assert content["domains"]["code"] == {
        "tokens": 400,
        "types": 100,
        "token_singletons": 40,
        "pairs": 390,
        "pair_types": 300,
        "pair_singletons": 280,
        "se": 4.25,
        "ce": 1.5,
        "je": 5.5,
        "token_coverage": 0.9,
        "pair_coverage": 1 - 280 / 390,
    }


def test_the_csv_file(tmp_path: Path) -> None:
    table(tokenizer=None).write(tmp_path / "e.csv")
    lines = (tmp_path / "e.csv").read_text().splitlines()
    assert lines[0] == (
        "domain,tokens,types,token_singletons,pairs,pair_types,pair_singletons,se,ce,je,token_coverage,pair_coverage,"
        "tokenizer,vocab_size,estimator"
    )
    assert lines[2] == f"code,400,100,40,390,300,280,4.25,1.5,5.5,0.9,{1 - 280 / 390!r},,50257,plugin"


def test_the_arrays_are_read_only_copies() -> None:
    tokens = np.array([1_234_567, 400])
    entropies = table(tokens=tokens)
    tokens[:] = 0
    assert entropies.tokens.tolist() == [1_234_567, 400]
    for name in (*COUNTS, *MEASURES):
        with pytest.raises(ValueError, match="read-only"):
            getattr(entropies, name)[0] = 1
    with pytest.raises(AttributeError):
        entropies.tokens = tokens  # type: ignore[misc]


def test_coverage_is_the_share_that_is_not_seen_once() -> None:
    entropies = table()
    np.testing.assert_allclose(entropies.token_coverage, [1 - 9_000 / 1_234_567, 0.9], rtol=1e-15)
    np.testing.assert_allclose(entropies.pair_coverage, [1 - 400_000 / 1_234_000, 1 - 280 / 390], rtol=1e-15)


lonely: dict[str, Any] = {
    "pairs": [1_234_000, 0],
    "pair_types": [600_000, 0],
    "pair_singletons": [400_000, 0],
    "ce": [4.125, 0.0],
    "je": [11.5, 0.0],
}


def test_a_domain_without_pairs_has_no_pair_coverage_and_no_mixture_of_pairs(tmp_path: Path) -> None:
    entropies = table(**lonely)
    assert np.isnan(entropies.pair_coverage).tolist() == [False, True]
    assert list(entropies.mixture("se")) == ["web", "code"]
    for proxy in ("ce", "je"):
        with pytest.raises(InputError, match=f"domain 'code' has no pairs of adjacent tokens, so no {proxy}"):
            entropies.mixture(proxy)
    for name in ("e.json", "e.csv"):
        entropies.write(tmp_path / name)
        assert_same(EntropyTable.read(tmp_path / name), entropies)
    assert " -  " in entropies.to_text().splitlines()[2]


@pytest.mark.parametrize("proxy", MEASURES)
@given(entropies=tables())
def test_a_mixture_is_proportional_to_the_exponential_of_the_entropy(proxy: str, entropies: EntropyTable) -> None:
    if proxy != "se" and not entropies.pairs.all():
        return
    mixture = entropies.mixture(proxy)
    assert tuple(mixture) == entropies.domains
    with localcontext(prec=50):
        scores = [Decimal(value).exp() for value in getattr(entropies, proxy).tolist()]
        exact = [score / sum(scores) for score in scores]
    np.testing.assert_allclose(list(mixture.values()), np.array(exact, float), rtol=1e-14)


def test_an_unknown_proxy_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown proxy 'vne'; known: ce, je, se"):
        table().mixture("vne")


@pytest.mark.parametrize("name", ["table_mixtures_pile.csv", "table_mixtures_slimpajama.csv"])
def test_published_proxies_follow_from_each_other(shared_data: Path, name: str) -> None:
    # BiMix (arXiv 2405.14908v4), Tables 4 and 5: up to a constant, ln of the SE column is SE, and JE = SE + CE.
    with open(shared_data / "bimix-paper" / name) as file:
        rows = list(csv.DictReader(file))
    published = {proxy: np.array([float(row[proxy]) for row in rows]) for proxy in MEASURES}
    se, ce = (np.log(published[proxy]) + 15 for proxy in ("se", "ce"))
    size = np.full(len(rows), 10**16)
    entropies = EntropyTable(
        domains=tuple(row["domain"] for row in rows),
        tokenizer=None,
        vocab_size=10**16,
        estimator="plugin",
        **dict.fromkeys(COUNTS, size),
        se=se,
        ce=ce,
        je=se + ce,
    )
    for proxy in MEASURES:
        ours = entropies.mixture(proxy).to_array(entropies.domains)
        np.testing.assert_allclose(ours, published[proxy], rtol=0, atol=1e-4, err_msg=proxy)


def test_the_text_has_one_aligned_line_a_domain() -> None:
    assert table().to_text() == (
        "domain     tokens   types  coverage      pairs  pair types  pair coverage      SE      CE       JE\n"
        "web     1,234,567  40,000    0.9927  1,234,000     600,000         0.6759  7.5000  4.1250  11.5000\n"
        "code          400     100    0.9000        390         300         0.2821  4.2500  1.5000   5.5000\n"
        "entropies in nats, plugin estimator, vocabulary of 50,257"
    )


impossible = [
    ({"domains": ("web", "web")}, "domain 'web' stands twice"),
    ({"domains": ("web", "")}, "must be a non-empty string"),
    ({"domains": (), **{name: [] for name in (*COUNTS, *MEASURES)}}, "at least one domain"),
    ({"tokens": [1, 2, 3]}, r"tokens of 2 domains has the shape \(3,\)"),
    ({"se": 1.0}, r"se of 2 domains has the shape \(\)"),
    ({"tokens": [1_234_567, 0]}, "domain 'code': tokens is 0; expected: at least 1, as no"),
    ({"tokens": [1_234_567, 400.5]}, "tokens: expected whole numbers"),
    ({"tokens": [1_234_567, math.nan]}, "tokens: expected whole numbers"),
    ({"tokens": [1_234_567, 10**30]}, "tokens: expected numbers"),
    ({"tokens": [1_234_567, 1e30]}, "tokens: expected whole numbers"),
    ({"tokens": ["1", "x"]}, "tokens: expected"),
    ({"types": [40_000, 401]}, "domain 'code': types is 401; expected: between 1 and both tokens and vocab_size"),
    ({"types": [60_000, 100]}, "domain 'web': types is 60000"),
    ({"types": [40_000, 0]}, "domain 'code': types is 0"),
    ({"types": [40_000, -5]}, "domain 'code': types is -5"),
    ({"token_singletons": [40_001, 0]}, "domain 'web': token_singletons is 40001; expected: between 0 and types"),
    ({"pairs": [1_234_000, 401]}, "domain 'code': pairs is 401; expected: between 0 and tokens"),
    ({"pair_types": [600_000, 0]}, "domain 'code': pair_types is 0; expected: between 1 and pairs"),
    ({"pair_singletons": [-1, 0]}, "domain 'web': pair_singletons is -1"),
    ({"se": [7.5, math.log2(100)]}, r"domain 'code': se is 6\.64.*; expected: between 0 and log\(types\) nats"),
    ({"se": [7.5, math.nan]}, "domain 'code': se is nan"),
    ({"se": [7.5, -0.1]}, r"domain 'code': se is -0\.1"),
    ({"je": [11.5, 6]}, r"domain 'code': je is 6\.0; expected: between 0 and log\(pair_types\) nats"),
    ({"ce": [4, 5.6]}, r"domain 'code': ce is 5\.6; expected: between 0 and je"),
    ({"estimator": "plug-in"}, "unknown estimator 'plug-in'; did you mean 'plugin'"),
    ({"vocab_size": 0}, "vocab_size must be a whole number above 0, not 0"),
    ({"vocab_size": 1.5}, "vocab_size: expected whole numbers"),
    ({"vocab_size": "many"}, "vocab_size: expected"),
    ({"tokenizer": 7}, "tokenizer must be a text or None, not 7"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), impossible)
def test_what_cannot_be_is_refused_by_domain(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        table(**changes)


def test_rounding_may_carry_an_entropy_over_its_bound() -> None:
    uniform = np.nextafter([math.log(40_000), math.log(100)], math.inf)
    assert table(se=uniform, ce=[-1e-16, 0.0]).se.tolist() == uniform.tolist()


def edited_json(folder: Path, edit: Any) -> Path:
    path = folder / "e.json"
    table().write(path)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


bad_json = [
    (lambda c: c.update(schema="mixlaw.entropy-table/2"), "expected a file of schema 'mixlaw.entropy-table/1'"),
    (lambda c: c.update(estimater=1), "the table: unknown key 'estimater'; did you mean 'estimator'"),
    (lambda c: c.pop("estimator"), "the table: no 'estimator'"),
    (lambda c: c.update(domains=[1]), "domains: expected an object of domain -> counts and entropies"),
    (lambda c: c.update(domains={}), "at least one domain"),
    (lambda c: c.update(domains={"web": 1}), "domain 'web': expected an object with tokens, types"),
    (lambda c: c.update(vocab_size=None), "vocab_size: expected"),
    (lambda c: c["domains"]["web"].pop("ce"), "domain 'web': no 'ce'"),
    (lambda c: c["domains"]["web"].update(vne=1), "domain 'web': unknown key 'vne'"),
    (lambda c: c["domains"]["web"].update(ce="1"), "domain 'web': ce is '1', no number"),
    (lambda c: c["domains"]["web"].update(ce=True), "domain 'web': ce is True, no number"),
    (lambda c: c["domains"]["web"].update(ce=None), "domain 'web': ce is None, no number"),
    (lambda c: c["domains"]["web"].update(se=math.nan), "domain 'web': se is nan"),
    (lambda c: c["domains"]["web"].update(tokens=0), "domain 'web': tokens is 0"),
    (lambda c: c["domains"]["web"].update(pair_coverage=None), "domain 'web': pair_coverage is nan, but the"),
    (lambda c: c["domains"]["web"].update(token_coverage=0.5), r"domain 'web': token_coverage is 0\.5, but the counts"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "message"), bad_json)
def test_bad_json_is_refused_by_file_and_domain(tmp_path: Path, edit: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"e\.json: .*{message}"):
        EntropyTable.read(edited_json(tmp_path, edit))


bad_csv = [
    ("code,400", "code,", r"e\.csv, line 3, column 'tokens': blank or NaN; expected a number"),
    ("code,400", "code,x", r"e\.csv, line 3, column 'tokens': expected a number, not 'x'"),
    ("code,400", "code,0", r"e\.csv: domain 'code': tokens is 0"),
    ("code,400", "web,400", r"e\.csv, line 3: domain 'web' stands twice"),
    ("domain", "domains", r"e\.csv: the header: unknown key 'domains'; did you mean 'domain'"),
    ("50257,plugin\ncode", "50258,plugin\ncode", r"e\.csv: column 'vocab_size': a table has one vocab_size, not"),
    ("0.9,", "0.8,", r"e\.csv: domain 'code': token_coverage is 0\.8, but the counts give 0\.9"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), bad_csv)
def test_bad_csv_is_refused_by_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "e.csv"
    table().write(path)
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    with pytest.raises(InputError, match=message):
        EntropyTable.read(path)


@pytest.mark.parametrize("name", ["e.parquet", "e.txt", "e"])
def test_files_of_another_kind_are_neither_written_nor_read(tmp_path: Path, name: str) -> None:
    for act in (table().write, EntropyTable.read):
        with pytest.raises(InputError, match=r"ends in \.json or \.csv"):
            act(tmp_path / name)


errors: dict[str, Any] = {"se_error": [0.01, 0.02], "ce_error": [0.03, math.nan], "je_error": [0.0, 0.5]}
curve: dict[str, Any] = {
    "curve_tokens": [[150_000, 300_000, 600_000, 1_234_567], [0, 99, 210, 400]],
    "curve_pairs": [[149_000, 299_000, 599_000, 1_234_000], [0, 97, 205, 390]],
    "curve_se": [[7.0, 7.25, 7.375, 7.5], [math.nan, 3.75, 4.0, 4.25]],
    "curve_ce": [[3.0, 3.5, 4.0, 4.125], [math.nan, 1.0, 1.25, 1.5]],
    "curve_je": [[10.0, 10.75, 11.25, 11.5], [math.nan, 4.75, 5.25, 5.5]],
}
equalized: dict[str, Any] = {
    "equalized": "tokens",
    "equal_tokens": [400, 400],
    "equal_pairs": [390, 390],
    "equal_token_coverage": [0.5, 0.9],
    "equal_pair_coverage": [0.25, 0.75],
}
MORE = ("se_error", "ce_error", "je_error", *curve, *equalized)


@pytest.mark.parametrize("suffix", [".json", ".csv"])
@pytest.mark.parametrize(
    "more", [errors, curve, equalized, errors | curve, errors | curve | equalized, {"estimator": "chao-wang-jost"}]
)
def test_error_bars_curve_and_equal_sizes_read_back_exactly(tmp_path: Path, suffix: str, more: dict[str, Any]) -> None:
    written = table(**more)
    written.write(tmp_path / f"e{suffix}")
    read = EntropyTable.read(tmp_path / f"e{suffix}")
    assert_same(read, written)
    for name in MORE:
        left, right = getattr(read, name), getattr(written, name)
        if left is None or isinstance(left, str):
            assert left == right, name
        else:
            assert left.dtype == right.dtype
            assert not left.flags.writeable
            np.testing.assert_array_equal(left, right, err_msg=name)


def test_a_table_without_them_has_unknown_errors_and_neither_curve_nor_equal_sizes() -> None:
    entropies = table()
    for proxy in MEASURES:
        assert np.isnan(getattr(entropies, f"{proxy}_error")).tolist() == [True, True]
        assert entropies.unsettled(proxy) == []
    assert all(getattr(entropies, name) is None for name in (*curve, *equalized))
    assert entropies.warnings() == []


def test_the_files_of_error_bars_curve_and_equal_sizes(tmp_path: Path) -> None:
    entropies = table(**errors, **curve, **equalized)
    for name in ("e.json", "e.csv"):
        entropies.write(tmp_path / name)
    content = json.loads((tmp_path / "e.json").read_text())
    assert content["schema"] == "mixlaw.entropy-table/1"
    assert content["equalized"] == "tokens"
    code = content["domains"]["code"]
    assert (code["se_error"], code["ce_error"]) == (0.02, None)
    assert code["curve_tokens"] == [0, 99, 210, 400]
    assert code["curve_se"] == [None, 3.75, 4.0, 4.25]
    assert code["equal_pair_coverage"] == 0.75
    header, _, row = (tmp_path / "e.csv").read_text().splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["ce_error"], cells["curve_se 1/8"], cells["curve_se 1/4"], cells["curve_se 1"]) == (
        "",
        "",
        "3.75",
        "4.25",
    )
    assert (cells["equal_tokens"], cells["equalized"]) == ("400", "tokens")


impossible_more = [
    ({"se_error": [0.01, -0.5]}, r"domain 'code': se_error is -0\.5; expected: 0 or more nats, or NaN"),
    ({"je_error": [math.inf, 0.5]}, "domain 'web': je_error is inf"),
    ({"se_error": [0.01]}, r"se_error of 2 domains has the shape \(1,\)"),
    ({"curve_tokens": None}, "curve_tokens is not given; the columns curve_.. come together"),
    ({"curve_se": [[7.0, 7.25, 7.375, 7.5], [math.nan, math.nan, 4.0, 4.25]]}, "'code': curve_se is .* numbers where"),
    ({"curve_se": [[7.0, 7.25, 7.375, 7.25], [math.nan, 3.75, 4.0, 4.25]]}, "'web': curve_se is .* se as its last"),
    ({"curve_tokens": [[1, 2, 3, 1_234_567], [0, 99, 210, 401]]}, "domain 'code': curve_tokens is .* rising to tokens"),
    ({"curve_pairs": [[1, 3, 2, 1_234_000], [0, 97, 205, 390]]}, "domain 'web': curve_pairs is .* rising to pairs"),
    ({"curve_pairs": [1, 2]}, r"curve_pairs of 2 domains has the shape \(2,\)"),
    ({"equalized": None}, "equal_tokens is given, but not how samples were made equal"),
    ({"equalized": "token"}, "unknown equalized 'token'; did you mean 'tokens'"),
    ({"equal_pairs": None}, "equal_pairs is not given; the columns equal_.. come together"),
    ({"equal_tokens": [400, 401]}, "domain 'code': equal_tokens is 401; expected: between 1 and tokens"),
    ({"equal_pairs": [0, 390]}, "domain 'web': equal_pairs is 0; expected: between 1 and pairs"),
    ({"equal_pair_coverage": [0.5, 1.5]}, r"domain 'code': equal_pair_coverage is 1\.5; expected: a share"),
    ({"equal_token_coverage": [math.nan, 0.5]}, "domain 'web': equal_token_coverage is nan; expected: a share"),
    ({"estimator": "grassberger"}, "equalized entropies are expected plug-in entropies, not those of 'grassberger'"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), impossible_more)
def test_error_bars_curves_and_sizes_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    fields = errors | curve | equalized
    if "curve_se" in changes and "as its last" in message:
        fields = errors | curve  # of equal sizes, entropies are not the end of the curve
    with pytest.raises(InputError, match=message):
        table(**(fields | changes))


def test_a_correction_may_carry_an_entropy_over_the_bounds_of_the_plug_in() -> None:
    over: dict[str, Any] = {"se": [12.0, -0.01], "ce": [13.0, -0.5], "je": [14.0, 9.0]}
    assert table(estimator="grassberger", **over).ce.tolist() == [13.0, -0.5]
    with pytest.raises(InputError, match="domain 'web': se is 12"):
        table(**over)
    with pytest.raises(InputError, match="domain 'code': ce is inf; expected: a number of nats"):
        table(estimator="chao-shen", **(over | {"ce": [1.0, math.inf]}))


bad_json_more = [
    (lambda d: d["web"].pop("ce_error"), "domain 'web': no 'ce_error'"),
    (lambda d: [d["web"].pop(name) for name in errors], "e_error' stands in only one of the domains 'web'"),
    (lambda d: d["web"].update(curve_se=[1.0, 2.0]), r"curve_se is \[1\.0, 2\.0\]; expected a list of 4 numbers"),
    (lambda d: d["web"].update(curve_se=7.5), r"domain 'web': curve_se is 7\.5; expected a list"),
    (lambda d: d["web"].update(curve_tokens=[None, 1, 2, 3]), "domain 'web': curve_tokens is None, no number"),
    (lambda d: d["web"].update(se_error="0.1"), "domain 'web': se_error is '0.1', no number"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "message"), bad_json_more)
def test_bad_json_of_error_bars_and_curves_is_refused(tmp_path: Path, edit: Any, message: str) -> None:
    path = tmp_path / "e.json"
    table(**errors, **curve).write(path)
    content = json.loads(path.read_text())
    edit(content["domains"])
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"e\.json: .*{message}"):
        EntropyTable.read(path)


def test_bad_csv_of_curves_is_refused_by_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    table(**curve).write(path)
    text = path.read_text()
    path.write_text(text.replace(",210,", ",,"))
    with pytest.raises(InputError, match=r"e\.csv, line 3, column 'curve_tokens 1/2': blank or NaN"):
        EntropyTable.read(path)
    path.write_text(text.replace("curve_je 1/8", "curve_je 1/9"))
    with pytest.raises(InputError, match=r"unknown key 'curve_je 1/9'; did you mean 'curve_je 1/8'"):
        EntropyTable.read(path)


def test_a_mixture_inherits_the_error_bars() -> None:
    entropies = table(**errors)
    error, low, high = entropies.mixture_bars("se")
    web = entropies.mixture("se")["web"]
    # Of two domains: r (1 - r) times the error of the difference.
    np.testing.assert_allclose(error, web * (1 - web) * math.hypot(0.01, 0.02), rtol=0.03)
    assert low[0] < web < high[0]
    with pytest.raises(InputError, match="the standard error of ce of domain 'code' is unknown"):
        entropies.mixture_bars("ce")
    with pytest.raises(InputError, match="unknown proxy 'vne'"):
        entropies.mixture_bars("vne")
    with pytest.raises(InputError, match="domain 'code' has no pairs"):
        table(**lonely, **errors).mixture_bars("je")


def test_warnings_name_measure_and_domains() -> None:
    close = table(se=[4.26, 4.25], **errors)
    assert close.warnings() == [
        "SE: that 'web' is above 'code' is not settled: they differ by 0.0100 nats, with a standard error of 0.0224"
    ]
    assert [(pair.higher, pair.lower) for pair in close.unsettled("se")] == [("web", "code")]
    assert close.unsettled("je") == []
    with pytest.raises(InputError, match="unknown proxy 'vne'"):
        close.unsettled("vne")


def test_domains_without_pairs_have_no_place_in_a_ranking_of_pairs() -> None:
    entropies = table(**lonely, se_error=[9.0, 9.0], ce_error=[9.0, 9.0], je_error=[9.0, 9.0])
    assert [line.split(":")[0] for line in entropies.warnings()] == ["SE"]


def test_the_curve_of_a_table_of_equal_sizes_warns_of_nothing() -> None:
    crossing = curve | {"curve_se": [[2.0, 2.0, 3.0, 7.5], [math.nan, 3.75, 4.0, 4.25]]}
    assert len(table(**crossing).unsettled("se")) == 1
    assert table(**crossing, **equalized).warnings() == []


def test_the_text_has_error_bars_equal_sizes_curve_and_warnings() -> None:
    sizes = {
        "curve_tokens": [[99, 200, 500, 1000], [0, 99, 210, 400]],
        "curve_pairs": [[90, 190, 490, 900], [0, 97, 205, 390]],
    }
    text = table(
        tokens=[1000, 400],
        types=[400, 100],
        token_singletons=[9, 40],
        pairs=[900, 390],
        pair_types=[600, 300],
        pair_singletons=[400, 280],
        se=[4.26, 4.25],
        je=[6.0, 5.5],
        **errors,
        **(curve | sizes | {"curve_se": [[4.0, 4.1, 4.2, 4.26], [math.nan, 3.75, 4.0, 4.25]]}),
        **equalized,
    ).to_text()
    assert text == (
        "domain  tokens  types  coverage  pairs  pair types  pair coverage               SE               CE               JE\n"  # noqa: E501
        "web      1,000    400    0.9910    900         600         0.5556  4.2600 ± 0.0100  4.1250 ± 0.0300  6.0000 ± 0.0000\n"  # noqa: E501
        "code       400    100    0.9000    390         300         0.2821  4.2500 ± 0.0200  1.5000 ±    -    5.5000 ± 0.5000\n"  # noqa: E501
        "entropies in nats, plugin estimator, vocabulary of 50,257; ± one standard error\n"
        "\n"
        "entropies of  tokens  coverage  pairs  pair coverage\n"
        "web              400    0.5000    390         0.2500\n"
        "code             400    0.9000    390         0.7500\n"
        "expected of so many, drawn from all documents: equal numbers of tokens and of pairs\n"
        "\n"
        "curve          n/8      n/4      n/2        n\n"
        "web    SE   4.0000   4.1000   4.2000   4.2600\n"
        "       CE   3.0000   3.5000   4.0000   4.1250\n"
        "       JE  10.0000  10.7500  11.2500  11.5000\n"
        "code   SE        -   3.7500   4.0000   4.2500\n"
        "       CE        -   1.0000   1.2500   1.5000\n"
        "       JE        -   4.7500   5.2500   5.5000\n"
        "\n"
        "SE: that 'web' is above 'code' is not settled: they differ by 0.0100 nats, with a standard error of 0.0224\n"
        "JE: that 'web' is above 'code' is not settled: they differ by 0.5000 nats, with a standard error of 0.5000"
    )
