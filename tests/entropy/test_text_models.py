"""Models behind stand-ins for their libraries: what is called, and how."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mixlaw import InputError
from mixlaw.entropy.text_models import load_model
from mixlaw.errors import MissingDependencyError


def lengths(texts: list[str], **options: Any) -> np.ndarray:
    assert isinstance(texts, list)
    assert options in ({"use_multiprocessing": False}, {"show_progress_bar": False})
    return np.array([[len(text), 1.0] for text in texts], np.float32)


def load(path: str) -> Any:
    if path != "there":
        raise OSError("no such model")
    return SimpleNamespace(encode=lengths)


def sentence_vector(text: str) -> np.ndarray:
    if "\n" in text:
        raise ValueError("predict processes one line at a time (remove '\\n')")
    return np.array([len(text), 1.0], np.float32)


@pytest.fixture(autouse=True)
def _libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {
        "model2vec": {"StaticModel": SimpleNamespace(from_pretrained=load)},
        "sentence_transformers": {"SentenceTransformer": load},
        "fasttext": {"load_model": lambda path: load(path) and SimpleNamespace(get_sentence_vector=sentence_vector)},
    }.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("kind", ["model2vec", "sentence-transformers", "fasttext"])
def test_texts_become_rows(kind: str) -> None:
    model = load_model(f"{kind}:there")
    assert model.name == f"{kind}:there"
    assert model.embed(("one", "two\nlines")).tolist() == [[3.0, 1.0], [9.0, 1.0]]


@pytest.mark.parametrize("kind", ["model2vec", "sentence-transformers", "fasttext"])
def test_models_that_cannot_be_loaded_are_named(kind: str) -> None:
    with pytest.raises(InputError, match=rf"the model {kind}:elsewhere cannot be loaded \(no such model\)"):
        load_model(f"{kind}:elsewhere")


@pytest.mark.parametrize("name", ["model2vec", "model2vec:", "", "word2vec:a.bin"])
def test_unknown_kinds_of_models_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="a model is KIND:PATH, not"):
        load_model(name)


@pytest.mark.parametrize(
    ("kind", "extra"), [("model2vec", "embed"), ("sentence-transformers", "embed"), ("fasttext", "fasttext")]
)
def test_an_absent_library_is_said_to_be_an_extra(monkeypatch: pytest.MonkeyPatch, kind: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, kind.replace("-", "_"), None)
    with pytest.raises(MissingDependencyError, match=rf"mixlaw\[{extra}\]"):
        load_model(f"{kind}:there")
