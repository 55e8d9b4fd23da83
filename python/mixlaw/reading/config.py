"""``corpus.yaml``: its closed schema, read into plain values; `mixlaw.reading.load` makes sources of them."""

import glob
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mixlaw.corpus import TOKEN_DTYPES
from mixlaw.errors import InputError, did_you_mean
from mixlaw.files import read_json
from mixlaw.mixture import check_domains
from mixlaw.reading.addresses import address_size, find_addresses, is_address
from mixlaw.reading.tokenizer import ByteTokenizer

TOP_KEYS = ("tokenizer", "vocab_size", "domains")
# Format -> the keys that a domain of it may have besides `paths` and `format`.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "text": ("split",),
    "jsonl": ("field",),
    "parquet": ("field", "ids", "eod"),
    "arrow": ("field", "ids", "eod"),
    "dataset": ("field", "ids", "eod"),
    "npy": ("eod",),
    "megatron": ("eod",),
    "llmc": ("eod",),
    "raw": ("dtype", "eod"),
}
# Formats of text, unless `ids` names a column of token ids.
TEXT_FORMATS = ("text", "jsonl", "parquet", "arrow", "dataset")
DOMAIN_KEYS = ("paths", "format", *dict.fromkeys(key for keys in FORMATS.values() for key in keys))
SUFFIXES = {
    ".txt": "text",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".npy": "npy",
}
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
SPLITS = ("file", "line")
# What `datasets` writes beside the files of a saved dataset, with their names.
STATE = "state.json"


@dataclass(frozen=True)
class DomainConfig:
    """One entry of `domains`, complete.

    Attributes
    ----------
    name
        The domain.
    files
        The files that `paths` names, sorted, some of them addresses; for dataset, those that its folders hold.
    format
        One of `FORMATS`.
    field
        Field or column of the text, for jsonl, parquet, arrow and dataset.
    ids
        Column of lists of token ids, for parquet, arrow and dataset; None if they are read as text.
    split
        What is one document, for text: a ``"file"`` or a ``"line"``.
    dtype
        What raw files hold.
    eod
        The id that marks the end of a document, where the domain is token ids.
    """

    name: str
    files: tuple[str, ...]
    format: str
    field: str = "text"
    ids: str | None = None
    split: str = "file"
    dtype: str = ""
    eod: int | None = None

    @property
    def is_text(self) -> bool:
        """Whether it needs a tokenizer."""
        return self.format in TEXT_FORMATS and self.ids is None


@dataclass(frozen=True)
class CorpusConfig:
    """A ``corpus.yaml``, complete.

    Attributes
    ----------
    path
        The file.
    tokenizer
        ``"bytes"``, or the path of a tokenizer.json; None if there is none.
    vocab_size
        What the file says; None if it says nothing.
    domains
        The domains in the file's order.
    """

    path: str
    tokenizer: str | None
    vocab_size: int | None
    domains: tuple[DomainConfig, ...]


def read_config(path: str | os.PathLike[str]) -> CorpusConfig:
    """Read and check a ``corpus.yaml``.

    Raises
    ------
    InputError
        If the file is no YAML, a key is unknown or stands twice, a value is not what it should be, or a pattern matches
        no file; the message names file and domain, and the line where the YAML itself is wrong.
    """
    content = read_yaml(path)
    where = str(path)
    _check_keys(content, TOP_KEYS, where, "a corpus")
    tokenizer = content.get("tokenizer")
    if tokenizer is not None and (not isinstance(tokenizer, str) or not tokenizer):
        raise InputError(f"{where}: `tokenizer` must be the path of a tokenizer.json, or bytes, not {tokenizer!r}")
    vocab_size = content.get("vocab_size")
    if vocab_size is not None:
        _check_integer(vocab_size, 1, f"{where}: `vocab_size`")
    if tokenizer is None and vocab_size is None:
        raise InputError(f"{where}: needs a `tokenizer`, or a `vocab_size` if all domains are token ids")
    domains = content.get("domains")
    if not isinstance(domains, dict) or not domains:
        raise InputError(f"{where}: `domains` must map the name of each domain to its description, not {domains!r}")
    folder = Path(path).parent
    return CorpusConfig(
        where,
        tokenizer if tokenizer in (None, ByteTokenizer.name) else str(folder / tokenizer),
        vocab_size,
        tuple(_domain(name, entry, folder, where, tokenizer is not None) for name, entry in domains.items()),
    )


def _domain(name: Any, entry: Any, folder: Path, where: str, has_tokenizer: bool) -> DomainConfig:
    try:
        check_domains([name])
    except InputError as error:
        # YAML takes a bare `no` or `1` for something else than a name.
        hint = "" if isinstance(name, str) else ": put it in quotes"
        raise InputError(f"{where}: {error}{hint}") from error
    where = f"{where}, domain {name!r}"
    _check_keys(entry, DOMAIN_KEYS, where, "a domain")
    files = _find_files(entry.get("paths"), entry.get("format"), folder, where)
    kind: Any = entry["format"] if "format" in entry else _format_of(files, where)
    if not isinstance(kind, str) or kind not in FORMATS:
        raise InputError(f"{where}: unknown format {kind!r}{did_you_mean(str(kind), FORMATS)}")
    for key in entry.keys() - {"paths", "format", *FORMATS[kind]}:
        owners = " and ".join(owner for owner, keys in FORMATS.items() if key in keys)
        raise InputError(f"{where}: `{key}` belongs to format {owners}, and this one is {kind}")
    if kind == "dataset":
        files = tuple(file for path in files for file in _dataset_files(path, where))
        if not files:
            raise InputError(f"{where}: no tokens: the dataset has no rows")
    if not any(file_bytes(file) for file in files):
        which = f"{files[0]} is" if len(files) == 1 else f"all {len(files)} files are"
        raise InputError(f"{where}: no tokens: {which} empty")
    domain = DomainConfig(name, files, kind, **{key: value for key, value in entry.items() if key in FORMATS[kind]})
    _check_values(domain, where)
    if domain.is_text:
        if not has_tokenizer:
            rest = "; or say `ids`, a column of token ids" if "ids" in FORMATS[kind] else ""
            raise InputError(
                f"{where}: format {kind} is text, which needs a `tokenizer`: a tokenizer.json, or bytes{rest}"
            )
        if "eod" in entry:
            raise InputError(
                f"{where}: `eod` is for token ids, and this is text: say `ids`, the column that holds them"
            )
    elif "field" in entry:
        raise InputError(f"{where}: `field` names a column of text and `ids` one of token ids: say one of them")
    return domain


def file_bytes(file: str) -> int:
    """Bytes of a file that a ``corpus.yaml`` names."""
    return address_size(file) if is_address(file) else os.path.getsize(file)


def _check_values(domain: DomainConfig, where: str) -> None:
    if not isinstance(domain.field, str) or not domain.field:
        raise InputError(f"{where}: `field` must be the name of the field that holds the text, not {domain.field!r}")
    if domain.ids is not None and (not isinstance(domain.ids, str) or not domain.ids):
        raise InputError(f"{where}: `ids` must be the name of the column that holds token ids, not {domain.ids!r}")
    if domain.split not in SPLITS:
        raise InputError(f"{where}: `split` must be file or line, not {domain.split!r}")
    if domain.format == "text" and domain.split == "file":
        for file in domain.files:
            if file.endswith(COMPRESSED):
                raise InputError(f"{where}: {file} is compressed, which `split: file` does not read: unpack it")
    names = [dtype.__name__ for dtype in TOKEN_DTYPES]
    if domain.format == "raw" and domain.dtype not in names:
        raise InputError(f"{where}: `dtype` must be one of {', '.join(names)}, not {domain.dtype or 'left out'!r}")
    if domain.eod is not None:
        _check_integer(domain.eod, 0, f"{where}: `eod`")
        if domain.dtype and domain.eod > np.iinfo(domain.dtype).max:
            raise InputError(f"{where}: `eod` {domain.eod} is no {domain.dtype}")


def _find_files(patterns: Any, kind: Any, folder: Path, where: str) -> tuple[str, ...]:
    """Files (for dataset, folders) that the patterns name, each once, in the order of their names."""
    if isinstance(patterns, str):
        patterns = [patterns]
    if not isinstance(patterns, list) or not patterns or not all(isinstance(item, str) and item for item in patterns):
        raise InputError(f"{where}: `paths` must be a path or pattern, or a list of them, not {patterns!r}")
    is_wanted = os.path.isdir if kind == "dataset" else os.path.isfile
    # The index of a token file holds no tokens.
    index = ".idx" if kind == "megatron" else ".offsets.npy"
    files: set[str] = set()
    for pattern in patterns:
        if is_address(pattern):
            if kind == "dataset":
                raise InputError(f"{where}: {pattern!r} is an address, at which no saved dataset is read: copy it here")
            addresses = [name for name in find_addresses(pattern) if not name.endswith(index)]
            if not addresses:
                raise InputError(f"{where}: {pattern!r} matches no file")
            files.update(addresses)
            continue
        # A file whose name has brackets is that file and no pattern.
        names = [pattern] if is_wanted(folder / pattern) else glob.glob(pattern, root_dir=folder, recursive=True)
        found = [str(folder / name) for name in names if is_wanted(folder / name) and not name.endswith(index)]
        if not found:
            if kind != "dataset" and any((folder / name / STATE).is_file() for name in names):
                raise InputError(f"{where}: {pattern!r} is a saved dataset: say `format: dataset`")
            raise InputError(f"{where}: {pattern!r} matches no {'folder' if kind == 'dataset' else 'file'} in {folder}")
        files.update(found)
    # By names that do not depend on how the path of the corpus.yaml is spelled.
    return tuple(sorted(files, key=lambda name: name if is_address(name) else os.path.relpath(name, folder)))


def _dataset_files(path: str, where: str) -> list[str]:
    """Arrow files of a folder that `Dataset.save_to_disk` wrote, in the order of their rows."""
    splits = Path(path) / "dataset_dict.json"
    if splits.is_file():
        content = read_json(splits)
        names = content.get("splits", []) if isinstance(content, dict) else []
        raise InputError(
            f"{where}: {path} holds several datasets, a DatasetDict: name the folder of one, "
            f"{_list(os.path.join(path, str(name)) for name in names)}"
        )
    state = Path(path) / STATE
    if not state.is_file():
        raise InputError(f"{where}: {path} is no folder of `Dataset.save_to_disk`: it has no {STATE}")
    try:
        files = [os.path.join(path, entry["filename"]) for entry in read_json(state)["_data_files"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{where}: {state} names no data files ({error!r})") from error
    for file in files:
        if not os.path.isfile(file):
            raise InputError(f"{where}: {state} names {file}, which is not there")
    return files


def _format_of(files: Sequence[str], where: str) -> str:
    formats: dict[str, str] = {}
    for file in files:
        bare = Path(file).with_suffix("") if file.endswith(COMPRESSED) else Path(file)
        if bare.suffix not in SUFFIXES:
            raise InputError(f"{where}: the format of {file} is not in its name: say `format`, one of {_list(FORMATS)}")
        formats.setdefault(SUFFIXES[bare.suffix], file)
    if len(formats) > 1:
        raise InputError(f"{where}: {_list(formats.values())} differ in format: say `format`, or make it two domains")
    return next(iter(formats))


def _check_keys(content: Any, known: Sequence[str], where: str, what: str) -> None:
    if not isinstance(content, dict):
        raise InputError(f"{where}: {what} is described by keys ({_list(known)}), not by {content!r}")
    for key in content:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}{did_you_mean(str(key), known)}")


def _check_integer(value: Any, least: int, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{what} must be an integer of at least {least}, not {value!r}")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML's own loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """Read a YAML file, in which no key may stand twice.

    Raises
    ------
    InputError
        If the file cannot be read or is no such YAML; the message names the file, and the line where there is one.
    """
    try:
        # `yaml` would also guess other encodings.
        text = Path(path).read_bytes().decode()
        return yaml.load(text, _Loader)  # a safe loader
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: not valid YAML ({error.problem})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML ({error})") from error


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
