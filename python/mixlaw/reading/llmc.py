"""Token files of llm.c and modded-nanogpt: a header of 256 int32 values, then the token ids.

The first three values are a magic number, a version and the number of tokens, little-endian (llm.c,
dev/data/data_common.py). Documents are separated by a token, which `eod` names.
"""

import struct
from typing import Any

import numpy as np

from mixlaw.corpus import TokenShard
from mixlaw.errors import InputError
from mixlaw.reading.tokenfiles import TokenFiles, file_size, map_tokens, read_head

HEADER = 4 * 256
# Magic number -> version, and what the tokens are stored as: GPT-2's, Llama 3's.
KINDS: dict[int, tuple[int, np.dtype[Any]]] = {20240520: (1, np.dtype("<u2")), 20240801: (7, np.dtype("<u4"))}


class LlmcFiles(TokenFiles):
    """Token files with the header of llm.c, which says what they hold and how much."""

    def _open(self, path: str) -> TokenShard:
        head = read_head(path, HEADER)
        if len(head) < HEADER:
            raise InputError(f"{path}: truncated: {len(head)} bytes, of which the header alone takes {HEADER}")
        magic, version, count = struct.unpack_from("<3i", head)
        if magic not in KINDS:
            raise InputError(
                f"{path}: not a token file of llm.c: it begins with {magic}, expected one of "
                f"{', '.join(map(str, KINDS))}; a file without header is of format raw"
            )
        expected, dtype = KINDS[magic]
        if version != expected:
            raise InputError(f"{path}: version {version} of the format, expected {expected} for magic {magic}")
        if count < 0:
            raise InputError(f"{path}: the header says {count} tokens")
        held, rest = divmod(file_size(path) - HEADER, dtype.itemsize)
        if held != count or rest:
            raise InputError(
                f"{path}: the header says {count} tokens, but {HEADER + held * dtype.itemsize + rest} bytes hold "
                f"{held}{' and a part of one' * (rest > 0)}: it is truncated, or was not finished"
            )
        return TokenShard(map_tokens(path, dtype, HEADER, count), np.array([0, count], np.int64), path)
