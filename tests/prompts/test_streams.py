"""Streams that break on the way: the same prompts as from one that does not, every break said, and an end to patience."""

import http
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import IterableDataset
from huggingface_hub import errors

from ripplestats import hub as client
from ripplestats.prompts import streams
from ripplestats.prompts.streams import FIRST_PAUSE, MOST_BREAKS, patiently, unbroken
from tests.hub_server import HANG_UP, Fault, Hub, serving
from tests.test_hub import answers, write_parquet
from tests.tiny import tiny_text

ROWS = 300
#: By the name of a dataset: what the first requests for its second file are answered with.
FAULTS: dict[str, list[Fault | int]] = {
    "plain": [],
    "cut": [Fault(cut_after=1000), Fault(cut_after=20_000)],
    "hung-up": [HANG_UP],
    "thrice-503": [503] * 3,
    "too-many": [Fault(429, {"Retry-After": "77"})],
    # The hub's client gives up after six.
    "long-outage": [503] * 14,
    "long-silence": [HANG_UP] * 7,
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is drawn from each dataset, far into its second file."""
    folder, seen = tmp_path_factory.mktemp("rows"), Counter[str]()
    for number in range(2):
        columns = {"title": [f"{number} {i}" for i in range(ROWS)], "text": tiny_text(ROWS, 20, number)}
        write_parquet(folder / f"train-{number:05d}-of-00002.parquet", columns, 50)

    def fault(method: str, path: str, _first: int) -> Fault | int | None:
        if method != "GET" or not path.endswith("train-00001-of-00002.parquet"):
            return None
        name = path.split("/")[2]
        seen[name] += 1
        planned = FAULTS[name]
        return planned[seen[name] - 1] if seen[name] <= len(planned) else None

    with serving(Hub(datasets={f"tiny-owner/{name}": folder for name in FAULTS}, fault=fault)) as served:
        jobs = {name: ["draw", f"tiny-owner/{name}", {"n": 2 * ROWS - 20, "fallback": False}] for name in FAULTS}
        return answers(jobs, served.url, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("name", FAULTS)
def test_a_stream_that_breaks_gives_the_prompts_of_one_that_does_not(drawn: dict[str, Any], name: str) -> None:
    assert drawn[name]["fingerprint"] == drawn["plain"]["fingerprint"]
    assert drawn[name]["titles"] == drawn["plain"]["titles"]
    assert bool(drawn[name]["said"]) == bool(FAULTS[name]), "every failure is said, and nothing else"
    assert all("\n" not in line for line in drawn[name]["said"])


def test_each_retry_is_one_line_and_pauses_grow(drawn: dict[str, Any]) -> None:
    said = drawn["thrice-503"]["said"]
    assert len(said) == 3
    assert all(line.startswith("the hub failed (HTTP Error 503); Retrying in ") for line in said)
    pauses = drawn["thrice-503"]["slept"]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 2 * pauses[0] > 0


def test_the_hub_is_left_alone_for_as_long_as_it_asks(drawn: dict[str, Any]) -> None:
    assert max(drawn["too-many"]["slept"]) >= 77
    assert "Waiting 78" in drawn["too-many"]["said"][0]


@pytest.mark.parametrize(("name", "breaks"), [("long-outage", 2), ("long-silence", 1)])
def test_after_the_clients_own_retries_the_stream_goes_on_at_its_row(
    drawn: dict[str, Any], name: str, breaks: int
) -> None:
    broke = [line for line in drawn[name]["said"] if "broke off after" in line]
    assert len(broke) == breaks
    for number, line in enumerate(broke, start=1):
        assert line.startswith(f"tiny-owner/{name} broke off after {ROWS} rows; going on there in ")
        assert f"try {number} of {MOST_BREAKS}" in line


def failing(breaks: list[int]) -> tuple[IterableDataset, list[int]]:
    """A stream of two files that breaks before each of these rows of its second one, once for each time it is named."""
    left, read = list(breaks), list[int]()

    def rows(files: list[int]) -> Iterator[dict[str, int]]:
        for file in files:
            for row in range(10):
                if file == 1 and row in left:
                    left.remove(row)
                    raise ConnectionError("reset by peer")
                read.append(10 * file + row)
                yield {"row": 10 * file + row}

    return IterableDataset.from_generator(rows, gen_kwargs={"files": [0, 1]}), read


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(streams.time, "sleep", pauses.append)
    return pauses


@pytest.mark.parametrize("breaks", [[], [0], [3, 3, 7], [9], [0] * MOST_BREAKS, [2] * MOST_BREAKS + [5] * MOST_BREAKS])
def test_rows_come_once_and_in_order(breaks: list[int], slept: list[float]) -> None:
    said: list[str] = []
    rows, read = failing(breaks)
    assert [row["row"] for row in unbroken("a corpus", rows, said.append)] == list(range(20))
    assert len(said) == len(slept) == len(breaks)
    assert read.count(0) == 1, "files that are done are not read again"


def test_pauses_double_and_begin_anew_after_a_row(slept: list[float]) -> None:
    list(unbroken("a corpus", failing([2, 2, 2, 5])[0], lambda _: None))
    assert slept == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, FIRST_PAUSE]


def test_patience_ends(slept: list[float]) -> None:
    said: list[str] = []
    stream = unbroken("a corpus", failing([4] * (MOST_BREAKS + 1))[0], said.append)
    got = []
    with pytest.raises(ConnectionError, match="reset by peer"):
        got += [row["row"] for row in iter(lambda: next(stream), None)]
    assert len(said) == len(slept) == MOST_BREAKS
    assert said[0] == f"a corpus broke off after 14 rows; going on there in 2 s, try 1 of {MOST_BREAKS} (reset by peer)"


def answered(status: int, **headers: str) -> errors.HfHubHTTPError:
    """What the hub's client raises on a status."""
    library = errors.HfHubHTTPError.__bases__[0].__module__.split(".")[0]
    response = __import__(library).Response(status, headers=headers)
    response.request = __import__(library).Request("GET", "http://127.0.0.1/file")
    return errors.HfHubHTTPError(http.HTTPStatus(status).phrase, response=response)


@pytest.mark.parametrize(
    ("status", "passes"), [(401, False), (403, False), (404, False), (408, True), (429, True), (500, True), (504, True)]
)
def test_what_will_not_pass_is_not_waited_for(status: int, passes: bool, slept: list[float]) -> None:
    tries = []

    def work() -> str:
        tries.append(status)
        if len(tries) == 1:
            raise ValueError("cannot be read") from answered(status, **{"Retry-After": "40"})
        return "found"

    if passes:
        assert patiently("a corpus", work, lambda _: None) == "found"
        assert slept == [40.0]
    else:
        with pytest.raises(ValueError, match="cannot be read"):
            patiently("a corpus", work, lambda _: None)
        assert slept == []


def test_a_mistake_in_the_data_is_not_waited_for(slept: list[float]) -> None:
    def work() -> None:
        raise ValueError("JSON parse error")

    with pytest.raises(ValueError, match="JSON"):
        patiently("a corpus", work, lambda _: None)
    assert slept == []
    assert client.passing(ValueError("JSON parse error")) is None


def test_a_failed_read_is_an_oserror_of_the_disk_and_not_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "missing").read_text()
    assert client.passing(caught.value) is None
