"""The tables of the pages hold what the committed results hold."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from docs.making.blocks import ROOT
from docs.making.mathematics import as_mathml
from docs.making.scale import INPUTS, Scale
from docs.making.speed import embedded_model
from docs.making.tables import RESULTS, table
from tests.docs.test_code_blocks import TEXTS

DIRECTIVES = sorted(
    {found for text in TEXTS.values() for found in re.findall(r"^<!-- table: (.+?) -->$", text, flags=re.M)}
)


@pytest.mark.parametrize("directive", DIRECTIVES)
def test_every_table_that_a_page_asks_for_has_rows(directive: str) -> None:
    found = table(directive)
    if not directive.startswith("help"):
        rows = found.splitlines()
        assert len(rows) >= 3
        assert len({row.count(" | ") for row in rows}) == 1
    assert "nan" not in found.lower().replace("nanochat", "")


def test_a_table_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        table("coverage nothing")


def test_coverage_is_that_of_the_file() -> None:
    rows = pd.read_csv(RESULTS / "coverage.csv").query(
        "quantity == 'threshold' and method == 'wald' and kind == 'as in our run'"
    )
    assert f"{100 * rows['coverage'].min():.1f}–{100 * rows['coverage'].max():.1f}" in table("coverage threshold")


def test_the_scale_is_what_its_inputs_say() -> None:
    small = Scale(
        replace(INPUTS, tokens=33e3, blocks=2, hidden=4, neurons=8, key_value_width=2, vocabulary=10, rates=3)
    )
    assert small.prompts == 1000
    assert small.cells == 12
    weights = 2 * 16 + 2 * 8 + 3 * 32
    # Six branches join after the first block and go through two, six after the second; 32 tokens go through two blocks.
    assert small.one_pass_flops == 2 * ((6 * 3 + 64) * weights + 13 * 40)
    assert small.rows == 12_000


def test_the_operations_of_a_prompt_are_those_that_were_counted() -> None:
    counted = {
        row["context"]: row["operations_per_prompt"] for row in embedded_model()["rows"] if "ours" in row["engine"]
    }
    shape = {"blocks": 30, "hidden": 576, "neurons": 1536, "key_value_width": 192, "vocabulary": 49152, "arms": 1}
    for context in (8, 32, 128):
        # What is counted besides, the attention over the context, is a few percent.
        found = Scale(replace(INPUTS, context=context, **shape)).one_pass_flops
        assert found == pytest.approx(counted[context], rel=0.03)


def test_formulas_become_mathml() -> None:
    page = '<p>x <span class="arithmatex">\\(a &lt; b\\)</span></p><div class="arithmatex">\\[\n\\frac{a}{b}\n\\]</div>'
    found = as_mathml(page)
    assert found.count("<math") == 2
    assert "<mfrac>" in found
    assert "arithmatex" not in found


def test_every_public_name_is_in_the_reference() -> None:
    import ripplestats

    page = (ROOT / "docs/pages/api.md").read_text(encoding="utf-8")
    missing = [name for name in ripplestats.__all__ if f"::: {ripplestats._HOMES[name]}.{name}\n" not in page]
    assert not missing
