"""Run directories: what is refused, what is taken up, and what comes back."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from ripplestats.errors import RunError, StorageError
from ripplestats.store import schema
from ripplestats.store.run_directory import Run, open_run
from ripplestats.store.shards import check_content
from ripplestats.store.start import start_run
from tests.store.synthetic_run import (
    make_run,
    synthetic_definition,
    synthetic_effects,
    synthetic_manifest,
    synthetic_prompts,
)

#: Columns that may be without a value.
OUTCOMES = {"delta_logit", "delta_logprob", "kl", "top1_changed"}
#: The second shard of a synthetic run.
PART = f"part-000001-{1:064x}"[:24]


def start(path: Path, said: list[str] | None = None, **changes: Any) -> Run:
    say = (lambda _: None) if said is None else said.append
    return start_run(path, synthetic_definition(**changes), synthetic_manifest(), say)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("store") / "run", prompts=12, per_document=2)


def damaged(run: Run, folder: Path, name: str, content: bytes) -> Run:
    """A copy of a run in which one file has another content."""
    for file, whole in files_of(run.path).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content if file == name else whole)
    assert (folder / name).read_bytes() == content
    return Run(folder)


def test_effects_come_back_as_they_were_written(run: Run) -> None:
    columns = synthetic_effects(range(12), per_document=2)
    frame = run.effects()
    assert list(frame.columns) == schema.EFFECTS.names
    for name, values in columns.items():
        np.testing.assert_array_equal(frame[name].to_numpy(values.dtype), values, err_msg=name)


def test_columns_have_the_types_of_the_contract(run: Run) -> None:
    types = run.effects().dtypes.astype(str).to_dict()
    assert types == {
        "prompt_id": "int32",
        "document_id": "int32",
        "arm": "category",
        "replacement": "category",
        "site": "category",
        "layer": "int16",
        "rate": "float64",
        "k": "int32",
        "effective_rate": "float64",
        "delta_logit": "float32",
        "delta_logprob": "float32",
        "kl": "float32",
        "top1_changed": "bool",
    }


def test_every_column_says_what_it_means() -> None:
    for layout in (schema.EFFECTS, schema.PROMPTS):
        assert all(column.metadata[b"meaning"] for column in layout)
        assert {column.name for column in layout if column.nullable} <= OUTCOMES


def test_some_columns_and_rows_can_be_asked_for(run: Run) -> None:
    everything = run.effects()
    frame = run.effects(["k", "kl"], ds.field("layer") == 2)
    expected = everything.loc[everything["layer"] == 2, ["k", "kl"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame, expected)


def test_columns_may_be_asked_for_by_any_sequence_and_one_part_at_a_time(run: Run) -> None:
    names = ("prompt_id", "kl")
    whole = run.effects(names)
    parts = [run.part(number, names) for number in range(len(run.parts()))]
    assert list(whole.columns) == list(names)
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)


def test_prompts_come_back_with_their_clean_columns(run: Run) -> None:
    frame = run.prompts()
    assert list(frame.columns) == schema.PROMPTS.names
    assert [list(ids) for ids in frame["context_ids"].iloc[:2]] == [[0, 1], [1, 2]]
    columns = synthetic_prompts(range(12), 2)
    for name in columns.keys() - {"context_ids"}:
        np.testing.assert_array_equal(frame[name], columns[name], err_msg=name)


def test_only_prompts_of_finished_parts_are_written(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    run.write_prompts()
    assert not (run.path / "prompts.parquet").exists()
    run.write_part(1, synthetic_effects(range(8, 12)), synthetic_prompts(range(8, 12)))
    run.write_part(0, synthetic_effects(range(3)), synthetic_prompts(range(3)))
    run.write_prompts()
    assert list(run.prompts()["prompt_id"]) == [0, 1, 2, 8, 9, 10, 11]


def test_prompts_of_parts_that_a_killed_process_did_not_gather_are_there(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    run.write_part(0, synthetic_effects(range(3)), synthetic_prompts(range(3)))
    assert list(run.prompts()["prompt_id"]) == [0, 1, 2]
    run.write_prompts()
    run.write_part(1, synthetic_effects([3]), synthetic_prompts([3]))
    assert list(run.prompts()["prompt_id"]) == [0, 1, 2, 3]


def test_parts_come_in_the_order_of_the_prompts_whatever_order_they_were_written_in(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    for number, key in ((1, "0" * 64), (0, "f" * 64)):
        run.write_part(number, synthetic_effects([number]), synthetic_prompts([number]), key=key)
    assert [path.name for path in run.parts()] == [
        "part-000000-ffffffffffff.parquet",
        "part-000001-000000000000.parquet",
    ]
    assert [record.number for record in run.records()] == [0, 1]
    assert run.effects()["prompt_id"].is_monotonic_increasing


def test_a_part_is_there_when_its_record_is_and_the_record_is_written_last(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    effects = synthetic_effects([0])
    with pytest.raises(KeyError, match="layer"):
        run.write_part(0, {name: effects[name] for name in effects.keys() - {"layer"}}, synthetic_prompts([0]))
    (run.path / "shards").write_text("in the way of the record")
    with pytest.raises(StorageError):
        run.write_part(0, synthetic_effects([0]), synthetic_prompts([0]))
    (run.path / "shards").unlink()
    (run.path / "shards").mkdir()
    assert sorted(path.parent.name for path in run.path.rglob("*.parquet")) == ["effects", "prompts"]
    assert run.parts() == []
    run.write_part(0, synthetic_effects([0]), synthetic_prompts([0]))
    assert len(run.parts()) == 1


def test_a_run_from_before_shards_had_records_can_be_read(tmp_path: Path, run: Run) -> None:
    copy = Path(shutil.copytree(run.path, tmp_path / "copy"))
    shutil.rmtree(copy / "shards")
    shutil.rmtree(copy / "prompts")
    old = open_run(copy)
    pd.testing.assert_frame_equal(old.effects(), run.effects())
    pd.testing.assert_frame_equal(old.prompts(), run.prompts())


def test_numbers_that_do_not_fit_their_column_are_not_stored(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    effects = synthetic_effects([0])
    with pytest.raises(ValueError, match="70000"):
        run.write_part(0, {**effects, "layer": np.full(len(effects["k"]), 70_000)}, synthetic_prompts([0]))
    assert run.parts() == []


def test_a_new_run_has_its_manifest_and_nothing_else(tmp_path: Path) -> None:
    said: list[str] = []
    run = start(tmp_path / "deep" / "run", said)
    assert list(files_of(run.path)) == ["manifest.json"]
    manifest = run.manifest
    assert manifest["format"] == "ripplestats run 1"
    assert manifest["definition"] == synthetic_definition()
    assert manifest["dataset"]["used"] == "synthetic"
    assert manifest["timings"] == {}
    assert said == []
    assert open_run(run.path) == run


def test_an_empty_folder_can_be_used(tmp_path: Path) -> None:
    assert start(tmp_path).manifest["definition"] == synthetic_definition()


def test_completeness_is_what_the_manifest_says(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    assert run.complete
    run.update(completeness={"complete": False, "prompts_done": 3, "prompts": 12})
    assert not run.complete
    assert run.manifest["definition"] == synthetic_definition()


def test_the_same_definition_is_taken_up_with_its_parts_and_its_time(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    run.write_part(0, synthetic_effects([0]), synthetic_prompts([0]))
    run.update(timings={"sweep_s": 12.5})
    scratch = run.path / "effects" / ".unfinished-1-part-000001.parquet"
    scratch.write_text("half")
    said: list[str] = []
    # Tuples come back from JSON as lists: the same definition all the same.
    again = start(tmp_path / "run", said, arms=("top", "random"))
    assert again == run
    assert len(again.parts()) == 1
    assert again.manifest["timings"] == {"sweep_s": 12.5}
    assert said == [f"taking up the run in {run.path}: 1 parts are there"]
    assert not scratch.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 5}, r"another seed \(0, now 5\): it draws the prompts, the random neurons and the donors"),
        ({"arms": ["top"]}, r"another arms \(top, random, now top\): every prompt gets the same arms"),
        ({"weights_sha256": "ab"}, r"another weights sha256 \(None, now ab\): these are other weights"),
    ],
)
def test_another_definition_is_refused_and_what_changed_is_named(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    run = start(tmp_path / "run")
    before = files_of(run.path)
    with pytest.raises(RunError, match=f"{said}.*; choose another --out, or remove that folder"):
        start(tmp_path / "run", **change)
    assert files_of(run.path) == before


@pytest.mark.parametrize("place", [0, 15, 29])
def test_long_lists_that_differ_are_not_shown_as_the_same(tmp_path: Path, place: int) -> None:
    rates = [f"{number}/1000" for number in range(1, 31)]
    start(tmp_path / "run", rates=rates)
    with pytest.raises(RunError, match="another rates") as caught:
        start(tmp_path / "run", rates=[*rates[:place], "999/1000", *rates[place + 1 :]])
    was, now = str(caught.value).partition("(")[2].partition(")")[0].split(", now ")
    assert was != now


def test_what_a_definition_no_longer_holds_is_named_too(tmp_path: Path) -> None:
    start(tmp_path / "run", site=["pre"])
    with pytest.raises(RunError, match=r"another site \(pre, now None\)"):
        start(tmp_path / "run")


def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1")
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / ".unfinished-novel.txt").write_text("not of ours to remove")
    before = files_of(tmp_path)
    with pytest.raises(RunError, match="is not empty and holds no run; choose another folder"):
        start(tmp_path)
    assert files_of(tmp_path) == before


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(RunError, match="holds no run"):
        start(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "text"


def test_a_start_that_was_killed_before_its_manifest_was_whole_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-17-manifest.json").write_text('{"format"')
    assert start(tmp_path).manifest["definition"] == synthetic_definition()
    assert list(files_of(tmp_path)) == ["manifest.json"]


def test_a_manifest_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"manifest_version": 3, "name": "An extension"}')
    for use in (open_run, start):
        with pytest.raises(RunError, match=r"manifest\.json was not written by this program"):
            use(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]", b'"text"', b"null"])
def test_a_damaged_manifest_is_named(tmp_path: Path, run: Run, content: bytes) -> None:
    copy = damaged(run, tmp_path / "copy", "manifest.json", content)
    with pytest.raises(RunError, match=r"manifest\.json (is damaged|was not written by this program)"):
        open_run(copy.path)


def test_a_manifest_in_which_a_letter_was_changed_is_named(tmp_path: Path, run: Run) -> None:
    content = (run.path / "manifest.json").read_bytes()
    copy = damaged(run, tmp_path / "copy", "manifest.json", content.replace(b"synthetic-model", b"synthetic-modem", 1))
    with pytest.raises(RunError, match=r"manifest\.json is damaged: its checksum is not that of its content"):
        open_run(copy.path)


@pytest.mark.parametrize("missing", ["run", "manifest"])
def test_a_place_without_a_run_is_named(tmp_path: Path, missing: str) -> None:
    path = tmp_path if missing == "manifest" else tmp_path / "absent"
    with pytest.raises(RunError, match=r"is not a run directory: it has no manifest\.json"):
        open_run(path)


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def overwritten(whole: bytes) -> bytes:
    """The same length and footer, but the data pages are noise."""
    noise = np.random.default_rng(0).bytes(len(whole) // 2)
    return whole[:4] + noise + whole[4 + len(noise) :]


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"text", cut, overwritten], ids=["empty", "text", "cut", "noise"]
)
@pytest.mark.parametrize("folder", ["effects", "prompts"])
def test_damaged_parts_are_named(tmp_path: Path, run: Run, damage: Any, folder: str) -> None:
    name = f"{folder}/{PART}.parquet"
    copy = damaged(run, tmp_path / "copy", name, damage((run.path / name).read_bytes()))
    (copy.path / "prompts.parquet").unlink()
    with pytest.raises(RunError, match=rf"{name} is damaged"):
        copy.effects() if folder == "effects" else copy.prompts()
    with pytest.raises(RunError, match=rf"{name} is damaged.*; the command that made the run does this part anew"):
        check_content(copy.path, copy.records()[1])
    if damage is not overwritten:
        with pytest.raises(RunError, match=rf"{name} is damaged"):
            open_run(copy.path)


def test_damaged_prompts_are_named(tmp_path: Path, run: Run) -> None:
    copy = damaged(run, tmp_path / "copy", "prompts.parquet", b"PAR1")
    with pytest.raises(RunError, match=r"prompts\.parquet is damaged"):
        copy.prompts()


def test_a_table_with_other_columns_is_refused(tmp_path: Path, run: Run) -> None:
    other = (run.path / "prompts" / f"{PART}.parquet").read_bytes()
    copy = damaged(run, tmp_path / "copy", f"effects/{PART}.parquet", other)
    with pytest.raises(RunError, match=rf"{PART}\.parquet was not written by this program: its columns are prompt_id"):
        copy.effects()


def test_missing_tables_are_said(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    with pytest.raises(RunError, match="holds no effects yet"):
        run.effects()
    with pytest.raises(RunError, match=r"prompts\.parquet is damaged or missing"):
        run.prompts()
    with pytest.raises(RunError, match=r"has no estimates\.csv yet; run with --fit-only --out"):
        run.estimates()


def test_estimates_keep_layers_as_text_and_undefined_as_missing(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    (run.path / "estimates.csv").write_text("layer,estimate,note\nall,0.5,\n0,,undefined: flat\n")
    frame = run.estimates()
    assert list(frame["layer"]) == ["all", "0"]
    np.testing.assert_array_equal(frame["estimate"], [0.5, np.nan])
    assert frame["note"].iloc[1] == "undefined: flat"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n1,2,3\n"'], ids=["empty", "binary", "torn"])
def test_damaged_estimates_are_named(tmp_path: Path, content: bytes) -> None:
    run = start(tmp_path / "run")
    (run.path / "estimates.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"estimates\.csv"):
        run.estimates()


def test_the_manifest_is_json_that_other_programs_read(run: Run) -> None:
    content = json.loads((run.path / "manifest.json").read_text(encoding="utf-8"))
    assert len(content.pop("sha256")) == 64
    assert content == run.manifest


def test_the_parquet_files_carry_the_meaning_of_their_columns(run: Run) -> None:
    column = pq.read_schema(run.parts()[0]).field("delta_logprob")
    assert column.metadata[b"meaning"].startswith(b"log-probability of the target, clean - replaced, nats")
