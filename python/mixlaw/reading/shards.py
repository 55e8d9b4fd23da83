"""Token shards: a corpus tokenised once, for training and for counting again.

A folder of shards holds, for each domain, ``<domain>-00000.tokens.npy`` with the token ids of whole documents and
``<domain>-00000.offsets.npy`` with their borders (int64); a ``corpus.yaml`` that names them; the tokenizer; and
``shards.json``, which says what they were made of and how far the work is.

symbol  meaning                                              shape  unit
tokens  the new token ids of a chunk, its context left out   (n,)   token ids
starts  indices in `tokens` at which a document begins       (d,)   tokens, int64
"""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import yaml
from tqdm import tqdm

from mixlaw.corpus import Domain, Offsets, Position, Tokens
from mixlaw.errors import InputError
from mixlaw.files import atomic_write, check_schema, read_json, write_json
from mixlaw.reading.config import CorpusConfig, read_config
from mixlaw.reading.load import open_corpus
from mixlaw.reading.tokenfiles import index_path
from mixlaw.reading.tokenizer import ByteTokenizer, read_bytes, token_dtype

SCHEMA = "mixlaw.shards/1"
# A shard is closed at the first document border behind this many tokens.
SHARD_TOKENS = 2**27


def write_shards(
    path: str | os.PathLike[str], folder: str | os.PathLike[str], *, shard_tokens: int = SHARD_TOKENS
) -> dict[str, Any]:
    """Write the corpus that a ``corpus.yaml`` describes as token shards, in constant memory.

    A run that was interrupted is taken up behind the last finished shard; a finished one is not repeated.

    Parameters
    ----------
    path
        The ``corpus.yaml`` to read.
    folder
        Where the shards and their own ``corpus.yaml`` go; made if it is not there.
    shard_tokens
        Tokens behind which a shard is closed, at the next document border.

    Returns
    -------
    dict
        The content of ``shards.json``.

    Raises
    ------
    InputError
        If the corpus cannot be read, a domain has no tokens, or `folder` holds something else: shards of another
        corpus or of another version of this one, or a ``corpus.yaml`` that is not of shards.
    """
    if shard_tokens < 1:
        raise InputError(f"shard_tokens must be at least 1, not {shard_tokens}")
    config = read_config(path)
    corpus = open_corpus(config)
    made_of: dict[str, Any] = {
        "tokenizer": corpus.tokenizer,
        "vocab_size": corpus.vocab_size,
        "shard_tokens": shard_tokens,
    }
    made_of |= {f"domain {domain.name!r}": corpus[domain.name].fingerprint for domain in config.domains}
    manifest = _Manifest(Path(folder), made_of)
    for domain in config.domains:
        _write_domain(corpus[domain.name], manifest, shard_tokens, token_dtype(corpus.vocab_size))
    _write_config(config, corpus.vocab_size, manifest)
    return manifest.content


class _Manifest:
    """``shards.json``: what the shards are made of, and per domain its finished shards and where the next one begins.

    ``next`` is the index of a file, the `Position.offset` of a chunk of it, and how many of the chunk's tokens stand in
    shards already; null where the domain is finished.
    """

    def __init__(self, folder: Path, made_of: dict[str, Any]) -> None:
        self.folder = folder
        self._path = folder / "shards.json"
        self.content: dict[str, Any] = {"made_of": made_of, "domains": {}}
        folder.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            content = check_schema(self._path, read_json(self._path), SCHEMA)
            self._check(content.get("made_of", {}), made_of)
            self.content["domains"] = content["domains"]
            self._check_files()
        elif (folder / "corpus.yaml").exists():
            raise InputError(f"{folder} holds a corpus.yaml that is not one of shards: choose another folder")

    def _check(self, before: dict[str, Any], made_of: dict[str, Any]) -> None:
        for name in {**before, **made_of}:
            if before.get(name) != made_of.get(name):
                raise InputError(
                    f"{self.folder} holds shards of another corpus, or of this one before it changed ({name}): "
                    "choose another folder, or delete it"
                )

    def _check_files(self) -> None:
        for domain in self.content["domains"].values():
            for shard in domain["shards"]:
                for name in (shard["file"], index_path(shard["file"])):
                    if not (self.folder / name).exists():
                        raise InputError(f"{self.folder / name} is gone: delete the folder and begin anew")

    def domain(self, name: str) -> dict[str, Any]:
        """State of a domain."""
        first = {"file": 0, "offset": 0, "skip": 0}
        state: dict[str, Any] = self.content["domains"].setdefault(name, {"shards": [], "next": first})
        return state

    def write(self) -> None:
        """Put the present state on disk."""
        write_json(self._path, SCHEMA, self.content)


class _Shard:
    """A ``.npy`` file of unknown length: its header is written again when the length is known."""

    def __init__(self, file: IO[bytes], dtype: npt.DTypeLike) -> None:
        self._file = file
        self._dtype = np.dtype(dtype)
        self._starts: list[Offsets] = []
        self.length = 0
        self._write_header()

    def append(self, tokens: Tokens, starts: Offsets) -> None:
        self._starts.append(starts + self.length)
        self._file.write(np.ascontiguousarray(tokens, self._dtype).data)
        self.length += len(tokens)

    def finish(self) -> Offsets:
        """Complete the file; its document borders."""
        self._file.seek(0)
        self._write_header()
        return np.concatenate([*self._starts, np.array([self.length])])

    def _write_header(self) -> None:
        # numpy pads the header so that the length may grow without moving what follows.
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, header)


class _Piece(NamedTuple):
    """Tokens of one shard, the documents that begin in them, and, if the shard ends here, where the next one begins."""

    tokens: Tokens
    starts: Offsets
    following: tuple[Position, int] | None


def _pieces(domain: Domain, start: Position, skip: int, shard_tokens: int) -> Iterator[_Piece]:
    """Cut a domain into shards of whole documents from token `skip` of the chunk at `start` on."""
    length = 0
    for chunk in domain.chunks(start, context=1):
        tokens = chunk.tokens[chunk.context :]
        # Documents without tokens are left out, so that a shard begins with a token.
        starts = chunk.offsets[:-1][np.diff(chunk.offsets) > 0] - chunk.context
        done = min(skip, len(tokens))
        skip -= done
        while done < len(tokens):
            starts = starts[starts >= done]
            ends = starts[np.searchsorted(starts, done + shard_tokens - length) :]
            if not len(ends):
                yield _Piece(tokens[done:], starts - done, None)
                length += len(tokens) - done
                break
            end = int(ends[0])
            yield _Piece(tokens[done:end], starts[starts < end] - done, (Position(chunk.source, chunk.start), end))
            done, length = end, 0


def _write_domain(domain: Domain, manifest: _Manifest, shard_tokens: int, dtype: npt.DTypeLike) -> None:
    state = manifest.domain(domain.name)
    if state["next"] is None:
        return
    start = domain.from_number(state["next"]["file"], state["next"]["offset"])
    pieces = _pieces(domain, start, state["next"]["skip"], shard_tokens)
    first = next(pieces, None)
    if first is None:
        raise InputError(f"domain {domain.name!r} holds no tokens")
    with tqdm(desc=domain.name, unit=" tokens", unit_scale=True, disable=None) as bar:
        pieces = chain([first], pieces)
        while state["next"] is not None:
            # A domain's name may hold a slash; a file's may not.
            stem = f"{quote(domain.name, safe='')}-{len(state['shards']):05d}"
            tokens, documents, following = _write_shard(manifest.folder / stem, pieces, dtype, bar)
            state["shards"].append({"file": f"{stem}.tokens.npy", "tokens": tokens, "documents": documents})
            state["next"] = None
            if following is not None:
                position, skip = following
                number, offset = domain.to_number(position)
                state["next"] = {"file": number, "offset": offset, "skip": skip}
            manifest.write()


def _write_shard(
    stem: Path, pieces: Iterator[_Piece], dtype: npt.DTypeLike, bar: "tqdm[NoReturn]"
) -> tuple[int, int, tuple[Position, int] | None]:
    """Write one shard: its tokens, its documents, and where the next one begins."""
    following = None
    with atomic_write(f"{stem}.tokens.npy", "wb") as file:
        shard = _Shard(file, dtype)
        for piece in pieces:
            shard.append(piece.tokens, piece.starts)
            bar.update(len(piece.tokens))
            following = piece.following
            if following is not None:
                break
        offsets = shard.finish()
    with atomic_write(f"{stem}.offsets.npy", "wb") as file:
        np.save(file, offsets)
    return shard.length, len(offsets) - 1, following


def _write_config(config: CorpusConfig, vocab_size: int, manifest: _Manifest) -> None:
    content: dict[str, Any] = {}
    if config.tokenizer == ByteTokenizer.name:
        content["tokenizer"] = config.tokenizer
    elif config.tokenizer is not None:
        content["tokenizer"] = "tokenizer.json"
        with atomic_write(manifest.folder / "tokenizer.json", "wb") as file:
            file.write(read_bytes(config.tokenizer))
    content["vocab_size"] = vocab_size
    content["domains"] = {
        domain.name: {"paths": [shard["file"] for shard in manifest.domain(domain.name)["shards"]], "format": "npy"}
        for domain in config.domains
    }
    with atomic_write(manifest.folder / "corpus.yaml") as file:
        file.write("# Token shards, written by `mixlaw tokenize`.\n")
        yaml.safe_dump(content, file, sort_keys=False, allow_unicode=True)
