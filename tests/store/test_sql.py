"""SQL on a run: the same rows as the frame, and nothing but reading."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.errors import InputError, RunError
from ripplestats.store.run_directory import Run
from tests.store.synthetic_run import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("sql") / "run", prompts=12, per_document=2)
    pd.DataFrame({"quantity": ["threshold"], "layer": ["all"], "estimate": [0.03], "note": [""]}).to_csv(
        run.path / "estimates.csv", index=False
    )
    return run


def test_means_are_those_of_the_frame(run: Run) -> None:
    found = run.sql(
        "select arm, layer, avg(delta_logprob::double) as mean, count(*) as n from effects group by all order by all"
    )
    expected = run.effects().groupby(["arm", "layer"], observed=True)["delta_logprob"].agg(["mean", "size"])
    expected = expected.sort_index(key=lambda level: level.astype(str) if level.name == "arm" else level)
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-6)
    assert found["arm"].tolist() == ["random"] * 3 + ["top"] * 3
    assert (found["n"] == 120).all()


def test_tables_of_prompts_and_of_the_analysis_are_there(run: Run) -> None:
    joined = run.sql(
        "with changed as (select prompt_id, sum(top1_changed::int) as n from effects group by 1) "
        "select context, n from changed join prompts using (prompt_id) order by prompt_id"
    )
    assert joined["context"].tolist() == [f"prompt {i} café" for i in range(12)]
    assert run.sql("select estimate from estimates where layer = 'all'").iloc[0, 0] == pytest.approx(0.03)


FORBIDDEN = {
    "write": "copy (select 1) to '{out}'",
    "write over a part": "copy (select 1 as prompt_id) to '{part}' (format parquet)",
    "database file": "attach '{out}'",
    "export": "export database '{out}'",
    "two statements": "select 1; select 2",
    "none": "",
    "a table": "create table new as select 1",
    "changing rows": "delete from effects",
    "extension": "install httpfs",
    "setting": "set enable_external_access = true",
    "pragma": "pragma enable_profiling",
    "call": "call pragma_version()",
}
OUTSIDE = {
    "text file": "select * from read_text('{secret}')",
    "csv file": "select * from '{secret}'",
    "csv reader": "select * from read_csv('{secret}')",
    "parquet file": "select * from read_parquet('{part}')",
    "list of files": "select * from glob('{folder}/*')",
    "network": "select * from read_csv('http://127.0.0.1:9/x.csv')",
    "python variable": "select * from a_local_frame",
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_not_one_select_is_refused_and_writes_nothing(run: Run, tmp_path: Path, name: str) -> None:
    part, out = run.parts()[0], tmp_path / "out"
    before = part.read_bytes()
    with pytest.raises(InputError, match=r"exactly one SELECT is allowed, on the tables effects, prompts, estimates"):
        run.sql(FORBIDDEN[name].format(out=out, part=part))
    assert not out.exists()
    assert part.read_bytes() == before


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_outside_of_the_run_can_be_read(run: Run, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("password\nswordfish\n", encoding="utf-8")
    a_local_frame = pd.DataFrame({"password": ["swordfish"]})
    query = OUTSIDE[name].format(secret=secret, part=run.parts()[0], folder=tmp_path)
    with pytest.raises(InputError, match=r"^sql: .*the tables are effects, prompts, estimates") as caught:
        run.sql(query)
    assert "\n" not in str(caught.value)
    assert "swordfish" not in str(caught.value)
    assert len(a_local_frame) == 1


@pytest.mark.parametrize("query", ["selec 1", "select nothing from effects", "select 'a'::int", "select \udc80"])
def test_a_wrong_query_is_refused_in_one_line(run: Run, query: str) -> None:
    with pytest.raises(InputError, match=r"^sql: ") as caught:
        run.sql(query)
    assert "\n" not in str(caught.value)


def test_without_duckdb_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InputError, match=r"pip install 'ripplestats\[sql\]'"):
        run.sql("select 1")


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", prompts=8)
    run.parts()[0].write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(RunError, match="part-000000"):
        run.sql("select count(*) from effects")
