"""What R gives, from the committed CSVs of ``tests/reference``, beside what the package gives for the same data."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from docs.making.blocks import ROOT
from docs.making.markdown import markdown
from tests.reference.parity import PACKAGES, parity

FOLDER = ROOT / "tests" / "reference"


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv")


def _breaks(number: int) -> str:
    """Compare breaks with R's ``segmented`` on the mean curves of its simulated data."""
    from ripplestats.fits.break_patterns import SeveralBreaksDesign
    from ripplestats.fits.curves import document_curves

    rows = []
    data = _read("segmented_data")
    for theirs in _read("segmented").query("n_breaks == @number").itertuples():
        part = data[data["set"] == theirs.set]
        x = np.log(part["rate"]) if theirs.scale == "log" else part["rate"]
        part = part.assign(x=x)
        curves = document_curves(part, y="effect", x="x", cluster="prompt_id")
        fit = SeveralBreaksDesign(curves.x, curves.dose_weights, number).fit(curves.pooled())
        error = part["effect"] - part.groupby("x")["effect"].transform("mean")
        ours = float(error @ error) + curves.n_prompts * float(fit.residual_ss[0])
        lower = 1 - ours / theirs.residual_ss
        breaks = [theirs.psi_1, theirs.psi_2][:number]
        back = np.exp if theirs.scale == "log" else np.asarray
        rows.append(
            [
                theirs.set.replace("_", " "),
                theirs.scale,
                ", ".join(f"{one:.5f}" for one in back(np.array(breaks))),
                ", ".join(f"{one:.5f}" for one in back(fit.breakpoints[0])),
                "the same" if lower < 1e-9 else f"ours is lower by {lower:.1e} of it",
            ]
        )
    heads = ["simulated data", "dose", "R: `segmented`", "ripplestats", "residual sum of squares"]
    return markdown(rows, heads, numbers_from=5)


def _davies() -> str:
    """Compare Davies' test with R's on a few of the committed cases."""
    from ripplestats.hypotheses.davies import davies_test

    data, rows = _read("segmented_data"), []
    chosen = _read("davies").query("rows == 'means' and k == 10 and alternative == 'two.sided'")
    for theirs in chosen.drop_duplicates("set").itertuples():
        means = data[data["set"] == theirs.set].groupby("rate", as_index=False)["effect"].mean()
        ours = davies_test(means, y="effect", x="rate").tidy().iloc[0]
        both = [f"{theirs.p_value:.6g}", f"{ours['p_value']:.6g}"]
        rows.append([theirs.set.replace("_", " "), f"{theirs.statistic:.5f}", *both])
    return markdown(rows, ["simulated data", "t statistic (R)", "p: R `davies.test`", "p: ripplestats"])


def _core() -> str:
    """Compare plateaus and core fractions with those written out with R's ``isoreg``."""
    from ripplestats.fits.saturation import first_dose_reaching, isotonic, plateau_weights

    curves, rows = _read("isotonic"), []
    for name, core in _read("isotonic_core").groupby("curve", sort=False):
        curve = curves[curves["curve"] == name]
        x, y = curve["rate"].to_numpy(), curve["effect"].to_numpy()[None]
        weights = plateau_weights(x)
        assert weights is not None
        levels = (y @ weights)[:, None] * core["share"].to_numpy()
        ours = first_dose_reaching(isotonic(y, np.ones(len(x))), x, levels)[0]
        for theirs, own in zip(core.itertuples(), ours, strict=True):
            rows.append([name, f"{theirs.share:g}", f"{theirs.core_fraction:.8f}", f"{own:.8f}"])
    return markdown(rows, ["simulated curve", "share of the plateau", "R: `isoreg`", "ripplestats"])


def _plateau() -> str:
    """Compare plateaus with R's."""
    from ripplestats.fits.saturation import plateau_weights

    curves, rows = _read("isotonic"), []
    for name, core in _read("isotonic_core").groupby("curve", sort=False):
        curve = curves[curves["curve"] == name]
        weights = plateau_weights(curve["rate"].to_numpy())
        assert weights is not None
        rows.append([name, f"{core['plateau'].iloc[0]:.10f}", f"{float(curve['effect'].to_numpy() @ weights):.10f}"])
    return markdown(rows, ["simulated curve", "R", "ripplestats"])


def _bootstrap() -> str:
    """Return the intervals of R's ``boot``."""
    rows = [
        [one.term, one.method, f"{one.estimate:.6f}", f"[{one.conf_low:.6f}, {one.conf_high:.6f}]"]
        for one in _read("boot_intervals").itertuples()
    ]
    return markdown(rows, ["quantity", "interval", "estimate", "R: `boot.ci`"], numbers_from=2)


def _mixed() -> str:
    """Compare a mixed model with lme4 and lmerTest."""
    from ripplestats.fits.mixed import mixed

    data = _read("lmer_data").query("case == 'prompts'")
    ours = mixed(data, "effect ~ below + above", groups="prompt", re_formula="~ below").tidy().set_index("term")
    theirs = _read("lmer_fixed").query("model == 'prompts'")
    rows = []
    for one, term in zip(theirs.itertuples(), ours.index[: len(theirs)], strict=True):
        own = ours.loc[term]
        rows.append(
            [
                term, f"{one.estimate:.7f} ± {one.std_error:.7f}", f"{own['estimate']:.7f} ± {own['std_error']:.7f}",
                f"{one.p_value:.4g}", f"{own['p_value']:.4g}",
            ]
        )  # fmt: skip
    return markdown(rows, ["term", "R: `lmerTest`", "ripplestats", "p (R)", "p (ours)"])


def _random_breaks() -> str:
    """Return the solutions of R's ``segmented.lme`` from its three starts."""
    rows = [
        [one.case, f"{one.start:g}", f"{one.threshold:.3f}", f"{one.threshold_sd:.3f}", f"{one.loglik:.2f}"]
        for one in _read("segmented_lme_fits").query("method == 'ML'").itertuples()
    ]
    heads = ["data", "start", "R: mean of breaks", "R: their SD", "R: log-likelihood"]
    return markdown(rows, heads)


def _equivalence() -> str:
    """Compare estimates and standard errors with R's cluster-robust ones."""
    rows = [
        [
            one.set, one.layer, f"{one.margin:g}", f"{one.estimate:.5f} ± {one.std_error:.5f}", f"{one.p_value:.4g}",
            f"[{one.conf_low:.4f}, {one.conf_high:.4f}]",
        ]
        for one in _read("equivalence").query("margin in (0.05, 0.1)").itertuples()
    ]  # fmt: skip
    heads = ["data", "group", "margin", "R: difference ± SE", "p", "90 % interval"]
    return markdown(rows, heads, numbers_from=2)


def _multiplicity() -> str:
    """Return R's adjusted p-values."""
    rows = [
        [f"{one.p:.4f}", f"{one.holm:.4f}", f"{one.bh:.4f}"] for one in _read("multiplicity_p").head(8).itertuples()
    ]
    return markdown(rows, ["p", "R: Holm", "R: Benjamini–Hochberg"], numbers_from=0)


def _parity() -> str:
    """Return every comparison with R, and the largest difference, measured now."""
    rows = [
        [
            f"`{line.ours}`", f"`{line.package}` {PACKAGES[line.package]}: `{line.function}`", line.compared, f"{line.numbers:,}",
            line.said(line.difference), line.said(line.tolerance),
        ]
        for line in parity()
    ]  # fmt: skip
    heads = ["ours", "R", "compared", "numbers", "largest difference", "asked for"]
    return markdown(rows, heads, numbers_from=3)


REFERENCES: dict[str, Callable[[], str]] = {
    "threshold": lambda: _breaks(1), "several-breaks": lambda: _breaks(2), "davies": _davies, "core": _core,
    "plateau": _plateau, "bootstrap": _bootstrap, "mixed": _mixed, "random-breaks": _random_breaks,
    "equivalence": _equivalence, "multiplicity": _multiplicity, "parity": _parity,
}  # fmt: skip
