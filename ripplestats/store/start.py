"""Start a run directory, or take up one that was interrupted."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ripplestats.errors import RunError
from ripplestats.store.atomic import UNFINISHED, remove_unfinished, storing
from ripplestats.store.lock import LOCK, MANIFEST_LOCK
from ripplestats.store.log import LOG
from ripplestats.store.run_directory import FORMAT, MANIFEST, Run, check_name
from ripplestats.store.sealed import write_sealed
from ripplestats.store.shards import remove_unrecorded

_SHOWN = 60
#: Why a run with another value cannot be gone on with.
_WHY = {
    "model": "effects of two models do not mix",
    "revision": "these are other weights of the model",
    "weights_sha256": "these are other weights under the same name",
    "tokenizer_sha256": "this tokenizer cuts texts into other tokens",
    "numerics": "this version of the program computes other numbers",
    "dtype": "rounding would differ between the parts",
    "tf32": "rounding would differ between the parts",
    "metrics": "every prompt gets the same outcomes",
    "dataset": "the prompts come from another text",
    "seed": "it draws the prompts, the random neurons and the donors",
    "prompts": "there would be fewer, or the first of them are others, or donors are drawn from all of them",
    "context": "the prompts have other lengths",
    "per_document": "other prompts are drawn",
    "prompts_fingerprint": "the prompts are others, though as many",
    "rates": "every prompt gets the same rates",
    "arms": "every prompt gets the same arms",
    "replacement": "every prompt gets the same replacements",
    "site": "every prompt gets the same sites",
    "layers": "every prompt gets the same blocks",
}


def start_run(
    path: str | Path,
    definition: Mapping[str, Any],
    manifest: Mapping[str, Any],
    say: Callable[[str], None],
    *,
    beginning: Callable[[int], Mapping[str, Any]] | None = None,
) -> Run:
    """Make a run directory, or take up an interrupted one whose definition is the same.

    Args:
        path: the directory; made if it is not there.
        definition: all that fixes the effects. A run with another definition is refused.
        manifest: the other entries.
        say: is told when an earlier run is taken up.
        beginning: gives the definition of the first so many prompts alone. With it, a run of fewer prompts is
            grown if it is the beginning of this one.

    Raises:
        RunError: the directory holds something else, or a run with another definition.
        StorageError: it cannot be written.
    """
    run = Run(Path(path))
    plain = _plain(definition)
    occupied = _occupied(run.path)
    kept: dict[str, Any] = {"timings": {}}
    if occupied:
        before = run.manifest
        grown_from = list(before.get("grown_from", []))
        if not _is_beginning(before["definition"], plain, beginning):
            _refuse_other(run.path, before["definition"], plain)
        if before["definition"] != plain:
            grown_from.append(before["definition"]["prompts"])
            say(f"growing the run in {run.path} from {grown_from[-1]} prompts to {plain['prompts']}")
        else:
            kept["completeness"] = before["completeness"]
        kept |= {"timings": before.get("timings", {}), "grown_from": grown_from}
    with storing(run.path):
        remove_unfinished(run.path)
        remove_unrecorded(run.path)
    if occupied:
        say(f"taking up the run in {run.path}: {len(run.parts())} parts are there")
    write_sealed(run.path / MANIFEST, {"format": FORMAT, "definition": plain, **manifest, **kept})
    return run


def refuse_foreign(path: Path) -> None:
    """Refuse a place that holds something else than a run.

    Raises:
        RunError: it is a file, or a folder with files that are not of a run.
        StorageError: it cannot be read.
    """
    _occupied(path)


def _occupied(path: Path) -> bool:
    """Tell whether there is a run; refuse what is neither a run nor empty."""
    check_name(path)
    with storing(path):
        there = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        a_file = path.exists() and not path.is_dir()
    if MANIFEST in there:
        return True
    # A start that was killed before its manifest was whole leaves these.
    rest = {name for name in there - {LOCK, MANIFEST_LOCK, LOG} if not name.startswith(UNFINISHED)}
    if rest or a_file:
        raise RunError(f"--out {path} is not empty and holds no run; choose another folder")
    return False


def _is_beginning(
    before: Mapping[str, Any], now: Mapping[str, Any], beginning: Callable[[int], Mapping[str, Any]] | None
) -> bool:
    if before == now:
        return True
    n = before.get("prompts")
    if beginning is None or not isinstance(n, int) or not 0 < n < now["prompts"]:
        return False
    return bool(_plain(beginning(n)) == before)


def _refuse_other(path: Path, before: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    for name in {**definition, **before}:
        was, now = before.get(name), definition.get(name)
        if was != now:
            if isinstance(was, list) and isinstance(now, list) and len(str(was)) > _SHOWN:
                was, now = ([one for one in mine if one not in other] for mine, other in ((was, now), (now, was)))
            why = f": {_WHY[name]}" if name in _WHY else ""
            raise RunError(
                f"--out {path} holds a run with another {name.replace('_', ' ')} ({_shown(was)}, now {_shown(now)}){why}; "
                "choose another --out, or remove that folder"
            )


def _shown(value: Any) -> str:
    text = (", ".join(map(str, value)) or "none more") if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}…"


def _plain(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition as JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(definition))
    return plain
