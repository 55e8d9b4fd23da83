"""Token streams for the benchmarks of counting: a synthetic one of any length, and real text of this machine.

A stream is a folder with the tokens (`tokens.u16`) and the borders of its documents (`offsets.i64`), raw files that are
memory-mapped. It is made once and kept under the folder that BENCH_DATA names, build/bench if it names none.
"""

import gzip
import hashlib
import json
import os
import shutil
import sys
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

DATA = Path(os.environ.get("BENCH_DATA") or Path(__file__).resolve().parents[1] / "build" / "bench")
# The synthetic stream.
VOCAB_SIZE = 50254
DOCUMENT = 1000
SEED = 1
BLOCK = 1 << 13  # documents that are drawn together
# Real text.
BPE_SIZE = 50000
ENDINGS = (".py", ".pyi", ".md", ".rst", ".txt", ".html", ".pl", ".pm", ".pod", ".gz")
SHARED_TEXT = ("/usr/share/doc", "/usr/share/perl", "/usr/share/perl5", "/usr/lib/python3")
MOST = 1 << 28  # characters that are tokenised
SAMPLE = 1 << 26  # and that the BPE is trained on

Words = npt.NDArray[np.uint64]


class Stream(NamedTuple):
    """The first documents of a folder; none of them is empty."""

    name: str
    folder: Path
    vocab_size: int
    documents: int

    def offsets(self) -> npt.NDArray[np.int64]:
        """Borders of the documents, shape (documents + 1,)."""
        return np.fromfile(self.folder / "offsets.i64", np.int64, self.documents + 1)

    def tokens(self, start: int = 0, stop: int | None = None) -> npt.NDArray[np.uint16]:
        """The tokens from `start` to `stop` in a map of their own, whose pages leave the process with the array."""
        stop = int(self.offsets()[-1]) if stop is None else stop
        return np.memmap(self.folder / "tokens.u16", np.uint16, "r", offset=2 * start, shape=stop - start)

    def chunks(self, size: int) -> Iterator[tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]]:
        """Tokens and offsets of whole documents, at most `size` tokens at a time unless one document has more."""
        offsets, first = self.offsets(), 0
        while first < self.documents:
            last = max(int(np.searchsorted(offsets, offsets[first] + size, "right")) - 1, first + 1)
            yield self.tokens(int(offsets[first]), int(offsets[last])), offsets[first : last + 1] - offsets[first]
            first = last

    def packed(self, size: int = 1 << 22) -> Iterator[npt.NDArray[np.uint32]]:
        """Pairs of adjacent tokens of a document, the first in the upper 16 bits, from `size` tokens at a time."""
        for tokens, offsets in self.chunks(size):
            keys = tokens[:-1].astype(np.uint32) << np.uint32(16) | tokens[1:]
            inside = np.ones(len(keys), bool)
            inside[offsets[1:-1] - 1] = False
            yield keys[inside]


def mix(words: Words) -> Words:
    """Hash of 64-bit words (the finaliser of SplitMix64)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def zipf_markov(size: int, data: Path = DATA) -> Stream:
    """`size` tokens in documents of a Markov chain whose tokens and successors are as skewed as those of text.

    Tokens of rank k have mass ~ (k + 5)^-1.05. The successor of token x has an index r with a Pareto tail,
    P(r >= t) = (1 + t / q_x)^-1/2, where log q_x ~ N(log 5, 2^2); which token that is, a hash of (x, r) draws by mass.
    A shorter stream is the beginning of a longer one, so that one file serves all lengths.
    """
    folder = data / f"zipf-markov-{VOCAB_SIZE}-{DOCUMENT}-{SEED}"
    documents = size // DOCUMENT
    file = folder / "tokens.u16"
    if not file.exists() or file.stat().st_size < 2 * DOCUMENT * documents:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        part = folder / "tokens.part"
        _draw(np.memmap(part, np.uint16, "w+", shape=(documents, DOCUMENT)))
        (np.arange(documents + 1, dtype=np.int64) * DOCUMENT).tofile(folder / "offsets.i64")
        part.rename(file)
    return Stream("Zipf-Markov", folder, VOCAB_SIZE, documents)


class Chain(NamedTuple):
    """The Markov chain of `zipf_markov`: a token by mass is `quantiles` of 20 random bits; `spread` is q_x."""

    quantiles: npt.NDArray[np.uint32]
    spread: npt.NDArray[np.float64]

    def successors(self, token: npt.NDArray[np.uint64], index: Words) -> npt.NDArray[np.uint32]:
        """The tokens that the indexes of successors stand for."""
        word = mix(index * np.uint64(0x9E3779B97F4A7C15) ^ token * np.uint64(0xC2B2AE3D27D4EB4F))
        return self.quantiles[word >> np.uint64(44)]


def chain(vocab_size: int = VOCAB_SIZE) -> Chain:
    """The chain over so many tokens."""
    rng = np.random.default_rng(SEED)
    cdf = np.cumsum((np.arange(vocab_size) + 6.0) ** -1.05)
    ids = np.argsort(np.log(np.arange(vocab_size) + 1.0) + 0.5 * rng.standard_normal(vocab_size)).argsort()
    quantiles = ids[np.searchsorted(cdf / cdf[-1], (np.arange(2**20) + 0.5) * 2.0**-20)].astype(np.uint32)
    return Chain(quantiles, 5.0 * np.exp(2.0 * rng.standard_normal(vocab_size)))


def _draw(rows: npt.NDArray[np.uint16]) -> None:
    drawn = chain()

    def fill(first: int) -> None:
        """Draw one block of documents, all of them a step at a time; it has random numbers of its own."""
        rng = np.random.default_rng((SEED, first // BLOCK))
        steps = np.empty((DOCUMENT, BLOCK), np.uint16)
        now = drawn.quantiles[rng.integers(0, 2**20, BLOCK)]
        for step in steps:
            step[:] = now
            uniform = 1.0 - rng.random(BLOCK)
            index = np.minimum(drawn.spread[now] * (1.0 / (uniform * uniform) - 1.0), 1e15).astype(np.uint64)
            now = drawn.successors(now.astype(np.uint64), index)
        block = rows[first : first + BLOCK]
        block[:] = steps.T[: len(block)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(0, len(rows), BLOCK)))


def real_text(data: Path = DATA, roots: Sequence[str | Path] | None = None, vocab_size: int = BPE_SIZE) -> Stream:
    """The text files of this machine, as a byte-level BPE trained on a sample of them has it.

    Files of Python, of Perl and of documentation, plain or gzipped; each content is one document, once. Where there are
    more than `MOST` characters, a hash of the content draws about as many.
    """
    folder = data / "text"
    if not (folder / "about.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _tokenize([Path(root) for root in roots or _text_roots()], vocab_size, folder)
    about = json.loads((folder / "about.json").read_text())
    return Stream("text", folder, about["vocab_size"], about["documents"])


def _text_roots() -> list[str]:
    packages = [path for path in sys.path if path.endswith("site-packages")]
    return [sysconfig.get_path("stdlib"), *packages, *SHARED_TEXT]


def _texts(roots: Sequence[Path]) -> Iterator[tuple[int, str]]:
    """Every different text under the roots, in the order of the paths, and a hash of it that is below 2^32."""
    seen = set()
    for root in roots:
        for path in sorted(root.rglob("*")):
            if not path.name.endswith(ENDINGS) or not path.is_file():
                continue
            try:
                content = path.read_bytes()
                content = gzip.decompress(content) if path.suffix == ".gz" else content
                text = content.decode()
            except (OSError, EOFError, zlib.error, UnicodeDecodeError):  # no gzip, no UTF-8
                continue
            digest = hashlib.blake2b(content, digest_size=16).digest()
            if text and digest not in seen:
                seen.add(digest)
                yield int.from_bytes(digest[:4], "big"), text


def _tokenize(roots: Sequence[Path], vocab_size: int, folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    texts = list(_texts(roots))
    found = sum(len(text) for _, text in texts)
    texts = [(digest, text) for digest, text in texts if digest * found < MOST * 2**32]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator((text for digest, text in texts if digest * found < SAMPLE * 2**32), trainer)
    lengths = [0]
    with (folder / "tokens.u16").open("wb") as file:
        for first in range(0, len(texts), 256):
            for encoded in tokenizer.encode_batch_fast([text for _, text in texts[first : first + 256]]):
                file.write(np.array(encoded.ids, np.uint16).tobytes())
                lengths.append(len(encoded.ids))
    offsets = np.cumsum(lengths)
    offsets.astype(np.int64).tofile(folder / "offsets.i64")
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {
        "documents": len(texts),
        "characters": sum(len(text) for _, text in texts),
        "characters_found": found,
        "tokens": int(offsets[-1]),
        "vocab_size": tokenizer.get_vocab_size(),
    }
    (folder / "about.json").write_text(json.dumps(about))
