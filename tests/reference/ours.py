"""The package's own fits of the data that R's references are for; what the tests beside it and the table of agreement share."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ripplestats.fits.balanced.design import BalancedModel, RandomEffect
from ripplestats.fits.balanced.fit import BalancedFit, fit_balanced
from ripplestats.fits.bootstrap import Interval, Resamples, bootstrap
from ripplestats.fits.break_patterns import BreaksFit, SeveralBreaksDesign
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.curves import DocumentCurves, Floats, document_curves
from ripplestats.fits.mixed import mixed
from ripplestats.fits.products import cross_products, with_layer_mean
from ripplestats.fits.random_breaks.likelihood import Block, Layout
from ripplestats.fits.random_breaks.model import BreakModel, fit_break_model
from ripplestats.fits.random_breaks.problem import Problem
from ripplestats.fits.result import FitResult
from ripplestats.fits.saturation import plateau_weights

FOLDER = Path(__file__).parent
#: What R's boot was given as the statistic, in the order of ``boot_statistic``.
BOOT_TERMS = ("plateau", "threshold")
#: (columns, columns of document, prompt, layer, prompt in layer), 1 for the intercept alone, 2 with the slope below, 0 for none.
LMER_EFFECTS = {
    "prompts": (3, 0, 2, 0, 0), "prompts_ml": (3, 0, 2, 0, 0), "prompts_uncorrelated": (3, 0, 2, 0, 0),
    "prompts_line": (2, 0, 2, 0, 0), "crossed": (3, 0, 2, 1, 0), "crossed_intercepts": (3, 0, 1, 1, 0),
    "documents": (3, 1, 2, 1, 0), "documents_ml": (3, 1, 2, 1, 0), "documents_slopes": (3, 2, 1, 0, 0),
    "boundary": (3, 1, 2, 1, 0), "cells": (3, 1, 1, 1, 2),
}  # fmt: skip
LMER_COLUMNS = ["(Intercept)", "below"]
#: Levels that lme4 calls otherwise.
LMER_LEVELS = {"prompt:layer": "interaction", "prompt.1": "prompt"}
NLME_OPTIONS = {
    "prompts": {"groups": "prompt", "re_formula": "~ below"},
    "documents": {"groups": ("document", "prompt")},
}
#: R's names, in segmented_lme_fits.csv, of our terms.
RANDOM_BREAK_TERMS = {
    "population_threshold": "threshold", "threshold_sd": "threshold_sd", "intercept": "intercept",
    "slope_below": "slope_below", "slope_change": "slope_change", "sd_intercept": "sd_intercept",
    "sd_slope_below": "sd_slope_below", "sd_slope_change": "sd_slope_change", "residual": "residual",
}  # fmt: skip


@cache
def table(name: str) -> pd.DataFrame:
    """One of the committed CSVs."""
    return pd.read_csv(FOLDER / f"{name}.csv")


def curves_and_error(name: str, scale: str) -> tuple[DocumentCurves, float]:
    """Prompts' curves of a set of segmented.R, and the sum of squares of rows around the means of their doses."""
    rows = table("segmented_data").query("set == @name")
    rows = rows.assign(x=np.log(rows["rate"]) if scale == "log" else rows["rate"])
    error = rows["effect"] - rows.groupby("x")["effect"].transform("mean")
    return document_curves(rows, y="effect", x="x", cluster="prompt_id"), float(error @ error)


def breaks(name: str, scale: str, number: int) -> tuple[BreaksFit, float]:
    """The line with so many breaks, and its residual sum of squares over all rows."""
    curves, error = curves_and_error(name, scale)
    fit = SeveralBreaksDesign(curves.x, curves.dose_weights, number).fit(curves.pooled())
    return fit, error + curves.n_prompts * float(fit.residual_ss[0])


def rows_of_davies(name: str, rows: str) -> pd.DataFrame:
    """The rows that davies.R tested: means of doses, those of four prompts, or all."""
    frame = table("segmented_data").query("set == @name")
    if rows == "means":
        return frame.groupby("rate", as_index=False)["effect"].mean()
    return frame[frame["prompt_id"] <= 4] if rows == "few" else frame


def boot_documents() -> DocumentCurves:
    """The documents that R's boot resampled."""
    frame = table("boot_documents")
    values = frame.filter(like="rate_")
    x = np.array([float(name.removeprefix("rate_")) for name in values])
    return DocumentCurves(x, np.ones(len(x)), values.to_numpy()[:, None], frame["prompts"].to_numpy(float), ("all",))


def boot_resamples(n: int) -> Resamples:
    """R's resamples, as counts of documents."""
    indices = pd.read_csv(FOLDER / "boot_indices.csv", header=None).to_numpy() - 1
    counts = np.stack([np.bincount(row, minlength=n) for row in indices])
    return Resamples(counts.astype(np.float64), np.empty((0, n)))


def boot_statistic(rows: Floats) -> Floats:
    """Plateau and threshold of mean curves."""
    x = boot_documents().x
    return np.column_stack([rows @ plateau_weights(x), BreakDesign(x, np.ones(len(x))).fit(rows).breakpoint])


def boot_interval() -> Interval:
    """Our intervals from R's resamples."""
    curves = boot_documents()
    return bootstrap(curves, boot_statistic, boot_resamples(curves.n_documents), conf_level=0.95)


@cache
def lmer_curves(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The curves (prompts × layers × rates) of a data set, prompts' documents, and columns of the design."""
    frame = table("lmer_data").query("case == @name")
    values = frame["effect"].to_numpy().reshape(frame["prompt"].nunique(), frame["layer"].nunique(), -1)
    rates = values.shape[2]
    design = np.column_stack([np.ones(rates), frame[["below", "above"]].to_numpy()[:rates]])
    return values, frame.groupby("prompt")["document"].first().to_numpy(), design


@cache
def lmer_fit(model: str) -> BalancedFit:
    """The exact balanced fit of one of the models of lmer.R."""
    values, documents, design = lmer_curves(table("lmer_fit").set_index("model").loc[model, "data"])
    k, *sizes = LMER_EFFECTS[model]
    correlated = not model.endswith("uncorrelated")
    effects = [RandomEffect(design[:, :size], correlated) if size else None for size in sizes]
    products = cross_products(with_layer_mean(values) if values.shape[1] > 1 else values, documents)
    return fit_balanced(products, BalancedModel(design[:, :k], *effects), reml=not model.endswith("_ml"))


def nlme_fit(model: str) -> FitResult:
    """``mixed`` on the data of one of the models of nlme.R."""
    frame = table("lmer_data").query("case == @model and layer == 1")
    return mixed(frame, "effect ~ below + above", **NLME_OPTIONS[model])


def random_break_curves(case: str) -> tuple[np.ndarray, np.ndarray]:
    """The curves of a data set of segmented_lme.R, and its doses."""
    wide = table("segmented_lme_data").query("case == @case").pivot(index="prompt", columns="rate", values="effect")
    return wide.to_numpy(), wide.columns.to_numpy(np.float64)


@cache
def random_break_fit(case: str, method: str) -> BreakModel:
    """Our segmented mixed model of that data set, by ``ML`` or ``REML``."""
    return fit_break_model(*random_break_curves(case), method=method.lower())


def exact_log_likelihood(case: str, solution: pd.Series) -> float:
    """The exact log-likelihood at a solution of R's."""
    values, x = random_break_curves(case)
    layout = Layout((0, 1, 2), random_break=True, unstructured=False, no_spread=1e-6)
    problem = Problem((Block(x, values, np.arange(len(values))),), x, layout)
    mean = solution[["intercept", "slope_below", "slope_change", "threshold"]]
    spreads = np.log(solution[["residual", "threshold_sd"]].astype(float))
    parameters = np.array([*mean, *spreads, *solution[["sd_intercept", "sd_slope_below", "sd_slope_change"]]], float)
    return problem.log_likelihood(parameters, 16)


def best_solution(case: str, method: str) -> pd.Series:
    """Of R's solutions from its three starts, the one whose exact likelihood is the largest."""
    solutions = table("segmented_lme_fits").query("case == @case and method == @method")
    return max((row for _, row in solutions.iterrows()), key=lambda row: exact_log_likelihood(case, row))
