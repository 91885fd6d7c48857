"""Runs of different prompts, put together, are the run of all prompts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ripplestats.errors import RunError
from ripplestats.fits.run_statistics import run_statistics
from ripplestats.store.merge import merge
from ripplestats.store.run_directory import Run, open_run
from ripplestats.store.start import start_run
from tests.store.synthetic_run import synthetic_definition, synthetic_effects, synthetic_manifest, synthetic_prompts


def make_slice(
    path: Path,
    ids: range,
    *,
    per_document: int = 1,
    numbered_from: int | None = None,
    titles: bool = True,
    complete: bool = True,
    dataset: str = "synthetic",
    **changes: Any,
) -> Run:
    """A run of some of the synthetic prompts; with ``numbered_from`` they and their documents are numbered anew."""
    manifest = synthetic_manifest(dataset, prompts=len(ids))
    manifest["completeness"]["complete"] = complete
    definition = synthetic_definition(prompts=len(ids), dataset=dataset, context=[2], **changes)
    run = start_run(path, definition, manifest, lambda _: None)
    for number, start in enumerate(range(ids.start, ids.stop, 8)):
        rows = range(start, min(start + 8, ids.stop))
        effects, prompts = synthetic_effects(rows, per_document=per_document), synthetic_prompts(rows, per_document)
        if not titles:
            prompts["document_title"] = [""] * len(rows)
        if numbered_from is not None:
            for table in (effects, prompts):
                table["prompt_id"] = table["prompt_id"] - ids.start + numbered_from
                table["document_id"] = table["document_id"] - ids.start // per_document
        run.write_part(number, effects, prompts, key=f"{number:064x}")
    run.write_prompts()
    run.update(completeness=manifest["completeness"])
    return open_run(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_slice(tmp_path_factory.mktemp("merge") / "whole", range(30), per_document=4)


@pytest.mark.parametrize("numbered_from", [None, 0])
def test_slices_of_a_run_merge_to_the_run(whole: Run, tmp_path: Path, numbered_from: int | None) -> None:
    first = make_slice(tmp_path / "a", range(14), per_document=4)
    second = make_slice(tmp_path / "b", range(14, 30), per_document=4, numbered_from=numbered_from)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.parquet")}
    merged = merge([tmp_path / "a", second], out=tmp_path / "merged")
    # Document 3 (prompts 12 to 15) lies in both: its title says so, whatever its numbers.
    pd.testing.assert_frame_equal(merged.effects(), whole.effects())
    pd.testing.assert_frame_equal(merged.prompts(), whole.prompts())
    assert {file: file.read_bytes() for file in before} == before
    assert open_run(merged.path).complete
    manifest = merged.manifest
    assert manifest["definition"]["prompts"] == manifest["dataset"]["n_prompts"] == 30
    assert (manifest["dataset"]["n_documents"], manifest["definition"]["per_document"]) == (8, 4)
    assert [one["prompts"] for one in manifest["merged_from"]] == [14, 16]
    assert manifest["merged_from"][0]["folder"] == first.path.name
    expected = run_statistics(whole).curves
    for cell, curves in run_statistics(merged).curves.items():
        np.testing.assert_allclose(curves.values, expected[cell].values, rtol=1e-12)


@pytest.mark.parametrize(
    ("titles", "other", "n_documents"),
    [(True, "synthetic", 4), (True, "another", 4), (False, "synthetic", 3), (False, "another", 5)],
)
def test_documents_are_joined_by_title_or_else_by_dataset_and_number(
    tmp_path: Path, titles: bool, other: str, n_documents: int
) -> None:
    # Prompts 0 to 9 are of documents 0 to 2, prompts 10 to 15 of 2 and 3, which are numbered 0 and 1 there.
    first = make_slice(tmp_path / "a", range(10), per_document=4, titles=titles)
    second = make_slice(tmp_path / "b", range(10, 16), per_document=4, titles=titles, numbered_from=0, dataset=other)
    merged = merge([first, second], out=tmp_path / "merged")
    assert merged.effects()["document_id"].nunique() == n_documents
    assert merged.manifest["dataset"]["n_documents"] == n_documents
    joined = "synthetic" if other == "synthetic" else "synthetic + another"
    assert merged.manifest["definition"]["dataset"] == merged.manifest["dataset"]["used"] == joined


@pytest.mark.parametrize("numbered_from", [None, 0])
def test_a_merged_run_says_where_random_neurons_are_shared(tmp_path: Path, numbered_from: int | None) -> None:
    first = make_slice(tmp_path / "a", range(8))
    second = make_slice(tmp_path / "b", range(8, 16), numbered_from=numbered_from)
    notes = merge([first, second], out=tmp_path / "merged").manifest["dataset"]["notes"]
    assert any("share what was drawn at random" in note for note in notes) == (numbered_from == 0)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 1}, r"a and .*b cannot be merged: their seed differs \(0 and 1\)"),
    "rates": ({"rates": ["1/2"]}, r"their rates differs \(0.002, .* and 1/2\)"),
    "model": ({"model": "other"}, r"their model differs \(synthetic-model and other\)"),
    "a field that only one has": ({"tf32": True}, r"their tf32 differs \(None and True\)"),
    "not complete": ({"complete": False}, "b is not complete"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_runs_that_differ_in_more_than_their_prompts_are_refused(tmp_path: Path, name: str) -> None:
    changes, message = REFUSED[name]
    runs = [make_slice(tmp_path / "a", range(8)), make_slice(tmp_path / "b", range(8, 16), **changes)]
    with pytest.raises(RunError, match=message):
        merge(runs, out=tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_prompt_of_two_runs_is_refused(tmp_path: Path) -> None:
    runs = [make_slice(tmp_path / "a", range(10)), make_slice(tmp_path / "b", range(8, 16), numbered_from=0)]
    with pytest.raises(RunError, match=r"b has 2 of the prompts of .*a: only runs of different prompts"):
        merge(runs, out=tmp_path / "merged")


def test_one_run_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="two or more"):
        merge([make_slice(tmp_path / "a", range(8))], out=tmp_path / "merged")


def test_a_run_with_a_flipped_bit_is_refused_by_name_and_a_second_try_goes_on(tmp_path: Path) -> None:
    runs = [make_slice(tmp_path / "a", range(8)), make_slice(tmp_path / "b", range(8, 16))]
    part = runs[1].parts()[0]
    content = part.read_bytes()
    part.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(RunError, match=r"b/effects/part-000000.* is damaged"):
        merge(runs, out=tmp_path / "merged")
    assert not open_run(tmp_path / "merged").complete
    part.write_bytes(content)
    assert len(merge(runs, out=tmp_path / "merged").prompts()) == 16


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    runs = [make_slice(tmp_path / "a", range(8)), make_slice(tmp_path / "b", range(8, 16))]
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        merge(runs, out=tmp_path / "merged")
