"""A very large run directory of synthetic effects: the schema, order of rows and parts of a sweep, without a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ripplestats.execution.shards import shard_slices
from ripplestats.store.run_directory import Run
from ripplestats.store.schema import EFFECTS, PROMPTS
from ripplestats.store.shards import shard_name, write_shard
from ripplestats.store.start import start_run
from ripplestats.store.tables import table_bytes

PER_DOCUMENT, LAYERS, RATES, NEURONS = 33, 30, 34, 10_000


def write_run(path: Path, n_documents: int, seed: int = 0) -> Run:
    """Write a finished run of ``n_documents`` documents of 33 prompts: 33,660 rows of effects a document."""
    prompts = n_documents * PER_DOCUMENT
    run = start_run(path, {"model": "synthetic", "prompts": prompts}, _manifest(prompts, n_documents), lambda _: None)
    rng = np.random.default_rng(seed)
    documents = rng.normal(1, 0.3, n_documents)
    cells = _cells()
    for number, rows in enumerate(shard_slices(prompts)):
        ids = np.arange(rows.start, rows.stop, dtype=np.int32)
        effects, clean = _part(ids, documents, cells, rng), _prompts(ids, rng)
        about = {"key": f"{number:012x}".ljust(64, "0"), "n_prompts": len(ids), "n_rows": effects.num_rows}
        about["name"] = shard_name(number, about["key"])
        write_shard(run.path, about, {"effects": table_bytes(effects), "prompts": table_bytes(clean)})
    run.write_prompts()
    run.update(completeness={"complete": True, "prompts_done": prompts, "prompts": prompts})
    return run


def _cells() -> dict[str, np.ndarray]:
    percent = np.concatenate([np.linspace(0.2, 5, 20), [6, 7, 8, 9, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90]])
    layer, place = (axis.ravel() for axis in np.meshgrid(np.arange(LAYERS), np.arange(RATES), indexing="ij"))
    k = np.floor(percent * NEURONS / 100 + 1e-9).astype(np.int32)
    return {
        "layer": layer.astype(np.int16), "rate": (percent / 100)[place], "k": k[place],
        "effective_rate": (k / NEURONS)[place],
    }  # fmt: skip


def _part(
    ids: np.ndarray, documents: np.ndarray, cells: Mapping[str, np.ndarray], rng: np.random.Generator
) -> pa.Table:
    n, width = len(ids), len(cells["rate"])
    dose = cells["effective_rate"]
    curve = np.where(cells["layer"] == 0, 2.0, 0.1) * (np.minimum(dose, 0.04) / 0.04 + 0.1 * np.maximum(dose - 0.04, 0))
    scale = documents[ids // PER_DOCUMENT] * rng.gamma(4, 0.25, n)
    effect = scale[:, None] * curve
    effect += 0.05 * rng.standard_normal((n, width)) + 0.05 * rng.standard_normal((n, 1))
    flat = effect.ravel()
    columns = {
        "prompt_id": np.repeat(ids, width),
        "document_id": np.repeat(ids // PER_DOCUMENT, width),
        **{name: np.tile(column, n) for name, column in cells.items()},
        "delta_logit": 1.5 * flat + 0.02 * rng.standard_normal(flat.size),
        "delta_logprob": flat,
        "kl": np.abs(flat + 0.02 * rng.standard_normal(flat.size)),
        "top1_changed": flat > 0.5,
    }
    names = {"arm": "top", "replacement": "median", "site": "pre"}
    arrays = []
    for field in EFFECTS:
        if field.name in names:
            codes = pa.array(np.zeros(flat.size, np.int8))
            arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array([names[field.name]])))
        else:
            arrays.append(pa.array(columns[field.name]).cast(field.type, safe=False))
    return pa.Table.from_arrays(arrays, schema=EFFECTS)


def _prompts(ids: np.ndarray, rng: np.random.Generator) -> pa.Table:
    n = len(ids)
    logprob = -rng.gamma(2, 1.5, n)
    frame = pd.DataFrame(
        {
            "prompt_id": ids, "document_id": ids // PER_DOCUMENT, "context": "text", "context_ids": [[1, 2, 3]] * n,
            "target": np.where(ids % 3 == 0, "ing", " word"), "target_id": 7,
            "document_title": [f"Title {one}" for one in ids // PER_DOCUMENT], "kind": "", "target_word": "word",
            "position": 3,
            "clean_logit": logprob + 12, "clean_logprob": logprob, "clean_rank": 1 + ids % 50,
            "clean_entropy": rng.gamma(4, 0.7, n),
        }
    )  # fmt: skip
    return pa.Table.from_pandas(frame[PROMPTS.names], PROMPTS, preserve_index=False)


def _manifest(prompts: int, documents: int) -> dict[str, Any]:
    names = {"requested": "synthetic", "used": "synthetic", "fallback": ""}
    return {
        "created": "2026-01-01T00:00:00+00:00",
        "model": {**names, "revision": "", "dtype": "float32"},
        "dataset": {**names, "notes": [], "n_prompts": prompts, "n_documents": documents},
        "engine": {"used": "onepass", "self_check": None},
        "completeness": {"complete": True, "prompts_done": prompts, "prompts": prompts},
    }
