"""From text to entropies, against the tokenizers alone on the same text in the same run.

The text is that of the installed packages, in documents of at most 4,000 characters, none twice; the tokenizer is a
byte-level BPE of 50,257 ids trained on a part of it. BENCH_TEXT_BYTES sets how much text; the default, 4e8, takes about
3 GB and five minutes. Correctness first: ids and counts equal those of `tokenizers`, on a part of the text.
"""

import gzip
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw import Entropies, NgramCounter
from mixlaw.reading import (
    ByteTokenizer,
    FastTokenizer,
    FileTokenizer,
    JsonLines,
    ParquetFiles,
    TextSource,
    Tokenizer,
    WholeFiles,
)
from mixlaw.reading.documents import Documents, borders_of

BYTES = int(float(os.environ.get("BENCH_TEXT_BYTES", "4e8")))
LONGEST = 4000
VOCAB_SIZE = 50257
# Bytes that `tokenizers` is trained on, and timed with.
TRAINING, PART = 2 * 10**7, 10**7
ROUNDS = 3


def texts(most: int) -> Iterator[str]:
    """Text of the installed packages, `most` bytes of it, no file twice."""
    seen = set()
    size = 0
    for path in chain.from_iterable(sorted(Path(folder).rglob("*.*")) for folder in sys.path if "python" in folder):
        if path.suffix not in {".py", ".pyi", ".md", ".rst", ".txt", ".h", ".hpp", ".html", ".js", ".json", ".csv"}:
            continue
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if (digest := hashlib.sha256(text.encode()).digest()) in seen:
            continue
        seen.add(digest)
        for begin in range(0, len(text), LONGEST):
            yield text[begin : begin + LONGEST]
            size += len(text[begin : begin + LONGEST].encode())
            if size >= most:
                return


def train(documents: list[str], path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    share = max(1, sum(map(len, documents)) // TRAINING)
    tokenizer.train_from_iterator(documents[::share], trainer)
    tokenizer.save(str(path))


def write(documents: list[str], folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = "".join(json.dumps({"id": k, "text": text}, ensure_ascii=False) + "\n" for k, text in enumerate(documents))
    (folder / "all.jsonl").write_bytes(lines.encode())
    (folder / "all.jsonl.gz").write_bytes(gzip.compress(lines.encode(), 6))
    (folder / "all.jsonl.zst").write_bytes(pa.compress(lines.encode(), "zstd", asbytes=True))
    (folder / "all.txt").write_bytes("".join(documents).encode())
    table = pa.table({"text": documents})
    pq.write_table(table, folder / "all.parquet", compression="zstd", row_group_size=10_000)


def entropies(documents: Documents | list[str], tokenizer: Tokenizer, order: int = 2) -> tuple[int, Entropies]:
    counter = NgramCounter(tokenizer.vocab_size, order=order)
    for chunk in TextSource(documents, tokenizer).chunks(None, order - 1):
        counter.update(chunk.tokens, chunk.offsets, context=chunk.context)
    return counter.total(1), counter.entropies()


def test_text(benchmark: Any, record: Callable[..., None], tmp_path: Path) -> None:
    import gigatoken

    documents = list(texts(BYTES))
    train(documents, tmp_path / "tokenizer.json")
    write(documents, tmp_path)
    slow = FileTokenizer(tmp_path / "tokenizer.json")
    encoded = [text.encode() for text in documents]
    size = sum(map(len, encoded))
    share = max(1, size // PART)
    part = documents[::share]

    fast = FastTokenizer(slow)
    data, borders = np.frombuffer("".join(part).encode(), np.uint8), borders_of([len(text.encode()) for text in part])
    for ours, theirs in zip(fast.encode(data, borders), slow.encode(data, borders), strict=True):
        assert np.array_equal(ours, theirs)
    assert entropies(part, fast) == entropies(part, slow)
    lines = str(tmp_path / "all.jsonl")
    total, expected = entropies(JsonLines([lines]), fast)

    def alone() -> int:
        """Its own best: the texts in memory, in batches of 16 MB."""
        library = gigatoken.Tokenizer.from_json(slow.content.decode())
        step = max(1, len(encoded) * 2**24 // size)
        batches = (encoded[begin : begin + step] for begin in range(0, len(encoded), step))
        return sum(len(library.encode_batch(batch).layout.content) for batch in batches)

    def alone_from_file() -> int:
        library = gigatoken.Tokenizer.from_json(slow.content.decode())
        return len(library.encode_files(gigatoken.JsonlFileSource([lines])).layout.content)

    def whole(documents: Documents) -> int:
        found, measured = entropies(documents, FastTokenizer(slow))
        assert (found, measured) == (total, expected)
        return found

    def as_bytes(documents: Documents, order: int) -> int:
        found, _ = entropies(documents, ByteTokenizer(), order)
        assert found == size
        return found

    contenders: dict[str, Callable[[], int]] = {
        "gigatoken alone, texts in memory": alone,
        "gigatoken alone, .jsonl": alone_from_file,
        "tokenizers alone, texts in memory": lambda: len(slow.encode(data, borders)[0]),
        "entropies, .jsonl": lambda: whole(JsonLines([lines])),
        "entropies, .jsonl.gz": lambda: whole(JsonLines([f"{lines}.gz"])),
        "entropies, .jsonl.zst": lambda: whole(JsonLines([f"{lines}.zst"])),
        "entropies, .parquet": lambda: whole(ParquetFiles([str(tmp_path / "all.parquet")])),
        "entropies by tokenizers, texts in memory": lambda: entropies(part, slow)[0],
        "bytes, order 1, .txt": lambda: as_bytes(WholeFiles([str(tmp_path / "all.txt")]), 1),
        "bytes, order 2, .txt": lambda: as_bytes(WholeFiles([str(tmp_path / "all.txt")]), 2),
        "bytes, order 2, .jsonl": lambda: as_bytes(JsonLines([lines]), 2),
    }
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            tokens = run()
            rates[name].append((tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu)))
    medians = {name: np.median(pairs, axis=0).tolist() for name, pairs in rates.items()}
    record(
        [
            {
                "path": name,
                "Mtokens_per_second": rate / 1e6,
                "Mtokens_per_cpu_second": cpu_rate / 1e6,
                "of_gigatoken_in_memory": rate / medians["gigatoken alone, texts in memory"][0],
                "of_gigatoken_jsonl": rate / medians["gigatoken alone, .jsonl"][0],
                "times_tokenizers": rate / medians["entropies by tokenizers, texts in memory"][0],
                "MB": size / 1e6,
            }
            for name, (rate, cpu_rate) in medians.items()
        ],
        ["gigatoken", "tokenizers", "pyarrow"],
    )
    benchmark.pedantic(alone, rounds=1)
