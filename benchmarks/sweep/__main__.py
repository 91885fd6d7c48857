"""Run everything, one process after the other; print the table, write the results and the plot."""

import argparse
import json
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.measuring import machine
from benchmarks.sweep.comparison import OURS, OURS_ALONE, TITLES, Row, compare, errors
from benchmarks.sweep.engines import PEERS
from benchmarks.sweep.job import Case, Job, first_prompts
from benchmarks.sweep.models import BenchmarkModel, cut_prompts, embedded, gpt2_large_shape, token_stream
from benchmarks.sweep.operations import model_shape
from benchmarks.sweep.plan import FULL, QUICK, RATES, Plan, block_doses, make_cases
from benchmarks.sweep.plot import draw
from benchmarks.sweep.processes import last_line, run_job, run_module
from benchmarks.sweep.scaling import prefix_once, start_seconds
from benchmarks.sweep.table import results_table
from benchmarks.sweep.versions import versions

_RESULTS = Path(__file__).parents[1] / "results"
_CACHE = Path("build") / "benchmarks"
_DEFAULT_BATCH = 8
_MODELS = {"smollm2-135m": embedded, "gpt2-large-shape": partial(gpt2_large_shape, _CACHE)}


def main() -> int:
    """Measure, print, write; say where."""
    options = _options()
    plan = QUICK if options.quick else FULL
    _CACHE.mkdir(parents=True, exist_ok=True)
    asked = options.models or (list(_MODELS)[:1] if options.quick else list(_MODELS))
    models = [_MODELS[name]() for name in asked]
    stream = token_stream()
    results: dict[str, Any] = {
        "machine": {**machine(), **versions(options.device)},
        "device": options.device,
        "precision": options.precision,
        "rates": RATES,
        "quick": options.quick,
        "models": {model.name: measure_model(model, plan, options, stream) for model in models},
    }
    results["scaling"] = measure_scaling(models[0], plan, options, stream)
    results["start"] = measure_start(models[0], plan, options.device)
    print(results_table(results))
    out = Path(options.out) if options.out else (_CACHE if options.quick else _RESULTS) / "sweep"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, out)
    print(f"in {out}.json, .png and .pdf")
    return 0


def measure_model(
    model: BenchmarkModel, plan: Plan, options: argparse.Namespace, stream: tuple[int, ...]
) -> dict[str, Any]:
    """Run every engine on one model, the machine's matrix peak before, between and after."""
    config = model.config
    gated = config.model_type != "gpt2"
    n_neurons = config.intermediate_size if gated else 4 * config.hidden_size
    shape = model_shape(config, n_neurons, gated=gated)
    cases = make_cases(plan, model, n_neurons, stream)
    job = Job("", str(model.folder), options.device, options.precision, RATES, cases)
    peaks, measured = [], {}
    engines = [name for name in (*PEERS, OURS_ALONE, OURS) if not options.engines or name in options.engines]
    for number, name in enumerate(engines):
        if number in (0, len(engines) // 2):
            peaks.append(_peak(options, shape.hidden, shape.neurons))
        started = time.monotonic()
        measured[name] = run_job(_job_of(name, job, min(_DEFAULT_BATCH, plan.prompts)))
        why = f": {measured[name]}" if isinstance(measured[name], str) else ""
        print(f"{model.name}: {TITLES[name]} took {time.monotonic() - started:.0f} s{why}", flush=True)
    peaks.append(_peak(options, shape.hidden, shape.neurons))
    doses = len(block_doses(n_neurons))
    rows = compare(measured, shape, doses, max(peaks))
    return {
        "title": model.title,
        "layers": shape.layers,
        "neurons": n_neurons,
        "doses": doses,
        "matrix_peak": max(peaks),
        "matrix_peaks": peaks,
        "rows": rows,
        "errors": errors(measured),
        "prefix_once": _prefix_once(rows),
    }


def measure_scaling(
    model: BenchmarkModel, plan: Plan, options: argparse.Namespace, stream: tuple[int, ...]
) -> dict[str, Any] | str:
    """Time ours on ever more batches of 32 tokens, at the nine coarse rates."""
    n = plan.batches * min(_DEFAULT_BATCH, plan.prompts)
    case = Case(32, *cut_prompts(stream, n, 32), (0,), (1,), (1,), 0.0)
    job = Job("", str(model.folder), options.device, options.precision, "coarse", (case,))
    found: dict[str, Any] | str = run_job(
        replace(job, batch_size=min(_DEFAULT_BATCH, plan.prompts)), "benchmarks.sweep.scaling"
    )
    return found


def measure_start(model: BenchmarkModel, plan: Plan, device: str) -> dict[str, Any] | str:
    """Time starts, or say why not."""
    try:
        return start_seconds(str(model.folder), device, plan.starts)
    except RuntimeError as error:
        return str(error)


def _job_of(name: str, job: Job, batch_size: int) -> Job:
    if name in PEERS:
        return replace(job, engine=name)
    # A batch of one needs fewer prompts to be timed.
    cases = job.cases if name == OURS else tuple(first_prompts(case, 1) for case in job.cases)
    return replace(job, engine="ripplestats", batch_size=batch_size if name == OURS else 1, cases=cases)


def _prefix_once(rows: list[Row]) -> dict[str, float]:
    found = {}
    for name in (OURS_ALONE, OURS):
        mine = sorted((row for row in rows if row["engine"] == name), key=lambda row: row["context"])
        if len(mine) > 1:
            found[name] = prefix_once(mine[0], mine[-1])
    return found


def _peak(options: argparse.Namespace, hidden: int, neurons: int) -> float:
    done = run_module("benchmarks.sweep.matrix_peak", options.device, options.precision, f"{hidden},{neurons}")
    if done.returncode != 0:
        raise RuntimeError(f"the matrix peak could not be measured: {last_line(done.stderr)}")
    return float(json.loads(done.stdout))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny sample, written to build/benchmarks")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N (default %(default)s)")
    parser.add_argument("--precision", default="float32", choices=("float32", "tf32", "bfloat16", "float16"))
    parser.add_argument("--models", nargs="*", choices=list(_MODELS), help="only these")
    parser.add_argument("--engines", nargs="*", choices=list(TITLES), help="only these")
    parser.add_argument("--out", help="where to write, without ending (default benchmarks/results/sweep)")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
    return options


if __name__ == "__main__":
    sys.exit(main())
