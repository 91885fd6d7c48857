"""Texts of any kind: corpora, formulas and labels are read as what they are or refused in one line."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import ripplestats as rs
from ripplestats.errors import DatasetError, InputError
from ripplestats.prompts.corpora import open_corpus
from tests.faults.test_fuzz import JSON, a_hang_is_an_error, fuzzed

__all__ = ["a_hang_is_an_error"]
#: datasets leaves a file that pandas refuses to the garbage collector.
pytestmark = pytest.mark.filterwarnings(r"ignore:unclosed file .*corpus\.csv:ResourceWarning")
TEXT = st.text(max_size=40)
ROWS = st.lists(st.dictionaries(st.sampled_from(["text", "title", "prompt", "target", "kind", "x"]), JSON), max_size=5)


def read(file: Path) -> list[Any] | None:
    """All documents of a corpus, or None where it is refused, in one line and by its name."""
    try:
        return list(open_corpus(str(file)).documents())
    except DatasetError as error:
        assert "\n" not in str(error)
        assert file.name in str(error)
        return None


def as_bytes(rows: list[dict[str, Any]], ending: str) -> bytes:
    if ending == ".jsonl":
        return b"\n".join(json.dumps(row).encode() for row in rows)
    names = sorted({name for row in rows for name in row})
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8", "replace")


@fuzzed
@given(content=st.binary(max_size=300), ending=st.sampled_from([".txt", ".raw", ".jsonl", ".csv", ".parquet"]))
@example(b"", ".jsonl")
@example(b'{"text": "a"}\n{"text": ', ".jsonl")
@example(b"PAR1PAR1", ".parquet")
@example(b'"', ".csv")
@example(b"\xff\xfe", ".txt")
def test_a_corpus_of_any_bytes_is_read_or_refused(tmp_path: Path, content: bytes, ending: str) -> None:
    file = tmp_path / f"corpus{ending}"
    file.write_bytes(content)
    for document in read(file) or []:
        assert document.text.strip()


@fuzzed
@given(rows=ROWS, ending=st.sampled_from([".jsonl", ".csv"]))
@example([{"text": "a"}, {"x": 1}], ".jsonl")
@example([{"text": "a"}, {"prompt": "b", "target": "c"}], ".jsonl")
def test_a_corpus_of_any_rows_is_read_or_refused(tmp_path: Path, rows: list[dict[str, Any]], ending: str) -> None:
    file = tmp_path / f"corpus{ending}"
    file.write_bytes(as_bytes(rows, ending))
    found = read(file)
    texts = [row.get("text") for row in rows]
    if ending == ".jsonl" and rows and all(set(row) == {"text"} and isinstance(row["text"], str) for row in rows):
        assert found is not None
        assert [one.text for one in found] == [text for text in texts if text.strip()]


@fuzzed
@given(texts=st.lists(TEXT, min_size=1, max_size=5))
def test_what_was_written_to_parquet_is_what_is_read(tmp_path: Path, texts: list[str]) -> None:
    file = tmp_path / "corpus.parquet"
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    pq.write_table(pa.table({"text": clean}), file)
    found = read(file)
    assert found is not None
    assert [one.text for one in found] == [text for text in clean if text.strip()]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = pd.MultiIndex.from_product([range(6), range(5)], names=["document", "dose"]).to_frame(index=False)
    return rows.assign(y=rows["dose"] + rng.standard_normal(30) + rows["document"] % 3, x=rows["dose"] / 5.0)


@fuzzed
@given(
    formula=st.text("yx01+-*:~|()^ ., dose", max_size=16)
    | st.builds("y ~ {}".format, st.text("yx01+-*:|() dose", max_size=12))
)
@example("y ~ x")
@example("y ~ " + "(" * 300 + "x" + ")" * 300)
@example("y ~ x" + " + x" * 2000)
@example("")
def test_a_formula_is_fitted_or_refused(frame: pd.DataFrame, formula: str) -> None:
    try:
        found = rs.mixed(frame, formula, groups="document", df="normal")
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert {"term", "estimate", "std_error"} <= set(found.tidy().columns)


@fuzzed
@given(name=TEXT)
@example("\\input{/etc/passwd}")
@example("a & b \\\\ \\hline %")
def test_a_label_stays_a_label_in_any_table(frame: pd.DataFrame, name: str) -> None:
    def table(label: str) -> str:
        fit = rs.core_fraction(frame.assign(layer=label), y="y", x="x", cluster="document", by="layer", n_boot=100)
        return fit.to_latex()

    found, plain = table(name), table("plain")
    for command in (r"\\input", r"\\hline", r"\\begin", r"\\\\", r"(?<!\\)%", r"(?<!\\)&"):
        assert len(re.findall(command, found)) == len(re.findall(command, plain))
