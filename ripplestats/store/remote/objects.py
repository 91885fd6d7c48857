"""Objects under an address such as ``s3://bucket/folder``, through fsspec: each is whole or not there.

Nothing here renames or appends, which object stores cannot. A failure that may pass is tried again after a pause; the
stores' own clients have tried several times by then.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar

from ripplestats.errors import InputError, StorageError, first_line
from ripplestats.hub import reachable, transport_errors
from ripplestats.store.remote.hub_bucket import open_bucket

#: How often a request is tried, and the first pause after a failure, seconds; each is twice the last.
TRIES = 5
FIRST_PAUSE = 1.0
#: What an address may begin with. Others that fsspec knows cannot be written, chain one to another, or are untried.
SCHEMES = ("s3", "gs", "hf", "memory")
#: Errors of the stores' clients that are no OSError, by the module that has them, if it is imported.
_ERRORS = {
    "botocore.exceptions": "BotoCoreError", "aiohttp": "ClientError", "gcsfs.retry": "HttpError",
    "google.auth.exceptions": "GoogleAuthError",
}  # fmt: skip
_FINAL = (ValueError, PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
#: Words by which a client refuses for good without an error of a kind of its own.
_FINAL_WORDS = ("credential", "forbidden", "access denied", "no space left")

Found = TypeVar("Found")
Say = Callable[[str], None]


def connect(address: str, say: Say = lambda _: None) -> "Objects":
    """Return the objects under an address; nothing is asked of the store yet, but whether a hub is there at all.

    Raises:
        InputError: the address is not allowed, or the package for it is not installed.
        StorageError: its client cannot begin, for want of credentials, say; or the hub cannot be reached.
    """
    scheme = address.partition("://")[0]
    if scheme not in SCHEMES or "::" in address:
        raise InputError(f"--out {address}: allowed are a folder, or {', '.join(f'{one}://…' for one in SCHEMES)}")
    if any(sign in address for sign in "@?#"):
        # Manifest and log keep the address.
        raise InputError(
            "--out: an address holds no user, key or query; credentials go into the environment of the client"
        )
    if scheme == "hf":
        bucket, path = open_bucket(address)
        if not reachable():
            raise StorageError(f"{address} cannot be opened: the hub cannot be reached")
        return Objects(address.rstrip("/"), bucket, path, say, exclusive=False)
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise InputError(f"--out {address} needs a package: pip install 'ripplestats[remote]' ({error})") from error
    except _store_errors() as error:
        raise StorageError(f"{address} cannot be opened: {_line(error)}") from error
    return Objects(address.rstrip("/"), filesystem, root.rstrip("/"), say)


@dataclass(eq=False)
class Objects:
    """What lies under an address, by names such as ``shards/part-000000.json``.

    ``exclusive`` tells whether of two that create an object at once only one does.

    Every method raises StorageError, in one line, where the store refuses or goes on failing.
    """

    address: str
    filesystem: Any
    root: str
    say: Say
    exclusive: bool = True
    _given_up: bool = field(default=False, repr=False)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the bytes of each object directly in a folder."""
        return {name: size for name, size in self.entries(folder).items() if size is not None}

    def entries(self, folder: str = "") -> dict[str, int | None]:
        """Return what lies directly in a folder: the bytes of objects, None for folders."""

        def listed() -> dict[str, int | None]:
            self.filesystem.invalidate_cache()
            try:
                found = self.filesystem.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return {}
            return {
                PurePosixPath(one["name"]).name: int(one["size"] or 0) if one["type"] == "file" else None
                for one in found
                if one["name"].strip("/") != self._path(folder).strip("/")  # the marker of an empty folder
            }

        return self._patiently("listed", listed)

    def get(self, name: str) -> bytes | None:
        """Return an object's content, or None where there is none."""

        def got() -> bytes | None:
            try:
                return bytes(self.filesystem.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

        return self._patiently("read", got)

    def put(self, name: str, content: bytes) -> None:
        """Write an object, in place of what was there."""
        self._patiently("written", lambda: self.filesystem.pipe_file(self._path(name), content))

    def create(self, name: str, content: bytes) -> bool:
        """Write an object only where there is none; tell whether it was written."""

        def created() -> bool:
            try:
                self.filesystem.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            return True

        return self._patiently("written", created)

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""

        def removed() -> None:
            try:
                self.filesystem.rm_file(self._path(name))
            except FileNotFoundError:
                return

        self._patiently("written", removed)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}".strip("/")

    def _patiently(self, what: str, work: Callable[[], Found]) -> Found:
        """Do ``work``, again after each failure that may pass; once given up, later ones are not waited for."""
        tries = 0
        while True:
            try:
                found = work()
            except _store_errors() as error:
                tries += 1
                if self._given_up or tries == TRIES or not _may_pass(error):
                    self._given_up = True
                    raise StorageError(
                        f"{self.address} cannot be {what}: {_line(error)}; what was finished before is kept"
                    ) from error
                pause = FIRST_PAUSE * 2 ** (tries - 1)
                self.say(
                    f"{self.address} cannot be {what} ({_line(error)}); trying again in {pause:g} s, {tries} of {TRIES}"
                )
                time.sleep(pause)
            else:
                self._given_up = False
                return found


def _store_errors() -> tuple[type[Exception], ...]:
    """Return what the clients raise that are in use."""
    found: list[type[Exception]] = [
        getattr(sys.modules[module], name) for module, name in _ERRORS.items() if module in sys.modules
    ]
    # ValueError: of an address that a client does not like.
    return (OSError, ValueError, *transport_errors(), *found)


def _may_pass(error: BaseException) -> bool:
    return not isinstance(error, _FINAL) and not any(word in str(error).lower() for word in _FINAL_WORDS)


def _line(error: BaseException) -> str:
    return first_line(error)[:200]
