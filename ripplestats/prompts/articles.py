"""Lines of a text file → documents.

WikiText comes as lines; an article starts at its title line, `` = Title = ``, while sections are
`` = = Section = = ``. The article, not the line, is the document and so the unit of inference.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_TITLE = re.compile(r"^\s*=\s+(?P<title>[^=\s](?:.*[^=\s])?)\s+=\s*$")


@dataclass(frozen=True)
class Document:
    """One document: a title (may be empty), its text, and for cloze prompts the word that should follow."""

    title: str
    text: str
    target: str | None = None
    kind: str = ""


def article_title(line: str) -> str | None:
    """Return the title in a WikiText title line, or None for any other line (sections included)."""
    match = _TITLE.match(line)
    return match["title"] if match else None


def articles(lines: Iterable[str]) -> Iterator[Document]:
    """Rebuild WikiText articles from ``lines``; text before the first title line is a document without title."""
    title, body = "", list[str]()
    for line in lines:
        found = article_title(line)
        if found is None:
            body.append(line.rstrip("\n"))
            continue
        yield from _document(title, body)
        title, body = found, []
    yield from _document(title, body)


def paragraphs(lines: Iterable[str]) -> Iterator[Document]:
    """Group ``lines`` into documents that are separated by blank lines."""
    body = list[str]()
    for line in lines:
        if line.strip():
            body.append(line.rstrip("\n"))
            continue
        yield from _document("", body)
        body = []
    yield from _document("", body)


def _document(title: str, body: list[str]) -> Iterator[Document]:
    text = "\n".join(line for line in body if line.strip())
    if text:
        yield Document(title, text)
