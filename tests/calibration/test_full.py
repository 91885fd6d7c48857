"""Every job of the full tier can be sent to another process."""

import pickle
from pathlib import Path

import pandas as pd

from tests.calibration.full import jobs, write


def test_every_job_can_be_pickled() -> None:
    found = jobs(0.001)
    assert {job.table for job in found} == {
        "coverage",
        "unbalanced",
        "mixed_model",
        "size",
        "power",
        "sequential",
        "scores",
    }
    for job in found:
        assert pickle.loads(pickle.dumps(job)).name == job.name


def test_rows_of_some_jobs_take_the_place_of_those_of_the_same_names(tmp_path: Path) -> None:
    def rows(**rejected: float) -> pd.DataFrame:
        return pd.DataFrame(
            [{"null": name, "documents": 30, "sets": 9, "rejected": one} for name, one in rejected.items()]
        )

    table = tmp_path / "size.csv"
    write(rows(b=0.04, a=0.05), table, whole=True)
    write(rows(c=0.06, b=0.07), table, whole=False)
    assert pd.read_csv(table)["rejected"].tolist() == [0.05, 0.07, 0.06]
    write(rows(d=0.01), table, whole=True)
    assert pd.read_csv(table)["null"].tolist() == ["d"]
