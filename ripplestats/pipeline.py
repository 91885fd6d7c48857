"""The stages in one line: sweep into a run directory, then estimates, tables and figures from it."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ripplestats.config import METRICS, is_address, local_path
from ripplestats.errors import InputError
from ripplestats.execution.begin import begun
from ripplestats.execution.cluster.connection import check_cluster
from ripplestats.execution.cluster.room import ClusterRequest
from ripplestats.execution.cluster.sweep import run_shards_on_cluster
from ripplestats.execution.local import run_shards
from ripplestats.fits.blas import one_blas_thread
from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.curves import DocumentCurves
from ripplestats.fits.run_estimates import CURVE_METRICS, estimate_run, main_metric
from ripplestats.fits.run_moderators import run_moderators
from ripplestats.fits.run_statistics import run_statistics
from ripplestats.fits.specification_result import SpecificationCurve
from ripplestats.fits.specifications import specifications
from ripplestats.hypotheses.run_claims import claims
from ripplestats.rendering.latex import latex_paragraphs
from ripplestats.report.figures import write_figures
from ripplestats.report.page.write import write_page
from ripplestats.report.specification_curve import write_specification_curve
from ripplestats.report.summary import summarise
from ripplestats.report.tables import write_moderators, write_tables
from ripplestats.staged_rates import STAGED_RATES, in_two_stages
from ripplestats.stopping import width_rule
from ripplestats.store.atomic import storing, write_text
from ripplestats.store.lock import refuse_locked
from ripplestats.store.run_directory import Run
from ripplestats.store.start import refuse_foreign

if TYPE_CHECKING:
    from ripplestats.fits.result import FitResult
    from ripplestats.model.load import Model
    from ripplestats.prompts.table import PromptTable
    from ripplestats.store.remote.mirror import Mirror
    from ripplestats.sweeps.precision import PrecisionAudit
    from ripplestats.sweeps.runner import Sweep
    from ripplestats.sweeps.selfcheck import SelfCheck


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
    metrics: Sequence[str] = tuple(METRICS),
    tf32: bool = False,
    audit_dtype: str = "auto",
    engine: str = "auto",
    batch_size: int | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    until_width: float | None = None,
    cluster: str | None = None,
    workers: int | None = None,
    worker_cpus: int | None = None,
    worker_gpus: int = 1,
    worker_device: str = "auto",
    stop: Callable[[Run], bool] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Run:
    """Sweep prompts × arms × replacements × sites × layers × rates into a run directory.

    A directory with an interrupted run of the same definition is taken up where it stopped, and one that holds the
    first of these prompts is grown.

    Args:
        model: from ``load_model``.
        prompts: from ``load_prompts``.
        out: the run directory, or an address in an object store (``s3://``, ``gs://``, ``hf://buckets/``).
        rates: a named grid or a comma list in **percent**, or numbers that are **shares**. With ``staged`` the first 16
            documents of ``prompts`` are a pilot that chooses the rates, and are not in the run.
        arms: of ``top bottom magnitude random keep_top``.
        replacement: of ``median mean zero resample``.
        site: of ``pre post``.
        layers: ``all``, or a list such as ``0,4,10-12``.
        metrics: of ``logit logprob kl top1``; ``logit`` alone leaves out the vocabulary.
        tf32: matrix products of float32 weights in TF32, on CUDA.
        audit_dtype: ``float32`` or ``float64``, in which a sample of prompts is run again to measure the sweep's
            precision; ``auto`` is float32 where the sweep computes in less, else ``none``.
        engine: ``auto``, ``onepass`` or ``hooks``.
        batch_size: prompts run together; changes the speed only. None: 8, or fewer where these would take more than
            600 MB beyond the weights; on a GPU what its free memory holds. Halved where memory does not suffice.
        seed: of the random arm and of the resampling donors.
        options: further entries for the manifest's options.
        until_width: stop as soon as the interval of the threshold (of the first arm, replacement and site, over all
            blocks but the first) is so wide at most, a share of the neurons; ``prompts`` are then the most that are run.
        cluster: ``ray`` or ``ray://HOST:PORT``: shards are computed by workers of a Ray cluster and written here.
        workers: how many; None: as many as the cluster has room for.
        worker_cpus: processors of each; None: 1 beside a GPU, otherwise up to 4.
        worker_gpus: GPUs of each, where they have any.
        worker_device: ``cuda``, ``cpu``, or ``auto``: GPUs where the cluster has them.
        stop: is asked after each shard whether the finished prompts are enough; must look at nothing else.
        say: is told in one line of each step.

    Raises:
        InputError: an argument is not allowed, or the model's numbers are not finite.
        StorageError: the disk is full or not writable; finished parts are kept.
        ClusterError: the cluster cannot be reached, or some of its shards failed again and again; the others are kept.

    Examples:
        With a small model, and a file of sixty texts:

        >>> model = rs.load_model("my-model")
        >>> prompts = rs.load_prompts("texts.jsonl", n=16, context=12, tokenizer=model.tokenizer)
        >>> run = rs.sweep(model, prompts, rates="1,5,20,90", arms=("top",), out="runs/small")
        >>> run.effects().shape  # 16 prompts × 3 blocks × 4 rates
        (192, 13)
    """
    from ripplestats.sweeps.grid import STAGED, make_grid, parse_metrics
    from ripplestats.sweeps.memory import usual_batch_size
    from ripplestats.sweeps.runner import Sweep

    request = None
    if cluster is not None:
        request = ClusterRequest(cluster, workers, worker_cpus, worker_gpus, worker_device, batch_size)
        check_cluster(cluster)
    with _place(out, say) as (path, mirror):
        refuse_foreign(path)
        refuse_locked(path)
        grid = make_grid(
            model.n_layers, model.n_neurons, rates=rates, arms=arms, replacements=replacement, sites=site, layers=layers
        )
        narrowed = _tf32_has_effect(model, tf32, say)
        batch_size = batch_size or usual_batch_size(model, grid, prompts.longest)
        job = Sweep(model, prompts, grid, seed, batch_size, parse_metrics(metrics), narrowed)
        rule = None if until_width is None else width_rule(job, until_width, say)
        given = {**(options or {}), "engine": engine, "batch_size": job.batch_size}
        if isinstance(rates, str) and rates == STAGED:
            job, given[STAGED_RATES] = in_two_stages(path, job, engine, say)
        chosen, check, audit = _checked(job, engine, audit_dtype, say)
        with begun(path, job, chosen, check, given, say, mirror) as run:
            if audit is not None:
                run.update(precision=audit.entry())
            rules = [one for one in (stop, rule) if one is not None]
            compute = run_shards if request is None else partial(run_shards_on_cluster, request=request)
            compute(run, job, chosen, stop=(lambda run: any(one(run) for one in rules)) if rules else None, say=say)
            if rule is not None:
                run.update(stopping=rule.record(run))
    return run


@contextmanager
def _place(out: str | Path, say: Callable[[str], None]) -> "Iterator[tuple[Path, Mirror | None]]":
    """Give the folder to work in, and what keeps an object store the same where ``out`` is an address in one."""
    if not is_address(out):
        yield local_path(out), None
        return
    from ripplestats.store.remote.working_copy import working_copy

    with working_copy(str(out), say) as mirror:
        yield mirror.path, mirror


@one_blas_thread
def analyse(run: Run, *, n_boot: int = 2000, seed: int = 0) -> str:
    """Write estimates, claims, tables, figures, summary.txt and report.html of a run, from its files; return the summary."""
    with run.keeping_results() as held:
        return _analysed(held, n_boot, seed)


def _analysed(run: Run, n_boot: int, seed: int) -> str:
    started = time.monotonic()
    statistics = run_statistics(run, products=[main_metric(run.metrics)])
    curves = statistics.curves
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
    write_page(run, curves, estimates, decided)
    spent = round(time.monotonic() - started, 2)
    run.update(
        timings={**run.manifest.get("timings", {}), "analysis_s": spent}, analysis={"n_boot": n_boot, "seed": seed}
    )
    run.log("analysis", n_boot=n_boot, seconds=spent)
    return text


def _specified(curves: Mapping[Cell, DocumentCurves], n_boot: int, seed: int) -> SpecificationCurve:
    chosen = {cell: one for cell, one in curves.items() if cell.metric in CURVE_METRICS}
    n_units = next(iter(chosen.values())).n_documents
    return specifications(chosen, resample_documents(n_units, n_boot, np.random.default_rng(seed)))


def _moderators(run: Run, first: Cell) -> "FitResult | str":
    """Return the regression on prompts' covariates, or why there is none."""
    try:
        return run_moderators(run, Cell("top", first.replacement, first.site, main_metric(run.metrics)))
    except InputError as error:
        return str(error)


def _tf32_has_effect(model: "Model", tf32: bool, say: Callable[[str], None]) -> bool:
    """Return whether TF32 changes anything, and say so where it was asked for and does not."""
    if tf32 and model.device.type != "cuda":
        say(f"note: --tf32 changes nothing on {model.device.type}; matrix products stay in {model.dtype}")
    elif tf32 and model.dtype != "float32":
        say(f"note: --tf32 changes nothing with weights in {model.dtype}")
    return tf32 and model.device.type == "cuda" and model.dtype == "float32"


def _checked(
    job: "Sweep", engine: str, audit_dtype: str, say: Callable[[str], None]
) -> "tuple[Literal['onepass', 'hooks'], SelfCheck | None, PrecisionAudit | None]":
    """Choose the engine and measure the precision, each where there is something to check."""
    from ripplestats.sweeps.precision import audit_format, audit_precision

    wider = audit_format(job, audit_dtype)
    reference = job.reference(wider or "float32") if wider or job.narrow else None
    chosen, check = job.checked(engine, reference)
    if check is not None:
        say(_check_line(check, job.arithmetic))
    if wider is None or reference is None:
        return chosen, check, None
    say(f"running a few prompts in {wider} as well, to measure the precision of {job.arithmetic}")
    audit = audit_precision(job, chosen, reference)
    say(f"warning: {audit.warning}" if audit.warning else audit.line())
    return chosen, check, audit


def _check_line(check: "SelfCheck", arithmetic: str) -> str:
    if not check.passed:
        return f"one-pass engine not used, hooked forward instead: {check.reason}"
    line = (
        f"one-pass engine: {check.n_cells} cells agree with the hooked forward "
        f"(largest difference {check.largest_difference:.1e}, allowed {check.tolerance:.0e}"
    )
    if check.rounding is None:
        return f"{line})"
    return (
        f"{line}, in {check.dtype}); in {arithmetic} it is {check.rounding.one_pass:.2g} off {check.dtype}, the hooked "
        f"forward {check.rounding.hooked:.2g}"
    )
