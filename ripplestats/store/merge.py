"""Put runs of different prompts together into one."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ripplestats.config import is_address, local_path
from ripplestats.errors import RunError
from ripplestats.store import schema
from ripplestats.store.lock import locked
from ripplestats.store.run_directory import Run, open_run
from ripplestats.store.shards import EFFECTS, PROMPTS, check_content, shard_name, write_shard
from ripplestats.store.start import start_run
from ripplestats.store.tables import table_bytes

#: What of the definition may differ between the runs: it is about their prompts alone.
_OF_PROMPTS = ("prompts", "prompts_fingerprint", "dataset", "context", "per_document")
#: Entries of a manifest that are not the merged run's.
_OF_ONE_RUN = ("format", "definition", "analysis", "timings", "grown_from", "stopping")
_SHOWN = 60
_JOIN = " + "


@dataclass(frozen=True)
class _Numbering:
    """A run's prompts, in the order of their numbers, and the numbers of prompts and documents in the merged run."""

    run: Run
    prompts: pa.Table
    new_prompts: NDArray[np.int32]
    new_documents: NDArray[np.int32]

    def renumbered(self, table: pa.Table) -> pa.Table:
        """Return a table of this run with the new numbers of its prompts and documents."""
        known = self.prompts["prompt_id"].to_numpy()
        place = np.searchsorted(known, table["prompt_id"].to_numpy())
        for name, numbers in (("prompt_id", self.new_prompts), ("document_id", self.new_documents)):
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), pa.array(numbers[place]))
        return table


def merge(runs: Sequence[str | Path | Run], *, out: str | Path, say: Callable[[str], None] = lambda _: None) -> Run:
    """Put finished runs of different prompts together, as if they had been one; the runs stay as they are.

    All that fixes a prompt's numbers (model, weights, tokenizer, rates, arms, seed, …) must be the same; dataset, number
    and length of the prompts may differ. Prompts get new numbers, in the order of the runs. Documents with the same
    title, or of the same dataset and without titles and with the same number, are taken for one document, others not:
    to take two documents for one costs precision, but to take one for two makes intervals too short.

    Args:
        runs: two or more run directories, in the order that the prompts are to have.
        out: the new run directory.
        say: is told what is done.

    Raises:
        RunError: the runs differ in more than their prompts, share a prompt, are not complete or are damaged, or
            ``out`` holds something else. The line says which and what.
        StorageError: ``out`` cannot be written.

    Examples:
        With a small model, and two files of texts:

        >>> model = rs.load_model("my-model")
        >>> for name in ("texts-1", "texts-2"):
        ...     prompts = rs.load_prompts(f"{name}.jsonl", n=8, context=12, tokenizer=model.tokenizer)
        ...     run = rs.sweep(model, prompts, rates="1,5,20,90", out=f"runs/{name}-small")
        >>> both = rs.merge(["runs/texts-1-small", "runs/texts-2-small"], out="runs/merged")
        >>> len(both.prompts())
        16
    """
    if is_address(out):
        raise RunError(
            f"out={out}: runs are merged into a folder on this machine; only the runs may lie in object stores"
        )
    opened = [one if isinstance(one, Run) else open_run(one) for one in runs]
    if len(opened) < 2:
        raise RunError("merge needs two or more runs")
    _check_alike(opened)
    numberings = list(_numbered(opened))
    path = local_path(out)
    with locked(path):
        merged = start_run(path, _definition(numberings), _manifest(numberings), say)
        number = 0
        for numbering in numberings:
            say(f"merging {numbering.run.path}: {len(numbering.new_prompts)} prompts")
            for key, effects, prompts in _parts(numbering):
                about = {"key": key, "name": shard_name(number, key), "n_prompts": len(prompts), "n_rows": len(effects)}
                write_shard(path, about, {EFFECTS: table_bytes(effects), PROMPTS: table_bytes(prompts)})
                number += 1
        merged.write_prompts()
        total = sum(len(one.new_prompts) for one in numberings)
        merged.update(completeness={"complete": True, "prompts_done": total, "prompts": total})
    return merged


def _check_alike(runs: Sequence[Run]) -> None:
    first = runs[0].manifest["definition"]
    for run in runs:
        if not run.complete:
            raise RunError(f"{run.path} is not complete: finish it before it is merged")
        other = run.manifest["definition"]
        for name in {**first, **other}:
            was, now = first.get(name), other.get(name)
            if name not in _OF_PROMPTS and was != now:
                raise RunError(
                    f"{runs[0].path} and {run.path} cannot be merged: their {name.replace('_', ' ')} differs "
                    f"({_shown(was)} and {_shown(now)})"
                )


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _numbered(runs: Sequence[Run]) -> Iterator[_Numbering]:
    """Give prompts and documents their new numbers, and refuse a prompt that two of the runs have."""
    seen: dict[bytes, Path] = {}
    documents: dict[tuple[str, str], int] = {}
    n_prompts = n_documents = 0
    for run in runs:
        table = pa.Table.from_pandas(run.prompts(), schema.PROMPTS, preserve_index=False).sort_by("prompt_id")
        own = {_identity(ids, target): run.path for ids, target in _contexts(table)}
        shared = own.keys() & seen.keys()
        if shared:
            raise RunError(
                f"{run.path} has {len(shared)} of the prompts of {seen[min(shared)]}: only runs of different prompts "
                "can be merged"
            )
        seen |= own
        dataset = str(run.manifest["definition"].get("dataset", ""))
        new: dict[int, int] = {}
        keys: dict[tuple[str, str], int] = {}
        for old, title in zip(table["document_id"].to_pylist(), table["document_title"].to_pylist(), strict=True):
            if old in new:
                continue
            key = ("title", title) if title else (dataset, str(old))
            if key in documents:
                new[old] = documents[key]
            else:
                new[old], n_documents = n_documents, n_documents + 1
                keys.setdefault(key, new[old])
        documents |= keys
        numbers = np.arange(n_prompts, n_prompts + len(table), dtype=np.int32)
        n_prompts += len(table)
        yield _Numbering(
            run, table, numbers, np.array([new[old] for old in table["document_id"].to_pylist()], np.int32)
        )


def _contexts(table: pa.Table) -> Iterator[tuple[list[int], int]]:
    yield from zip(table["context_ids"].to_pylist(), table["target_id"].to_pylist(), strict=True)


def _identity(ids: list[int], target: int) -> bytes:
    return hashlib.sha256(np.array([*ids, target], "<i8").tobytes()).digest()


def _parts(numbering: _Numbering) -> Iterator[tuple[str, pa.Table, pa.Table]]:
    """Yield the parts of a run with new numbers: key, effects and prompts."""
    run, known = numbering.run, numbering.prompts["prompt_id"]
    for record in run.records():
        check_content(run.path, record)
    for file in run.parts():
        effects = run.part_table(file, schema.EFFECTS.names)
        prompts = numbering.prompts.filter(pc.is_in(known, value_set=pc.unique(effects["prompt_id"])))
        effects, prompts = numbering.renumbered(effects), numbering.renumbered(prompts)
        numbers = prompts["prompt_id"].to_numpy().tobytes() + prompts["document_id"].to_numpy().tobytes()
        yield hashlib.sha256(file.stem.encode() + numbers).hexdigest(), effects, prompts


def _definition(numberings: Sequence[_Numbering]) -> dict[str, Any]:
    definitions = [one.run.manifest["definition"] for one in numberings]
    documents = np.concatenate([one.new_documents for one in numberings])
    fingerprints = [one.get("prompts_fingerprint") for one in definitions]
    return {
        **definitions[0],
        "dataset": _joined(one.get("dataset", "") for one in definitions),
        "prompts": len(documents),
        "context": sorted({length for one in definitions for length in one.get("context", [])}),
        "per_document": int(np.bincount(documents).max()),
        "prompts_fingerprint": hashlib.sha256(json.dumps(fingerprints).encode()).hexdigest(),
    }


def _manifest(numberings: Sequence[_Numbering]) -> dict[str, Any]:
    """Return the first run's manifest, with what is about the prompts put together, and each run's own figures."""
    manifests = [one.run.manifest for one in numberings]
    origins = [one.get("dataset", {}) for one in manifests]
    documents = np.concatenate([one.new_documents for one in numberings])
    kept = {name: entry for name, entry in manifests[0].items() if name not in _OF_ONE_RUN}
    return {
        **kept,
        "dataset": {
            **origins[0],
            **{name: _joined(str(one.get(name, "")) for one in origins) for name in ("requested", "used", "fallback")},
            "notes": list(dict.fromkeys([*(note for one in origins for note in one.get("notes", [])), *_notes(numberings)])),
            "n_prompts": len(documents),
            "n_documents": len(np.unique(documents)),
        },
        "completeness": {"complete": False, "prompts_done": 0, "prompts": len(documents)},
        "merged_from": [
            {
                "folder": one.run.path.name, "prompts": len(one.new_prompts),
                **{name: entries.get(name) for name in ("created", "versions", "dataset", "timings")},
            }
            for one, entries in zip(numberings, manifests, strict=True)
        ],
    }  # fmt: skip


def _notes(numberings: Sequence[_Numbering]) -> Iterator[str]:
    """Say what a reader of the merged run must know: random neurons are drawn by seed and number of the prompt."""
    old = np.concatenate([one.prompts["prompt_id"].to_numpy() for one in numberings])
    random = {"arms": "random", "replacement": "resample"}
    definition = numberings[0].run.manifest["definition"]
    if len(np.unique(old)) < len(old) and any(one in definition.get(name, ()) for name, one in random.items()):
        yield "prompts that had the same number in two of the merged runs share what was drawn at random for them"


def _joined(names: Iterable[str]) -> str:
    return _JOIN.join(dict.fromkeys(name for name in names if name))
