"""What the stand-in of the hub does with uploads: create a repository, preupload, LFS batch, and commit."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Answer = tuple[int, Any]
TOKEN = "hf_may_write"


@dataclass
class Uploads:
    """Where pushed datasets go, and the contents of large files that were sent and not yet committed."""

    folder: Path
    blobs: dict[str, bytes] = field(default_factory=dict)
    commits: list[list[str]] = field(default_factory=list)
    created: list[Mapping[str, Any]] = field(default_factory=list)

    def answer(self, url: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """Answer a request, or return None if it is not about an upload."""
        if method == "PUT" and path.startswith("lfs/"):
            oid = path.removeprefix("lfs/")
            if hashlib.sha256(body).hexdigest() != oid:
                return 422, {"error": "another content"}
            self.blobs[oid] = body
            return 200, {}
        verb = next(
            (one for one in ("repos/create", "validate-yaml", "preupload", "commit") if f"api/{one}" in path), ""
        )
        verb = verb or next((one for one in ("preupload", "commit") if f"/{one}/" in path), "")
        verb = "batch" if path.endswith(".git/info/lfs/objects/batch") else verb
        if method != "POST" or not verb:
            return None
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 403, {"error": "this token may not write"}
        return getattr(self, f"_{verb.rpartition('/')[2].replace('-', '_')}")(url, path, body)

    def _create(self, url: str, _path: str, body: bytes) -> Answer:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        self.created.append(asked)
        there = (self.folder / name).exists()
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        return (409 if there else 200), {"url": f"{url}/datasets/{name}", "id": name}

    def _validate_yaml(self, _url: str, _path: str, _body: bytes) -> Answer:
        return 200, {"errors": [], "warnings": []}

    def _preupload(self, _url: str, path: str, body: bytes) -> Answer:
        folder = self._repository(path)
        return 200, {"files": [_mode(folder, one["path"]) for one in json.loads(body)["files"]]}

    def _batch(self, url: str, _path: str, body: bytes) -> Answer:
        objects = []
        for one in json.loads(body)["objects"]:
            known = one["oid"] in self.blobs
            actions = {} if known else {"actions": {"upload": {"href": f"{url}/lfs/{one['oid']}"}}}
            objects.append({"oid": one["oid"], "size": one["size"], **actions})
        return 200, {"transfer": "basic", "objects": objects}

    def _commit(self, url: str, path: str, body: bytes) -> Answer:
        folder, names = self._repository(path), []
        for line in body.decode().splitlines():
            entry = json.loads(line)
            if entry["key"] == "header":
                continue
            value = entry["value"]
            large = entry["key"] == "lfsFile"
            content = self.blobs[value["oid"]] if large else base64.b64decode(value["content"])
            file = folder / value["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            names.append(value["path"])
        self.commits.append(names)
        name = folder.relative_to(self.folder)
        return 200, {"commitUrl": f"{url}/datasets/{name}/commit/{'0' * 40}", "commitOid": "0" * 40, "hookOutput": ""}

    def _repository(self, path: str) -> Path:
        return self.folder / "/".join(path.split("/")[2:4])


def _mode(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    large = name.endswith(".parquet")
    oid = None
    if file.exists():
        content = file.read_bytes()
        oid = hashlib.sha256(content).hexdigest()
        oid = oid if large else hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return {"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}
