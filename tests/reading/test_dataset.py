from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, IterableDataset, List, Value, concatenate_datasets

from mixlaw import Corpus, InputError
from mixlaw.corpus import Position, TokenSource
from mixlaw.reading import ByteTokenizer, DatasetRows, DatasetTokens, TextSource, rows, text

Read = Callable[..., list[list[int]]]
Check = Callable[[TokenSource, int], int]
TEXTS = ["a", "", "2020-01-01", "été\r\n"] * 3
IDS = [[1, 2], [], [3], [4, 5, 6]] * 3


def typed(ids: list[list[int]], kind: str, length: int = -1) -> Dataset:
    return Dataset.from_dict({"input_ids": ids}, features=Features({"input_ids": List(Value(kind), length=length)}))


@pytest.mark.parametrize("streaming", [False, True])
def test_texts_of_a_dataset_can_be_entered_at_any_chunk(
    streaming: bool, documents_of: Read, check_resuming: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROWS", 2)
    monkeypatch.setattr(text, "BATCH_BYTES", 3)
    dataset: Dataset | IterableDataset = Dataset.from_dict({"body": TEXTS, "n": range(len(TEXTS))})
    if streaming:
        dataset = dataset.to_iterable_dataset(num_shards=3)
    source = TextSource(DatasetRows(dataset, "body"), ByteTokenizer())
    assert documents_of(source) == [list(item.encode()) for item in TEXTS if item]
    assert check_resuming(source, 1) >= 3


def test_text_that_is_null_is_named() -> None:
    source = TextSource(DatasetRows(Dataset.from_dict({"text": ["a", None]})), ByteTokenizer())
    with pytest.raises(InputError, match="dataset, row index 1: expected text, found null"):
        list(source.chunks(None, 1))


def test_half_a_surrogate_pair_cannot_enter_a_dataset_and_a_long_row_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_CHUNK", 2)
    source = TextSource(DatasetRows(Dataset.from_dict({"text": ["a", "bbb"]})), ByteTokenizer())
    with pytest.raises(InputError, match="dataset, row index 1: a document of more than 2 tokens"):
        list(source.chunks(None, 1))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "int32", "int64"])
def test_token_ids_of_a_dataset_are_its_documents(kind: str, documents_of: Read, check_resuming: Check) -> None:
    source = DatasetTokens(typed(IDS, kind), 7)
    assert documents_of(source) == [ids for ids in IDS if ids]
    assert check_resuming(source, 1) == 1
    (shard,) = source.shards()
    assert (shard.tokens.dtype, shard.offsets.dtype, len(shard.offsets)) == (kind, np.int64, len(IDS) + 1)


def test_token_ids_are_read_from_disk_and_from_every_part(
    tmp_path: Path, documents_of: Read, check_resuming: Check
) -> None:
    typed(IDS, "int32").save_to_disk(tmp_path / "saved")
    dataset = concatenate_datasets([Dataset.load_from_disk(tmp_path / "saved"), typed(IDS[:2], "int32")])
    source = DatasetTokens(dataset, 7)
    assert documents_of(source) == [ids for ids in IDS + IDS[:2] if ids]
    assert check_resuming(source, 1) == 2


def test_selection_and_order_of_a_dataset_are_kept(documents_of: Read) -> None:
    dataset = typed(IDS, "int32").select([3, 0, 1, 2, 3])
    assert documents_of(DatasetTokens(dataset, 7)) == [[4, 5, 6], [1, 2], [3], [4, 5, 6]]
    assert documents_of(DatasetTokens(typed(IDS, "int32").select(range(2, 4)), 7)) == [[3], [4, 5, 6]]


def test_lists_of_one_length_are_documents(documents_of: Read) -> None:
    dataset = typed([[1, 2], [3, 4], [5, 6]], "int32", length=2)
    assert documents_of(DatasetTokens(dataset, 7)) == [[1, 2], [3, 4], [5, 6]]
    assert documents_of(DatasetTokens(dataset.select(range(1, 3)), 7)) == [[3, 4], [5, 6]]


def test_dataset_without_rows_has_no_documents(documents_of: Read) -> None:
    assert documents_of(DatasetTokens(typed([], "int32"), 7)) == []


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1], None], "row index 1: expected a list of token ids, found null"),
        ([[1], [], [2, None, 2]], "row index 2: token 1 is null"),
        (["a"], "column 'input_ids': expected lists of token ids, found string"),
        ([[0.5]], "column 'input_ids': expected token ids of type uint8, uint16, uint32, int32, int64, found double"),
        ([[True]], "column 'input_ids': expected token ids of type uint8, .*, found bool"),
        ([[[1]]], "column 'input_ids': expected token ids of type uint8, .*, found list"),
    ],
)
def test_column_that_holds_no_token_ids_is_refused(column: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"^dataset, {message}"):
        DatasetTokens(Dataset.from_dict({"input_ids": column}), 7)


def test_id_outside_the_vocabulary_is_named() -> None:
    corpus = Corpus({"web": DatasetTokens(typed([[1, 2], [9]], "int32"), 7)}, vocab_size=7)
    with pytest.raises(InputError, match="domain 'web': dataset, rows from index 0: token 2 is 9, which is no id"):
        list(corpus["web"].chunks())


def test_absent_column_says_which_there_are() -> None:
    dataset = Dataset.from_dict({"body": ["a"], "n": [1]})
    for make in (lambda: DatasetRows(dataset), lambda: DatasetTokens(dataset, 7)):
        with pytest.raises(InputError, match=r"the dataset has no column '(text|input_ids)'; there are 'body', 'n'"):
            make()


def test_unknown_part_of_a_dataset_is_refused() -> None:
    source = DatasetTokens(typed(IDS, "int32"), 7)
    with pytest.raises(InputError, match="cannot resume at elsewhere: the domain does not hold it"):
        list(source.chunks(Position("elsewhere", 0), 1))
