"""One engine in a process of its own: reads a job, writes what it measured.

python -m benchmarks.sweep.worker JOB.json RESULT.json
"""

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.sweep.job import Case, Job, read_job
from benchmarks.sweep.memory import MemoryMeter, weights_bytes
from benchmarks.sweep.precision import set_precision

OURS = "ripplestats"


def main() -> int:
    """Run the job; a peer that cannot run ends this process with an error whose last line says why."""
    job = read_job(Path(sys.argv[1]))
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    dtype = set_precision(job.precision)
    _import_model_class(Path(job.folder))
    run = _ours if job.engine == OURS else _peer
    Path(sys.argv[2]).write_text(json.dumps(list(run(job, dtype))), encoding="utf-8")
    return 0


def _ours(job: Job, dtype: torch.dtype) -> Iterator[dict[str, Any]]:
    whole_sweep = importlib.import_module("benchmarks.sweep.whole_sweep")
    meter = MemoryMeter(job.device)
    model = whole_sweep.load(job.folder, job.device, dtype)
    for number, case in enumerate(job.cases):
        meter.restart()
        times = whole_sweep.time_sweeps(model, case, job.rates, job.batch_size, check=number == 0)
        yield {
            "context": case.context,
            "seconds_per_prompt": times.seconds / times.n_prompts,
            **asdict(times),
            **_memory(meter, job, dtype),
            "operations_counted": whole_sweep.counted_operations(model, case, job.rates),
            "plain_forward_seconds": _plain_forward(model.network, case, job.device),
        }


def _peer(job: Job, dtype: torch.dtype) -> Iterator[dict[str, Any]]:
    from benchmarks.sweep.engines import peer_class
    from benchmarks.sweep.engines.cells import Source
    from benchmarks.sweep.timing import time_cells, whole_sweep_seconds
    from ripplestats.sweeps.grid import make_grid

    peer = peer_class(job.engine)
    meter = MemoryMeter(job.device)
    source = Source(Path(job.folder), job.device, dtype)
    engine = peer(source)
    config = transformers.AutoConfig.from_pretrained(job.folder, local_files_only=True)
    n_layers = config.num_hidden_layers
    n_neurons = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    n_doses = len({branch.k for branch in make_grid(n_layers, n_neurons, rates=job.rates, arms=("top",)).branches()})
    for case in job.cases:
        meter.restart()
        times = time_cells(engine, case, job.device)
        yield {
            "context": case.context,
            "seconds_per_prompt": whole_sweep_seconds(times, n_layers, n_doses),
            "cells": n_layers * n_doses,
            "together": engine.together,
            **asdict(times),
            **_memory(meter, job, dtype),
        }


def _memory(meter: MemoryMeter, job: Job, dtype: torch.dtype) -> dict[str, int]:
    peak, beyond = meter.total_peak(), meter.beyond(weights_bytes(Path(job.folder), dtype.itemsize))
    return {"peak_bytes": peak, "peak_bytes_with_loading": max(peak, meter.highest), "beyond_weights_bytes": beyond}


@torch.inference_mode()
def _plain_forward(network: Any, case: Case, device: str) -> float:
    """Return seconds of one plain forward pass of one prompt, the fastest of three."""
    from benchmarks.sweep.timing import clock

    ids = torch.tensor([case.prompts[0]], device=device)
    seconds = []
    for _ in range(4):
        before = clock(device)
        network(ids, use_cache=False, logits_to_keep=1)
        seconds.append(clock(device) - before)
    return min(seconds[1:])


def _import_model_class(folder: Path) -> None:
    """Import the model's code before memory is first read: it is no part of what a sweep takes."""
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    transformers.AutoModelForCausalLM._model_mapping[type(config)]


if __name__ == "__main__":
    sys.exit(main())
