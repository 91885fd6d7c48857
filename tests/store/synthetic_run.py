"""Small run directories from numpy alone: what a sweep would have written, with effects of a known shape."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ripplestats.config import METRICS
from ripplestats.store.run_directory import Run
from ripplestats.store.start import start_run

NEURONS = 1000
#: Shares of neurons: 0.2 to 90 %, of the seed's fine and coarse grids.
RATES = (0.002, 0.006, 0.01, 0.02, 0.03, 0.045, 0.1, 0.3, 0.6, 0.9)
#: Where the effect of the synthetic layers breaks, as a share of neurons.
BREAK = 0.03
LEVELS = {"top": 1.0, "bottom": 0.5, "magnitude": 0.9, "random": 0.1, "keep_top": 1.5}

Columns = dict[str, np.ndarray]
Curve = Callable[[np.ndarray], np.ndarray]


def saturating(rate: np.ndarray) -> np.ndarray:
    """The effect of a layer: a steep line up to ``BREAK``, then a nearly flat one."""
    return np.minimum(rate, BREAK) / BREAK + 0.1 * np.maximum(rate - BREAK, 0)


def synthetic_definition(**changes: Any) -> dict[str, Any]:
    """What fixes the effects of a synthetic run."""
    return {
        "model": "synthetic-model",
        "dtype": "float32",
        "prompts": 12,
        "arms": ["top", "random"],
        "rates": [str(rate) for rate in RATES],
        "seed": 0,
        **changes,
    }


def synthetic_manifest(dataset: str = "synthetic", *, prompts: int = 12, documents: int = 12) -> dict[str, Any]:
    """The entries of a manifest that the report reads."""
    return {
        "created": "2026-01-02T03:04:05+00:00",
        "model": {
            "requested": "synthetic-model",
            "used": "synthetic-model",
            "revision": "r1",
            "fallback": "",
            "dtype": "float32",
        },
        "dataset": {
            "requested": dataset,
            "used": dataset,
            "fallback": "",
            "notes": [],
            "n_prompts": prompts,
            "n_documents": documents,
        },
        "engine": {"used": "onepass", "self_check": None},
        "completeness": {"complete": True, "prompts_done": prompts, "prompts": prompts},
    }


def synthetic_effects(
    prompt_ids: Sequence[int],
    *,
    per_document: int = 1,
    arms: Sequence[str] = ("top", "random"),
    replacements: Sequence[str] = ("median",),
    sites: Sequence[str] = ("pre",),
    layers: Sequence[int] = (0, 1, 2),
    rates: Sequence[float] = RATES,
    curve: Curve = saturating,
    noise: float = 0.1,
) -> Columns:
    """The columns of the effects table; every prompt draws its noise from a generator of its own."""
    axes = (arms, replacements, sites, layers, rates)
    places = [place.ravel() for place in np.meshgrid(*(np.arange(len(axis)) for axis in axes), indexing="ij")]
    arm, replacement, site, layer, rate = (np.asarray(axis)[place] for axis, place in zip(axes, places, strict=True))
    k = np.floor(rate * NEURONS + 1e-9).astype(np.int32)
    mean = np.array([LEVELS[name] for name in arm]) * np.where(layer == 0, 8.0, 1.0) * curve(k / NEURONS)
    effects = []
    for prompt in prompt_ids:
        document_rng, prompt_rng = (
            np.random.default_rng([7, prompt // per_document]),
            np.random.default_rng([8, prompt]),
        )
        scale, shift = 1 + noise * document_rng.standard_normal(), noise * prompt_rng.standard_normal()
        effects.append(scale * mean + noise * (shift + prompt_rng.standard_normal(len(mean))))
    effect = np.concatenate(effects)
    n = len(mean)
    ids = np.asarray(prompt_ids, np.int32)
    return {
        "prompt_id": np.repeat(ids, n),
        "document_id": np.repeat(ids // per_document, n),
        "arm": np.tile(arm, len(ids)),
        "replacement": np.tile(replacement, len(ids)),
        "site": np.tile(site, len(ids)),
        "layer": np.tile(layer.astype(np.int16), len(ids)),
        "rate": np.tile(rate.astype(np.float64), len(ids)),
        "k": np.tile(k, len(ids)),
        "effective_rate": np.tile(k / NEURONS, len(ids)),
        "delta_logit": (1.5 * effect).astype(np.float32),
        "delta_logprob": effect.astype(np.float32),
        "kl": np.abs(effect).astype(np.float32),
        "top1_changed": effect > 0.5,
    }


def synthetic_prompts(prompt_ids: Sequence[int], per_document: int = 1) -> dict[str, Any]:
    """The columns of the prompt table, with what the unmodified model predicts."""
    ids = np.asarray(prompt_ids, np.int32)
    return {
        "prompt_id": ids,
        "document_id": ids // per_document,
        "context": [f"prompt {i} café" for i in ids],
        "context_ids": [[int(i), int(i) + 1] for i in ids],
        "target": [f" word{i}" for i in ids],
        "target_id": (100 + ids).astype(np.int32),
        "document_title": [f"Title {i // per_document}" for i in ids],
        "kind": ["" for _ in ids],
        "target_word": [f"word{i}" for i in ids],
        "position": np.full(len(ids), 2, np.int32),
        "clean_logit": (10 + ids / 4).astype(np.float32),
        "clean_logprob": (-1 - ids / 8).astype(np.float32),
        "clean_rank": (1 + ids).astype(np.int32),
        "clean_entropy": (2 + ids / 16).astype(np.float32),
    }


def make_run(
    path: Path,
    *,
    dataset: str = "synthetic",
    prompts: int = 12,
    per_document: int = 1,
    metrics: Sequence[str] = tuple(METRICS),
    **effects: Any,
) -> Run:
    """Write a finished run in parts of eight prompts.

    Args:
        path: of the run directory.
        dataset: its name.
        prompts: how many.
        per_document: prompts of each document.
        metrics: the outcomes that are recorded.
        effects: as for ``synthetic_effects``.
    """
    manifest = synthetic_manifest(dataset, prompts=prompts, documents=-(-prompts // per_document))
    narrower = {} if set(metrics) == set(METRICS) else {"metrics": list(metrics)}
    left_out = {column for name, column in METRICS.items() if name not in metrics}
    run = start_run(path, synthetic_definition(prompts=prompts, **narrower), manifest, lambda _: None)
    for number, start in enumerate(range(0, prompts, 8)):
        ids = range(start, min(start + 8, prompts))
        whole = synthetic_effects(ids, per_document=per_document, **effects)
        columns = {name: column for name, column in whole.items() if name not in left_out}
        run.write_part(number, columns, synthetic_prompts(ids, per_document), key=f"{number:064x}")
    run.write_prompts()
    return run
