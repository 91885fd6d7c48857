"""Objects by name: whole, listed anew each time, and patient with a store that fails for a while."""

import pytest

from ripplestats.errors import InputError, StorageError
from ripplestats.store.remote.objects import TRIES, connect


def test_what_is_put_is_listed_read_and_removed(address: str) -> None:
    objects = connect(address)
    assert objects.entries() == {}
    assert objects.get("a.json") is None
    objects.put("a.json", b"first")
    objects.put("a.json", b"second")
    objects.put("shards/b.json", b"abc")
    assert objects.get("a.json") == b"second"
    assert objects.entries() == {"a.json": 6, "shards": None}
    assert objects.sizes("shards") == {"b.json": 3}
    for _ in range(2):
        objects.remove("a.json")
    assert set(objects.entries()) == {"shards"}


@pytest.mark.parametrize("store", ["s3", "hf", "memory"])  # the emulator of the third does not know conditions
def test_an_object_is_created_once(store: str, request: pytest.FixtureRequest) -> None:
    objects = connect(request.getfixturevalue(store))
    assert objects.create("lease.json", b"first")
    assert not objects.create("lease.json", b"second")
    assert objects.get("lease.json") == b"first"


def test_a_failure_that_passes_is_waited_for_and_one_that_does_not_is_one_line(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    objects, failures = connect(memory, said.append), iter([OSError("reset by peer")] * (TRIES - 1))
    put = objects.filesystem.pipe_file

    def failing(*arguments: object, **options: object) -> None:
        for error in failures:
            raise error
        put(*arguments, **options)

    monkeypatch.setattr(type(objects.filesystem), "pipe_file", lambda _self, *some, **more: failing(*some, **more))
    objects.put("a.json", b"here")
    assert objects.get("a.json") == b"here"
    assert len(said) == TRIES - 1
    assert f"{memory} cannot be written (reset by peer); trying again in" in said[0]
    failures = iter([OSError("reset by peer\nand more")] * (TRIES + 1))
    with pytest.raises(StorageError, match=f"^{memory} cannot be written: reset by peer; what was finished"):
        objects.put("a.json", b"there")
    before = len(said)
    with pytest.raises(StorageError):  # once given up, it is not waited for again
        objects.put("a.json", b"there")
    assert len(said) == before


def test_what_cannot_pass_is_not_tried_again(s3: str) -> None:
    said: list[str] = []
    with pytest.raises(StorageError, match="bucket does not exist"):
        connect(s3.replace("bucket", "no-such-bucket"), said.append).put("a.json", b"")
    assert said == []


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://example.org/run", "allowed are a folder, or s3://"),
        ("simplecache::s3://bucket/run", "allowed are a folder"),
        ("s3://key:secret@bucket/run", "^--out: an address holds no user, key or query; credentials go into"),
        ("s3://bucket/run?key=secret", "^--out: an address holds no user, key or query; credentials go into"),
        ("hf://datasets/owner/name", "each file would be a commit"),
        ("hf://owner/model/run", "only a bucket can be written"),
        ("hf://buckets/owner", "only a bucket can be written"),
    ],
)
def test_other_addresses_are_refused_and_no_secret_repeated(address: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as refused:
        connect(address)
    assert "secret" not in str(refused.value)
