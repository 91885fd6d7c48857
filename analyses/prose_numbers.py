"""Every number of the paper's prose as a LaTeX macro: ``prose_numbers.tex``."""

import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pandas as pd
from calibration import RESULTS as CALIBRATION
from calibration import sizes
from from_run import FinishedRun, main, only, read_table, with_interval
from speed import results

from ripplestats.fits.core import SHARES
from ripplestats.fits.curve_layout import ALL_LAYERS
from ripplestats.fits.run_estimates import UNITS
from ripplestats.hypotheses.claims import (
    CLAIMS,
    FIRST_BLOCK,
    FIRST_BLOCK_TOP1,
    INSENSITIVITY,
    INSENSITIVITY_SHARE,
    SPECIFICITY,
    THRESHOLD,
    core_claim,
)
from ripplestats.rendering.latex import escape, unbroken
from ripplestats.rendering.numbers import p_value, percent, scientific
from ripplestats.report.wording import ARM_NAMES, OUTCOMES, mean_blocks
from ripplestats.store.atomic import write_text

Macros = Iterator[tuple[str, str]]
_SHARE_NAMES = dict(zip(SHARES, ("Half", "Eighty", "Ninety"), strict=True))
#: Claims by the name of their macros, with the scale and decimals of their estimates and the unit of these.
_CLAIMS = {
    "Insensitivity": (INSENSITIVITY, 1, 3, "effect"),
    "InsensitivityShare": (INSENSITIVITY_SHARE, 100, 1, "% of the plateau"),
    "Threshold": (THRESHOLD, 100, 1, "% of neurons"),
    **{f"Core{name}": (core_claim(share), 100, 1, "% of neurons") for share, name in _SHARE_NAMES.items()},
    "FirstBlock": (FIRST_BLOCK, 1, 2, "effect"),
    "FirstBlockTopOne": (FIRST_BLOCK_TOP1, 100, 0, "percentage points"),
    "Specificity": (SPECIFICITY, 1, 3, "effect"),
    "AgainstZero": ("6 median against zero", 1, 3, "effect"),
    "AgainstMean": ("6 median against mean", 1, 3, "effect"),
}
UNTESTED = "not tested"


def write(finished: FinishedRun) -> None:
    """Write the macros, one a line, sorted by where they come from."""
    parts = {
        "The run": _run(finished),
        "Estimates": _estimates(finished),
        "Claims": _claims(finished),
        "Specification curve": _specifications(finished),
        "Calibration": _calibration(),
        "Benchmarks": _benchmarks(),
    }
    lines = []
    for title, macros in parts.items():
        lines += [f"% {title}", *(rf"\newcommand{{\{name}}}{{{value}}}" for name, value in macros)]
    write_text(finished.out / "prose_numbers.tex", unbroken("\n".join([*lines, *_switches(finished), ""])))


def _run(finished: FinishedRun) -> Macros:
    manifest = finished.manifest
    model, dataset, definition = manifest["model"], manifest["dataset"], manifest["definition"]
    rates = [Fraction(rate) for rate in definition["rates"]]
    versions = manifest.get("versions", {})
    yield "Model", escape(model["used"])
    yield "ModelRevision", escape(model["revision"])
    yield "ModelFormat", escape(model["dtype"])
    yield "WeightsHash", escape(str(definition.get("weights_sha256", "not recorded"))[:12])
    yield "Dataset", escape(dataset["used"])
    yield "DatasetSentence", escape(_asked(dataset))
    yield "Prompts", str(dataset["n_prompts"])
    yield "Documents", str(dataset["n_documents"])
    yield "PerDocument", str(definition.get("per_document", 1))
    yield "Context", _list(definition.get("context", ["unrecorded"]))
    layers = definition.get("layers", sorted(set(finished.estimates["layer"]) - {ALL_LAYERS}))
    yield "Blocks", str(model.get("n_layers", len(layers)))
    yield "BlocksRun", str(len(layers))
    yield "Neurons", f"{model.get('n_neurons', 'an unrecorded number of')}"
    yield "MeanBlocks", escape(mean_blocks(manifest))
    yield "RateCount", str(len(rates))
    yield "RateLeast", f"{float(100 * min(rates)):g}"
    yield "RateMost", f"{float(100 * max(rates)):g}"
    cells = (
        len(definition["arms"]) * len(definition.get("replacement", ["median"])) * len(definition.get("site", ["pre"]))
    )
    yield "Interventions", f"{cells * len(layers) * len(rates):,}"
    yield "Arms", escape(_list([ARM_NAMES[arm] for arm in definition["arms"]]))
    yield "Replacements", escape(_list(definition.get("replacement", ["median"])))
    yield "Seed", str(definition["seed"])
    yield "Resamples", f"{manifest.get('analysis', {}).get('n_boot', 2000):,}"
    yield "Date", escape(manifest["created"][:10])
    for name, key in (
        ("Version", "ripplestats"),
        ("Python", "python"),
        ("Torch", "torch"),
        ("Transformers", "transformers"),
    ):
        yield f"{name}Number" if name != "Version" else "Version", escape(str(versions.get(key, "not recorded")))
    yield "Commit", escape(str(versions.get("git_commit") or "not recorded")[:10])
    yield "EngineSentence", _engine(manifest["engine"])
    seconds = manifest.get("timings", {}).get("sweep_s")
    yield "SweepSentence", "" if seconds is None else f"The sweep took {seconds:.0f} seconds."


def _asked(dataset: dict[str, Any]) -> str:
    if not dataset["fallback"]:
        return f"The data set is {dataset['used']}."
    return f"The data set is {dataset['used']}, and not {dataset['requested']}, which was asked for: {dataset['fallback']}."


def _engine(engine: dict[str, Any]) -> str:
    name = {"onepass": "one-pass engine", "hooks": "hooked forward pass"}.get(engine["used"], escape(engine["used"]))
    check = engine.get("self_check")
    if not check:
        return f"The run used the {name}; no self-check is recorded."
    return (
        f"The run used the {name}. Its self-check compared {check['n_cells']} cells with the hooked forward pass: the "
        f"largest difference was {escape(scientific(check['largest_difference'], 1))} (allowed {escape(scientific(check['tolerance']))}) and the "
        f"check {'passed' if check['passed'] else 'failed'}."
    )


def _estimates(finished: FinishedRun) -> Macros:
    unit = UNITS[finished.metric]
    yield "Unit", unit
    yield "Outcome", OUTCOMES[finished.metric]
    for arm, suffix in ((finished.arms[0], ""), ("random", "Random")):
        yield f"ThresholdEstimate{suffix}", _shown(_row(finished, "threshold", arm), 100, 1, "% of neurons")
        yield f"PlateauEstimate{suffix}", _shown(_row(finished, "plateau", arm), 1, 3, unit)
        for share, name in _SHARE_NAMES.items():
            row = _row(finished, "core_fraction", arm, share=share)
            yield f"Core{name}Estimate{suffix}", _shown(row, 100, 1, "% of neurons")
    population = _row(finished, "population_threshold", "top")
    yield "PopulationEstimate", _shown(population, 100, 1, "% of neurons")
    yield "PopulationSpread", _shown(_row(finished, "threshold_sd", "top"), 100, 1, "% of neurons")
    yield "PopulationMethod", escape("not fitted" if population is None else population["method"])
    note = "" if population is None or not isinstance(population["note"], str) else population["note"].rstrip(".")
    yield "PopulationNote", escape(f"The fit warns: {note}." if note else "")
    for layer, name in (("0", "FirstBlock"), (ALL_LAYERS, "Others")):
        yield f"{name}Plateau", _shown(_row(finished, "plateau", finished.arms[0], layer), 1, 2, unit)
        changed = _row(finished, "plateau", finished.arms[0], layer, metric="top1_changed")
        yield f"{name}TopOne", _shown(changed, 100, 0, "%")
    rows = finished.rows(quantity="threshold", arm=finished.arms[0])
    blocks = rows[~rows["layer"].isin([ALL_LAYERS, "0"])]
    yield "BlocksBelow", f"{int((blocks['conf_high'] < CLAIMS[THRESHOLD].margin).sum())} of {len(blocks)}"
    design = only(finished.rows(quantity="design_effect", arm=finished.arms[0]))
    yield "DesignEffect", "undefined" if design is None else f"{design['estimate']:.2f}"


def _row(
    finished: FinishedRun, quantity: str, arm: str, layer: str = ALL_LAYERS, share: float | None = None, **wanted: str
) -> "pd.Series | None":
    rows = finished.rows(quantity=quantity, arm=arm, layer=layer, **wanted)
    return only(rows if share is None else rows[rows["share"] == share])


def _shown(row: "pd.Series | None", scale: float, decimals: int, unit: str) -> str:
    """Return an estimate with unit and interval, or in words that there is none."""
    if row is None:
        return "not estimated"
    value, _, limits = with_interval(row, scale, decimals).partition(" ")
    return f"{escape(value)}~{escape(f'{unit} {limits}'.strip())}" if value else "undefined"


def _claims(finished: FinishedRun) -> Macros:
    unit = UNITS[finished.metric]
    for name, (claim, scale, decimals, of) in _CLAIMS.items():
        rows = finished.claims[(finished.claims["claim"] == claim) & finished.claims["decision"].notna()]
        overall, blocks = (rows[(rows["layer"] == ALL_LAYERS) == wanted] for wanted in (True, False))
        one = only(overall if len(overall) else blocks)
        counts = blocks["decision"].value_counts()
        tally = [f"{word} {counts.get(word, 0)}" for word in ("supported", "refuted", "undecided")]
        yield f"Claim{name}Verdict", UNTESTED if one is None else str(one["decision"])
        yield f"Claim{name}Estimate", _shown(one, scale, decimals, of.replace("effect", unit))
        yield f"Claim{name}P", "not computed" if one is None else p_value(one["p_value"]) or "undefined"
        yield f"Claim{name}Blocks", ", ".join(tally) if len(overall) and len(blocks) else "no tests by block"
    yield "MarginEffect", f"{CLAIMS[INSENSITIVITY].margin:g}~{unit}"
    yield "MarginShare", escape(percent(CLAIMS[INSENSITIVITY_SHARE].margin))
    yield "MarginThreshold", escape(percent(CLAIMS[THRESHOLD].margin))
    yield "MarginCore", escape(percent(CLAIMS[core_claim(0.5)].margin))


def _specifications(finished: FinishedRun) -> Macros:
    rows = read_table(finished.run.path / "specifications.csv")
    rows = rows[(rows["arm"] == finished.arms[0]) & (rows["quantity"] == "threshold")]
    yield "Specifications", str(len(rows))
    for scale in ("linear", "log"):
        known = rows.loc[rows["dose_scale"] == scale, "conf_high"].dropna()
        below = int((known < CLAIMS[THRESHOLD].margin).sum())
        yield f"Below{scale.capitalize()}", f"{below} of {len(known)}"


def _calibration() -> Macros:
    coverage = read_table(CALIBRATION / "coverage.csv")
    for macro, quantity, method in (
        ("CoverThreshold", "threshold", "inversion"), ("CoverWald", "threshold", "wald"),
        ("CoverCore", "core_fraction_", "inversion"), ("CoverPlateau", "plateau", "sign flips"),
    ):  # fmt: skip
        rows = coverage[coverage["quantity"].str.startswith(quantity) & (coverage["method"] == method)]
        for kind, name in (("as in our run", "Run"), ("clear", "Clear"), ("weak", "Weak")):
            found = 100 * rows.loc[rows["kind"] == kind, "coverage"]
            yield f"{macro}{name}", escape(f"{found.min():.1f} to {found.max():.1f} %")
    yield "CoverageSets", f"{int(coverage['sets'].min()):,}"
    size = sizes()
    for name, rows in (("Few", size[size["documents"] < 100]), ("Many", size[size["documents"] >= 100])):
        yield f"Size{name}", escape(f"{100 * rows['rejected'].min():.1f} to {100 * rows['rejected'].max():.1f} %")
    models = read_table(CALIBRATION / "mixed_model.csv")
    own = models["kind"] == "its own model"
    simple = models["method"] == "simple law"
    for name, rows in (
        ("SimpleOwn", models[simple & own]),
        ("SimpleOther", models[simple & ~own]),
        ("GeneralOwn", models[~simple & own]),
        ("General", models[~simple & ~own]),
    ):
        found = 100 * rows["coverage"]
        yield (
            f"Population{name}",
            escape(f"{found.min():.0f} to {found.max():.0f} %") if len(found) else "not simulated",
        )
        yield f"Population{name}Sets", f"{int(rows['sets'].min())}" if len(rows) else "0"
    power = read_table(CALIBRATION / "power.csv")
    fewest = power[power["documents"] == power["documents"].min()].sort_values("kink")
    yield "PowerDocuments", str(int(fewest["documents"].iloc[0]))
    yield "PowerKink", f"{fewest['kink'].iloc[-1]:g}"
    yield "PowerFound", escape(percent(fewest["rejected"].iloc[-1]))


def _benchmarks() -> Macros:
    families = results("families")
    if families:
        found = pd.DataFrame(families["families"].values())
        one_pass = found[found["engine"] == "onepass"]
        yield "FamiliesOnePass", str(one_pass["row"].nunique())
        yield "FamilyVariants", str(len(one_pass))
        yield "FamiliesHooks", str(found.loc[found["engine"] != "onepass", "row"].nunique())
        yield "FamilyCells", f"{int(one_pass['cells'].sum()):,}"
        yield "FamilyDifference", escape(scientific(one_pass["largest_difference"].max()))
    statistics = results("statistics")
    if statistics:
        yield "BreakTimes", f"{_rounded(statistics['breakpoint']['times_faster']):,}"
        yield "LinearTimes", f"{_rounded(statistics['linear']['times_faster_than_lme4']):,}"
    out_of_core = results("out_of_core")
    if out_of_core:
        yield "LargeRows", f"{out_of_core['rows'] / 1e6:.0f}"
        yield "LargeMemory", f"{out_of_core['largest peak_gb']:.1f}"
    sweep = results("sweep")
    if sweep:
        yield "SweepTimes", _sweep_times(sweep)


def _sweep_times(sweep: dict[str, Any]) -> str:
    """Return, for the first model, how many times longer the hooked loop takes, by context."""
    model = next(iter(sweep["models"].values()))
    loops = [row for row in model["rows"] if row["engine"] == "note"]
    return _list([f"{_rounded(row['times_ours'])} at {row['context']} tokens" for row in loops]) or "not measured"


def _switches(finished: FinishedRun) -> list[str]:
    """Return TeX conditionals: what prose has nothing to say about is left out."""
    states = {
        "Families": results("families") is not None,
        "Statistics": results("statistics") is not None,
        "OutOfCore": results("out_of_core") is not None,
        "Sweep": results("sweep") is not None,
        "Median": finished.claims.loc[finished.claims["decision"].notna(), "claim"].str.startswith("6 ").any(),
        "Fallback": bool(finished.manifest["dataset"]["fallback"]),
    }
    return [
        "% What there is",
        *(rf"\newif\ifHas{name}\Has{name}{str(bool(there)).lower()}" for name, there in states.items()),
    ]


def _rounded(value: float) -> int:
    """Return a ratio to two digits."""
    return round(float(f"{value:.1e}"))


def _list(words: list[Any]) -> str:
    *most, last = [str(word) for word in words]
    return f"{', '.join(most)} and {last}" if most else last


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
