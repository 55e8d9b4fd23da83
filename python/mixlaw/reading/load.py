"""`load_corpus`: from a ``corpus.yaml`` to a `Corpus` whose domains are ready to be read."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mixlaw.corpus import Corpus, TokenSource
from mixlaw.errors import InputError
from mixlaw.reading.addresses import is_address
from mixlaw.reading.columns import ArrowTokens, ParquetTokens
from mixlaw.reading.config import CorpusConfig, DomainConfig, read_config
from mixlaw.reading.documents import Documents, WholeFiles
from mixlaw.reading.fast_tokenizer import load_tokenizer
from mixlaw.reading.llmc import LlmcFiles
from mixlaw.reading.megatron import MegatronFiles, idx_path
from mixlaw.reading.rows import ArrowFiles, JsonLines, ParquetFiles, TextLines
from mixlaw.reading.text import TextSource
from mixlaw.reading.tokenfiles import NpyFiles, RawFiles, index_path
from mixlaw.reading.tokenizer import ByteTokenizer, Tokenizer, read_bytes, record


def load_corpus(path: str | os.PathLike[str]) -> Corpus:
    """Read a ``corpus.yaml`` and open what it names; docs/corpus.md describes the file.

    Text is read and tokenised only when a domain's chunks are asked for.

    Parameters
    ----------
    path
        The YAML file. Paths in it are relative to its folder.

    Raises
    ------
    InputError
        If the YAML, a tokenizer or a file that it names is not what it should be; the message names file and domain.
    MissingDependencyError
        If a format or the tokenizer needs an extra that is not installed.

    Examples
    --------
    >>> corpus = load_corpus("corpus.yaml")  # doctest: +SKIP
    >>> list(corpus)  # doctest: +SKIP
    ['web', 'code']
    """
    return open_corpus(read_config(path))


def open_corpus(config: CorpusConfig) -> Corpus:
    """Make the corpus that `config` describes."""
    tokenizer = None
    name = None
    if config.tokenizer is not None:
        has_text = any(domain.is_text for domain in config.domains)
        # The tokenizer's library is not needed where there is no text and the vocabulary is known.
        if has_text or config.vocab_size is None or config.tokenizer == ByteTokenizer.name:
            tokenizer = load_tokenizer(config.tokenizer)
            name = tokenizer.name
        else:
            name = record(read_bytes(config.tokenizer))
    vocab_size = _vocab_size(config, tokenizer)
    sources = {}
    for domain in config.domains:
        try:
            sources[domain.name] = _source(domain, tokenizer, vocab_size)
        except InputError as error:
            raise InputError(f"{config.path}, domain {domain.name!r}: {error}") from error
    fingerprints = {domain.name: _fingerprint(config, domain) for domain in config.domains}
    files = {domain.name: domain.files for domain in config.domains}
    return Corpus(sources, vocab_size=vocab_size, tokenizer=name, fingerprints=fingerprints, files=files)


def _fingerprint(config: CorpusConfig, domain: DomainConfig) -> dict[str, Any]:
    """What the tokens of a domain depend on, as JSON; of files their sizes and times, for reading them takes long."""
    folder = Path(config.path).parent
    files = []
    index = {"npy": index_path, "megatron": idx_path}.get(domain.format)
    for path in (*domain.files, *(map(index, domain.files) if index else ())):
        if Path(path).exists():
            status = os.stat(path)
            files.append([os.path.relpath(path, folder), status.st_size, status.st_mtime_ns])
    return asdict(domain) | {"files": files}


def _vocab_size(config: CorpusConfig, tokenizer: Tokenizer | None) -> int:
    if tokenizer is None:
        assert config.vocab_size is not None
        return config.vocab_size
    if config.vocab_size is not None and config.vocab_size < tokenizer.vocab_size:
        raise InputError(
            f"{config.path}: `vocab_size` is {config.vocab_size}, but the ids of the tokenizer {tokenizer.name} "
            f"go up to {tokenizer.vocab_size - 1}"
        )
    return config.vocab_size or tokenizer.vocab_size


def _source(domain: DomainConfig, tokenizer: Tokenizer | None, vocab_size: int) -> TokenSource:
    for file in domain.files:
        if is_address(file):
            raise InputError(f"{file}: is an address, which only `mixlaw count --engine ray` reads: copy the file here")
    if domain.ids is not None:
        columns = ParquetTokens if domain.format == "parquet" else ArrowTokens
        return columns(domain.files, vocab_size, domain.ids, domain.eod)
    if domain.format == "npy":
        return NpyFiles(domain.files, vocab_size, domain.eod)
    if domain.format == "megatron":
        return MegatronFiles(domain.files, vocab_size, domain.eod)
    if domain.format == "llmc":
        return LlmcFiles(domain.files, vocab_size, domain.eod)
    if domain.format == "raw":
        return RawFiles(domain.files, vocab_size, domain.dtype, domain.eod)
    assert tokenizer is not None
    return TextSource(_documents(domain), tokenizer)


def _documents(domain: DomainConfig) -> Documents:
    if domain.format == "jsonl":
        return JsonLines(domain.files, domain.field)
    if domain.format == "parquet":
        return ParquetFiles(domain.files, domain.field)
    if domain.format in ("arrow", "dataset"):
        return ArrowFiles(domain.files, domain.field)
    return WholeFiles(domain.files) if domain.split == "file" else TextLines(domain.files)
