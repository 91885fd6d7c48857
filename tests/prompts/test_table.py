"""The frozen table of prompts."""

import hashlib
import struct
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from ripplestats.prompts.table import Prompt, PromptTable, Provenance
from tests.conftest import tiny_prompts

TABLE = tiny_prompts(10, 5, n_documents=4)


def test_a_table_is_a_sequence_of_prompts() -> None:
    assert len(TABLE) == 10
    assert [row.prompt_id for row in TABLE] == list(range(10))
    assert TABLE[3] is TABLE.rows[3]
    assert TABLE[-1].prompt_id == 9
    assert TABLE[3] in TABLE
    with pytest.raises(IndexError):
        TABLE[10]


def test_a_slice_is_a_table_of_the_same_origin() -> None:
    table = replace(TABLE, provenance=Provenance("asked", "used", "revision"))
    part = table[2:8:3]
    assert isinstance(part, PromptTable)
    assert [row.prompt_id for row in part] == [2, 5]
    assert part.provenance == table.provenance
    assert len(table[20:]) == 0


def test_neither_table_nor_prompt_can_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        TABLE.rows = ()
    with pytest.raises(FrozenInstanceError):
        TABLE[0].target_id = 3


def test_documents_are_counted_once() -> None:
    assert TABLE.n_documents == 4
    assert TABLE[:2].n_documents == 2


@pytest.mark.parametrize(
    "change",
    [{"document_id": 99}, {"target_id": 0}, {"context_ids": (3, 4, 5, 6, 8)}, {"context_ids": (3, 4, 5, 6)}],
)
def test_the_fingerprint_changes_with_tokens_targets_and_documents(change: dict) -> None:
    first = replace(TABLE[0], context_ids=(3, 4, 5, 6, 7))
    before, after = (PromptTable((one, *TABLE.rows[1:])) for one in (first, replace(first, **change)))
    assert before.fingerprint != after.fingerprint


def test_the_fingerprint_knows_the_order_and_the_bounds_of_prompts() -> None:
    a, b = (Prompt(0, 0, "", ids, "", 9) for ids in ((1, 2), (1, 2, 3)))
    tables = [(a, b), (b, a), (a,), (b,), ()]
    assert len({PromptTable(rows).fingerprint for rows in tables}) == len(tables)


def test_the_fingerprint_is_the_same_on_every_machine_and_ignores_the_wording() -> None:
    one = PromptTable((Prompt(0, 1, "text", (2, 3), "t", 4),))
    # Document, target, length and tokens, as little-endian 64-bit numbers.
    assert one.fingerprint == hashlib.sha256(struct.pack("<5q", 1, 4, 2, 2, 3)).hexdigest()
    assert PromptTable((Prompt(7, 1, "other", (2, 3), "x", 4, "title", "kind", "word"),)).fingerprint == one.fingerprint


def test_the_frame_has_a_row_a_prompt_with_fixed_types() -> None:
    rows = (Prompt(0, 5, "a b", (1, 2), "c", 3, "title", "kind", "word", 9), Prompt(1, 6, "d", (4,), "e", 5))
    frame = PromptTable(rows).to_frame()
    assert list(frame) == [
        "prompt_id", "document_id", "context", "context_ids", "target", "target_id", "document_title", "kind",
        "target_word", "position",
    ]  # fmt: skip
    assert {frame[name].dtype for name in ("prompt_id", "document_id", "target_id", "position")} == {np.dtype("int32")}
    assert frame["context_ids"].tolist() == [[1, 2], [4]]
    assert frame.iloc[0, [0, 1, 2, 4, 5, 6, 7, 8, 9]].tolist() == [0, 5, "a b", "c", 3, "title", "kind", "word", 9]
