"""The LaTeX tables of a run: they compile, say what was used, and hold the numbers of estimates.csv."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.fits.run_estimates import INVERTED, RESAMPLED
from ripplestats.fits.run_models import CROSSED, MIXED, POPULATION_SIMPLE
from ripplestats.report.tables import write_tables
from ripplestats.store.run_directory import Run
from ripplestats.store.schema import CLAIM_COLUMNS, ESTIMATES
from ripplestats.store.start import start_run
from tests.rendering.tex import compile_tex, needs_pdflatex, text_of
from tests.report.conftest import EVIL, Finished, finished
from tests.store.synthetic_run import synthetic_definition, synthetic_manifest

SNAPSHOTS = Path(__file__).parent.parent / "snapshots"
LIMITS = ["estimate", "conf_low", "conf_high"]
NAMES = ("claims", "claims_long", "core_fraction", "core_shapes", "estimates_long", "mixed_model", "thresholds")
ESCAPED = r"evil\_\% \& \# \textbackslash{}input\{x\} \$"


@pytest.fixture(scope="module")
def tables(synthetic: Finished) -> dict[str, str]:
    write_tables(synthetic.run, synthetic.estimates, synthetic.claims)
    return tables_of(synthetic.run)


def tables_of(run: Run) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((run.path / "tables").iterdir())}


def body(table: str) -> list[list[str]]:
    """The cells of a table's rows, minus signs plain."""
    lines = table.splitlines()
    rows = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    return [[cell.strip() for cell in row.removesuffix(r"\\").replace("$-$", "-").split(" & ")] for row in rows]


def numbers(cells: list[str]) -> np.ndarray:
    """Cells such as ``4.1 [3.2, 5.3]`` as rows of three numbers."""
    return np.array([[float(number) for number in re.findall(r"-?[0-9.]+", cell)] for cell in cells])


def hand_made(tmp_path: Path, rows: list[dict[str, object]], claims: list[dict[str, object]] | None = None) -> Finished:
    """A run without effects, and estimates and claims written by hand."""
    run = start_run(tmp_path / "run", synthetic_definition(), synthetic_manifest(), lambda _: None)
    common = {
        "arm": "top",
        "replacement": "median",
        "site": "pre",
        "metric": "delta_logprob",
        "share": np.nan,
        "method": INVERTED,
        "std_error": np.nan,
        "conf_level": 0.95,
        "n_prompts": 12,
        "n_documents": 12,
        "note": "",
    }
    slopes = ("slope_below", "slope_above")
    methods = [{"method": RESAMPLED if row["quantity"] in slopes else INVERTED} for row in rows]
    estimates = pd.DataFrame([{**common, **method, **row} for method, row in zip(methods, rows, strict=True)])
    estimates = estimates[list(ESTIMATES)]
    return Finished(run, estimates, pd.DataFrame(claims or [], columns=list(CLAIM_COLUMNS)))


def test_all_tables_are_written(tables: dict[str, str]) -> None:
    assert tuple(tables) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_table_names_model_dataset_documents_and_level(tables: dict[str, str], name: str) -> None:
    caption = tables[name].partition(r"\caption{")[2].partition("\n")[0]
    assert f"Model synthetic-model, revision r1, dataset {ESCAPED}, 2026-01-02." in caption
    assert "float32; 12 prompts in 12 documents (the clusters)." in tables[name]
    assert re.search(r"95~\\% .*interval|[Ii]ntervals are 95~\\%", tables[name])
    assert rf"\label{{tab:{name.replace('_', '-')}}}" in tables[name]
    assert EVIL not in tables[name]


@needs_pdflatex
def test_all_tables_compile_and_print_the_name_of_the_dataset(tables: dict[str, str], tmp_path: Path) -> None:
    printed = text_of(compile_tex("\n".join(tables.values()), tmp_path, r"\usepackage{longtable}"))
    assert printed.count(EVIL) >= len(NAMES)
    assert "core fraction" in printed


def shown_rows(made: Finished, arm: str, layer: str) -> pd.DataFrame:
    rows = made.estimates
    chosen = (rows["metric"] == "delta_logprob") & rows["method"].isin([INVERTED, RESAMPLED, POPULATION_SIMPLE])
    inverted = rows["quantity"].isin(["threshold", "plateau", "core_fraction"]) == (rows["method"] == INVERTED)
    return rows[chosen & inverted & (rows["arm"] == arm) & (rows["layer"] == layer)]


def test_every_arm_has_its_mean_and_the_first_arm_its_layers(tables: dict[str, str]) -> None:
    for name in ("thresholds", "core_fraction"):
        keys = [tuple(cells[:2]) for cells in body(tables[name])]
        assert keys == [("top", "all"), ("random", "all"), ("top", "0"), ("top", "1"), ("top", "2")], name
    assert [cells[0] for cells in body(tables["mixed_model"])] == ["all", "all, crossed", "0", "1", "2"]


def test_the_threshold_table_holds_the_estimates_in_percent(tables: dict[str, str], synthetic: Finished) -> None:
    for arm, layer, *cells in body(tables["thresholds"]):
        of = shown_rows(synthetic, arm, layer).set_index("quantity")
        scale = {"threshold": 100, "slope_below": 0.01, "slope_above": 0.01}
        digits = {"threshold": 1, "slope_below": 3, "slope_above": 4}
        threshold, population, spread, *slopes = cells
        if arm == "top":
            assert float(spread) == pytest.approx(100 * of.loc["threshold_sd", "estimate"], abs=0.0501)
            expected = 100 * of.loc["population_threshold", LIMITS].astype(float)
            np.testing.assert_allclose(numbers([population])[0], expected, rtol=0, atol=0.0501)
        else:
            assert (population, spread) == ("--", "--")
        for found, quantity in zip(numbers([threshold, *slopes]), scale, strict=True):
            expected = scale[quantity] * of.loc[quantity, LIMITS].astype(float)
            np.testing.assert_allclose(found, expected, rtol=0, atol=0.501 * 10.0 ** -digits[quantity])


def test_the_core_table_holds_plateau_and_shares(tables: dict[str, str], synthetic: Finished) -> None:
    for arm, layer, *cells in body(tables["core_fraction"]):
        of = shown_rows(synthetic, arm, layer)
        plateau = of.loc[of["quantity"] == "plateau", LIMITS].to_numpy()
        shares = of[of["quantity"] == "core_fraction"].sort_values("share")[LIMITS].to_numpy()
        np.testing.assert_allclose(numbers(cells[:1]), plateau, atol=0.000501)
        np.testing.assert_allclose(numbers(cells[1:]), 100 * shares, atol=0.0501)


def test_the_mixed_table_holds_the_fixed_effects_of_the_top_arm(tables: dict[str, str], synthetic: Finished) -> None:
    for layer, *cells in body(tables["mixed_model"]):
        method = CROSSED if layer.endswith("crossed") else MIXED
        rows = synthetic.estimates[synthetic.estimates["method"] == method]
        of = rows[rows["layer"] == layer.removesuffix(", crossed")].set_index("quantity")
        expected = of.loc[["mixed_intercept", "mixed_slope_below", "mixed_slope_above"], LIMITS]
        if expected["estimate"].isna().all():
            assert set(cells) == {"--"}
            assert layer == "all, crossed"  # of two layers, too few for the spread between layers
            continue
        np.testing.assert_allclose(numbers(cells), expected, atol=0.0000501)


def test_only_fits_that_ended_without_converging_are_said_not_to_have_converged(tmp_path: Path) -> None:
    # statsmodels warns of its first optimiser even where the second one converges.
    first_try = "statsmodels warns: Maximum Likelihood optimization failed to converge. Check mle_retvals"
    notes = {
        "all": "",
        "3": f"{first_try} statsmodels warns: Retrying MixedLM optimization with lbfgs",
        "4": f"{first_try} The fit did not converge: its figures are not to be trusted.",
        "5": "A variance lies on the boundary (zero).",
    }
    values = {"estimate": 0.5, "conf_low": 0.25, "conf_high": 0.75, "method": MIXED}
    bootstrapped = [{"quantity": name, "layer": "all", **dict.fromkeys(LIMITS, 0.5)} for name in
                    ("threshold", "slope_below", "slope_above", "plateau")]  # fmt: skip
    fits = [
        {"quantity": name, "layer": layer, "note": note, **values}
        for layer, note in notes.items()
        for name in ("mixed_intercept", "mixed_slope_below", "mixed_slope_above")
    ]
    made = hand_made(tmp_path, [*bootstrapped, *fits])
    write_tables(made.run, made.estimates, made.claims)
    said = " ".join(tables_of(made.run)["mixed_model"].split())
    assert re.search(r"Not converged[^:]*: layers 4\.", said)
    assert re.search(r"On the boundary[^:]*: layers 5\.", said)


def test_the_claims_table_counts_the_blocks_that_decide_for_themselves(tmp_path: Path) -> None:
    quantities = ("threshold", "slope_below", "slope_above", "plateau")
    estimates = [{"quantity": name, "layer": "all", **dict.fromkeys(LIMITS, 0.5)} for name in quantities]
    one = {"estimate": -0.0123, "conf_low": -0.034, "conf_high": 0.01, "p_value": 0.0004, "margin": 0.05}
    decisions = {"all": "supported", "0": "refuted", "1": "supported", "2": "supported", "3": "undecided"}
    claims = [
        {"claim": "1 insensitivity", "layer": layer, "decision": word, **one} for layer, word in decisions.items()
    ]
    claims += [
        {"claim": "1 insensitivity", "layer": "4", "decision": "undecided", **one, "estimate": np.nan},
        {"claim": "4 first_block & more", "layer": "0", "decision": "undecided", "estimate": np.nan, "p_value": np.nan,
         "margin": 0.0},
    ]  # fmt: skip
    made = hand_made(tmp_path, estimates, claims)
    write_tables(made.run, made.estimates, made.claims)
    assert body(tables_of(made.run)["claims"]) == [
        ["1 insensitivity", "-0.012 [-0.034, 0.010]", "0.05", "0.0004", "supported", "2/1/2"],
        [r"4 first\_block \& more", "--", "0", "--", "undecided", "--"],
    ]
    long = tables_of(made.run)["claims_long"]
    assert [row[:2] for row in long_body(long)] == [
        ["1 insensitivity", "all"], *(["", layer] for layer in "0123"), [r"4 first\_block \& more", "0"],
    ]  # fmt: skip
    assert "left out (1 insensitivity: 1)" in " ".join(long.split())


def test_why_a_claim_is_refuted_by_a_hair_can_be_read_from_its_row(tmp_path: Path) -> None:
    quantities = ("threshold", "slope_below", "slope_above", "plateau")
    estimates = [{"quantity": name, "layer": "all", **dict.fromkeys(LIMITS, 0.5)} for name in quantities]
    limits = {"estimate": 0.035, "conf_low": 0.02013, "conf_high": 1.1, "p_value": 0.98, "margin": 0.02}
    made = hand_made(tmp_path, estimates, [{"claim": "3 core group", "layer": "all", "decision": "refuted", **limits}])
    write_tables(made.run, made.estimates, made.claims)
    tables = tables_of(made.run)
    assert body(tables["claims"])[0][1:3] == ["0.0350 [0.0201, 1.1000]", "0.02"]
    assert long_body(tables["claims_long"])[0][2:4] == ["0.0350", "[0.0201, 1.1000]"]


def long_body(table: str) -> list[list[str]]:
    """The cells of the rows of a table that breaks over pages."""
    rows = table.partition("\\endfoot\n")[2].partition("\n\\end{longtable}")[0].splitlines()
    return [[cell.strip() for cell in row.removesuffix(r"\\").replace("$-$", "-").split(" & ")] for row in rows]


def test_the_long_tables_have_a_row_an_estimate_and_claim(tables: dict[str, str], synthetic: Finished) -> None:
    decided = synthetic.claims[synthetic.claims["decision"] != ""]
    rows = long_body(tables["claims_long"])
    assert [row[1] for row in rows] == decided["layer"].to_list()
    assert [row[-1] for row in rows] == decided["decision"].to_list()
    thresholds = [row for row in long_body(tables["estimates_long"]) if row[2] == "threshold"]
    assert [row[:2] for row in thresholds] == [
        ["top", "all"], ["top", "0"], ["top", "1"], ["top", "2"], ["random", "all"],
    ]  # fmt: skip
    of = shown_rows(synthetic, "top", "1").set_index("quantity").loc["threshold"]
    assert float(thresholds[2][3]) == pytest.approx(100 * of["estimate"], rel=0.05)
    assert "p, adjusted" in tables["claims_long"]


def test_layers_keep_their_order_beyond_ten(tmp_path: Path) -> None:
    layers = ["all", *map(str, range(12))]
    slopes = {"threshold": 0.04, "slope_below": 1.0, "slope_above": 0.0}
    made = hand_made(
        tmp_path,
        [
            {"quantity": quantity, "layer": layer, "estimate": value, "conf_low": 0.0, "conf_high": 1.0}
            for layer in layers
            for quantity, value in [*slopes.items(), ("plateau", 1.0)]
        ],
    )
    write_tables(made.run, made.estimates, made.claims)
    for name in ("thresholds", "core_fraction"):
        assert [cells[0] for cells in body(tables_of(made.run)[name])] == layers, name


def test_the_threshold_table_is_that_of_the_snapshot(tmp_path: Path) -> None:
    # To accept a change: UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest tests/report/test_tables.py
    def three(layer: str, *values: float, note: str = "") -> list[dict[str, object]]:
        names = ("threshold", "slope_below", "slope_above")
        return [
            {"quantity": name, "layer": layer, "estimate": values[3 * i], "conf_low": values[3 * i + 1],
             "conf_high": values[3 * i + 2], "note": note}
            for i, name in enumerate(names)
        ]  # fmt: skip

    rows = [
        *three("all", 0.04144, 0.03214, 0.05333, 1.66, 0.92, 2.6, -0.93, -1.6, 0.03),
        *three("0", 0.01, 0.008, 0.0125, 250.0, 200.0, 300.0, 12.5, 10.0, 15.0),
        *three("1", *[float("nan")] * 9, note="undefined: the curve is flat"),
        {"quantity": "plateau", "layer": "all", "estimate": 0.1, "conf_low": 0.05, "conf_high": 0.15},
    ]
    made = hand_made(tmp_path, rows)
    write_tables(made.run, made.estimates, made.claims)
    found = tables_of(made.run)["thresholds"]
    snapshot = SNAPSHOTS / "thresholds.tex"
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        snapshot.write_text(found, encoding="utf-8")
    assert found == snapshot.read_text(encoding="utf-8")


def test_an_undefined_number_is_a_dash_and_the_note_says_so(tmp_path: Path) -> None:
    made = finished(tmp_path / "run", arms=("random",), rates=(0.01, 0.1, 0.5, 0.9), layers=(1, 2))
    write_tables(made.run, made.estimates, made.claims)
    table = tables_of(made.run)["thresholds"]
    assert {cell for row in body(table) for cell in row[1:]} == {"--"}
    assert "estimates.csv, and why a dash is undefined." in table


def test_what_was_used_is_named_with_what_was_asked_for(tmp_path: Path) -> None:
    made = finished(tmp_path / "run", arms=("random",), layers=(1, 2))
    dataset = {**made.run.manifest["dataset"], "requested": "wiki_text", "fallback": "the hub cannot be reached"}
    made.run.update(dataset=dataset)
    write_tables(made.run, made.estimates, made.claims)
    for table in tables_of(made.run).values():
        assert r"dataset synthetic (not wiki\_text: the hub could not be reached), 2026-01-02" in table


def test_a_run_that_is_not_complete_counts_the_prompts_that_are_done(tmp_path: Path) -> None:
    made = finished(tmp_path / "run", arms=("random",), layers=(1, 2), prompts=8)
    dataset = {**made.run.manifest["dataset"], "n_prompts": 64, "n_documents": 64}
    made.run.update(dataset=dataset, completeness={"complete": False, "prompts_done": 8, "prompts": 64})
    write_tables(made.run, made.estimates, made.claims)
    assert "; 8 prompts in 8 documents (the clusters)" in tables_of(made.run)["thresholds"]


@pytest.mark.parametrize(
    "options",
    [
        {"arms": ("random",), "layers": (1, 2)},
        {"arms": ("keep_top",)},
        {"arms": ("top",), "layers": (0,)},
        {"arms": ("random",), "layers": (0,)},
        {"arms": ("top",), "layers": (2,)},
        {"arms": ("random",), "prompts": 3},
        {"arms": ("random",), "rates": (0.1,)},
        {"arms": ("random",), "replacements": ("median", "zero"), "sites": ("pre", "post"), "layers": (1,)},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
def test_every_kind_of_run_has_its_tables(tmp_path: Path, options: dict[str, object]) -> None:
    made = finished(tmp_path / "run", **options)
    write_tables(made.run, made.estimates, made.claims)
    found = tables_of(made.run)
    assert tuple(found) == NAMES
    thresholds = body(found["thresholds"])
    before = 6 if "top" in options.get("arms", ()) else 4
    assert {cells[-before] for cells in thresholds} == set(made.estimates["layer"])
