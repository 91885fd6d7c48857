"""What the stand-in of the hub does with buckets: listings, single paths, contents, tokens of the content store, batches.

The hub's client puts content into a content store, whose address comes with the token: here a folder, which the client
itself knows how to fill. The hub is then told which path has which content.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

#: Status, body and headers.
Answer = tuple[int, bytes, Mapping[str, str]]
#: Entries of a page of a listing.
PAGE = 3


@dataclass(frozen=True)
class Content:
    """What a path has: its bytes, their hash in the content store, and when they were given."""

    content: bytes
    xet_hash: str
    modified: str


@dataclass
class Buckets:
    """Private buckets by ``owner/name``, each with its contents by path."""

    #: Of the content store.
    folder: Path
    #: Who may read and write, and who may only read.
    writer: str
    reader: str
    buckets: dict[str, dict[str, Content]] = field(default_factory=dict)

    def answer(self, method: str, address: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Answer a request, or return None if it is not about a bucket; ``path`` is that of its address, unquoted."""
        kind, *parts = path.removeprefix("api/").split("/", 3)
        if kind != "buckets" or len(parts) < 2:
            return None
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in (self.writer, self.reader):
            return _error(401, "Invalid username or password.")
        files = self.buckets.get("/".join(parts[:2]))
        if files is None:
            return _error(404, "Repository not found", "RepoNotFound")
        verb, _, rest = parts[2].partition("/") if len(parts) > 2 else ("", "", "")
        reading = {
            "GET resolve": lambda: _resolved(files, rest),
            "GET tree": lambda: _tree(files, rest, f"http://{headers['Host']}{address}"),
            "POST paths-info": lambda: _paths_info(files, json.loads(body)["paths"]),
        }
        writing = {
            "GET xet-write-token": self._token,
            "POST batch": lambda: self._batch(files, [json.loads(line) for line in body.splitlines()]),
        }
        asked = f"{method} {verb}"
        if asked in writing and token != self.writer:
            return _error(403, "this token may not write")
        return {**reading, **writing}.get(asked, lambda: _error(404, f"not served: {asked}"))()

    def _token(self) -> Answer:
        """Return where the content store is, and a token that it does not ask for."""
        return _json({"accessToken": "any", "exp": int(time.time()) + 600, "casUrl": f"local://{self.folder}"})

    def _batch(self, files: dict[str, Content], operations: list[dict[str, Any]]) -> Answer:
        failed = []
        for one in operations:
            path = one["path"]
            if one["type"] == "addFile":
                modified = f"{datetime.fromtimestamp(one['mtime'] / 1000, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
                files[path] = Content(self._stored(one["xetHash"]), one["xetHash"], modified)
            elif one["type"] != "deleteFile" or files.pop(path, None) is None:
                failed.append({"path": path, "error": "Entry not found"})
        done = len(operations) - len(failed)
        report = {"success": not failed, "processed": len(operations), "succeeded": done, "failed": failed}
        return _json(report, status=200 if done else 422)

    def _stored(self, xet_hash: str) -> bytes:
        """Return what the content store has by a hash; that of nothing is 0."""
        from hf_xet import XetFileInfo, XetSession

        if not xet_hash.strip("0"):
            return b""
        group = XetSession().new_download_stream_group(endpoint=f"local://{self.folder}")
        return b"".join(group.download_stream(XetFileInfo(xet_hash)))


def _resolved(files: Mapping[str, Content], path: str) -> Answer:
    if path not in files:
        return _error(404, "Entry not found", "EntryNotFound")
    return 200, files[path].content, {"Content-Type": "application/octet-stream"}


def _paths_info(files: Mapping[str, Content], paths: list[str]) -> Answer:
    return _json([_entry(path, files[path]) for path in paths if path in files])


def _tree(files: Mapping[str, Content], prefix: str, address: str) -> Answer:
    """List a page of what begins like the prefix: by its letters, as the hub does, not by parts of the path."""
    query = parse_qs(urlsplit(address).query)
    depth = prefix.count("/") + 2 if prefix else 1
    entries: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in files if path.startswith(prefix)):
        top = "/".join(path.split("/")[:depth])
        if top == path or query["recursive"] == ["true"]:
            entries[path] = _entry(path, files[path])
        else:
            entries[top] = {"type": "directory", "path": top, "uploadedAt": files[path].modified}
    start = int(query.get("cursor", ["0"])[0])
    page = list(entries.values())[start : start + PAGE]
    if len(page) == PAGE and start + PAGE < len(entries):
        following = f"{address.partition('?')[0]}?recursive={query['recursive'][0]}&cursor={start + PAGE}"
        return _json(page, {"Link": f'<{following}>; rel="next"'})
    return _json(page)


def _entry(path: str, content: Content) -> dict[str, Any]:
    return {
        "type": "file", "path": path, "size": len(content.content), "xetHash": content.xet_hash,
        "mtime": content.modified, "uploadedAt": content.modified,
    }  # fmt: skip


def _json(content: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Answer:
    return status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}


def _error(status: int, message: str, code: str = "") -> Answer:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return status, json.dumps({"error": message}).encode(), {"Content-Type": "application/json", **headers}
