"""A stand-in for the Hugging Face hub on the loopback interface: enough of its protocol to download and to stream.

It serves local folders as model and dataset repositories, writes down every request with the bytes it answered, and
can be told to fail.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.bucket_server import Answer, Buckets
from tests.hub_uploads import Uploads

#: A fault that closes the connection without an answer.
HANG_UP = 0
#: The one commit of every repository.
SHA = "0123456789abcdef0123456789abcdef01234567"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_PIECE = 1 << 16


@dataclass(frozen=True)
class Fault:
    """An answer in place of the right one: a status with headers, or the right one cut off after so many bytes."""

    status: int = HANG_UP
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None


@dataclass
class Request:
    """One request and its answer; ``sent`` counts the bytes of the answer's body as they go out."""

    method: str
    path: str
    status: int
    sent: int = 0


@dataclass
class Hub:
    """The repositories, what happened so far, and when to fail."""

    models: Mapping[str, Path] = field(default_factory=dict)
    datasets: Mapping[str, Path] = field(default_factory=dict)
    #: Gets method, path and first byte asked for; a fault or status code (or HANG_UP) it returns takes the place of the
    #: answer.
    fault: Callable[[str, str, int], "Fault | int | None"] = lambda _method, _path, _first: None
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    #: Takes what is pushed; without it nothing can be.
    uploads: Uploads | None = None
    buckets: Buckets | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, method: str, path: str, status: int) -> Request:
        """Write down a request before it is answered."""
        request = Request(method, path, status)
        with self._lock:
            self.requests.append(request)
        return request

    def sent(self, ending: str = "") -> int:
        """Bytes of file content answered so far, for files whose name ends so."""
        with self._lock:
            return sum(r.sent for r in self.requests if "/resolve/" in r.path and r.path.endswith(ending))

    def repository(self, kind: str, path: str) -> tuple[str, Path, str] | None:
        """Split ``owner/name/rest`` at the repository that is served, if one is."""
        known = self.models if kind == "models" else self.datasets
        for name in sorted(known, key=len, reverse=True):
            if path == name or path.startswith(f"{name}/"):
                return name, known[name], path.removeprefix(name).strip("/")
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: Else each answer on a kept connection waits for 40 ms.
    disable_nagle_algorithm = True
    hub: Hub
    cut_after: int | None = None

    def log_message(self, *_: object) -> None:
        """Stay silent: pytest shows the requests when a test fails."""

    def handle(self) -> None:
        """Take a client that goes away for what it is: the end of a connection."""
        with suppress(ConnectionError):
            super().handle()

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        path = unquote(parts.path).strip("/")
        wanted = _RANGE.match(self.headers.get("Range", ""))
        fault = self.hub.fault(self.command, path, int(wanted[1]) if wanted else 0)
        if isinstance(fault, int):
            fault = Fault(fault)
        self.cut_after = None if fault is None else fault.cut_after
        if fault is not None and fault.status == HANG_UP and fault.cut_after is None:
            self.close_connection = True
            self.hub.note(self.command, path, HANG_UP)
        elif fault is not None and fault.cut_after is None:
            self._send(fault.status, b"told to fail", fault.headers)
        elif path == "":
            self._send(200, b"hub")
        elif (pushed := self._pushed(path, body)) is not None:
            self._send(pushed[0], json.dumps(pushed[1]).encode(), {"Content-Type": "application/json"})
        elif (found := self._in_a_bucket(path, body)) is not None:
            self._send(*found)
        elif path.startswith(("api/models/", "api/datasets/")):
            _, kind, rest = path.split("/", 2)
            self._api(kind, rest, parse_qs(parts.query), body)
        else:
            kind = "datasets" if path.startswith("datasets/") else "models"
            self._file(kind, path.removeprefix("datasets/"))

    def _pushed(self, path: str, body: bytes) -> tuple[int, Any] | None:
        if self.hub.uploads is None:
            return None
        return self.hub.uploads.answer(self.hub.url, self.command, path, self.headers, body)

    def _in_a_bucket(self, path: str, body: bytes) -> Answer | None:
        if self.hub.buckets is None:
            return None
        return self.hub.buckets.answer(self.command, self.path, path, self.headers, body)

    def _api(self, kind: str, rest: str, query: Mapping[str, list[str]], body: bytes) -> None:
        found = self.hub.repository(kind, rest)
        if found is None:
            self._missing("RepoNotFound", HTTPStatus.UNAUTHORIZED)
            return
        name, folder, action = found
        verb, _, rest = action.partition("/")
        revision, _, inside = rest.partition("/")
        if verb and revision not in ("main", SHA):
            self._missing("RevisionNotFound")
        elif verb in ("", "revision"):
            self._json(_info(name, folder))
        elif verb == "tree":
            recursive = query.get("recursive", ["False"])[0].lower() in ("true", "1")
            entries = _tree(folder, inside, recursive)
            if entries:
                self._json(entries)
            else:
                self._missing("EntryNotFound")
        elif verb == "paths-info":
            self._json([_entry(folder, folder / path) for path in _wanted(body) if (folder / path).exists()])
        else:
            self._missing("EntryNotFound")

    def _file(self, kind: str, path: str) -> None:
        found = self.hub.repository(kind, path)
        if found is None:
            self._missing("RepoNotFound", HTTPStatus.UNAUTHORIZED)
            return
        _, folder, action = found
        verb, _, rest = action.partition("/")
        revision, _, inside = rest.partition("/")
        file = folder / inside
        if verb != "resolve" or not inside or not file.is_file():
            self._missing("EntryNotFound")
        elif revision not in ("main", SHA):
            self._missing("RevisionNotFound")
        else:
            self._content(file)

    def _content(self, file: Path) -> None:
        size = file.stat().st_size
        wanted = _RANGE.match(self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        last = min(int(wanted[2]), size - 1) if wanted and wanted[2] else size - 1
        headers = {"ETag": f'"{_etag(file)}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        with file.open("rb") as stream:
            stream.seek(first)
            content = stream.read(last - first + 1)
        self._send(206 if wanted else 200, content, headers)

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _missing(self, code: str, status: int = HTTPStatus.NOT_FOUND) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        request = self.hub.note(self.command, unquote(urlsplit(self.path).path).strip("/"), status)
        self.send_response(status)
        for name, value in {"X-Repo-Commit": SHA, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.cut_after is not None:
            content, self.close_connection = content[: self.cut_after], True
        if self.command != "HEAD":
            for start in range(0, len(content), _PIECE):
                request.sent += self.wfile.write(content[start : start + _PIECE])


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on a free port of the loopback interface; its ``url`` is what HF_ENDPOINT should be."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _wanted(body: bytes) -> list[str]:
    """The paths of a paths-info request, as JSON or as a form."""
    text = body.decode()
    paths = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
    return [paths] if isinstance(paths, str) else paths


def _info(name: str, folder: Path) -> dict[str, Any]:
    files = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file()]
    return {
        "id": name, "modelId": name, "sha": SHA, "private": False, "gated": False, "disabled": False, "tags": [],
        "downloads": 0, "likes": 0, "siblings": [{"rfilename": file} for file in files],
    }  # fmt: skip


def _tree(folder: Path, inside: str, recursive: bool) -> list[dict[str, Any]]:
    top = folder / inside if inside else folder
    if not top.is_dir():
        return [_entry(folder, top)] if top.is_file() else []
    return [_entry(folder, path) for path in sorted(top.rglob("*") if recursive else top.iterdir())]


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": _etag(path), "size": 0}
    return {"type": "file", "path": name, "oid": _etag(path), "size": path.stat().st_size}


def _etag(path: Path) -> str:
    return hashlib.sha1(f"{path.name} {path.stat().st_size}".encode()).hexdigest()
