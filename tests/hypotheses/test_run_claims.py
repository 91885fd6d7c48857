"""The claims of a simulated run whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from ripplestats.errors import InputError
from ripplestats.hypotheses.claims import CLAIMS, SENSITIVITY_ANALYSES
from ripplestats.hypotheses.run_claims import claims
from ripplestats.store.schema import CLAIM_COLUMNS
from tests.fits.frames import document_twice, relabelled
from tests.hypotheses.runs import run_frame

NUMBERS = ["statistic", "p_value", "p_adjusted", "estimate", "conf_low", "conf_high"]


def decided(table: pd.DataFrame) -> pd.DataFrame:
    """The rows from which decisions follow."""
    return table[table["claim"].isin(list(CLAIMS))]


def overall(table: pd.DataFrame, claim: str) -> pd.Series:
    return table[(table["claim"] == claim) & (table["layer"] == "all")].iloc[0]


@pytest.fixture(scope="module")
def sharp() -> pd.DataFrame:
    return claims(run_frame(core=0.015, replacements=("median", "zero")), n_boot=300)


def test_a_sharp_core_supports_the_claims_that_it_should(sharp: pd.DataFrame) -> None:
    assert tuple(sharp.columns) == CLAIM_COLUMNS
    supported = ["1 insensitivity", "1 insensitivity, margin 20 % of the plateau", "2 threshold", "5 specificity"]
    supported += ["6 median against zero", *(f"3 core group, {share} of the plateau" for share in (0.5, 0.8, 0.9))]
    for claim in supported:
        assert overall(sharp, claim)["decision"] == "supported", claim
    first = decided(sharp)[decided(sharp)["claim"].str.startswith("4")]
    assert first["layer"].tolist() == ["0", "0"]
    assert (first["decision"] == "supported").all()


def test_a_wide_core_and_a_rising_tail_refute_them() -> None:
    table = claims(run_frame(core=0.06, last=0.5), n_boot=300)
    assert overall(table, "1 insensitivity")["decision"] == "refuted"
    assert overall(table, "1 insensitivity, margin 20 % of the plateau")["decision"] == "refuted"
    for share in (0.5, 0.8, 0.9):
        assert overall(table, f"3 core group, {share} of the plateau")["decision"] == "refuted"


def test_intervals_and_p_values_tell_the_same(sharp: pd.DataFrame) -> None:
    noisy = claims(run_frame(core=0.03, n=12, noise=0.3), n_boot=300)
    for table in (sharp, noisy):
        for row in decided(table).itertuples():
            claim = CLAIMS[row.claim]
            if row.claim == "2 threshold":
                continue  # its p-value is of the existence of a break, its interval of the place
            assert (row.decision == "supported") == (row.p_value <= (1 - claim.conf_level) / 2), row
            if np.isfinite(row.estimate):
                assert row.decision == claim.decide(row.conf_low, row.conf_high, row.margin)


@pytest.mark.parametrize(
    ("adjustment", "names"), [("max-t", {"max-t", "min-p"}), ("holm", {"holm"}), ("bh", {"bh"}), ("none", {"none"})]
)
def test_p_values_of_layers_are_adjusted_and_never_smaller(adjustment: str, names: set[str]) -> None:
    table = decided(claims(run_frame(core=0.02, n=15, noise=0.3), n_boot=200, adjustment=adjustment))
    known = table["p_value"].notna()
    assert (table.loc[known, "p_adjusted"] >= table.loc[known, "p_value"]).all()
    several = known & (table["layer"] != "all") & ~table["claim"].str.startswith("4")
    assert set(table.loc[several, "adjustment"]) == names
    alone = table[table["layer"] == "all"]
    assert set(alone["adjustment"]) == {"none"}
    pd.testing.assert_series_equal(alone["p_adjusted"], alone["p_value"], check_names=False)


def test_every_row_was_written_down_beforehand(sharp: pd.DataFrame) -> None:
    assert set(sharp["claim"]) <= set(CLAIMS) | set(SENSITIVITY_ANALYSES)
    assert set(decided(sharp)["decision"]) <= {"supported", "refuted", "undecided"}
    assert (sharp["null"] != "").all()
    assert not sharp.duplicated(["claim", "layer"]).any()


def test_neither_row_order_nor_names_of_documents_matter() -> None:
    frame = run_frame(core=0.015, n=20)
    table = claims(frame, n_boot=100)
    pd.testing.assert_frame_equal(claims(frame.sample(frac=1, random_state=0), n_boot=100), table)
    # Other names sort documents otherwise, so that the same draws are of others: only estimates stay.
    again = claims(relabelled(frame, 1), n_boot=100)
    np.testing.assert_allclose(again["estimate"], table["estimate"], rtol=1e-9)


def test_every_document_twice_leaves_the_estimates() -> None:
    frame = run_frame(core=0.015, n=20)
    once, twice = (decided(claims(one, n_boot=100)) for one in (frame, document_twice(frame)))
    np.testing.assert_allclose(twice["estimate"], once["estimate"], rtol=1e-9)


def test_the_same_seed_gives_the_same_table() -> None:
    frame = run_frame(core=0.03, n=12)
    pd.testing.assert_frame_equal(claims(frame, n_boot=50, seed=3), claims(frame, n_boot=50, seed=3))
    assert not claims(frame, n_boot=50, seed=4)["conf_low"].equals(claims(frame, n_boot=50, seed=3)["conf_low"])


def test_without_the_arm_top_there_is_nothing_to_test() -> None:
    assert claims(run_frame(core=0.015, arms=("random",)), n_boot=50).empty


def test_without_random_neurons_there_is_no_specificity() -> None:
    table = claims(run_frame(core=0.015, arms=("top",)), n_boot=50)
    assert not table["claim"].str.startswith("5").any()
    assert table["claim"].str.startswith("4").any()


def test_a_grid_without_the_plateau_leaves_out_what_needs_it() -> None:
    frame = run_frame(core=0.015)
    table = claims(frame[frame["effective_rate"] <= 0.07], n_boot=50)
    assert set(decided(table)["claim"]) == {"2 threshold", "5 specificity"}


@pytest.mark.parametrize("missing", [0.1, 0.9])
def test_without_one_of_its_doses_there_is_no_insensitivity(missing: float) -> None:
    frame = run_frame(core=0.015)
    table = claims(frame[frame["effective_rate"] != missing], n_boot=50)
    assert not decided(table)["claim"].str.startswith("1").any()
    assert "2 threshold" in set(table["claim"])


def test_block_0_alone_has_no_overall_row() -> None:
    table = claims(run_frame(core=0.015, layers=(0,)), n_boot=50)
    assert set(table["layer"]) == {"0"}
    assert not table["claim"].str.startswith("4").any()
    assert set(table["adjustment"]) == {"none"}


@pytest.mark.parametrize("n", [1, 3])
def test_too_few_documents_decide_nothing(n: int) -> None:
    table = claims(run_frame(core=0.015, n=n), n_boot=50)
    assert table[["p_value", "p_adjusted", "conf_low", "conf_high"]].isna().all().all()
    assert set(decided(table)["decision"]) == {"undecided"}


def test_documents_without_spread_decide_nothing() -> None:
    table = claims(run_frame(core=0.015, n=10).assign(delta_logprob=0.3, top1_changed=True), n_boot=50)
    numbers = table[table["claim"] != "2 threshold"][["p_value", "conf_low", "conf_high"]]
    assert numbers.isna().all().all()
    assert set(decided(table)["decision"]) == {"undecided"}


def test_a_plateau_that_may_be_zero_has_no_shares() -> None:
    rng = np.random.default_rng(0)
    frame = run_frame(core=0.015, n=20)
    table = claims(frame.assign(delta_logprob=rng.standard_normal(len(frame))), n_boot=100)
    shares = decided(table)[decided(table)["claim"].str.contains("of the plateau")]
    row = shares[shares["layer"] == "all"]
    assert row[NUMBERS].isna().all().all()
    assert set(row["decision"]) == {"undecided"}


def test_what_cannot_be_tested_is_refused() -> None:
    frame = run_frame(core=0.015, n=6)
    with pytest.raises(InputError, match="max-t, holm, bh, none"):
        claims(frame, adjustment="bonferroni")
    with pytest.raises(InputError, match="n_boot=3"):
        claims(frame, n_boot=3)
    with pytest.raises(InputError, match="'delta_logprob' holds values that are missing"):
        claims(frame.assign(delta_logprob=frame["delta_logprob"].mask(frame.index == 5)))
    with pytest.raises(InputError, match="balanced"):
        claims(frame.drop(index=5))
    other = frame[(frame["arm"] == "top") | (frame["document_id"] > 0)]
    with pytest.raises(InputError, match="different documents"):
        claims(other, n_boot=50)
