"""The claims of a simulated run whose truth is known."""

import numpy as np
import pandas as pd

from ripplestats.hypotheses.claims import CLAIMS
from ripplestats.hypotheses.run_claims import claims
from ripplestats.store.schema import CLAIM_COLUMNS

RATES = np.array([0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.5, 0.9])


def run_frame(core: float, last: float = 0.0, n: int = 80, replacements: tuple[str, ...] = ("median",)) -> pd.DataFrame:
    """Effects that rise linearly to a plateau of one at ``core`` and by ``last`` more at 90 %."""
    rng = np.random.default_rng(0)
    parts = []
    for arm in ("top", "random"):
        for replacement in replacements:
            for layer in (0, 1, 2):
                mean = np.minimum(RATES / core, 1) + last * RATES if arm == "top" else 0.2 * RATES
                mean = mean * (5 if layer == 0 else 1) * (1.5 if replacement == "zero" else 1)
                values = mean * rng.normal(1, 0.2, (n, 1)) + rng.normal(0, 0.02, (n, len(RATES)))
                documents, doses = np.meshgrid(np.arange(n), RATES, indexing="ij")
                parts.append(
                    pd.DataFrame(
                        {
                            "prompt_id": documents.ravel(),
                            "document_id": documents.ravel(),
                            "arm": arm,
                            "replacement": replacement,
                            "site": "pre",
                            "layer": layer,
                            "effective_rate": doses.ravel(),
                            "delta_logprob": values.ravel(),
                            "top1_changed": values.ravel() > 1.2,
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True)


def overall(table: pd.DataFrame, claim: str) -> str:
    return str(table[(table["claim"] == claim) & (table["layer"] == "all")]["decision"].iloc[0])


def test_a_sharp_core_supports_the_claims_that_it_should() -> None:
    table = claims(run_frame(core=0.015, replacements=("median", "zero")), n_boot=300)
    assert tuple(table.columns) == CLAIM_COLUMNS
    for claim in ("1 insensitivity", "2 threshold", "5 specificity", "6 median against zero"):
        assert overall(table, claim) == "supported", claim
    for share in (0.5, 0.8, 0.9):
        assert overall(table, f"3 core group, {share} of the plateau") == "supported"
    first = table[table["claim"].str.startswith("4")]
    assert first["layer"].tolist() == ["0", "0"]
    assert (first["decision"] == "supported").all()


def test_a_wide_core_and_a_rising_tail_refute_them() -> None:
    table = claims(run_frame(core=0.06, last=0.5), n_boot=300)
    assert overall(table, "1 insensitivity") == "refuted"
    for share in (0.5, 0.8, 0.9):
        assert overall(table, f"3 core group, {share} of the plateau") == "refuted"


def test_p_values_of_layers_are_adjusted_and_never_smaller() -> None:
    table = claims(run_frame(core=0.015), n_boot=200)
    known = table["p_value"].notna()
    assert (table.loc[known, "p_adjusted"] >= table.loc[known, "p_value"]).all()
    layers = table[(table["layer"] != "all") & ~table["claim"].str.startswith("4")]
    assert set(layers["adjustment"]) == {"holm"}
    assert set(table.loc[table["layer"] == "all", "adjustment"]) == {"none"}


def test_every_row_is_a_claim_that_was_written_down() -> None:
    table = claims(run_frame(core=0.015), n_boot=200)
    assert set(table["claim"]) <= set(CLAIMS)
    assert set(table["decision"]) <= {"supported", "refuted", "undecided"}
    assert (table["null"] != "").all()


def test_without_the_arm_top_there_is_nothing_to_test() -> None:
    frame = run_frame(core=0.015)
    assert claims(frame[frame["arm"] == "random"]).empty


def test_a_grid_without_the_plateau_leaves_out_what_needs_it() -> None:
    frame = run_frame(core=0.015)
    table = claims(frame[frame["effective_rate"] <= 0.07], n_boot=200)
    assert set(table["claim"]) == {"2 threshold", "5 specificity"}
