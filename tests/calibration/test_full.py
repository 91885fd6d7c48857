"""Every job of the full tier can be sent to another process."""

import pickle

from tests.calibration.full import jobs


def test_every_job_can_be_pickled() -> None:
    found = jobs(0.001)
    assert {job.table for job in found} == {"coverage", "mixed_model", "size", "power", "sequential", "scores"}
    for job in found:
        assert pickle.loads(pickle.dumps(job)).name == job.name
