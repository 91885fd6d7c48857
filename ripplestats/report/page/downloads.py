"""The tables of a run, packed so that the page can hand them out without a server."""

import base64
import gzip
from pathlib import Path
from typing import Any

#: A table that is larger than this when packed is not carried along; the page says where it lies. Bytes.
MOST_PACKED = 400_000
_TABLES = ("claims.csv", "estimates.csv", "specifications.csv", "moderators.csv", "summary.txt", "manifest.json")


def downloads(folder: Path) -> list[dict[str, Any]]:
    """Return name, size in bytes and packed content (gzip, base64) of a run's tables; no content where it is too large."""
    files = [folder / name for name in _TABLES] + sorted((folder / "tables").glob("*.tex"))
    return [_packed(file, folder) for file in files if file.is_file()]


def _packed(file: Path, folder: Path) -> dict[str, Any]:
    content = file.read_bytes()
    packed = gzip.compress(content, mtime=0)
    return {
        "name": file.relative_to(folder).as_posix(),
        "bytes": len(content),
        "packed": base64.b64encode(packed).decode() if len(packed) <= MOST_PACKED else None,
    }
