"""Names of corpora and local files become documents, and wrong ones one clear line."""

import csv
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ripplestats import hub
from ripplestats.errors import DatasetError, HubError
from ripplestats.prompts import corpora
from ripplestats.prompts.articles import Document
from ripplestats.prompts.corpora import open_corpus
from ripplestats.prompts.sampling import load_prompts
from tests.tiny import tiny_text, tiny_tokenizer

TEXTS = tiny_text(12, 20)


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may ask the hub."""

    def refuse() -> bool:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(hub, "reachable", refuse)


def documents(path: Path | str, text_column: str | None = None) -> list[Document]:
    return list(open_corpus(str(path), text_column=text_column).documents())


def texts(path: Path | str, text_column: str | None = None) -> list[str]:
    return [document.text for document in documents(path, text_column)]


def jsonl(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


def as_txt(file: Path) -> None:
    file.write_text("\n\n".join(TEXTS))


def as_wikitext(file: Path) -> None:
    file.write_text("".join(f" = Title {i} = \n\n{text}\n\n" for i, text in enumerate(TEXTS)))


def as_jsonl(file: Path) -> None:
    jsonl(file, [{"id": i, "text": text} for i, text in enumerate(TEXTS)])


def as_csv(file: Path) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "text"], *([i, text] for i, text in enumerate(TEXTS))])


def as_parquet(file: Path) -> None:
    pq.write_table(pa.table({"id": range(len(TEXTS)), "text": TEXTS}), file)


WRITERS = [("a.txt", as_txt), ("a.raw", as_wikitext), ("a.txt", as_wikitext), ("a.jsonl", as_jsonl), ("a.csv", as_csv),
           ("a.parquet", as_parquet)]  # fmt: skip


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_every_kind_of_file_gives_its_documents(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    assert texts(tmp_path / name) == TEXTS


@pytest.mark.parametrize(("name", "write"), WRITERS[3:])
def test_a_folder_of_rows_gives_the_documents_of_all_its_files(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path / name)
    write(tmp_path / "inner" / name)
    (tmp_path / "notes.md").write_text("not data")
    assert sorted(texts(tmp_path)) == sorted(TEXTS * 2)


def test_each_text_file_of_a_folder_is_one_document(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("\n\n".join(TEXTS[4 * number : 4 * number + 4]))
    assert texts(tmp_path) == ["\n\n".join(TEXTS[i : i + 4]) for i in (0, 4, 8)]


def test_a_corpus_can_be_read_from_its_beginning_again(tmp_path: Path) -> None:
    as_txt(tmp_path / "a.txt")
    corpus = open_corpus(str(tmp_path / "a.txt"))
    assert list(corpus.documents()) == list(corpus.documents())


def test_the_titles_of_a_text_file_make_it_wikitext(tmp_path: Path) -> None:
    as_wikitext(tmp_path / "a.txt")
    assert [document.title for document in documents(tmp_path / "a.txt")] == [f"Title {i}" for i in range(12)]


def test_title_and_kind_of_a_row_are_kept(tmp_path: Path) -> None:
    rows = [{"text": "a", "title": "A", "kind": "k"}, {"text": "b", "title": None, "kind": None}]
    assert documents(jsonl(tmp_path / "a.jsonl", rows)) == [Document("A", "a", kind="k"), Document("", "b")]
    rows = [{"text": "a", "category": "c"}]
    assert documents(jsonl(tmp_path / "b.jsonl", rows)) == [Document("", "a", kind="c")]


def test_prompt_and_target_make_a_cloze_corpus_unless_a_column_is_named(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"prompt": "w1 w2", "target": " w3", "kind": "k"}])
    assert documents(file) == [Document("", "w1 w2", " w3", "k")]
    assert documents(file, "prompt") == [Document("", "w1 w2", None, "k")]


def test_the_column_text_is_taken_or_the_only_column_of_strings(tmp_path: Path) -> None:
    assert texts(jsonl(tmp_path / "a.jsonl", [{"text": "yes", "body": "no"}])) == ["yes"]
    assert texts(jsonl(tmp_path / "b.jsonl", [{"id": 7, "body": "yes"}])) == ["yes"]
    assert texts(jsonl(tmp_path / "c.jsonl", [{"text": "no", "body": "yes"}]), "body") == ["yes"]


@pytest.mark.parametrize(
    ("row", "column", "said"),
    [
        ({"a": "x", "b": "y"}, None, "has no column 'text'; name one of 'a', 'b' by --text-column"),
        ({"a": 1, "b": 2}, None, "has no column 'text'; name one of 'a', 'b' by --text-column"),
        ({"text": "x"}, "body", "has no column 'body'; name one of 'text' by --text-column"),
    ],
)
def test_a_text_column_that_is_not_clear_is_asked_for(tmp_path: Path, row: dict, column: str | None, said: str) -> None:
    with pytest.raises(DatasetError, match=r"^--dataset ") as caught:
        texts(jsonl(tmp_path / "a.jsonl", [row]), column)
    assert said in str(caught.value)


def test_rows_without_text_are_passed_over(tmp_path: Path) -> None:
    assert texts(jsonl(tmp_path / "a.jsonl", [{"text": None}, {"text": " \n"}, {"text": "yes"}])) == ["yes"]
    (tmp_path / "b.csv").write_text("id,text\n1,\n2,yes\n")
    assert texts(tmp_path / "b.csv") == ["yes"]


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\r\n\r\n".join(TEXTS).encode())
    assert texts(tmp_path / "a.txt") == TEXTS
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps({"text": "yes"}).encode())
    assert texts(tmp_path / "a.jsonl") == ["yes"]


def test_the_revision_of_a_file_is_the_digest_of_its_content(tmp_path: Path) -> None:
    as_txt(tmp_path / "a.txt")
    as_txt(tmp_path / "b.txt")
    first, second = (open_corpus(str(tmp_path / name)).provenance for name in ("a.txt", "b.txt"))
    assert first.revision.startswith("sha256:")
    assert first.revision == second.revision
    assert (first.requested, first.used, first.fallback) == (str(tmp_path / "a.txt"), str(tmp_path / "a.txt"), "")
    (tmp_path / "b.txt").write_text("w1")
    assert open_corpus(str(tmp_path / "b.txt")).provenance.revision != first.revision


@pytest.mark.parametrize("name", ["passages", "cloze"])
def test_an_embedded_corpus_is_used_under_its_own_name(name: str) -> None:
    origin = open_corpus(name).provenance
    assert (origin.requested, origin.used, origin.fallback) == (name, name, "")


def file(name: str, content: bytes | str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return write


def folder(*names: str) -> Callable[[Path], Path]:
    def make(parent: Path) -> Path:
        made = parent / "folder"
        made.mkdir()
        for name in names:
            (made / name).write_text("w1 w2")
        return made

    return make


def name(text: str) -> Callable[[Path], Path]:
    return lambda _: Path(text)


ROW = json.dumps({"text": TEXTS[0]})
#: What is wrong, how to make it, and words of the complaint.
WRONG = {
    "unknown name": (name("wiki-text"), "neither a file nor a known corpus; allowed: wikitext, wikitext-2, passages, cloze"),
    "missing file": (name("missing.txt"), "neither a file nor a known corpus"),
    "missing file in a folder": (name("folder/missing.jsonl"), "neither a file nor a known corpus"),
    "empty .txt": (file("a.txt", ""), "gives 0 usable prompts, at least 8 are needed"),
    "blank lines": (file("a.txt", "\n \n\t\n\n" * 20), "gives 0 usable prompts, at least 8 are needed"),
    "empty .jsonl": (file("a.jsonl", ""), ""),
    "empty .csv": (file("a.csv", ""), "cannot be read"),
    "empty .parquet": (file("a.parquet", ""), "cannot be read"),
    "header only": (file("a.csv", "text\n"), "gives 0 usable prompts"),
    "not UTF-8 .txt": (file("a.txt", "\n\n".join(TEXTS).encode() + b" caf\xe9\n"), "is not UTF-8 text"),
    "not UTF-8 .jsonl": (file("a.jsonl", b'{"text": "caf\xe9 w1"}\n' * 10), "is not UTF-8 text"),
    "not UTF-8 .jsonl late": (file("a.jsonl", f"{ROW}\n".encode() * 50 + b'{"text": "caf\xe9"}\n'), "is not UTF-8 text"),
    "not UTF-8 .csv": (file("a.csv", b"text\n" + b"caf\xe9 w1\n" * 10), "is not UTF-8 text"),
    "all too short": (file("a.txt", "\n\n".join(tiny_text(20, 6))), "20 documents with no more than 6 tokens were left out"),
    "too few": (file("a.txt", "\n\n".join(TEXTS[:7])), "gives 7 usable prompts, at least 8 are needed"),
    "malformed .jsonl": (file("a.jsonl", f'{ROW}\n{{"text": \n'), "cannot be read: JSON parse error"),
    "text as .jsonl": (file("a.jsonl", "w1 w2\nw3\n"), "cannot be read: JSON parse error"),
    "lists as .jsonl": (file("a.jsonl", "[1, 2]\n[3, 4]\n"), "cannot be read"),
    "ragged .csv": (file("a.csv", "text,id\nw1,2\nw1,2,3,4\n"), "cannot be read"),
    "text as .parquet": (file("a.parquet", "w1 w2 w3 w4 w5"), "cannot be read"),
    "mixed folder": (folder("a.txt", "b.csv"), "mixes .csv, .txt; a folder holds files of one kind"),
    "empty folder": (folder(), "holds none of .txt, .raw, .jsonl, .csv, .parquet"),
    "folder of others": (folder("a.md", "b.py"), "holds none of .txt, .raw, .jsonl, .csv, .parquet"),
    "other file": (file("a.md", "w1 w2"), "holds none of .txt, .raw, .jsonl, .csv, .parquet"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_input_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    make, said = WRONG[what]
    monkeypatch.chdir(tmp_path)
    path = str(make(tmp_path))
    with pytest.raises(DatasetError) as caught:
        load_prompts(path, 10, 6, tokenizer=tiny_tokenizer())
    line = str(caught.value)
    assert line.startswith(f"--dataset {path!r} ")
    assert said in line
    assert "\n" not in line
    assert len(line) < 400


@pytest.mark.parametrize("what", ["not UTF-8 .csv", "malformed .jsonl", "ragged .csv", "text as .parquet"])
def test_the_reading_library_adds_no_lines_of_its_own(tmp_path: Path, what: str) -> None:
    logged: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = logged.append
    logging.getLogger("datasets").addHandler(handler)
    try:
        with pytest.raises(DatasetError):
            load_prompts(str(WRONG[what][0](tmp_path)), 10, 6, tokenizer=tiny_tokenizer())
    finally:
        logging.getLogger("datasets").removeHandler(handler)
    assert [record.getMessage() for record in logged] == []


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_txt(tmp_path / "a.txt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="allowed: wikitext"):
        open_corpus("")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    as_txt(tmp_path / "a.txt")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(DatasetError, match=r"a\.txt cannot be read"):
        open_corpus(str(tmp_path / "a.txt"))


@pytest.mark.parametrize("wrong", ["a/b/c", "a/b:c:d:e", "a/b/c:d"])
def test_a_hub_name_of_another_form_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: True)
    with pytest.raises(DatasetError, match=r"owner/name\[:config\[:split\]\]"):
        open_corpus(wrong)


def test_where_the_hub_is_out_of_reach_the_passages_stand_in_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    monkeypatch.setattr(corpora, "_cached", lambda *_: None)
    substitute, passages = open_corpus("wikitext"), open_corpus("passages")
    origin = substitute.provenance
    assert (origin.requested, origin.used, origin.revision) == ("wikitext", "passages", passages.provenance.revision)
    assert origin.fallback == "the hub cannot be reached and 'wikitext' is not in its cache"
    assert list(substitute.documents()) == list(passages.documents())
    with pytest.raises(HubError, match=r"the hub cannot be reached and 'wikitext' is not in its cache"):
        open_corpus("wikitext", fallback=False)
