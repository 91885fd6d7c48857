"""A bucket of the hub: pages of listings, what the hub refuses, and failures of its client that pass."""

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars

from ripplestats.errors import InputError, StorageError
from ripplestats.store.remote.objects import TRIES, Objects, connect
from ripplestats.store.remote.working_copy import open_remote, working_copy
from tests.bucket_server import PAGE
from tests.hub_server import HANG_UP, Fault, Hub
from tests.store.remote.conftest import BUCKET, READER

OPERATIONS: list[Callable[[Objects], object]] = [
    lambda objects: objects.entries(),
    lambda objects: objects.get("a"),
    lambda objects: objects.put("a", b""),
    lambda objects: objects.create("a", b""),
    lambda objects: objects.remove("a"),
]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the hub's client, which are not made."""
    made: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=made.append))
    return made


def test_a_listing_of_several_pages_holds_the_run_and_not_its_namesakes(hf: str) -> None:
    objects, names = connect(hf), [f"{number}.json" for number in range(2 * PAGE + 1)]
    for name in names:
        objects.put(name, name.encode())
    connect(f"{hf}-2").put("a", b"")
    assert objects.sizes() == dict.fromkeys(names, len(names[0]))
    assert connect(hf.rpartition("/")[0]).entries() == {"run": None, "run-2": None}


def test_a_folder_that_the_hub_does_not_know_is_empty(hub: Hub, hf: str) -> None:
    hub.fault = lambda _, path, __: Fault(404, {"X-Error-Code": "EntryNotFound"}) if "/tree/" in path else None
    assert connect(hf).entries() == {}


def test_what_another_machine_writes_and_removes_is_seen_at_once(hub: Hub, hf: str) -> None:
    objects, other = connect(hf), connect(hf)
    assert objects.entries() == {}
    other.put("a", b"first")
    assert objects.get("a") == b"first"
    other.put("a", b"second and longer")
    assert objects.get("a") == b"second and longer"
    other.remove("a")
    assert objects.get("a") is None


def test_the_bucket_itself_may_be_the_address(hub: Hub) -> None:
    objects = connect(f"hf://buckets/me/{BUCKET}/")
    objects.put("at-the-top", b"1")
    assert objects.sizes()["at-the-top"] == 1
    assert objects.get("at-the-top") == b"1"


@pytest.mark.parametrize("work", OPERATIONS)
def test_a_bucket_that_is_not_there_is_said_at_once(hub: Hub, work: Callable[[Objects], object]) -> None:
    said: list[str] = []
    with pytest.raises(
        StorageError, match=r"^hf://buckets/me/none/run cannot be \w+: the hub refuses \(404\): there is no such bucket"
    ):
        work(connect("hf://buckets/me/none/run", said.append))
    assert said == []
    with pytest.raises(StorageError, match="there is no such bucket"):
        open_remote("hf://buckets/me/none/run")


@pytest.mark.parametrize("work", OPERATIONS)
def test_without_the_right_token_the_way_to_one_is_named(
    hf: str, work: Callable[[Objects], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for token in ("", "hf_of_nobody"):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(StorageError, match=r"the hub refuses \(401\): it wants a token: set HF_TOKEN") as refused:
            work(connect(hf))
        assert "hf_of_nobody" not in str(refused.value)


def test_a_token_that_may_only_read_reads(hf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    objects = connect(hf, said.append)
    objects.put("a", b"1")
    monkeypatch.setenv("HF_TOKEN", READER)
    assert objects.get("a") == b"1"
    for work in (lambda: objects.put("a", b"2"), lambda: objects.remove("a")):
        with pytest.raises(
            StorageError, match=r"cannot be written: the hub refuses \(403\): the token may not do this"
        ):
            work()
    assert said == []


def test_a_package_that_is_missing_is_named(hf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hf_xet", None)
    with pytest.raises(InputError, match=f"^--out {hf} needs a package: pip install hf_xet$"):
        connect(hf)


def test_a_hub_that_does_not_answer_is_known_at_once(hf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(StorageError, match=f"^{hf} cannot be opened: the hub cannot be reached$"):
            connect(hf)


@pytest.mark.parametrize("fault", [429, 503, HANG_UP, Fault(200, cut_after=4)])
def test_a_failure_that_passes_is_waited_for_and_told(
    hub: Hub, hf: str, fault: int | Fault, pauses: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(tmp_path))
    said: list[str] = []
    failing = {"POST batch", "GET resolve", "GET tree"}

    def once(method: str, path: str, _first: int) -> int | Fault | None:
        asked = next((one for one in failing if one.split()[0] == method and f"/{one.split()[1]}" in path), None)
        failing.discard(asked or "")
        return fault if asked else None

    objects = connect(hf, said.append)
    hub.fault = once
    with working_copy(hf, said.append):
        objects.put("a", b"content")
        assert objects.get("a") == b"content"
        assert objects.sizes()["a"] == 7
    assert not failing
    assert len([line for line in said if "the hub failed" in line]) == len(pauses) == 3


def test_a_hub_that_stalls_is_asked_again(
    hub: Hub, hf: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, stalls = connect(hf), iter([0.4])
    objects.put("a", b"1")
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.fault = lambda *_: time.sleep(next(stalls, 0))
    assert objects.get("a") == b"1"
    assert len(pauses) >= 1


def test_a_failure_that_does_not_pass_ends_in_one_line(hub: Hub, hf: str, pauses: list[float]) -> None:
    said: list[str] = []
    hub.fault = lambda *_: 503
    objects = connect(hf, said.append)
    for what, work in (("read", lambda: objects.get("a")), ("written", lambda: objects.put("a", b""))):
        with pytest.raises(
            StorageError, match=f"^{hf} cannot be {what}: Server error '503 Service Unavailable'"
        ) as ended:
            work()
        assert "\n" not in str(ended.value)
    assert len(said) == TRIES - 1


@pytest.mark.parametrize("error", [RuntimeError("Internal error: a database"), ConnectionError("Network error")])
def test_errors_of_the_content_store_are_tried_again(
    hf: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    objects, whole, errors = connect(hf, said.append), HfApi.batch_bucket_files, iter([error])

    def failing(*arguments: object, **options: object) -> None:
        for one in errors:
            raise one
        whole(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(HfApi, "batch_bucket_files", failing)
    objects.put("a", b"1")
    assert objects.get("a") == b"1"
    assert [line.partition(" cannot be written ")[2] for line in said] == [
        f"({error}); trying again in 0.01 s, 1 of {TRIES}"
    ]


def test_no_bar_is_drawn_for_an_object(
    hf: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[enable_progress_bars.__module__], "HF_HUB_DISABLE_PROGRESS_BARS", None)
    enable_progress_bars()
    connect(hf).put("a", b"1")
    assert are_progress_bars_disabled()
    assert capfd.readouterr().err == ""
