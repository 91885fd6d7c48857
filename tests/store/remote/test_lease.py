"""A lease: held by one, given back, taken over from the dead, and lost aloud."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ripplestats.errors import StorageError
from ripplestats.store.remote.lease import LEASE, holder, leased
from ripplestats.store.remote.objects import Objects, connect


@pytest.fixture
def objects(address: str) -> Objects:
    return connect(address)


def nothing() -> None:
    """What else is done at a renewal: nothing."""


def test_a_second_holder_is_refused_while_the_first_renews(objects: Objects) -> None:
    with leased(objects, "first", nothing):
        assert holder(objects).startswith("process ")
        with pytest.raises(StorageError, match=r"is being worked on by process \d+ on .*; wait for it"):
            leased(objects, "second", nothing).__enter__()
    assert holder(objects) == ""
    with leased(objects, "second", nothing):
        pass


@pytest.mark.parametrize("store", ["s3", "hf"])
def test_of_two_that_find_it_free_at_once_one_holds_it(
    store: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, create = request.getfixturevalue(store), Objects.create
    found_free, decided = threading.Barrier(2), threading.Barrier(2)
    tried: list[Objects] = []

    def at_once(objects: Objects, name: str, content: bytes) -> bool:
        if objects not in tried:
            tried.append(objects)
            found_free.wait(10)
        return create(objects, name, content)

    def hold(owner: str) -> bool:
        try:
            with leased(connect(address), owner, nothing):
                decided.wait(10)
                return True
        except StorageError:
            decided.wait(10)
            return False

    monkeypatch.setattr(Objects, "create", at_once)
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(hold, ["first", "second"])) == [False, True]


@pytest.mark.usefixtures("nobody_renews")
def test_the_lease_of_a_dead_process_is_taken_over_at_once_by_its_own_folder_and_later_by_others(memory: str) -> None:
    said: list[str] = []
    objects = connect(memory, said.append)
    objects.put(LEASE, json.dumps({"owner": "dead", "process": 7, "host": "there", "time": "then"}).encode())
    with leased(objects, "dead", nothing):
        assert said == []
    objects.put(LEASE, json.dumps({"owner": "dead", "process": 7, "host": "there", "time": "then"}).encode())
    with leased(objects, "other", nothing):
        assert said[-1] == "the lease of process 7 on there (renewed then) is stale, and taken over"


@pytest.mark.usefixtures("nobody_renews")
@pytest.mark.parametrize("content", [b"", b"no JSON", b"[1]", b'{"owner": 3, "host": "\\u001b[31m"}'])
def test_a_lease_of_any_content_is_one_of_nobody_known(memory: str, content: bytes) -> None:
    objects = connect(memory)
    objects.put(LEASE, content)
    assert "\x1b" not in holder(objects)
    with leased(objects, "one", nothing):
        pass


def test_who_loses_the_lease_may_not_write_any_more(memory: str) -> None:
    objects = connect(memory)
    with leased(objects, "first", nothing) as lease:
        lease.check()
        objects.put(LEASE, json.dumps({"owner": "second", "process": 7, "host": "there", "time": "now"}).encode())
        until = time.monotonic() + 10
        while not lease.lost and time.monotonic() < until:
            time.sleep(0.02)
        with pytest.raises(StorageError, match="was taken over by process 7 on there"):
            lease.check()
    assert json.loads(objects.get(LEASE) or b"")["owner"] == "second"


def test_a_lease_that_was_given_back_allows_nothing(memory: str) -> None:
    with leased(connect(memory), "first", nothing) as lease:
        pass
    with pytest.raises(StorageError, match="is not held any more"):
        lease.check()
