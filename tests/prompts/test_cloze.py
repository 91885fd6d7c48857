"""A text and the word that should follow it: one prompt each, of its own length."""

import json
from pathlib import Path

import pytest

from ripplestats.errors import DatasetError
from ripplestats.prompts.sampling import load_prompts, make_prompts
from tests.prompts.tokenizers import beginning_tokenizer, byte_tokenizer, piece_tokenizer
from tests.tiny import WORDS, tiny_tokenizer

#: Prompts of one to nine words.
PAIRS = [(" ".join(WORDS[10 : 11 + n]), f" w{n}") for n in range(9)]


def written(folder: Path, pairs: list[tuple[str, str]]) -> str:
    file = folder / "cloze.jsonl"
    lines = (json.dumps({"prompt": text, "target": word, "kind": "idiom"}) for text, word in pairs)
    file.write_text("\n".join(lines))
    return str(file)


def test_cloze_prompts_keep_their_own_length_whatever_the_context(tmp_path: Path) -> None:
    table = load_prompts(written(tmp_path, PAIRS), 9, 6, tokenizer=tiny_tokenizer())
    assert sorted(len(row.context_ids) for row in table) == list(range(1, 10))
    # The tiny tokenizer decodes without spaces.
    expected = {text.replace(" ", ""): word.strip() for text, word in PAIRS}
    for row in table:
        assert expected[row.context] == row.target
        assert row.target_word == f" {row.target}"
        assert row.kind == "idiom"
    assert table.n_documents == 9


def test_the_target_is_the_first_token_of_the_word() -> None:
    (row,) = make_prompts([("a dark and stormy ", "night")], tokenizer=byte_tokenizer())
    assert (row.context, row.target, row.target_word) == ("a dark and stormy ", "n", "night")


def test_longer_words_are_noted_and_whole_words_are_not(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    longer = load_prompts(written(tmp_path, [(text, "night") for text, _ in PAIRS]), 9, 6, tokenizer=tokenizer)
    assert {(row.target, row.target_word) for row in longer} == {("n", "night")}
    assert longer.provenance.notes == ("in 9 prompts the target is the first token of a longer word",)
    whole = load_prompts(written(tmp_path, [(text, "n") for text, _ in PAIRS]), 9, 6, tokenizer=tokenizer)
    assert whole.provenance.notes == ()


def test_a_word_that_is_one_token_is_not_noted_where_decoding_drops_its_space(tmp_path: Path) -> None:
    table = load_prompts(written(tmp_path, PAIRS), 9, 6, tokenizer=piece_tokenizer())
    assert {row.target_word for row in table} == {word for _, word in PAIRS}
    assert {row.target_id for row in table} == {WORDS.index(word.strip()) for _, word in PAIRS}
    assert table.provenance.notes == ()


def test_the_beginning_token_comes_first(tmp_path: Path) -> None:
    table = load_prompts(written(tmp_path, PAIRS), 9, 6, tokenizer=beginning_tokenizer())
    assert {row.context_ids[0] for row in table} == {1}
    assert sorted(len(row.context_ids) for row in table) == list(range(2, 11))
    # It is not of the document.
    assert all(row.position == len(row.context_ids) - 1 for row in table)


def test_words_without_a_usable_token_are_left_out_and_counted(tmp_path: Path) -> None:
    pairs = [*PAIRS, ("w1", " </s>"), ("w1", " nonsense"), ("w1", "")]
    table = load_prompts(written(tmp_path, pairs), 12, 6, tokenizer=tiny_tokenizer())
    assert len(table) == 9
    assert "3 documents without a usable target were left out" in table.provenance.notes


def test_make_prompts_keeps_order_and_gives_each_text_a_document() -> None:
    table = make_prompts(PAIRS, tokenizer=tiny_tokenizer())
    assert [(row.context, row.target_word) for row in table] == [(text.replace(" ", ""), word) for text, word in PAIRS]
    assert [(row.prompt_id, row.document_id) for row in table] == [(i, i) for i in range(9)]


def test_make_prompts_refuses_a_word_that_cannot_be_a_target() -> None:
    with pytest.raises(DatasetError, match="'🦉' has no token that could be a target"):
        make_prompts([("x", "🦉")], tokenizer=byte_tokenizer())
