"""Every claim is said in words, with its number, margin and unit."""

import numpy as np
import pandas as pd
import pytest

from ripplestats.fits.curve_layout import Cell
from ripplestats.hypotheses.claims import (
    CLAIMS,
    INSENSITIVITY,
    SENSITIVITY_ANALYSES,
    THRESHOLD,
    UNDEFINED,
    core_claim,
)
from ripplestats.report.page.verdicts import counted_verdicts, key_figures, verdicts
from tests.report.page.runs import Analysed


def claim_rows(name: str, *layers: str, estimate: float = 0.0414) -> pd.DataFrame:
    row = {
        "claim": name,
        "null": "the null",
        "p_value": 0.003,
        "p_adjusted": 0.01,
        "estimate": estimate,
        "decision": "supported",
    }
    limits = {"conf_low": estimate - 0.01, "conf_high": estimate + 0.02, "margin": CLAIMS[name].margin}
    return pd.DataFrame([{**row, **limits, "layer": layer} for layer in layers])


@pytest.mark.parametrize("name", list(CLAIMS))
def test_every_claim_has_a_statement_of_its_own(name: str) -> None:
    (found,) = verdicts(claim_rows(name, "all"), "nats")
    assert found.number == name[0]
    assert found.statement.endswith(".")
    assert found.statement.lower() != f"{name[2:]}.".lower()


def test_shares_are_in_percent_and_effects_in_their_unit() -> None:
    (share,) = verdicts(claim_rows(THRESHOLD, "all"), "nats")
    assert share.finding.endswith("4.1 [3.1, 6.1] %; p\xa0=\xa00.003. The margin set beforehand: 10 %.")
    (effect,) = verdicts(claim_rows(INSENSITIVITY, "all", estimate=-0.0121), "nats")
    assert effect.finding.endswith(
        "−0.012 [−0.022, 0.008] nats; p\xa0=\xa00.003. The margin set beforehand: 0.05 nats."
    )
    (logit,) = verdicts(claim_rows(INSENSITIVITY, "all"), "logits")
    assert "logits" in logit.finding
    assert "nats" not in logit.finding
    assert "log-probability" not in logit.finding


def test_why_a_claim_is_refuted_by_a_hair_can_be_read() -> None:
    limits = {"estimate": 0.03533, "conf_low": 0.020135, "conf_high": 0.110246, "decision": "refuted"}
    rows = claim_rows(core_claim(0.8), "all", "0").assign(**limits)
    (found,) = verdicts(rows, "nats")
    assert "3.53 [2.01, 11.02] %" in found.finding
    assert found.finding.endswith("The margin set beforehand: 2 %.")
    assert [one.estimate for one in found.blocks] == ["3.53 [2.01, 11.02] %"]


def test_the_verdicts_are_counted_in_words() -> None:
    rows = pd.concat([claim_rows(name, "all") for name in CLAIMS])
    found = verdicts(rows.assign(decision=["refuted", *["supported"] * (len(rows) - 1)]), "nats")
    said = f"{len(rows)} statements were tested: {len(rows) - 1} supported, 1 refuted, 0 undecided."
    assert counted_verdicts(found) == said
    assert counted_verdicts(found[:1]) == "One statement was tested: 0 supported, 1 refuted, 0 undecided."


def test_the_tally_is_that_of_the_single_blocks() -> None:
    rows = claim_rows(THRESHOLD, "all", "0", "1", "2")
    rows["decision"] = ["supported", "refuted", "undecided", "undecided"]
    (found,) = verdicts(rows, "nats")
    assert found.decision == "supported"
    assert found.tally == (("supported", 0), ("refuted", 1), ("undecided", 2))
    assert [one.block for one in found.blocks] == ["0", "1", "2"]


def test_what_is_undefined_says_so_and_gives_no_number() -> None:
    rows = claim_rows(THRESHOLD, "all", estimate=np.nan)
    assert verdicts(rows, "nats")[0].finding == "Undefined."
    (found,) = verdicts(rows.assign(null=f"the null{UNDEFINED}it was not recorded)"), "nats")
    assert found.finding == "Undefined: it was not recorded."


def test_sensitivity_analyses_are_no_verdicts() -> None:
    rows = claim_rows(THRESHOLD, "all").assign(claim=next(iter(SENSITIVITY_ANALYSES)), decision="")
    assert verdicts(rows, "nats") == []


def test_key_figures_are_those_of_the_estimates(hostile: Analysed) -> None:
    main = Cell("top", "median", "pre", "delta_logprob")
    found = {one.name: one for one in key_figures(hostile.estimates, main, "nats", "all blocks but the first")}
    rows = hostile.estimates
    rows = rows[(rows["quantity"] == "plateau") & (rows["metric"] == "delta_logprob") & (rows["layer"] == "all")]
    rows = rows[rows["method"] == "inverted test over documents"].set_index("arm")
    assert len(found) == 5
    assert (
        found["Plateau (10 to 90 %), mean over all blocks but the first"].value
        == f"{rows.loc['top', 'estimate']:.3f} nats"
    )
    assert found["Plateau with as many random neurons"].value == f"{rows.loc['random', 'estimate']:.3f} nats"
    assert found["Plateau of the first block"].interval.startswith("95 % interval ")
