"""A run as a dataset of the Hugging Face hub: parquet files, a data card and the tables of the analysis."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ripplestats.errors import HubError, InputError, RunError, first_line
from ripplestats.hub import reachable, transport_errors
from ripplestats.store.data_card import data_card
from ripplestats.store.sealed import sealed

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: Files of one commit; the hub refuses commits of very many.
_FILES_PER_COMMIT = 100
_TABLES = ("estimates.csv", "claims.csv", "specifications.csv", "moderators.csv", "summary.txt")
#: Entries of a manifest that are about the machine it was made on, with paths of its user.
_PRIVATE = ("platform", "options")


def check_hub_access(name: str) -> str:
    """Check, before anything is computed or sent, that a dataset could be pushed; return the token.

    Raises:
        InputError: the name is not ``owner/name``, or there is no token.
        HubError: the hub cannot be reached.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is there, by name

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"--push-to-hub {name!r} is not a name that the hub allows; it must be owner/name") from error
    if name.count("/") != 1:
        raise InputError(f"--push-to-hub {name!r} must be owner/name")
    token = get_token()
    if not token:
        raise InputError("--push-to-hub needs a token that may write: set HF_TOKEN, or log in with: hf auth login")
    if not reachable():
        raise HubError(f"--push-to-hub {name}: the hub cannot be reached")
    return token


def push_to_hub(run: "Run", name: str, *, private: bool = False, say: Callable[[str], None] = lambda _: None) -> str:
    """Push a run to the hub as a dataset, made if it is not there; return its address.

    Files that are there already and the same are not sent again, so that an interrupted push goes on where it stopped.
    The data card comes last. The manifest goes without what it says of the machine and its paths.

    Args:
        run: a run with effects.
        name: of the dataset, ``owner/name``.
        private: whether only its owner may see it, if it is made anew.
        say: is told what is sent.

    Raises:
        InputError: the name is not allowed, or there is no token.
        RunError: the run has no effects.
        HubError: the hub cannot be reached, refuses, or fails on the way.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    if not run.parts():
        raise RunError(f"{run.path} holds no effects yet")
    api = HfApi(token=check_hub_access(name))
    files = _files(run, name)
    with _failing_clearly(name):
        address = str(api.create_repo(name, repo_type="dataset", private=private, exist_ok=True))
        for start in range(0, len(files), _FILES_PER_COMMIT):
            batch = files[start : start + _FILES_PER_COMMIT]
            say(f"pushing to {name}: {start + len(batch)} of {len(files)} files")
            api.create_commit(
                name,
                [CommitOperationAdd(path, content) for path, content in batch],
                commit_message=f"Run of ripplestats, {start + len(batch)} of {len(files)} files",
                repo_type="dataset",
            )
    return address


def _files(run: "Run", name: str) -> list[tuple[str, Any]]:
    """Return path in the dataset and content (bytes, or the path of a file) of all that is pushed."""
    manifest = {entry: value for entry, value in run.manifest.items() if entry not in _PRIVATE}
    run.write_prompts()
    return [
        *((f"effects/{file.name}", str(file)) for file in run.parts()),
        ("prompts.parquet", str(run.path / "prompts.parquet")),
        *((table, str(run.path / table)) for table in _TABLES if (run.path / table).exists()),
        (
            "manifest.json",
            (json.dumps(sealed(manifest), indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"),
        ),
        ("README.md", data_card(run, name).encode()),
    ]


@contextmanager
def _failing_clearly(name: str) -> Iterator[None]:
    """Turn the hub client's errors into one line."""
    from huggingface_hub.errors import HfHubHTTPError

    # Beside failing connections: what the client raises of its own when one file of several fails.
    failures: tuple[type[Exception], ...] = (*transport_errors(), RuntimeError, ValueError, OSError)
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403, 404):
            raise HubError(
                f"--push-to-hub {name}: the hub refuses ({status}): the token may not write there"
            ) from error
        raise HubError(f"--push-to-hub {name}: the hub failed ({status}); the same command goes on") from error
    except failures as error:
        raise HubError(f"--push-to-hub {name}: the hub failed: {first_line(error.__cause__ or error)}") from error
