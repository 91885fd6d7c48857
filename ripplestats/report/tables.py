"""Estimates → the LaTeX tables of a run directory."""

from typing import TYPE_CHECKING

import pandas as pd

from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import CELLS, PARAMETRIC, UNITS, main_metric, main_rows
from ripplestats.fits.run_models import CROSSED, POPULATION_GENERAL, POPULATION_SIMPLE
from ripplestats.hypotheses.claims import UNDEFINED
from ripplestats.rendering.latex import latex_table
from ripplestats.rendering.numbers import fixed, p_value, percent, with_interval
from ripplestats.rendering.provenance import counted, stated
from ripplestats.report.long_tables import write_long_tables
from ripplestats.report.precision_table import write_precision
from ripplestats.report.wording import OUTCOMES, covariates_in_words, design_effect, mean_blocks, mean_over
from ripplestats.store.atomic import write_text

if TYPE_CHECKING:
    from ripplestats.fits.result import FitResult
    from ripplestats.store.run_directory import Run

_ROWS = (
    "{blocks} for every arm, then each block of the first arm; the others are in estimates.csv, and why a "
    "dash is undefined."
)
UNRECORDED = "A claim that could not be tested on what was recorded has no estimate; its null in claims.csv says why."
#: What a margin in nats means where only logits were recorded.
ON_LOGITS = (
    "Log-probability was not recorded: effects are changes of the target's logit, and the margin of 0.05 is one of logits "
    "(the odds of the target against a token that keeps its logit change by 5 %). A logit does not see what happens to the "
    "other tokens, so a small change of it does not show that the prediction is the same."
)


def write_tables(run: "Run", estimates: pd.DataFrame, claims: pd.DataFrame) -> None:
    """Write ``tables/*.tex`` of a run: thresholds, core fractions and checks on them, mixed models, claims, precision.

    ``estimates_long`` and ``claims_long`` have a row an estimate and claim.
    """
    manifest = run.manifest
    blocks = mean_blocks(manifest)
    rows = _ROWS.format(blocks=_capital(blocks))
    level = percent(estimates["conf_level"].iloc[0])
    design = design_effect(estimates)
    counts = (int(estimates["n_prompts"].max()), int(estimates["n_documents"].max()))
    for name, (frame, caption, notes) in {
        "thresholds": _thresholds(estimates, level),
        "core_fraction": _core_fractions(estimates, level),
        "core_shapes": _core_shapes(estimates, level),
        "mixed_model": _mixed_models(estimates, level, blocks),
        "claims": _claims(claims, blocks, main_metric(estimates["metric"])),
    }.items():
        table = latex_table(
            frame,
            caption=f"{caption} {stated(manifest)}.",
            label=f"tab:{name.replace('_', '-')}",
            notes=(*notes, *([] if name in ("claims", "core_shapes") else [rows]), counted(manifest, counts), design),
        )
        write_text(run.path / "tables" / f"{name}.tex", table)
    write_long_tables(run, estimates, claims, (design,))
    write_precision(run)


def write_moderators(run: "Run", found: "FitResult | str") -> None:
    """Write ``tables/moderators.tex`` and ``moderators.csv``: the regression on prompts' covariates, or why there is none."""
    manifest = run.manifest
    caption = f"Moderators: what of a prompt goes with its effect, of the {mean_over(mean_blocks(manifest))}."
    notes: tuple[str, ...] = ()
    if isinstance(found, str):
        frame = pd.DataFrame({"term": [f"none: {found}"]})
        write_text(run.path / "moderators.csv", frame.to_csv(index=False))
    else:
        terms = found.tidy()
        write_text(run.path / "moderators.csv", terms.to_csv(index=False))
        limits = terms.rename(columns={name: (name, 0) for name in ("estimate", "conf_low", "conf_high")})
        shown = {name: [p_value(one) for one in terms[name]] for name in ("p_value", "p_adjusted")}
        frame = pd.DataFrame(
            {"term": terms["term"].map(covariates_in_words), "change": _with_interval(limits, 0, 1, 3), "p": shown["p_value"],
             "adjusted": shown["p_adjusted"]}
        )  # fmt: skip
        level, unit = percent(found.conf_level), UNITS[main_metric(run.metrics)]
        notes = (
            f"In brackets {level} t intervals. Plateau in {unit}, slope in {unit} per unit rate, core as a share of "
            "neurons.",
            *map(covariates_in_words, found.notes),
        )
    table = latex_table(
        frame,
        caption=f"{caption} {stated(manifest)}.",
        label="tab:moderators",
        notes=(*notes, counted(manifest)),
    )
    write_text(run.path / "tables" / "moderators.tex", table)


def _capital(blocks: str) -> str:
    words = mean_over(blocks)
    return words.capitalize() if words == blocks else f"The {words}"


def _thresholds(estimates: pd.DataFrame, level: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    main = main_metric(estimates["metric"])
    rows = main_rows(estimates[estimates["metric"] == main])
    quantities = ["threshold", "slope_below", "slope_above", "population_threshold", "threshold_sd"]
    wide = _wide(rows[rows["quantity"].isin(quantities)], "quantity")
    columns = {"threshold (%)": _with_interval(wide, "threshold", 100, 1)}
    if ("estimate", "population_threshold") in wide:
        columns["population (%)"] = _with_interval(wide, "population_threshold", 100, 1)
        columns["SD"] = _numbers(wide, "threshold_sd", 100, 1)
    columns["slope below"] = _with_interval(wide, "slope_below", 0.01, 3)
    columns["slope above"] = _with_interval(wide, "slope_above", 0.01, 4)
    caption = f"Threshold rate: break of the two-phase line through the mean {OUTCOMES[main]}."
    notes = (
        f"Rates in % of neurons; exact global least squares. Slopes in {UNITS[main]} per percentage point of neurons replaced. In "
        f"brackets {level} intervals: of the threshold by inverting t tests over documents, of slopes from resampling "
        "documents (expanded percentile).",
        _population_note(rows) if "population (%)" in columns else "",
    )
    return _cells(wide).assign(**columns), caption, notes


#: What the laws of the population's threshold suppose.
_LAWS = {
    POPULATION_GENERAL: "general law: log-normal breaks, correlated effects, serial errors",
    POPULATION_SIMPLE: "simple law: normal breaks, independent effects and errors, which may make intervals too narrow",
}


def _population_note(rows: pd.DataFrame) -> str:
    fitted = rows[rows["quantity"] == "population_threshold"]
    by_law = []
    for method, law in _LAWS.items():
        layers = fitted.loc[fitted["method"] == method, "layer"]
        where = "every row" if len(layers) == len(fitted) else "all" if set(layers) == {ALL_LAYERS} else "blocks"
        by_law += [f"{where} by the {law}"] if len(layers) else []
    return (
        f"Population: mean and SD of prompts' own breaks (segmented mixed model, t intervals robust to documents; {'; '.join(by_law)}). "
        "It differs from the threshold, the break of the mean curve, which spread between prompts bends and shifts."
    )


def _core_fractions(estimates: pd.DataFrame, level: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    main = main_metric(estimates["metric"])
    rows = main_rows(estimates[estimates["metric"] == main])
    rows = rows[rows["quantity"].isin(["plateau", "core_fraction"])]
    caption = "Plateau, and core fraction: the rate at which the mean effect reaches a share of the plateau."
    if rows.empty:
        return pd.DataFrame({"layer": ["none"]}), f"{caption} Only keep_top was run, which has no plateau.", ()
    wide = _wide(rows.assign(key=rows["share"].fillna(0.0)), "key")
    columns = {f"plateau ({UNITS[main]})": _with_interval(wide, 0.0, 1, 3)}
    for share in sorted({key for _, key in wide.columns if key}):
        columns[f"{percent(share)} of it (%)"] = _with_interval(wide, share, 100, 1)
    notes = (
        f"Plateau: mean {OUTCOMES[main]} over 10 to 90 % of neurons; core fractions in % of neurons. "
        "Core fractions from the isotonic mean curve through zero; a dash where the plateau's interval holds zero.",
        f"In brackets {level} intervals, by inverting tests over documents: sign-flip tests of the plateau, t tests of core "
        "fractions.",
    )
    return _cells(wide).assign(**columns), caption, notes


def _core_shapes(estimates: pd.DataFrame, level: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Necessity by each shape of curve, and sufficiency, side by side: the mean over blocks."""
    main = main_metric(estimates["metric"])
    rows = estimates[(estimates["metric"] == main) & (estimates["layer"] == ALL_LAYERS)]
    rows = main_rows(rows, parametric=True)
    caption = "Core fraction: by the shape of the curve, and by what keeping the neurons alone restores."
    cells = rows[rows["arm"].isin(["top", "keep_top"])][CELLS]
    if cells.empty:
        return pd.DataFrame({"curve": ["none: neither top nor keep_top was run over several blocks"]}), caption, ()
    rows = rows[(rows[["replacement", "site"]] == cells.iloc[0][["replacement", "site"]]).all(axis=1)]
    necessary = rows[(rows["arm"] == "top") & (rows["quantity"] == "core_fraction")]
    names = necessary["method"].where(necessary["method"].isin(PARAMETRIC), "isotonic") + " curve"
    sufficient = rows[rows["quantity"] == "core_fraction_kept"]
    both = pd.concat(
        [
            necessary.assign(curve="replaced: " + names),
            sufficient.assign(curve="kept: antitonic curve"),
        ]
    )
    order = {name: place for place, name in enumerate(dict.fromkeys(both["curve"]))}
    wide = both.set_index(["curve", "share"])[["estimate", "conf_low", "conf_high"]].unstack("share")
    wide = wide.sort_index(key=lambda names: names.map(order)).reset_index(level="curve", col_level=0)
    shares = sorted({key for _, key in wide.columns if key != ""})
    frame = pd.DataFrame({"neurons": wide["curve"].to_numpy(str).ravel()})
    notes = (
        "Replaced: the rate at which overwriting the largest activations reaches the share of the plateau (necessity). "
        "Kept: the share of neurons that, kept alone, win back as much of what is lost with the fewest kept (sufficiency). "
        f"In % of neurons, {level} intervals over documents.",
    )
    return frame.assign(**{percent(share): _with_interval(wide, share, 100, 1) for share in shares}), caption, notes


def _mixed_models(estimates: pd.DataFrame, level: str, blocks: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    names = {"mixed_intercept": "intercept", "mixed_slope_below": "slope below", "mixed_slope_above": "slope above"}
    rows = estimates[estimates["quantity"].isin(list(names))]
    main = main_metric(estimates["metric"])
    caption = f"Mixed-effects model of the {OUTCOMES[main]} ({UNITS[main]}) on the rate."
    if rows.empty:
        return pd.DataFrame({"layer": ["none"]}), f"{caption} The arm top was not run.", ()
    rows = rows.assign(layer=rows["layer"].where(rows["method"] != CROSSED, f"{ALL_LAYERS}, crossed"))
    wide = _wide(rows, "quantity")
    frame = _cells(wide).assign(**{name: _with_interval(wide, key, 1, 4) for key, name in names.items()})
    notes = [
        "Restricted maximum likelihood, exact for the balanced design; random intercept and slope of each prompt (and "
        f"document, where these hold several); slopes per percentage point below and above 10 % of neurons. In brackets {level} t "
        f"intervals with Satterthwaite's degrees of freedom. The row crossed is one model of {blocks} at once, "
        "blocks crossed with prompts."
    ]
    warned = rows[rows["note"].fillna("") != ""]
    for trouble, word in {"Not converged": "did not converge", "On the boundary": "boundary"}.items():
        layers = dict.fromkeys(warned.loc[warned["note"].str.contains(word), "layer"])
        if layers:
            notes.append(f"{trouble} (said in estimates.csv): layers {', '.join(layers)}.")
    return frame, caption, tuple(notes)


def _claims(claims: pd.DataFrame, where: str, metric: str) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    caption = "The research note's claims, and what this run says of each."
    # Sensitivity analyses have no decision; they are in claims.csv.
    claims = claims[claims["decision"].fillna("") != ""]
    if claims.empty:
        return pd.DataFrame({"claim": ["none: they need the arm top with the median"]}), caption, ()
    rows = []
    for name, group in claims.groupby("claim", sort=False):
        overall = group[group["layer"] == ALL_LAYERS]
        blocks = group[group["layer"] != ALL_LAYERS]
        one = (overall if len(overall) else blocks).iloc[0]
        counts = blocks["decision"].value_counts()
        rows.append(
            {
                "claim": name,
                "estimate": with_interval(one["estimate"], one["conf_low"], one["conf_high"], 3, margin=one["margin"]),
                "limit": f"{one['margin']:g}",
                "p": p_value(one["p_value"]),
                "decision": one["decision"],
                "blocks": "/".join(str(counts.get(word, 0)) for word in ("supported", "refuted", "undecided"))
                if len(overall)
                else "",
            }
        )
    notes = (
        f"Over {where}; claim 4: block 0 against the others. Shares of neurons, of the plateau, or {UNITS[metric]}; "
        "limit: the margin or bound of the claim. Blocks: how many by themselves are supported/refuted/undecided. Intervals are 95 %, "
        "those of claim 1 90 % (two one-sided tests at 5 %), by inverting sign-flip tests of documents' scores; that of the threshold by inverting t tests; "
        "p-values of single blocks, adjusted over blocks by the method named there, sensitivity analyses and the nulls in "
        "words are in claims.csv.",
        ON_LOGITS if metric == "delta_logit" else "",
        UNRECORDED if claims["null"].astype(str).str.contains(UNDEFINED, regex=False).any() else "",
    )
    return pd.DataFrame(rows), caption, notes


def _wide(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Put a quantity's estimate and limits side by side: the overall row of every cell, then the first cell's layers."""
    first = (rows[CELLS] == rows[CELLS].iloc[0]).all(axis=1)
    rows = rows[rows["layer"].str.startswith(ALL_LAYERS) | first]
    keys = [*CELLS, "layer"]
    order = {key: number for number, key in enumerate(dict.fromkeys(rows[keys].itertuples(index=False, name=None)))}
    wide = rows.set_index([*keys, column])[["estimate", "conf_low", "conf_high"]].unstack(column)
    places = [(not key[-1].startswith(ALL_LAYERS), order[key]) for key in wide.index]
    wide = wide.iloc[sorted(range(len(wide)), key=places.__getitem__)]
    return wide.reset_index(level=keys, col_level=0)


def _cells(wide: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that name a row, those that never change left out."""
    names = pd.DataFrame({key: wide[key].to_numpy(str).ravel() for key in (*CELLS, "layer")})
    return names[[key for key in names if key == "layer" or len(set(names[key])) > 1]]


def _numbers(wide: pd.DataFrame, key: object, scale: float, decimals: int) -> list[str]:
    return [fixed(one, decimals, scale) for one in wide["estimate", key]]


def _with_interval(wide: pd.DataFrame, key: object, scale: float, decimals: int) -> list[str]:
    """Return ``estimate [low, high]`` as text, and nothing where it is undefined."""
    limits = (wide[name, key] for name in ("estimate", "conf_low", "conf_high"))
    return [with_interval(value, low, high, decimals, scale) for value, low, high in zip(*limits, strict=True)]
