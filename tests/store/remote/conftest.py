"""Object stores on the loopback interface: servers of the S3 and the Google Cloud Storage protocol, buckets of a hub's
stand-in, and fsspec's own memory.
"""

import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from huggingface_hub import constants
from huggingface_hub.utils._xet import XetSessionHolder

from ripplestats import hub as hub_module
from ripplestats.store import lock
from ripplestats.store.remote import lease, objects
from tests.bucket_server import Buckets
from tests.hub_server import Hub, serving

#: What must never be found in anything that a run writes.
SECRET = "a-secret-that-nobody-may-read"
#: A token that may not write.
READER = "hf_may_read"
BUCKET = "bucket"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 server with a bucket, by its address."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    # S3 looks and writes in one where an object is only to be created; this server does, if nobody comes between.
    served = pytest.importorskip("moto.moto_server.werkzeug_app").DomainDispatcherApplication
    answer, alone = served.__call__, threading.Lock()

    def one_by_one(*request: Any) -> Any:
        with alone:
            return answer(*request)

    served.__call__ = one_by_one
    address = "http://{}:{}".format(*server.get_host_and_port())
    urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
    # Clients are kept by address, and with them the server and the credentials, or the want of them, of their first use.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield address
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()
    served.__call__ = answer


@pytest.fixture(scope="session")
def gs_server() -> Iterator[str]:
    """A server of Google Cloud Storage with a bucket, by its address."""
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with a bucket, whose content store is a folder."""
    folder = tmp_path_factory.mktemp("hub")
    with (
        serving(Hub(buckets=Buckets(folder / "contents", SECRET, READER, {f"me/{BUCKET}": {}}))) as hub,
        pytest.MonkeyPatch.context() as patch,
    ):
        hub_module._answers.cache_clear()  # a port may be given out twice
        # The client keeps one session with content stores, and with it the folder of its cache.
        patch.setenv("HF_XET_CACHE", str(folder / "cache"))
        patch.setattr("huggingface_hub.utils._xet._GLOBAL_XET_HOLDER", XetSessionHolder())
        yield hub


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An address in an S3 bucket, where nothing is yet."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    return f"s3://{BUCKET}/{request.node.name.partition('[')[0]}/run"


@pytest.fixture
def gs(gs_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """An address in a bucket of Google Cloud Storage, where nothing is yet."""
    # The client looks for credentials first, which an emulator does not want.
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon", "endpoint_url": gs_server})
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs_server)
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    return f"gs://{BUCKET}/{request.node.name.partition('[')[0]}/run"


@pytest.fixture
def hub(hub_server: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub with an empty bucket, and a token that may write."""
    assert hub_server.buckets is not None
    hub_server.buckets.buckets[f"me/{BUCKET}"].clear()
    monkeypatch.setattr(constants, "ENDPOINT", hub_server.url)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    yield hub_server
    hub_server.fault = lambda *_: None


@pytest.fixture
def hf(hub: Hub, request: pytest.FixtureRequest) -> str:
    """An address in a bucket of the hub, where nothing is yet."""
    return f"hf://buckets/me/{BUCKET}/{request.node.name.partition('[')[0]}/run"


@pytest.fixture
def memory() -> Iterator[str]:
    """An address in the memory of this process, where nothing is yet."""
    yield "memory://bucket/run"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(params=["s3", "gs", "hf", "memory"])
def address(request: pytest.FixtureRequest) -> str:
    """An address in each kind of store."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["s3", "hf"])
def served(request: pytest.FixtureRequest) -> str:
    """An address in a store that is asked for over a network, with credentials."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for tenths of a second where a run waits for minutes."""
    monkeypatch.setattr(lock, "_PATIENCE", 0.05)
    monkeypatch.setattr(objects, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(lease, "RENEWED_EVERY", 0.1)
    monkeypatch.setattr(lease, "WATCHED_FOR", 1.5)
    monkeypatch.setattr(lease, "SETTLED_AFTER", 0.05)


@pytest.fixture
def nobody_renews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watch a lease for a moment only, where none is renewed by anybody."""
    monkeypatch.setattr(lease, "WATCHED_FOR", 0.1)
