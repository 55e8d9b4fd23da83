"""Reading corpora: from ``corpus.yaml``, texts, datasets and token files to the token chunks of a `mixlaw.Corpus`."""

from mixlaw.reading.columns import ArrowTokens, ParquetTokens
from mixlaw.reading.dataset import DatasetRows, DatasetTokens
from mixlaw.reading.documents import Documents, Texts, WholeFiles
from mixlaw.reading.fast_tokenizer import FastTokenizer, load_tokenizer
from mixlaw.reading.llmc import LlmcFiles
from mixlaw.reading.load import load_corpus
from mixlaw.reading.megatron import MegatronFiles
from mixlaw.reading.rows import ArrowFiles, JsonLines, ParquetFiles, TextLines
from mixlaw.reading.sample import sample_corpus
from mixlaw.reading.shards import write_shards
from mixlaw.reading.text import TextSource
from mixlaw.reading.tokenfiles import NpyFiles, RawFiles
from mixlaw.reading.tokenizer import ByteTokenizer, FileTokenizer, Tokenizer

__all__ = [
    "ArrowFiles",
    "ArrowTokens",
    "ByteTokenizer",
    "DatasetRows",
    "DatasetTokens",
    "Documents",
    "FastTokenizer",
    "FileTokenizer",
    "JsonLines",
    "LlmcFiles",
    "MegatronFiles",
    "NpyFiles",
    "ParquetFiles",
    "ParquetTokens",
    "RawFiles",
    "TextLines",
    "TextSource",
    "Texts",
    "Tokenizer",
    "WholeFiles",
    "load_corpus",
    "load_tokenizer",
    "sample_corpus",
    "write_shards",
]
