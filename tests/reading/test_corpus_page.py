"""The examples of docs/corpus.md, run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from mixlaw import EntropyTable
from mixlaw.reading.config import DOMAIN_KEYS, FORMATS, TOP_KEYS, read_config

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "corpus.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_of_a_corpus_is_read_as_it_stands(tmp_path: Path) -> None:
    (example,) = blocks("yaml")
    for entry in yaml.safe_load(example)["domains"].values():
        patterns = entry["paths"] if isinstance(entry["paths"], list) else [entry["paths"]]
        for pattern in patterns:
            file = tmp_path / pattern.replace("**", "deep").replace("*", "file")
            file.parent.mkdir(parents=True, exist_ok=True)
            if entry.get("format") == "dataset":
                file.mkdir()
                (file / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
                file /= "data.arrow"
            file.write_text("content")
    path = tmp_path / "corpus.yaml"
    path.write_text(example)
    config = read_config(path)
    assert config.tokenizer == str(tmp_path / "tokenizer.json")
    assert [(domain.name, domain.format, len(domain.files)) for domain in config.domains] == [
        ("web", "jsonl", 1),
        ("books", "text", 2),
        ("wiki", "parquet", 1),
        ("code", "text", 1),
        ("forum", "npy", 1),
        ("math", "raw", 1),
        ("papers", "megatron", 1),
        ("fineweb", "llmc", 1),
        ("chats", "parquet", 1),
        ("mails", "dataset", 1),
    ]


def test_the_page_names_every_key_and_format() -> None:
    for key in (*TOP_KEYS, *DOMAIN_KEYS):
        assert f"\n| `{key}` |" in PAGE
    for name in FORMATS:
        assert re.search(rf"\n\| `{name}`(?: |:)", PAGE)


def test_the_python_examples_run_as_they_stand() -> None:
    first, second = blocks("python")
    names: dict[str, object] = {}
    exec(first, names)
    assert isinstance(names["table"], EntropyTable)
    assert names["table"].tokens.tolist() == [2, 3, 17]
    exec(second, names)
    corpus = names["corpus"]
    tokens = {name: np.concatenate([chunk.tokens for chunk in domain.chunks()]) for name, domain in corpus.items()}
    assert tokens["texts"].tobytes() == b"a documentanother"
    assert tokens["ids"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", re.findall(r"`([A-Z]\w+)\(", PAGE))
def test_the_page_names_what_there_is(name: str) -> None:
    from mixlaw import corpus, reading

    assert hasattr(reading, name) or hasattr(corpus, name)
