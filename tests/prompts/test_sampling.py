"""Windows of documents: exact, inside, apart, and the same for the same seed."""

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ripplestats.errors import DatasetError, InputError
from ripplestats.prompts.articles import Document
from ripplestats.prompts.corpora import Corpus
from ripplestats.prompts.sampling import MINIMUM_PROMPTS, SHUFFLE_BUFFER, draw_prompts, load_prompts, windows
from ripplestats.prompts.table import PromptTable, Provenance
from tests.prompts.tokenizers import beginning_tokenizer, byte_tokenizer
from tests.tiny import WORDS, tiny_text, tiny_tokenizer

TINY = tiny_tokenizer()
BEGINNING = beginning_tokenizer()
BYTES = byte_tokenizer()
SPECIAL = {0, 1, 2}
#: Documents of words that differ, so that a window's place in its document is known from its words.
TOKENS = st.lists(st.integers(0, len(WORDS) - 1), max_size=60, unique=True)


def corpus(texts: list[str]) -> Corpus:
    return Corpus(Provenance("test", "test"), lambda: (Document(f"title {i}", text) for i, text in enumerate(texts)))


def draw(texts: list[str], n: int = 20, context: int = 6, **options) -> PromptTable:
    return draw_prompts(corpus(texts), n, context, **{"tokenizer": TINY, **options})


@settings(derandomize=True, deadline=None, max_examples=150)
@given(tokens=TOKENS, context=st.integers(1, 12), cap=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("prefix", [[], [1]], ids=["plain", "beginning token"])
def test_windows_are_exact_inside_apart_and_followed_by_their_target(
    prefix: list[int], tokens: list[int], context: int, cap: int, seed: int
) -> None:
    tokenizer = BEGINNING if prefix else TINY
    length = context - len(prefix)
    skipped: Counter[str] = Counter()
    document = Document("title", " ".join(WORDS[token] for token in tokens))
    drawn = windows(document, tokenizer, context, cap, np.random.default_rng(seed), skipped)

    targets = [place for place, token in enumerate(tokens) if place >= length and token not in SPECIAL]
    assert len(drawn) <= cap
    assert bool(drawn) == bool(targets)
    assert sum(skipped.values()) == (not drawn)
    assert bool(skipped["short"]) == (len(tokens) <= length)
    places = []
    for prompt in drawn:
        place = tokens.index(prompt.target_id)
        places.append(place)
        assert place in targets
        assert place >= length, "the window begins inside the document"
        assert list(prompt.context_ids) == [*prefix, *tokens[place - length : place]]
        assert len(prompt.context_ids) == context
        assert prompt.context == "".join(WORDS[token] for token in prompt.context_ids)
        assert prompt.target == WORDS[prompt.target_id]
        assert prompt.document_title == "title"
        assert prompt.position == place
    gaps = np.diff(sorted(places))
    assert (gaps > length).all(), "windows with their targets share no token"


@settings(derandomize=True, deadline=None, max_examples=60)
@given(tokens=TOKENS, context=st.integers(1, 8), seed=st.integers(0, 1000))
def test_as_many_windows_are_drawn_as_the_cap_allows_or_no_other_fits(
    tokens: list[int], context: int, seed: int
) -> None:
    document = Document("", " ".join(WORDS[token] for token in tokens))
    drawn = windows(document, TINY, context, 3, np.random.default_rng(seed), Counter())
    assume(len(drawn) < 3)
    places = [tokens.index(prompt.target_id) for prompt in drawn]
    for place in range(context, len(tokens)):
        fits = all(abs(place - other) > context for other in places)
        assert not (fits and tokens[place] not in SPECIAL)


def test_every_place_of_a_document_is_drawn_equally_often() -> None:
    document = Document("", " ".join(WORDS[3:18]))
    counts = Counter(
        windows(document, TINY, 5, 1, np.random.default_rng(seed), Counter())[0].target_id for seed in range(2000)
    )
    assert sorted(counts) == list(range(8, 18))
    # Binomial, n = 2000, p = 0.1: a standard deviation of 13.4; five of them.
    assert max(abs(count - 200) for count in counts.values()) < 5 * 13.4


@settings(derandomize=True, deadline=None, max_examples=80)
@given(
    text=st.text(st.sampled_from("ab é🦉\n\t\u3000漢\u200b"), min_size=1, max_size=30),
    context=st.integers(1, 4), seed=st.integers(0, 1000),
)  # fmt: skip
def test_half_a_character_and_white_space_are_never_targets(text: str, context: int, seed: int) -> None:
    skipped: Counter[str] = Counter()
    drawn = windows(Document("", text), BYTES, context, 4, np.random.default_rng(seed), skipped)
    assert {prompt.target for prompt in drawn} <= {"a", "b"}, "all other characters are white space or several bytes"
    if not any(letter in "ab" for letter in text.encode()[context:].decode(errors="ignore")):
        assert drawn == []
        assert sum(skipped.values()) == 1


def test_text_of_emoji_alone_has_no_usable_target() -> None:
    with pytest.raises(DatasetError, match="12 documents without a usable target were left out"):
        draw(["🦉🦉🦉🦉"] * 12, tokenizer=BYTES)


def test_special_tokens_in_a_text_are_never_targets() -> None:
    table = draw(["w1 w2 </s> w3 <s> w4 <unk> nonsense"] * 40, n=40, context=2)
    assert len(table) == 40
    assert {row.target for row in table} == {"w3", "w4"}


def test_a_tokenizers_beginning_token_comes_first_and_counts() -> None:
    table = draw(tiny_text(12, 30), n=12, tokenizer=BEGINNING)
    for row in table:
        assert len(row.context_ids) == 6
        assert row.context_ids[0] == 1
        assert 1 not in row.context_ids[1:]


def test_a_context_of_nothing_but_the_beginning_token_is_allowed() -> None:
    table = draw(tiny_text(12, 30), n=12, context=1, tokenizer=BEGINNING)
    assert {row.context_ids for row in table} == {(1,)}


TEXTS = tiny_text(40, 30, seed=3)


@settings(derandomize=True, deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**31), few=st.integers(MINIMUM_PROMPTS, 40), cap=st.integers(1, 3), data=st.data())
def test_the_first_prompts_of_a_larger_request_are_the_smaller_request(
    seed: int, few: int, cap: int, data: st.DataObject
) -> None:
    many = data.draw(st.integers(few, 90))
    small, large = (draw(TEXTS, n, seed=seed, per_document=cap) for n in (few, many))
    assert large[:few].rows == small.rows
    assert [row.prompt_id for row in large] == list(range(len(large)))
    per_document = Counter(row.document_id for row in large)
    assert max(per_document.values()) <= cap
    assert sorted(per_document) == list(range(large.n_documents))
    assert len({(row.document_id, row.context_ids) for row in large}) == len(large), "no prompt twice"
    titles = {row.document_id: row.document_title for row in large}
    assert len(set(titles.values())) == large.n_documents, "a document has one number"


def test_the_same_seed_gives_the_same_prompts_and_another_seed_others() -> None:
    one, again, other = (draw(TEXTS, seed=seed) for seed in (5, 5, 6))
    assert one == again
    assert one.fingerprint == again.fingerprint
    assert one.fingerprint != other.fingerprint
    shared = {row.document_title: row for row in one}
    both = [(row, shared[row.document_title]) for row in other if row.document_title in shared]
    assert any(a.context_ids != b.context_ids for a, b in both), "windows, not only the order, are drawn anew"


def test_documents_are_shuffled() -> None:
    titles = [row.document_title for row in draw(TEXTS, n=40)]
    assert sorted(titles, key=lambda title: int(title.split()[1])) == [f"title {i}" for i in range(40)]
    assert titles != [f"title {i}" for i in range(40)]


def test_a_large_corpus_is_read_no_further_than_the_shuffle_needs() -> None:
    read = []

    def documents():
        for number in range(10**6):
            read.append(number)
            yield Document(str(number), "w1 w2 w3 w4 w5 w6 w7 w8 w9")

    table = draw_prompts(Corpus(Provenance("test", "test"), documents), 10, 6, tokenizer=TINY)
    assert len(table) == 10
    # The generator may run ahead in the reading library's own steps.
    assert len(read) < SHUFFLE_BUFFER + 100
    assert max(int(row.document_title) for row in table) > 20, "and not only its very beginning is drawn"


def test_memory_does_not_grow_with_the_length_of_the_stream() -> None:
    def peak(n_documents: int) -> int:
        def documents():
            yield from (Document(str(number), text) for number, text in enumerate(tiny_text(12, 20)))
            for number in range(n_documents):
                yield Document(f"{number:04000d}", "w1 w2")

        tracemalloc.start()
        try:
            # All but the first twelve are too short: they are read to no use.
            table = draw_prompts(Corpus(Provenance("test", "test"), documents), 20, 6, tokenizer=TINY, seed=1)
            assert len(table) == 12
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = peak(2 * SHUFFLE_BUFFER), peak(6 * SHUFFLE_BUFFER)
    assert short > 4000 * SHUFFLE_BUFFER, "the shuffle's documents, 4 kB each, are counted"
    assert long < 1.2 * short, "and all others are let go"


def test_fewer_prompts_than_asked_for_go_on_with_a_note() -> None:
    table = draw(tiny_text(9, 20), n=64)
    assert len(table) == 9
    assert table.provenance.notes == ("9 prompts, fewer than the 64 asked for",)


def test_documents_left_out_are_counted_in_the_notes() -> None:
    table = draw([*tiny_text(10, 20), *tiny_text(3, 6), *["w1 </s> </s> </s> </s> </s> </s>"] * 2], n=64)
    assert table.provenance.notes == (
        "3 documents with no more than 6 tokens were left out",
        "2 documents without a usable target were left out",
        "10 prompts, fewer than the 64 asked for",
    )


def test_enough_prompts_need_no_note() -> None:
    assert draw(tiny_text(12, 20), n=10).provenance.notes == ()


def test_fewer_than_eight_prompts_are_refused_with_the_reasons() -> None:
    assert MINIMUM_PROMPTS == 8
    with pytest.raises(DatasetError) as caught:
        draw([*tiny_text(7, 20), *tiny_text(5, 3)], n=10)
    assert str(caught.value) == (
        "--dataset 'test' gives 7 usable prompts, at least 8 are needed "
        "(5 documents with no more than 6 tokens were left out; 7 prompts, fewer than the 10 asked for)"
    )


def test_one_long_document_can_give_all_prompts() -> None:
    table = draw(tiny_text(1, 400), n=12, per_document=12)
    assert (len(table), table.n_documents) == (12, 1)


@pytest.mark.parametrize("option", ["n", "context", "per_document"])
@pytest.mark.parametrize("value", [0, -3])
def test_counts_below_one_are_refused_by_the_name_of_their_flag(option: str, value: int) -> None:
    flag = {"n": "--prompts", "context": "--context", "per_document": "--per-document"}[option]
    with pytest.raises(InputError, match=f"^{flag} {value} must be at least 1$"):
        draw(TEXTS, **{option: value})


def test_load_prompts_reads_the_named_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("\n\n".join(TEXTS))
    loaded = load_prompts(str(file), 12, 6, tokenizer=TINY, seed=4)
    assert [row.context_ids for row in loaded] == [row.context_ids for row in draw(TEXTS, 12, seed=4)]
    assert loaded.provenance.used == str(file)


def test_a_pilot_comes_first_and_does_not_depend_on_how_many_are_asked_for() -> None:
    texts = tiny_text(60, 30)
    few, more = (draw(texts, n, pilot_documents=16, per_document=2) for n in (9, 30))
    assert len(few) == 16 * 2 + 9
    assert few.rows == more.rows[: len(few)]
    assert {row.document_id for row in few.rows[:32]} == set(range(16))
    assert min(row.document_id for row in few.rows[32:]) == 16


def test_a_corpus_too_small_for_a_pilot_is_refused_in_one_line() -> None:
    said = "gives 6 usable prompts beside the 16 of 16 documents for the pilot, at least 8 are needed"
    with pytest.raises(DatasetError, match=said):
        draw(tiny_text(22, 30), 40, pilot_documents=16)
    found = draw(tiny_text(30, 30), 40, pilot_documents=16)
    assert "14 prompts, fewer than the 40 asked for" in found.provenance.notes
