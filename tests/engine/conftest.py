from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two domains of text and one of tokens, in files of uneven sizes, two of them empty."""
    rng = np.random.default_rng(3)
    words = [f"w{number}" for number in range(200)]
    folder = tmp_path / "in"
    folder.mkdir()
    for number, lines in enumerate([40, 0, 7, 63, 1, 25, 90, 3, 31, 17, 0, 50]):
        rows = [" ".join(rng.choice(words, rng.integers(1, 40))) for _ in range(lines)]
        (folder / f"a{number:02}.txt").write_text("".join(f"{row}\n" for row in rows))
    (folder / "b.txt").write_text("one file\n" * 99)
    for number in range(3):
        tokens = rng.integers(0, 250, 1271).astype(np.uint16)
        np.save(folder / f"t{number}.npy", tokens)
        np.save(folder / f"t{number}.offsets.npy", np.array([0, 100 + number, 1271]))
    path = folder / "corpus.yaml"
    path.write_text(
        "tokenizer: bytes\ndomains:\n  web/a: {paths: 'a*.txt'}\n  b: {paths: b.txt}\n  t: {paths: 't*.npy'}\n"
    )
    return path
