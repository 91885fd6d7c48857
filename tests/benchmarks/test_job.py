from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sweep.job import Case, Job, first_prompts, read_job, spread

CASE = Case(2, ((1, 2), (3, 4)), (5, 6), (0, 3), (7,), (7, 8), 1.5)


def test_a_job_comes_back_from_its_file(tmp_path):
    job = Job("note", "a folder", "cpu", "float32", "seed", (CASE, CASE), 8)
    job.write(tmp_path / "job.json")
    assert read_job(tmp_path / "job.json") == job


def test_the_first_prompts_of_a_case_keep_their_targets():
    one = first_prompts(CASE, 1)
    assert (one.prompts, one.targets) == (((1, 2),), (5,))


@given(st.lists(st.integers(), min_size=1, max_size=40, unique=True), st.integers(2, 45))
def test_a_spread_sample_holds_both_ends_and_no_value_twice(values, n):
    found = spread(tuple(values), n)
    assert len(found) == min(n, len(values))
    assert (found[0], found[-1]) == (values[0], values[-1])
    assert len(set(found)) == len(found)
    assert spread(found, 1)[0] in values
