"""Delta-method standard errors against statsmodels' clustered ones, and against the bootstrap."""

import numpy as np
import pytest
import statsmodels.api as sm

from ripplestats.fits.bootstrap import bootstrap, resample_documents
from ripplestats.fits.breakpoint import BreakDesign
from ripplestats.fits.curves import document_curves
from ripplestats.fits.delta_method import break_standard_errors
from ripplestats.fits.segmented import two_phase_statistic
from tests.fits.frames import noisy_frame

COLUMNS = {"y": "effect", "x": "rate", "cluster": "document_id"}


@pytest.mark.parametrize("sizes", [(1,), (1, 4, 2)])
@pytest.mark.parametrize("level_above", [False, True])
def test_they_are_the_clustered_errors_of_the_linearised_regression(sizes: tuple[int, ...], level_above: bool) -> None:
    frame = noisy_frame(2, n_documents=25, sizes=sizes)
    curves = document_curves(frame, **COLUMNS)
    design = BreakDesign(curves.x, curves.dose_weights, level_above)
    fit = design.fit(curves.pooled())
    x, at = frame["rate"].to_numpy(), fit.breakpoint[0]
    beyond = (x > at).astype(float)
    if level_above:
        columns = [np.ones_like(x), np.minimum(x, at), fit.slope_below[0] * beyond]
    else:
        change = fit.slope_above[0] - fit.slope_below[0]
        columns = [np.ones_like(x), x, np.maximum(x - at, 0), -change * beyond]
    model = sm.OLS(frame["effect"].to_numpy(), np.stack(columns, axis=1))
    groups = frame["document_id"].to_numpy()
    linear = model.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    expected = linear.bse * np.sqrt(25 / 24)
    found = break_standard_errors(curves, design, fit)[0]
    assert found[0] == pytest.approx(expected[-1], rel=1e-8)
    np.testing.assert_allclose(found[1:3], expected[:2], rtol=1e-8)
    if level_above:
        assert found[3] == 0
    else:
        covariance = linear.cov_params()[1:3, 1:3].sum() * 25 / 24
        assert found[3] == pytest.approx(np.sqrt(covariance), rel=1e-8)


def test_they_agree_with_the_bootstrap_where_the_break_is_clear() -> None:
    curves = document_curves(noisy_frame(5, n_documents=300), **COLUMNS)
    design = BreakDesign(curves.x, curves.dose_weights)
    resamples = resample_documents(300, 2000, np.random.default_rng(0))
    expected = bootstrap(curves, two_phase_statistic(curves.x, curves.dose_weights), resamples).std_error
    found = break_standard_errors(curves, design, design.fit(curves.pooled()))
    np.testing.assert_allclose(found, expected, rtol=0.1)


def test_three_documents_have_none() -> None:
    curves = document_curves(noisy_frame(1, n_documents=3), **COLUMNS)
    design = BreakDesign(curves.x, curves.dose_weights)
    assert np.isnan(break_standard_errors(curves, design, design.fit(curves.pooled()))).all()
