"""Residuals, influence and warnings against plain computation."""

import numpy as np
import pandas as pd
import pytest

from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.curves import DocumentCurves
from ripplestats.report.page.diagnostics import MOST_WARNINGS, influence, left_out, residuals, warnings
from tests.report.page.runs import Analysed

X = np.array([0.01, 0.02, 0.05, 0.1, 0.3, 0.6, 0.9])
MAIN = Cell("top", "median", "pre", "delta_logprob")


def curves(n: int = 6, doses: np.ndarray = X, noise: float = 0.1) -> DocumentCurves:
    rng = np.random.default_rng(0)
    line = np.minimum(doses, 0.08) + 0.1 * np.maximum(doses - 0.08, 0)
    values = line + noise * rng.standard_normal((n, 2, len(doses)))
    return DocumentCurves(doses, np.ones(len(doses)), values, np.arange(1.0, n + 1), (1, 2))


def test_without_a_document_the_mean_is_that_of_the_others() -> None:
    whole = curves()
    found = left_out(whole)
    for place in range(6):
        others = np.arange(6) != place
        expected = np.average(whole.values[others, 0], axis=0, weights=whole.weights[others])
        np.testing.assert_allclose(found[place], expected)


def test_a_two_phase_curve_has_no_residuals_and_a_wave_has_them() -> None:
    found = residuals(curves(noise=0.0))
    assert found is not None
    np.testing.assert_allclose(found["residual"], 0, atol=1e-12)
    one = curves(noise=0.0)
    one.values[:, 1] += 0.1 * np.array([1, -1, 1, -1, 1, -1, 1])
    bent = residuals(one)
    assert bent is not None
    np.testing.assert_allclose(bent["residual"][0], 0, atol=1e-12)
    assert np.abs(bent["residual"][1]).max() > 0.05


def test_residuals_have_the_standard_errors_of_the_curve() -> None:
    whole = curves()
    found = residuals(whole)
    assert found is not None
    np.testing.assert_allclose(found["std_error"][1], np.sqrt(np.diag(whole.covariances()[1])), rtol=1e-3)


def test_too_few_doses_have_no_residuals() -> None:
    assert residuals(curves(doses=X[:4])) is None


def test_the_document_that_differs_most_comes_first(hostile: Analysed) -> None:
    whole = hostile.curves[MAIN]
    values = whole.values.copy()
    values[4] *= 3
    odd = DocumentCurves(whole.x, whole.dose_weights, values, whole.weights, whole.groups)
    found = influence(hostile.run, odd, hostile.estimates, MAIN)
    titles = hostile.run.prompts().set_index("document_id")["document_title"]
    assert found[0]["document"].split()[0] == str(titles[4]).split()[0]
    plateau = next(one["shift"] for one in found if one["quantity"] == "plateau")
    assert plateau > 0


def test_two_documents_have_no_influence_to_speak_of(hostile: Analysed) -> None:
    assert influence(hostile.run, curves(2), hostile.estimates, MAIN) == []


def test_a_warning_is_given_once_with_all_places_and_degrees_of_freedom_are_none() -> None:
    rows = [("threshold", "1", "flat"), ("threshold", "2", "flat"), ("slope", "2", "flat"), ("mixed", "1", "63.3 df.")]
    rows += [("mixed", "2", "60.1 df. It lies on the boundary."), ("plateau", "1", np.nan)]
    frame = pd.DataFrame(rows, columns=["quantity", "layer", "note"])
    found, further = warnings(frame.assign(arm="top", metric="kl", method="m"))
    assert [one["note"] for one in found] == ["flat", "It lies on the boundary."]
    assert found[0]["of"] == "threshold, slope"
    assert found[0]["where"] == "largest activations; KL divergence (nats); blocks 1–2"
    assert further == 0


@pytest.mark.parametrize("n", [MOST_WARNINGS, MOST_WARNINGS + 3])
def test_beyond_a_number_warnings_are_only_counted(n: int) -> None:
    frame = pd.DataFrame({"note": [f"note {i}" for i in range(n)]})
    frame = frame.assign(arm="top", metric="kl", method="m", quantity="q", layer="1")
    found, further = warnings(frame)
    assert len(found) + further == n
    assert len(found) <= MOST_WARNINGS
