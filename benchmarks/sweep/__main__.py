"""Run everything, one process after the other; print the table, write the results and the plot."""

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
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
from benchmarks.sweep.operations import benchmark_shape
from benchmarks.sweep.parts import Parts
from benchmarks.sweep.plan import FULL, QUICK, RATES, SAMPLE, Plan, block_doses, make_cases
from benchmarks.sweep.plot import draw
from benchmarks.sweep.processes import last_line, run_job, run_module
from benchmarks.sweep.scaling import prefix_once, start_seconds
from benchmarks.sweep.table import results_table
from benchmarks.sweep.versions import versions
from ripplestats.sweeps.memory import BATCH_ON_CPU

_RESULTS = Path(__file__).parents[1] / "results"
_CACHE = Path("build") / "benchmarks"
_OWN = (OURS_ALONE, OURS)
_BESIDES = ("between_products", "scaling", "start")
_MODELS = {"smollm2-135m": embedded, "gpt2-large-shape": partial(gpt2_large_shape, _CACHE)}


def main() -> int:
    """Measure, print, write; say where."""
    options = _options()
    plan = QUICK if options.quick else SAMPLE if options.sample else FULL
    plan = replace(plan, contexts=tuple(options.contexts or plan.contexts))
    parts = Parts(Path(options.parts) if options.parts else None)
    _CACHE.mkdir(parents=True, exist_ok=True)
    asked = options.models or (list(_MODELS)[:1] if options.quick else list(_MODELS))
    models = [_MODELS[name]() for name in asked]
    stream = token_stream()
    results: dict[str, Any] = {
        "machine": {**machine(), **versions(options.device)},
        "device": options.device,
        "precision": options.precision,
        "rates": RATES,
        "plan": asdict(plan),
        "models": {model.name: measure_model(model, plan, options, stream, parts) for model in models},
    }
    besides = (
        lambda: measure_between_products(models[0], plan, options, stream),
        lambda: measure_scaling(models[0], plan, options, stream),
        lambda: measure_start(models[0], plan, options.device),
    )
    if options.parts:
        del results["machine"]["load_average_before"]  # now, not when each part was measured
    for name, measure in zip(_BESIDES, besides, strict=True):
        asked_for = not options.engines or name in options.engines
        results[name] = parts.kept(f"{models[0].name}-{name}", measure) if asked_for else "not asked for"
    print(results_table(results))
    out = Path(options.out) if options.out else (_CACHE if options.quick else _RESULTS) / "sweep"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, out)
    print(f"in {out}.json, .png and .pdf")
    return 0


def measure_model(
    model: BenchmarkModel, plan: Plan, options: argparse.Namespace, stream: tuple[int, ...], parts: Parts
) -> dict[str, Any]:
    """Run every engine on one model, and the machine's matrix peak before and after ours."""
    shape = benchmark_shape(model.config)
    cases = make_cases(plan, model, shape.neurons, stream)
    job = Job("", str(model.folder), options.device, options.precision, RATES, cases)
    peak = partial(_peak, options, shape.hidden, shape.neurons)
    peaks, measured = [], {}
    for name in (name for name in TITLES if not options.engines or name in options.engines):
        started = time.monotonic()
        mine = _job_of(name, job)
        if name in _OWN:
            peaks.append(parts.kept(f"{model.name}-peak-before-{name}", peak))
        measured[name] = parts.kept_cases(
            f"{model.name}-{name}", mine.cases, lambda cases, mine=mine: run_job(replace(mine, cases=cases))
        )
        if name in _OWN:
            peaks.append(parts.kept(f"{model.name}-peak-after-{name}", peak))
        why = f": {measured[name]}" if isinstance(measured[name], str) else ""
        print(f"{model.name}: {TITLES[name]} took {time.monotonic() - started:.0f} s{why}", flush=True)
    doses = len(block_doses(shape.neurons))
    best = {name: max((one[name] for one in peaks), default=float("nan")) for name in ("peak", "sustained")}
    rows = compare(measured, shape, doses, best["peak"], best["sustained"])
    return {
        "title": model.title,
        "layers": shape.layers,
        "neurons": shape.neurons,
        "doses": doses,
        "matrix_peak": best["peak"],
        "matrix_peaks": [one["peak"] for one in peaks],
        "sustained_rate": best["sustained"],
        "sustained_rates": [one["sustained"] for one in peaks],
        "rows": rows,
        "errors": errors(measured),
        "prefix_once": _prefix_once(rows),
    }


def measure_between_products(
    model: BenchmarkModel, plan: Plan, options: argparse.Namespace, stream: tuple[int, ...]
) -> dict[str, Any] | str:
    """Hold sweeps at 32 tokens against the matrix peak before and after each."""
    job = replace(_job_of_ours(model, options, stream, plan.prompts, RATES), repeats=plan.sweeps)
    found: dict[str, Any] | str = run_job(job, "benchmarks.sweep.between_products")
    return found


def measure_scaling(
    model: BenchmarkModel, plan: Plan, options: argparse.Namespace, stream: tuple[int, ...]
) -> dict[str, Any] | str:
    """Time ours on ever more batches of 32 tokens, at the nine coarse rates."""
    batch_size = min(BATCH_ON_CPU, plan.prompts)
    job = _job_of_ours(model, options, stream, plan.batches * batch_size, "coarse")
    found: dict[str, Any] | str = run_job(replace(job, batch_size=batch_size), "benchmarks.sweep.scaling")
    return found


def _job_of_ours(
    model: BenchmarkModel, options: argparse.Namespace, stream: tuple[int, ...], n: int, rates: str
) -> Job:
    """Return a job of whole sweeps of ``n`` prompts of 32 tokens, without a sample of cells for other engines."""
    case = Case(32, *cut_prompts(stream, n, 32), (0,), (1,), (1,), 0.0)
    return Job("", str(model.folder), options.device, options.precision, rates, (case,))


def measure_start(model: BenchmarkModel, plan: Plan, device: str) -> dict[str, Any] | str:
    """Time starts, or say why not."""
    try:
        return start_seconds(str(model.folder), device, plan.starts)
    except RuntimeError as error:
        return str(error)


def _job_of(name: str, job: Job) -> Job:
    if name in PEERS:
        return replace(job, engine=name)
    if name == OURS:
        return replace(job, engine="ripplestats")
    # A batch of one needs fewer prompts to be timed.
    return replace(job, engine="ripplestats", batch_size=1, cases=tuple(first_prompts(case, 1) for case in job.cases))


def _prefix_once(rows: list[Row]) -> dict[str, float]:
    found = {}
    for name in _OWN:
        mine = sorted((row for row in rows if row["engine"] == name), key=lambda row: row["context"])
        if len(mine) > 1:
            found[name] = prefix_once(mine[0], mine[-1])
    return found


def _peak(options: argparse.Namespace, hidden: int, neurons: int) -> dict[str, float]:
    done = run_module("benchmarks.sweep.matrix_peak", options.device, options.precision, f"{hidden},{neurons}")
    if done.returncode != 0:
        raise RuntimeError(f"the matrix peak could not be measured: {last_line(done.stderr)}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny sample, written to build/benchmarks")
    parser.add_argument(
        "--sample", action="store_true", help="few cells and prompts at every context: for large models"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N (default %(default)s)")
    parser.add_argument("--precision", default="float32", choices=("float32", "tf32", "bfloat16", "float16"))
    parser.add_argument("--models", nargs="*", choices=list(_MODELS), help="only these")
    parser.add_argument("--engines", nargs="*", choices=[*TITLES, *_BESIDES], help="only these")
    parser.add_argument("--contexts", nargs="*", type=int, help="only these numbers of tokens")
    parser.add_argument("--parts", help="a folder: what has been measured is kept there, and not measured again")
    parser.add_argument("--out", help="where to write, without ending (default benchmarks/results/sweep)")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
    return options


if __name__ == "__main__":
    sys.exit(main())
