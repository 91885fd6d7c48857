"""Lines of WikiText and of plain text become documents."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripplestats.prompts.articles import Document, article_title, articles, paragraphs

WORD = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)
TEXT = st.lists(WORD, min_size=1, max_size=6).map(" ".join)


@pytest.mark.parametrize(
    ("line", "title"),
    [
        (" = Valkyria Chronicles III = \n", "Valkyria Chronicles III"),
        (" = X = ", "X"),
        ("= No margins =", "No margins"),
        (" = 2 + 2 = 4 = \n", "2 + 2 = 4"),
        (" = Ω and µ = \n", "Ω and µ"),
    ],
)
def test_a_line_between_single_equals_signs_is_a_title(line: str, title: str) -> None:
    assert article_title(line) == title


@pytest.mark.parametrize(
    "line",
    [
        " = = Gameplay = = \n", " = = = Early life = = = \n", "= = Section = =", "", " \n", " = \n", " = = \n",
        " a = b \n", "= half a title", "a title =", "x = 1 =", " =Tight= \n", "The sum = 4 .",
    ],
)  # fmt: skip
def test_sections_and_other_lines_are_no_titles(line: str) -> None:
    assert article_title(line) is None


@given(TEXT, st.integers(2, 5))
def test_the_depth_of_the_equals_signs_decides(text: str, depth: int) -> None:
    assert article_title(f" = {text} = \n") == text
    signs = " ".join("=" * depth)
    assert article_title(f" {signs} {text} {signs} \n") is None


def test_articles_keep_their_sections_and_lose_their_blank_lines() -> None:
    lines = [
        "",
        " = One = \n",
        "",
        " First . \n",
        " = = Part = = \n",
        " Second . \n",
        " \n",
        " = Two = \n",
        "",
        " Third . \n",
    ]
    assert list(articles(lines)) == [
        Document("One", " First . \n = = Part = = \n Second . "),
        Document("Two", " Third . "),
    ]


def test_text_before_the_first_title_is_an_article_without_title() -> None:
    assert list(articles([" Lead . \n", " = One = \n", " Body . \n"])) == [
        Document("", " Lead . "),
        Document("One", " Body . "),
    ]


def test_a_title_without_text_gives_no_document() -> None:
    assert [document.title for document in articles([" = A = ", " = B = ", "b", " = C = ", " "])] == ["B"]


@pytest.mark.parametrize("split", [articles, paragraphs])
@pytest.mark.parametrize("lines", [[], ["", " ", "\t", "\n"]])
def test_nothing_but_blank_lines_gives_no_documents(split, lines: list[str]) -> None:
    assert list(split(lines)) == []


def test_articles_are_made_while_lines_come_in() -> None:
    def lines():
        yield from [" = A = \n", "a\n", " = B = \n"]
        raise RuntimeError("more lines were read than the first article needs")

    assert next(articles(lines())) == Document("A", "a")


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=4)), max_size=6))
def test_articles_come_back_as_they_were_written(written: list[tuple[str, list[str]]]) -> None:
    lines = [
        line for title, body in written for line in ("\n", f" = {title} = \n", "\n", *(f"{row}\n" for row in body))
    ]
    assert [(document.title, document.text.split("\n")) for document in articles(lines)] == written


@settings(derandomize=True, deadline=None)
@given(st.lists(st.lists(TEXT, min_size=1, max_size=4), max_size=6), st.integers(1, 3))
def test_paragraphs_are_separated_by_any_number_of_blank_lines(written: list[list[str]], gap: int) -> None:
    lines = [line for body in written for line in (*(f"{row}\n" for row in body), *[" \n"] * gap)]
    assert [document.text.split("\n") for document in paragraphs(lines)] == written
    assert all(document.title == "" and document.target is None for document in paragraphs(lines))
