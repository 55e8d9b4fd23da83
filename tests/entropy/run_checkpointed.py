"""Count a file of tokens with checkpoints, from the last one on: run, and killed, by test_checkpoint.py."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw import NgramCounter


def main(tokens: str, folder: str, out: str, call: int, calls_a_checkpoint: int, **settings: Any) -> None:
    array = np.load(tokens, mmap_mode="r")
    counter = NgramCounter(checkpoint_dir=folder, tokenizer="t", **settings)
    # What a killed process left behind is gone.
    manifest = Path(folder) / "manifest.json"
    tables = json.loads(manifest.read_text())["tables"] if manifest.exists() else []
    named = {name for table in tables for name in table["files"]}
    assert {path.name for path in Path(folder).glob("*.mlc")} == named
    begin = counter.note or 0
    assert counter.total(1) == begin
    assert counter.inputs == ((("tokens", 0, begin),) if begin else ())
    print("go", flush=True)
    for number, start in enumerate(range(begin, len(array), call), 1):
        stop = min(start + call, len(array))
        context = min(start, counter.order - 1)
        counter.update(array[start - context : stop], context=context)
        counter.add_input("tokens", start, stop)
        if number % calls_a_checkpoint == 0:
            counter.checkpoint(stop)
            counter.entropies()  # merges what the checkpoint names
    counter.write(out)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
