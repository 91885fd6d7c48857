"""The stages in one line: sweep into a run directory, then estimates, tables and figures from it."""

import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ripplestats.errors import InputError
from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.run_estimates import CURVE_METRICS, MAIN_METRIC, estimate_run
from ripplestats.fits.run_moderators import run_moderators
from ripplestats.fits.run_statistics import run_statistics
from ripplestats.fits.specifications import SpecificationCurve, specifications
from ripplestats.hypotheses.run_claims import claims
from ripplestats.rendering.latex import latex_paragraphs
from ripplestats.rendering.progress import progress
from ripplestats.report.figures import write_figures
from ripplestats.report.specification_curve import write_specification_curve
from ripplestats.report.summary import summarise
from ripplestats.report.tables import write_moderators, write_tables
from ripplestats.store.atomic import storing, write_text
from ripplestats.store.run_directory import Run, start_run

if TYPE_CHECKING:
    from ripplestats.fits.result import FitResult
    from ripplestats.model.load import Model
    from ripplestats.prompts.table import PromptTable
    from ripplestats.sweeps.runner import Sweep
    from ripplestats.sweeps.selfcheck import SelfCheck

#: Prompts in a part of the effects: what an interruption loses at most.
PROMPTS_PER_PART = 8
_LIBRARIES = ("torch", "transformers", "datasets", "numpy", "scipy", "pandas", "pyarrow", "statsmodels")


def sweep(
    model: "Model",
    prompts: "PromptTable",
    *,
    out: str | Path,
    rates: str | Iterable[float | Fraction] = "seed",
    arms: Sequence[str] = ("top", "random"),
    replacement: Sequence[str] = ("median",),
    site: Sequence[str] = ("pre",),
    layers: str = "all",
    engine: str = "auto",
    batch_size: int = 8,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Run:
    """Sweep prompts × arms × replacements × sites × layers × rates into a run directory.

    A directory with an interrupted run of the same definition is taken up where it stopped.

    Args:
        model: from ``load_model``.
        prompts: from ``load_prompts``.
        out: the run directory.
        rates: a named grid or a comma list in **percent**, or numbers that are **shares**.
        arms: of ``top bottom magnitude random keep_top``.
        replacement: of ``median mean zero resample``.
        site: of ``pre post``.
        layers: ``all``, or a list such as ``0,4,10-12``.
        engine: ``auto``, ``onepass`` or ``hooks``.
        batch_size: prompts run together; changes the speed only.
        seed: of the random arm and of the resampling donors.
        options: further entries for the manifest's options.
        say: is told in one line of each step.

    Raises:
        InputError: an argument is not allowed, or the model's numbers are not finite.
        StorageError: the disk is full or not writable; finished parts are kept.
    """
    from ripplestats.sweeps.grid import make_grid
    from ripplestats.sweeps.runner import Sweep

    grid = make_grid(
        model.n_layers, model.n_neurons, rates=rates, arms=arms, replacements=replacement, sites=site, layers=layers
    )
    job = Sweep(model, prompts, grid, seed, batch_size)
    chosen, check = job.checked(engine)
    if check is not None:
        say(_check_line(check))
    given = {"engine": engine, "batch_size": batch_size, **(options or {})}
    run = start_run(out, _definition(job), _manifest(job, chosen, check, given), say)
    _run_parts(run, job, chosen)
    return run


def analyse(run: Run, *, n_boot: int = 2000, seed: int = 0) -> str:
    """Write estimates.csv, claims.csv, tables, figures and summary.txt of a run, from its files alone; return the summary."""
    started = time.monotonic()
    statistics = run_statistics(run)
    curves = {cell: one.curves for cell, one in statistics.items()}
    estimates = estimate_run(run, n_boot=n_boot, seed=seed, statistics=statistics)
    write_text(run.path / "estimates.csv", estimates.to_csv(index=False))
    decided = claims(curves, n_boot=n_boot, seed=seed)
    write_text(run.path / "claims.csv", decided.to_csv(index=False))
    with storing(run.path):
        write_tables(run, estimates, decided)
        write_moderators(run, _moderators(run, next(iter(curves))))
        write_figures(run, curves, estimates)
        specified = _specified(curves, n_boot, seed)
        write_text(run.path / "specifications.csv", specified.rows.to_csv(index=False))
        write_specification_curve(run, specified)
    text = summarise(run, estimates, decided)
    write_text(run.path / "summary.txt", f"{text}\n")
    write_text(run.path / "tables" / "summary.tex", latex_paragraphs(text))
    timings = {**run.manifest.get("timings", {}), "analysis_s": round(time.monotonic() - started, 2)}
    run.update(timings=timings, analysis={"n_boot": n_boot, "seed": seed})
    return text


def _specified(curves: Mapping[Cell, DocumentCurves], n_boot: int, seed: int) -> SpecificationCurve:
    chosen = {cell: one for cell, one in curves.items() if cell.metric in CURVE_METRICS}
    n_units = next(iter(chosen.values())).n_documents
    return specifications(chosen, resample_documents(n_units, n_boot, np.random.default_rng(seed)))


def _moderators(run: Run, first: Cell) -> "FitResult | str":
    """Return the regression on prompts' covariates, or why there is none."""
    try:
        return run_moderators(run, Cell("top", first.replacement, first.site, MAIN_METRIC))
    except InputError as error:
        return str(error)


def _run_parts(run: Run, job: "Sweep", engine: Any) -> None:
    """Do the parts that are missing; whatever happens, say in the manifest what is there."""
    total = len(job.prompts)
    slices = [slice(start, min(start + PROMPTS_PER_PART, total)) for start in range(0, total, PROMPTS_PER_PART)]
    n_rows = [job.grid.n_cells * (part.stop - part.start) for part in slices]
    missing = [number for number in range(len(slices)) if not run.part_done(number, n_rows[number])]
    done = total - sum(slices[number].stop - slices[number].start for number in missing)
    before = run.manifest.get("timings", {}).get("sweep_s", 0.0)
    started = time.monotonic()
    try:
        with progress(total, "prompts", done) as tell:
            for number in missing:
                effects, clean = job.run(slices[number], engine, tell)
                run.write_part(number, effects, clean)
                done += slices[number].stop - slices[number].start
    finally:
        run.write_prompts(job.prompts.to_frame())
        run.update(
            completeness={"complete": done == total, "prompts_done": done, "prompts": total},
            timings={"sweep_s": round(before + time.monotonic() - started, 2)},
        )


def _check_line(check: "SelfCheck") -> str:
    if check.passed:
        return (
            f"one-pass engine: {check.n_cells} cells agree with the hooked forward "
            f"(largest difference {check.largest_difference:.1e}, allowed {check.tolerance:.0e})"
        )
    return f"one-pass engine not used, hooked forward instead: {check.reason}"


def _definition(job: "Sweep") -> dict[str, Any]:
    grid = job.grid
    return {
        "model": job.model.used,
        "weights_sha256": job.model.weights_sha256,
        "dtype": job.model.dtype,
        "dataset": job.prompts.provenance.used,
        "seed": job.seed,
        "prompts": len(job.prompts),
        "context": sorted({len(prompt.context_ids) for prompt in job.prompts}),
        "per_document": max(Counter(prompt.document_id for prompt in job.prompts).values()),
        "prompts_fingerprint": job.prompts.fingerprint,
        "rates": [str(rate) for rate in grid.rates],
        "arms": grid.arms,
        "replacement": grid.replacements,
        "site": grid.sites,
        "layers": grid.layers,
    }


def _manifest(job: "Sweep", engine: str, check: "SelfCheck | None", options: Mapping[str, Any]) -> dict[str, Any]:
    model, origin = job.model, job.prompts.provenance
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "ripplestats": metadata.version("ripplestats"),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
            "git_commit": _git_commit(),
        },
        "model": {
            "requested": model.requested, "used": model.used, "revision": model.revision,
            "fallback": model.fallback, "type": type(model.network).__name__, "dtype": model.dtype,
            "device": str(model.device), "n_layers": model.n_layers, "n_neurons": model.n_neurons,
        },
        "dataset": {
            **asdict(origin), "fingerprint": job.prompts.fingerprint,
            "n_prompts": len(job.prompts), "n_documents": job.prompts.n_documents,
        },
        "options": dict(options),
        "engine": {"used": engine, "self_check": None if check is None else {**asdict(check), "passed": check.passed}},
        "platform": {"system": platform.platform(), "command": sys.argv},
        "completeness": {"complete": False, "prompts_done": 0, "prompts": len(job.prompts)},
    }  # fmt: skip


def _git_commit() -> str:
    """Return the commit of the checkout that the package runs from, or nothing."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
