"""Adjusted p-values against R: ``p.adjust``, and step-down loops written out in R.

Tolerance 1e-12: the same sums and products of the same doubles in another order (p-values are of order one), and R
writes fifteen digits.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ripplestats.hypotheses.multiplicity import adjusted_p_values, max_t_step_down, min_p_step_down

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("method", ["holm", "bh"])
def test_holm_and_benjamini_hochberg_equal_p_adjust(method: str) -> None:
    table = pd.read_csv(FOLDER / "multiplicity_p.csv")
    found = adjusted_p_values(table["p"].to_numpy(), method)
    np.testing.assert_allclose(found, table[method], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "step_down"), [("max_t", max_t_step_down), ("min_p", min_p_step_down)])
def test_step_down_equals_the_loop(name: str, step_down) -> None:
    table = pd.read_csv(FOLDER / "multiplicity_step_down.csv")
    replicates = pd.read_csv(FOLDER / "multiplicity_replicates.csv").to_numpy()
    found = step_down(table["statistic"].to_numpy(), replicates)
    np.testing.assert_allclose(found.p_adjusted, table[name], rtol=0, atol=1e-12)
