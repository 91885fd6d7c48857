"""The text that the package carries: enough of it, of the right length, and every line valid."""

import json
from collections import Counter

import pytest

from ripplestats.prompts.corpora import EMBEDDED_CORPORA, embedded_data, open_corpus


def rows(name: str) -> list[dict]:
    content = (embedded_data() / EMBEDDED_CORPORA[name]).read_text(encoding="utf-8")
    assert content.endswith("\n")
    return [json.loads(line) for line in content.splitlines()]


PASSAGES, CLOZE = rows("passages"), rows("cloze")


@pytest.mark.parametrize(
    ("found", "columns"), [(PASSAGES, {"title", "category", "text"}), (CLOZE, {"prompt", "target", "kind"})]
)
def test_every_line_has_the_same_columns_of_tidy_text(found: list[dict], columns: set[str]) -> None:
    for row in found:
        assert set(row) == columns
        for column, value in row.items():
            assert isinstance(value, str)
            assert value.strip()
            assert value == value.rstrip(), f"white space at the end of {row}"
            assert column == "target" or value == value.lstrip(), f"white space at the beginning of {row}"
            assert "  " not in value
            assert value.isprintable(), f"a control character or line break in {row}"


def test_there_are_at_least_160_passages_with_titles_of_their_own() -> None:
    assert len(PASSAGES) >= 160
    for column in ("title", "text"):
        twice = [value for value, count in Counter(row[column].lower() for row in PASSAGES).items() if count > 1]
        assert twice == []


def test_passages_have_120_to_200_words_and_end_with_a_sentence() -> None:
    lengths = {row["title"]: len(row["text"].split()) for row in PASSAGES}
    assert {title: n for title, n in lengths.items() if not 120 <= n <= 200} == {}
    assert [row["title"] for row in PASSAGES if row["text"][-1] not in '.!?"”’)'] == []


def test_there_are_at_least_240_cloze_prompts_each_asked_once() -> None:
    assert len(CLOZE) >= 240
    assert [prompt for prompt, count in Counter(row["prompt"].lower() for row in CLOZE).items() if count > 1] == []


def test_a_cloze_target_is_one_word_that_begins_with_its_space() -> None:
    assert [row for row in CLOZE if not row["target"].startswith(" ") or len(row["target"].split()) != 1] == []


def test_kinds_are_several_and_none_is_rare() -> None:
    counts = Counter(row["kind"] for row in CLOZE)
    assert len(counts) >= 2
    assert min(counts.values()) >= 8


def test_the_sentence_of_the_note_is_among_the_prompts() -> None:
    assert [row["target"] for row in CLOZE if row["prompt"] == "It was a dark and stormy"] == [" night"]


@pytest.mark.parametrize(("name", "n"), [("passages", len(PASSAGES)), ("cloze", len(CLOZE))])
def test_an_embedded_corpus_is_read_whole(name: str, n: int) -> None:
    documents = list(open_corpus(name).documents())
    assert len(documents) == n
    assert all(document.kind for document in documents)
    if name == "passages":
        assert [(document.title, document.text) for document in documents] == [
            (row["title"], row["text"]) for row in PASSAGES
        ]
    else:
        assert [(document.text, document.target) for document in documents] == [
            (row["prompt"], row["target"]) for row in CLOZE
        ]
