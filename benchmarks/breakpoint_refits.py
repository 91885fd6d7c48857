"""Refits of one break in a document bootstrap: 36 layers × 10,000 samples of ours, and R's lm + segmented one by one.

    OMP_NUM_THREADS=1 python -m benchmarks.breakpoint_refits

Ours includes drawing the samples and averaging the documents; R refits the first 200 mean curves of the first layer.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import in_r, report, timed
from ripplestats.fits.bootstrap import resample_documents
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.curves import DocumentCurves

LAYERS, DOCUMENTS, SAMPLES, IN_R = 36, 100, 10_000, 200
#: The rates of the grid ``seed``, percent.
PERCENT = np.array(
    [*np.arange(1, 11) / 5, *np.arange(5, 11) / 2, *range(6, 11), 12, 15, *range(20, 91, 10)], float
)  # fmt: skip


def documents_curves(seed: int = 0) -> DocumentCurves:
    """Return curves of documents whose break lies at 3.3 % on average, with heavy tails."""
    rng = np.random.default_rng(seed)
    x = np.unique(PERCENT) / 100
    shape = (DOCUMENTS, LAYERS, 1)
    at = 0.033 * rng.gamma(16, 1 / 16, shape)
    values = rng.gamma(4, 1 / 4, shape) * np.minimum(x / at, 1)
    values += 0.3 * rng.standard_t(3, (DOCUMENTS, LAYERS, len(x)))
    return DocumentCurves(x, np.ones(len(x)), values, np.ones(DOCUMENTS), tuple(range(LAYERS)))


def refits(curves: DocumentCurves) -> np.ndarray:
    """Return the breaks of all samples and layers."""
    resamples = resample_documents(curves.n_documents, SAMPLES, np.random.default_rng(1))
    rows = curves.pooled(resamples.bootstrap).reshape(-1, len(curves.x))
    return BreakDesign(curves.x, curves.dose_weights).fit(rows).breakpoint


def theirs(curves: DocumentCurves) -> dict[str, Any]:
    """Return what R took for some of the refits, and how often it ends at the global minimum that ours is."""
    resamples = resample_documents(curves.n_documents, SAMPLES, np.random.default_rng(1))
    rows = curves.pooled(resamples.bootstrap[:IN_R])[:, 0]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "curves.csv"
        np.savetxt(table, np.vstack([curves.x, rows]), delimiter=",", fmt="%.17g")
        lines = in_r(Path(__file__).with_suffix(".R"), str(table))
    if lines is None:
        return {}
    (version, number, failed, seconds, processor_seconds), left = lines
    residual_ss = np.array([np.nan if word == "NA" else float(word) for word in left])
    ratio = residual_ss / BreakDesign(curves.x, curves.dose_weights).fit(rows).residual_ss
    return {
        "segmented": version,
        "refits_in_r": int(number),
        "failed_in_r": int(failed),
        "seconds_per_refit_in_r": float(seconds),
        "processor_seconds_per_refit_in_r": float(processor_seconds),
        "r_at_the_global_minimum": float(np.mean(ratio < 1 + 1e-6)),
        "lowest_ratio_of_r": float(np.nanmin(ratio)),
    }


def main() -> dict[str, Any]:
    """Measure, print and return the figures."""
    curves = documents_curves()
    seconds, processor_seconds = timed(lambda: refits(curves), 3)
    n = LAYERS * SAMPLES
    result: dict[str, Any] = {"refits": n, "seconds": seconds, "processor_seconds": processor_seconds, **theirs(curves)}
    if "segmented" in result:
        result["times_faster"] = n * result["seconds_per_refit_in_r"] / seconds
        result["times_faster_by_processor_time"] = n * result["processor_seconds_per_refit_in_r"] / processor_seconds
    report("breakpoint", result)
    return result


if __name__ == "__main__":
    main()
