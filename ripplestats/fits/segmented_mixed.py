"""Population threshold: the mean of prompts' own breaks, and how much they differ between prompts."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from ripplestats.errors import InputError
from ripplestats.fits.curves import Floats, check_columns
from ripplestats.fits.random_breaks.law_choice import AUTOMATIC, fit_by_law
from ripplestats.fits.random_breaks.layout import GENERAL, RANDOM, Law
from ripplestats.fits.random_breaks.model import BreakModel, chosen_method
from ripplestats.fits.result import SHADED, TERMS, FitResult
from ripplestats.rendering.charts import draw_curves

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Terms for which zero is a hypothesis. That the change of slope is zero is another: ψ means nothing then.
_TESTED = ("intercept", "slope_below", "slope_above")


@dataclass(frozen=True)
class SegmentedMixedResult(FitResult):
    """Estimates, and ``breaks``: each prompt's break given its curve (empirical Bayes), with its posterior SD."""

    breaks: "pd.DataFrame"


@dataclass(frozen=True)
class _Curves:
    """Curves (prompts × doses, NaN where there is none) with the names of prompts and clusters."""

    x: Floats
    values: Floats
    names: Sequence[Hashable]
    clusters: Sequence[Hashable]


def segmented_mixed(
    frame: "pd.DataFrame",
    *,
    y: str,
    x: str,
    group: str,
    cluster: str | None = None,
    by: str | None = None,
    method: str = "auto",
    random: Sequence[str] = RANDOM,
    law: str = AUTOMATIC,
    conf_level: float = 0.95,
) -> SegmentedMixedResult:
    """Estimate the mean and the spread of breaks that differ between groups (prompts).

    The curve of prompt p is (b₀+u₀) + (b₁+u₁)·x + (c+u₂)·(x−ψₚ)₊ + e with a break ψₚ, effects u and errors e of its own
    (Muggeo, Atkins, Gallop & Dimidjian 2014, Statistical Modelling 14:293, equation 2). Theirs, ``law="simple"``, are
    all independent and normal, errors with one variance. Ours, ``law="general"``, writes the line as
    (b₀+u₀) + (h+u₁)·min(x/ψₚ, 1) + (s+u₂)·(x−ψₚ)₊, for how high a curve rises and where it levels off are two matters;
    log ψₚ and u are normal and correlate; errors are correlated from dose to dose (AR(1)) and grow with the mean effect. On data like that the simple law's ψ is biased and its interval does not cover. Deviation: they
    linearise in ψₚ; here the exact likelihood is maximised, ψₚ integrated out numerically, from several starts. The
    population's ψ differs from the break of the mean curve (``segmented``), which spread between prompts bends and shifts.

    There is no random effect of the cluster: dependence within it is covered by the standard errors alone, which are
    robust to it (sandwich of the scores by cluster, D/(D−1), t with D−1 degrees of freedom). Those of spreads are the
    larger of the robust ones and the model's, and their intervals are symmetric in the logarithm.

    Args:
        frame: one row a prompt, dose and level of ``by``; rows of one prompt and dose are averaged. Prompts that lack
            doses make it slower, and a note says so.
        y, x, group, cluster, by: columns of effect, dose, prompt, document (None: each prompt its own), and level
            (None for one model).
        method: ``reml``, ``ml``, or ``auto``: REML under the simple law, maximum likelihood under the general one.
        random: which of ``intercept``, ``slope_below``, ``slope_change`` and ``break`` differ between prompts; under the
            general law the second and third stand for the height at the break and the slope above.
        law: ``general``, ``simple``, or ``auto``: general with at least 30 prompts and no negative dose, and simple
            where that tells no threshold; a note says which and why.
        conf_level: of the intervals.

    Returns:
        Terms ``population_threshold`` (mean), ``threshold_sd``, ``intercept``, ``slope_below``, ``slope_change`` (c),
        ``slope_above``, ``sd_…`` of the random effects and ``residual`` (σ), per unit of dose, for each level; by the
        general law ``threshold_median``, ``height`` (at the break; slopes are then means of prompts' slopes), ``correlation_…``, ``autocorrelation`` of neighbouring doses, and
        ``residual_growth`` (by what σ is multiplied from the least mean effect to the largest) as well. NaN with a note
        where they are undefined. The notes say when another optimum is as likely, a spread is zero, or the fit did not
        converge.

    Raises:
        InputError: a column is missing or not finite, a prompt lies in two clusters, there are fewer than 5 doses or
            prompts, or an argument is not allowed.

    Examples:
        With the simulated ``frame`` of ``docs/examples/simulated_frame.py``:

        >>> fit = rs.segmented_mixed(frame, y="effect", x="dose", group="prompt", cluster="document", law="simple")
        >>> fit.conf_int().head(2).round(3)
                           term  conf_low  conf_high
        0  population_threshold     0.046      0.052
        1          threshold_sd     0.010      0.015
    """
    import pandas as pd

    _check(frame, y, x, group, cluster, by)
    levels: Iterator[tuple[Hashable, pd.DataFrame]] = frame.groupby(by, observed=True) if by else iter([("all", frame)])
    curves = {level: _curves(rows, y, x, group, cluster) for level, rows in levels}
    models = {
        level: fit_by_law(
            one.values, one.x, one.clusters, law=law, method=method, random=random, conf_level=conf_level
        )
        for level, one in curves.items()
    }  # fmt: skip
    tables = [_terms(model).assign(**{by: level}) if by else _terms(model) for level, model in models.items()]
    terms = pd.concat(tables, ignore_index=True)
    named = [f"{by} {level}: {note}" if by else note for level, model in models.items() for note in model.notes]
    averaged = frame.duplicated([name for name in (by, group, x) if name]).any()

    def draw(ax: "Axes") -> None:
        doses = np.unique(np.concatenate([one.x for one in curves.values()]))
        means = np.full((len(curves), len(doses)), np.nan)
        for mean, one in zip(means, curves.values(), strict=True):
            mean[np.searchsorted(doses, one.x)] = np.nanmean(one.values, axis=0)
        marks = {level: float(model.estimate[0]) for level, model in models.items()}
        limits = {level: (float(model.low[0]), float(model.high[0])) for level, model in models.items()}
        draw_curves(
            ax, doses, means, list(curves), marks=marks, mark_name="mean break", limits=limits, group_name=by or "",
            x_label=x, y_label=y,
        )  # fmt: skip

    return SegmentedMixedResult(
        title=f"Segmented mixed model of {y} on {x}",
        terms=terms[[*([by] if by else []), *TERMS]],
        conf_level=conf_level,
        n_prompts=int(frame[group].nunique()),
        n_documents=int(frame[cluster or group].nunique()),
        notes=(
            f"{_said(method, {model.law for model in models.values()})} by the exact likelihood; {conf_level:.0%} t intervals robust to {cluster or group}, "
            "those of spreads, and of thresholds under the general law, on the logarithmic scale.",
            *(["Rows of one prompt and dose are averaged."] if averaged else []),
            *named,
        ),
        draw=draw,
        picture=f"Lines: the mean over prompts; broken: the means of their breaks{SHADED}.",
        breaks=_breaks(curves, models, by),
    )


def _said(method: str, laws: Iterable[Law]) -> str:
    """Return the methods and laws of the levels' models, which depend on their numbers of prompts."""
    names = {(chosen_method(method, law).upper(), "general" if law == GENERAL else "simple") for law in laws}
    return " and ".join(f"{name} under the {law} law" for name, law in sorted(names))


def _check(frame: "pd.DataFrame", y: str, x: str, group: str, cluster: str | None, by: str | None) -> None:
    check_columns(frame, (y, x), (group, cluster, by))
    if cluster and frame[[group, cluster]].drop_duplicates()[group].duplicated().any():
        raise InputError(f"column {cluster!r}: some {group!r} lie in several clusters; name each {group!r} once")


def _curves(rows: "pd.DataFrame", y: str, x: str, group: str, cluster: str | None) -> _Curves:
    table = rows[y].astype(np.float64).groupby([rows[group], rows[x]], observed=True).mean().unstack()
    names = table.index.to_list()
    clusters = names if cluster is None else rows.groupby(group, observed=True)[cluster].first().loc[names].to_list()
    return _Curves(table.columns.to_numpy(np.float64), table.to_numpy(np.float64), names, clusters)


def _terms(model: BreakModel) -> "pd.DataFrame":
    import pandas as pd

    tested = np.isin(model.terms, _TESTED)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(tested & (model.std_error > 0), model.estimate / model.std_error, np.nan)
    columns = (
        model.terms, model.estimate, model.std_error, statistic,
        2 * stats.t.sf(np.abs(statistic), max(model.n_clusters - 1, 1)), model.low, model.high, model.reasons,
    )  # fmt: skip
    return pd.DataFrame(dict(zip(TERMS, columns, strict=True)))


def _breaks(curves: dict[Hashable, _Curves], models: dict[Hashable, BreakModel], by: str | None) -> "pd.DataFrame":
    import pandas as pd

    tables = []
    for level, one in curves.items():
        found = {"group": one.names, "cluster": one.clusters, "break": models[level].breaks}
        table = pd.DataFrame({**found, "std_error": models[level].break_errors})
        tables.append(table.assign(**{by: level}) if by else table)
    return pd.concat(tables, ignore_index=True)
