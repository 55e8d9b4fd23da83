"""`load_model`: models that embed texts, each behind one method; extras `embed` and `fasttext`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError, did_you_mean, require

Vectors = npt.NDArray[np.floating[Any]]


class TextModel(Protocol):
    """What makes vectors of texts.

    Attributes
    ----------
    name
        What it is, for the record: equal names mean equal vectors.
    """

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts, shape (texts, d); a vector of zeros for a text that the model knows nothing of."""
        ...


class _Model:
    """A model that a library loaded; `fingerprint` tells its files apart, wherever they lie."""

    def __init__(self, name: str, fingerprint: Any, encode: Callable[[list[str]], Any]) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self._encode = encode

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `TextModel.embed`."""
        vectors: Vectors = np.asarray(self._encode(list(texts)))
        return vectors


def load_model(name: str) -> TextModel:
    """Load a model that embeds texts.

    Parameters
    ----------
    name
        ``"model2vec:PATH"``, ``"sentence-transformers:PATH"`` or ``"fasttext:FILE"``; the first two also take the name
        of a model that their library downloads.

    Raises
    ------
    InputError
        If the kind of model is unknown, or the library cannot load it.
    MissingDependencyError
        If the library is not installed.
    """
    kind, _, path = name.partition(":")
    if kind not in _LOADERS or not path:
        raise InputError(f"a model is KIND:PATH, not {name!r}{did_you_mean(kind, _LOADERS)}")
    try:
        return _Model(name, _fingerprint(kind, path), _LOADERS[kind](path))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"the model {name} cannot be loaded ({error})") from error


def _fingerprint(kind: str, path: str) -> Any:
    """The files of a model, by name, size and time; or the name of one that its library downloads."""
    if not os.path.exists(path):
        return {"kind": kind, "model": path}
    found = [path] if os.path.isfile(path) else [str(file) for file in Path(path).rglob("*") if file.is_file()]
    files = []
    for file in sorted(found):
        status = os.stat(file)
        name = os.path.basename(path) if file == path else os.path.relpath(file, path)
        files.append([name, status.st_size, status.st_mtime_ns])
    return {"kind": kind, "files": files}


def _model2vec(path: str) -> Callable[[list[str]], Any]:
    model = require("model2vec", "embed").StaticModel.from_pretrained(path)
    # Threads, not processes: the library starts processes for many texts, which copy the program.
    return lambda texts: model.encode(texts, use_multiprocessing=False)


def _sentence_transformers(path: str) -> Callable[[list[str]], Any]:
    model = require("sentence_transformers", "embed").SentenceTransformer(path)
    return lambda texts: model.encode(texts, show_progress_bar=False)


def _fasttext(path: str) -> Callable[[list[str]], Any]:
    model = require("fasttext", "fasttext").load_model(path)
    # fastText takes a line and refuses line ends.
    return lambda texts: [model.get_sentence_vector(" ".join(text.split("\n"))) for text in texts]


_LOADERS = {"model2vec": _model2vec, "sentence-transformers": _sentence_transformers, "fasttext": _fasttext}
