from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.reading.config import DOMAIN_KEYS, FORMATS, TOP_KEYS, DomainConfig, read_config

SAMPLE = {
    "text": {"paths": "a.txt", "format": "text", "split": "line"},
    "jsonl": {"paths": "a.jsonl", "format": "jsonl", "field": "body"},
    "parquet": {"paths": "a.parquet", "format": "parquet", "field": "body"},
    "arrow": {"paths": "a.arrow", "format": "arrow", "ids": "input_ids", "eod": 3},
    "dataset": {"paths": "saved", "format": "dataset", "ids": "input_ids", "eod": 3},
    "npy": {"paths": "a.npy", "format": "npy", "eod": 3},
    "megatron": {"paths": "a.bin", "format": "megatron", "eod": 3},
    "llmc": {"paths": "a.bin", "format": "llmc", "eod": 3},
    "raw": {"paths": "a.bin", "format": "raw", "dtype": "uint16", "eod": 3},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    (folder / "saved").mkdir()
    for name in ("a.txt", "b.txt", "a.jsonl", "a.parquet", "a.arrow", "a.npy", "a.bin", "saved/data.arrow"):
        (folder / name).write_text("content")
    (folder / "saved" / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    return folder


def write(folder: Path, content: Any) -> Path:
    path = folder / "corpus.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def refusal(folder: Path, content: Any) -> str:
    path = write(folder, content)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


def domain(**keys: Any) -> dict[str, Any]:
    return {"tokenizer": "bytes", "domains": {"web": {"paths": "a.txt", **keys}}}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_with_all_its_keys(folder: Path, kind: str) -> None:
    config = read_config(write(folder, {"tokenizer": "bytes", "vocab_size": 300, "domains": {"web": SAMPLE[kind]}}))
    paths = SAMPLE[kind]["paths"]
    rest = {key: value for key, value in SAMPLE[kind].items() if key != "paths"}
    files = (str(folder / ("saved/data.arrow" if kind == "dataset" else str(paths))),)
    assert config.domains == (DomainConfig("web", files, **rest),)
    assert (config.tokenizer, config.vocab_size) == ("bytes", 300)


def test_samples_use_every_key_there_is() -> None:
    assert {key for sample in SAMPLE.values() for key in sample} == set(DOMAIN_KEYS)


def test_tokenizer_path_is_relative_to_the_file(folder: Path) -> None:
    content = {**domain(), "tokenizer": "sub/tokenizer.json"}
    assert read_config(write(folder, content)).tokenizer == str(folder / "sub" / "tokenizer.json")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text"),
        ("a.jsonl", "jsonl"),
        ("a.jsonl.gz", "jsonl"),
        ("a.jsonl.zst", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.arrow", "arrow"),
        ("a.feather", "arrow"),
        ("a.tokens.npy", "npy"),
    ],
)
def test_format_comes_from_the_suffix(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text("content")
    content = {"tokenizer": "bytes", "domains": {"web": {"paths": name}}}
    assert read_config(write(tmp_path, content)).domains[0].format == kind


def test_domains_keep_their_order(folder: Path) -> None:
    content = {"tokenizer": "bytes", "domains": {name: {"paths": "a.txt"} for name in ("z", "a", "m/n", "é")}}
    assert [domain.name for domain in read_config(write(folder, content)).domains] == ["z", "a", "m/n", "é"]


def test_files_are_sorted_and_stand_once(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a/1.txt", "b/1.txt", "b/deep/3.txt", "[x].txt", "x.txt", "b/skip.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("content")
    (tmp_path / "dir.txt").mkdir()

    def files(*patterns: str) -> list[str]:
        content = {"tokenizer": "bytes", "domains": {"web": {"paths": list(patterns)}}}
        found = read_config(write(tmp_path, content)).domains[0].files
        return [str(Path(file).relative_to(tmp_path)) for file in found]

    assert files("b/*.txt", "a/*.txt") == ["a/1.txt", "b/1.txt", "b/2.txt"]
    assert files("**/*.txt") == ["[x].txt", "a/1.txt", "b/1.txt", "b/2.txt", "b/deep/3.txt", "x.txt"]
    assert files("b/1.txt", "b/*.txt", str(tmp_path / "b" / "1.txt")) == ["b/1.txt", "b/2.txt"]
    assert files("[x].txt") == ["[x].txt"]
    assert files("[wxy].txt") == ["x.txt"]


def test_index_files_are_no_token_files(tmp_path: Path) -> None:
    for name in ("a.tokens.npy", "a.offsets.npy"):
        (tmp_path / name).write_text("content")
    content = {"vocab_size": 9, "domains": {"web": {"paths": "*.npy"}}}
    assert read_config(write(tmp_path, content)).domains[0].files == (str(tmp_path / "a.tokens.npy"),)


def test_anchors_and_merges_of_yaml_are_understood(folder: Path) -> None:
    text = "tokenizer: bytes\ndomains:\n  web: &base {paths: a.jsonl, field: body}\n  same: {<<: *base, field: other}\n"
    config = read_config(write(folder, text))
    assert [(domain.files[0][-7:], domain.field) for domain in config.domains] == [
        ("a.jsonl", "body"),
        ("a.jsonl", "other"),
    ]


@pytest.mark.parametrize("key", TOP_KEYS)
def test_misspelt_key_at_the_top_suggests_the_right_one(folder: Path, key: str) -> None:
    content = domain()
    content[key[:-1]] = content.pop(key, 9)
    assert refusal(folder, content) == f": unknown key {key[:-1]!r}; did you mean {key!r}?"


@pytest.mark.parametrize("key", DOMAIN_KEYS)
def test_misspelt_key_of_a_domain_suggests_the_right_one(folder: Path, key: str) -> None:
    wrong = key[0] + key[2:] if len(key) > 3 else key + "s"
    assert refusal(folder, domain(**{wrong: 1})) == f", domain 'web': unknown key {wrong!r}; did you mean {key!r}?"


@pytest.mark.parametrize(
    ("kind", "key"),
    [(kind, key) for kind, keys in FORMATS.items() for key in sorted(set(DOMAIN_KEYS) - {"paths", "format", *keys})],
)
def test_key_of_another_format_is_refused(folder: Path, kind: str, key: str) -> None:
    message = refusal(folder, {"tokenizer": "bytes", "domains": {"web": {**SAMPLE[kind], key: "line"}}})
    owners = " and ".join(owner for owner, keys in FORMATS.items() if key in keys)
    assert message == f", domain 'web': `{key}` belongs to format {owners}, and this one is {kind}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": a corpus is described by keys (tokenizer, vocab_size, domains), not by None"),
        ("[1, 2]", ": a corpus is described by keys (tokenizer, vocab_size, domains), not by [1, 2]"),
        (
            {"domains": {"web": {"paths": "a.txt"}}},
            ": needs a `tokenizer`, or a `vocab_size` if all domains are token ids",
        ),
        ({"tokenizer": "bytes"}, ": `domains` must map the name of each domain to its description, not None"),
        (
            {"tokenizer": "bytes", "domains": {}},
            ": `domains` must map the name of each domain to its description, not {}",
        ),
        ({**domain(), "tokenizer": 3}, ": `tokenizer` must be the path of a tokenizer.json, or bytes, not 3"),
        ({**domain(), "vocab_size": 0}, ": `vocab_size` must be an integer of at least 1, not 0"),
        ({**domain(), "vocab_size": True}, ": `vocab_size` must be an integer of at least 1, not True"),
        ({**domain(), "vocab_size": "many"}, ": `vocab_size` must be an integer of at least 1, not 'many'"),
        (
            {"vocab_size": 9, "domains": {"web": {"paths": "a.jsonl"}}},
            ", domain 'web': format jsonl is text, which needs a `tokenizer`: a tokenizer.json, or bytes",
        ),
        (
            {"tokenizer": "bytes", "domains": {"web": "a.txt"}},
            ", domain 'web': a domain is described by keys (paths, format, split, field, ids, eod, dtype), "
            "not by 'a.txt'",
        ),
        (
            "tokenizer: bytes\ndomains: {no: {paths: a.txt}}\n",
            ": the name of a domain must be a non-empty string without control characters, not False: put it in quotes",
        ),
        (
            {"tokenizer": "bytes", "domains": {"": {"paths": "a.txt"}}},
            ": the name of a domain must be a non-empty string without control characters, not ''",
        ),
        (domain(paths=[]), ", domain 'web': `paths` must be a path or pattern, or a list of them, not []"),
        (domain(paths=[1]), ", domain 'web': `paths` must be a path or pattern, or a list of them, not [1]"),
        (domain(paths=None), ", domain 'web': `paths` must be a path or pattern, or a list of them, not None"),
        (domain(format="json"), ", domain 'web': unknown format 'json'; did you mean 'jsonl'?"),
        (domain(format=["text"]), ", domain 'web': unknown format ['text']; did you mean 'text'?"),
        (
            domain(format=None),
            ", domain 'web': unknown format None; known: arrow, dataset, jsonl, llmc, megatron, npy, "
            "parquet, raw, text",
        ),
        (domain(split="paragraph"), ", domain 'web': `split` must be file or line, not 'paragraph'"),
        (
            domain(format="jsonl", field=""),
            ", domain 'web': `field` must be the name of the field that holds the text, not ''",
        ),
        (
            domain(format="raw"),
            ", domain 'web': `dtype` must be one of uint8, uint16, uint32, int32, int64, not 'left out'",
        ),
        (
            domain(format="raw", dtype="u2"),
            ", domain 'web': `dtype` must be one of uint8, uint16, uint32, int32, int64, not 'u2'",
        ),
        (
            domain(format="raw", dtype="uint8", eod=256),
            ", domain 'web': `eod` 256 is no uint8",
        ),
        (
            {"vocab_size": 9, "domains": {"web": {"paths": "a.parquet"}}},
            ", domain 'web': format parquet is text, which needs a `tokenizer`: a tokenizer.json, or bytes; or say "
            "`ids`, a column of token ids",
        ),
        (
            domain(format="parquet", field="body", ids="input_ids"),
            ", domain 'web': `field` names a column of text and `ids` one of token ids: say one of them",
        ),
        (
            domain(format="arrow", eod=0),
            ", domain 'web': `eod` is for token ids, and this is text: say `ids`, the column that holds them",
        ),
        (
            domain(format="arrow", ids=3),
            ", domain 'web': `ids` must be the name of the column that holds token ids, not 3",
        ),
        (domain(format="npy", eod=-1), ", domain 'web': `eod` must be an integer of at least 0, not -1"),
        (domain(format="npy", eod="</s>"), ", domain 'web': `eod` must be an integer of at least 0, not '</s>'"),
    ],
)
def test_wrong_value_is_named(folder: Path, content: Any, message: str) -> None:
    assert refusal(folder, content) == message


def test_pattern_that_matches_nothing_is_named(folder: Path) -> None:
    assert (
        refusal(folder, domain(paths=["a.txt", "web/*.txt"]))
        == f", domain 'web': 'web/*.txt' matches no file in {folder}"
    )


def test_folder_is_no_file(folder: Path) -> None:
    (folder / "sub").mkdir()
    assert refusal(folder, domain(paths="sub")) == f", domain 'web': 'sub' matches no file in {folder}"


def saved(folder: Path, state: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "data.arrow").write_text("content")
    (folder / "state.json").write_text(state)
    return folder


def test_saved_datasets_are_the_files_that_they_name_in_their_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        saved(tmp_path / "sets" / name, '{"_data_files": [{"filename": "z.arrow"}, {"filename": "data.arrow"}]}')
        (tmp_path / "sets" / name / "z.arrow").write_text("content")
    (tmp_path / "sets" / "readme.md").write_text("content")
    files = read_config(write(tmp_path, domain(paths="sets/*", format="dataset"))).domains[0].files
    found = [str(Path(file).relative_to(tmp_path / "sets")) for file in files]
    assert found == ["a/z.arrow", "a/data.arrow", "b/z.arrow", "b/data.arrow"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("{}", r"state\.json names no data files \(KeyError\('_data_files'\)\)$"),
        ("[]", r"state\.json names no data files \(TypeError\("),
        ('{"_data_files": [{"name": "data.arrow"}]}', r"state\.json names no data files \(KeyError\('filename'\)\)$"),
        ('{"_data_files": [{"filename": "gone.arrow"}]}', r"state\.json names .*gone\.arrow, which is not there$"),
        ('{"_data_files": []}', "no tokens: the dataset has no rows$"),
    ],
)
def test_state_of_a_saved_dataset_that_is_none_is_refused(tmp_path: Path, state: str, message: str) -> None:
    saved(tmp_path / "set", state)
    with pytest.raises(InputError, match=f"domain 'web': .*{message}"):
        read_config(write(tmp_path, domain(paths="set", format="dataset")))


def test_folder_that_is_no_saved_dataset_says_so(tmp_path: Path) -> None:
    (tmp_path / "splits").mkdir()
    asked = domain(paths="splits", format="dataset")
    assert refusal(tmp_path, asked) == (
        f", domain 'web': {tmp_path / 'splits'} is no folder of `Dataset.save_to_disk`: it has no state.json"
    )
    (tmp_path / "splits" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert refusal(tmp_path, asked) == (
        f", domain 'web': {tmp_path / 'splits'} holds several datasets, a DatasetDict: name the folder of one, "
        f"{tmp_path / 'splits' / 'train'}, {tmp_path / 'splits' / 'test'}"
    )
    assert refusal(tmp_path, domain(paths="none*", format="dataset")) == (
        f", domain 'web': 'none*' matches no folder in {tmp_path}"
    )
    saved(tmp_path / "set", "{}")
    assert refusal(tmp_path, domain(paths="set")) == (", domain 'web': 'set' is a saved dataset: say `format: dataset`")


def test_index_of_megatron_is_no_token_file(tmp_path: Path) -> None:
    for name in ("a.bin", "a.idx"):
        (tmp_path / name).write_text("content")
    config = read_config(write(tmp_path, domain(paths="a.*", format="megatron")))
    assert config.domains[0].files == (str(tmp_path / "a.bin"),)


def test_unknown_suffix_asks_for_the_format(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("content")
    assert refusal(tmp_path, domain(paths="a.py")) == (
        f", domain 'web': the format of {tmp_path / 'a.py'} is not in its name: "
        "say `format`, one of text, jsonl, parquet, arrow, dataset, npy, megatron, llmc, raw"
    )


def test_files_of_several_formats_ask_for_one(folder: Path) -> None:
    assert refusal(folder, domain(paths=["a.txt", "a.jsonl"])) == (
        f", domain 'web': {folder / 'a.jsonl'}, {folder / 'a.txt'} differ in format: "
        "say `format`, or make it two domains"
    )


def test_compressed_file_cannot_be_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_text("content")
    assert refusal(tmp_path, domain(paths="a.txt.gz")) == (
        f", domain 'web': {tmp_path / 'a.txt.gz'} is compressed, which `split: file` does not read: unpack it"
    )
    assert read_config(write(tmp_path, domain(paths="a.txt.gz", split="line"))).domains[0].split == "line"


def test_empty_files_are_no_domain(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert refusal(tmp_path, domain()) == f", domain 'web': no tokens: {tmp_path / 'a.txt'} is empty"
    (tmp_path / "b.txt").touch()
    assert refusal(tmp_path, domain(paths="*.txt")) == ", domain 'web': no tokens: all 2 files are empty"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tokenizer: bytes\ndomains: {a: 1\n",
            ", line 3: not valid YAML (expected ',' or '}', but got '<stream end>')",
        ),
        (
            "tokenizer: bytes\ndomains:\n\tweb: 1\n",
            ", line 3: not valid YAML (found character '\\t' that cannot start any token)",
        ),
        ("tokenizer: bytes\ntokenizer: bytes\n", ", line 2: not valid YAML (the key 'tokenizer' stands twice)"),
        (
            "tokenizer: bytes\ndomains:\n  web: {paths: a.txt}\n  code: {paths: a.txt}\n  web: {paths: b.txt}\n",
            ", line 5: not valid YAML (the key 'web' stands twice)",
        ),
        ("domains:\n  web: {paths: a.txt, paths: b.txt}\n", ", line 2: not valid YAML (the key 'paths' stands twice)"),
        ("a: 1\n---\nb: 2\n", ", line 2: not valid YAML (but found another document)"),
        ("? [a, b]\n: 1\n", ", line 1: not valid YAML (found unhashable key)"),
        ("a: !!python/object:os.system {}\n", ", line 1: not valid YAML (could not determine a constructor"),
        ("a: 2020-13-45\n", ": not valid YAML (month must be in 1..12"),
        ("a: \0\n", ": not valid YAML ("),
        ("[" * 5000, ": not valid YAML ("),
    ],
)
def test_text_that_is_no_yaml_is_named_with_its_line(folder: Path, text: str, message: str) -> None:
    assert refusal(folder, text).startswith(message)


def test_file_that_is_not_utf8_is_named(folder: Path) -> None:
    path = folder / "corpus.yaml"
    path.write_bytes(b"tokenizer: \xff")
    with pytest.raises(InputError, match=r"corpus\.yaml: not UTF-8 text \(byte 11\)"):
        read_config(path)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus\.yaml: cannot be read \(No such file"):
        read_config(tmp_path / "corpus.yaml")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.dates()
    | st.sampled_from(["a.txt", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=5,
)
entries = st.dictionaries(st.sampled_from([*DOMAIN_KEYS, "x"]), values, max_size=4)


@settings(deadline=None, max_examples=300)
@given(
    content=st.fixed_dictionaries({}, optional={key: values for key in TOP_KEYS}), entry=entries, whole=st.booleans()
)
def test_whatever_stands_in_the_file_is_read_or_refused_by_name(
    folder: Path, content: dict[str, Any], entry: dict[str, Any], whole: bool
) -> None:
    if whole:
        content = {"tokenizer": "bytes", **content, "domains": {"web": {"paths": "a.txt", **entry}}}
    path = write(folder, content)
    try:
        config = read_config(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017 - both ends are allowed
    else:
        assert all(domain.files and domain.format in FORMATS for domain in config.domains)


@settings(deadline=None)
@given(st.text(alphabet="ab:{}[],-&*!?|>'\"%@`#\n\t 01\0é", max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_refused_by_name(folder: Path, text: str) -> None:
    path = folder / "corpus.yaml"
    path.write_bytes(text.encode(errors="ignore"))
    with pytest.raises(InputError, match=r"corpus\.yaml"):
        read_config(path)
