"""A bucket of the Hugging Face hub, by the calls of a file system that objects are read and written by.

The client's own file system (``HfFileSystem``) keeps listings and tells from them what is there: what another machine
wrote since is missing to it, and threads that share it trip over each other. Here each call asks the hub.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal
from urllib.parse import quote

from ripplestats import hub
from ripplestats.errors import InputError, first_line

_PREFIX = "hf://buckets/"
#: What the hub means by a status that is not of this one request.
_REFUSALS = {
    401: "it wants a token: set HF_TOKEN, or log in with: hf auth login",
    403: "the token may not do this",
    404: "there is no such bucket, or the token may not see it",
}


class HubBucket:
    """One bucket. Paths are those in it.

    Beside FileNotFoundError and FileExistsError every method raises PermissionError where the hub refuses for good, and
    what the hub's client raises where the same call may succeed later.
    """

    def __init__(self, name: str) -> None:
        """Nothing is asked of the hub yet; ``name`` is ``owner/name``."""
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars

        if not are_progress_bars_disabled():
            disable_progress_bars()  # it would draw one for each object
        self.name = name
        self._api = HfApi()

    def invalidate_cache(self) -> None:
        """Nothing is kept."""

    def ls(self, path: str, *, detail: bool = True) -> list[dict[str, Any]]:  # always in detail
        """Return ``name``, ``type`` and ``size`` of what lies directly in a folder."""
        with self._refusing():
            # The hub lists all that begins with these letters, "run-2" for "run", too.
            there = [
                one
                for one in self._api.list_bucket_tree(self.name, path or None, recursive=False)
                if not path or one.path.startswith(f"{path}/")
            ]
        return [{"name": one.path, "type": one.type, "size": getattr(one, "size", 0)} for one in there]

    def cat_file(self, path: str) -> bytes:
        """Return an object's content."""
        from huggingface_hub.errors import HfHubHTTPError

        with self._refusing():
            try:
                return bytes(self._answer("GET", f"buckets/{self.name}/resolve/{quote(path)}").content)
            except HfHubHTTPError as error:
                if hub.final_status(error) != 404:
                    raise
            if self._is_there(path):
                raise OSError(f"{path} is not served yet")  # written since
            raise FileNotFoundError(path)

    def pipe_file(self, path: str, content: bytes, mode: str = "overwrite") -> None:
        """Write an object; with mode ``create`` only if it is not there, which is looked at first: two may both write it."""
        with self._refusing():
            # Asked in either mode: what sends the content has no status in its errors, and waits for minutes, deaf to an
            # interrupt, for a hub that does not answer.
            if self._is_there(path) and mode == "create":
                raise FileExistsError(path)
            self._api.batch_bucket_files(self.name, add=[(content, path)])

    def rm_file(self, path: str) -> None:
        """Remove an object."""
        with self._refusing():
            if not self._is_there(path):
                raise FileNotFoundError(path)
            self._api.batch_bucket_files(self.name, delete=[path])

    def _is_there(self, path: str) -> bool:
        answer = self._answer("POST", f"api/buckets/{self.name}/paths-info", json={"paths": [path]})
        return any(one["path"] == path for one in answer.json())

    def _answer(self, method: Literal["GET", "POST"], path: str, **more: Any) -> Any:
        """Ask the hub within the time that its client allows for files; in most of the client's own calls there is none."""
        from huggingface_hub import constants
        from huggingface_hub.utils import (  # type: ignore[attr-defined]  # they are there, by name
            build_hf_headers,
            hf_raise_for_status,
            http_backoff,
        )

        url, limit = f"{self._api.endpoint}/{path}", constants.HF_HUB_DOWNLOAD_TIMEOUT
        answer = http_backoff(method, url, headers=build_hf_headers(), timeout=limit, **more)
        hf_raise_for_status(answer)
        return answer

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        from huggingface_hub.errors import EntryNotFoundError

        try:
            yield
        except EntryNotFoundError as error:
            raise FileNotFoundError(first_line(error)) from error
        except hub.transport_errors() as error:
            status = hub.final_status(error)
            if status is None:
                raise
            raise PermissionError(f"the hub refuses ({status}): {_REFUSALS.get(status, first_line(error))}") from error
        except RuntimeError as error:  # hf_xet's, for whatever it has no other error for
            raise OSError(first_line(error)) from error


def open_bucket(address: str) -> tuple[HubBucket, str]:
    """Return the bucket of an address, and the path in it.

    Raises:
        InputError: the address is none of a bucket, or the package that moves contents is not installed.
    """
    owner, _, rest = address.removeprefix(_PREFIX).partition("/")
    name, _, path = rest.partition("/")
    if not address.startswith(_PREFIX) or not owner or not name:
        raise InputError(
            f"--out {address}: of the hub only a bucket can be written, {_PREFIX}OWNER/NAME/…; in a repository each file "
            "would be a commit: use a folder and --push-to-hub"
        )
    if find_spec("hf_xet") is None:  # the hub's client brings it, but not on every platform
        raise InputError(f"--out {address} needs a package: pip install hf_xet")
    return HubBucket(f"{owner}/{name}"), path.strip("/")
