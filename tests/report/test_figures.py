"""The figures of a run: written, not blank, the same bytes each time, and their text is text."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ripplestats.fits.run_estimates import INVERTED, cell_curves, layer_curves
from ripplestats.rendering import charts
from ripplestats.rendering.figure_files import figure_file
from ripplestats.report.figures import (
    draw_dose_response,
    draw_layer_by_rate,
    draw_seed_dots,
    draw_threshold_by_layer,
    mean_effects,
    write_figures,
)
from ripplestats.store.run_directory import Run
from tests.rendering.tex import text_of
from tests.report.conftest import EVIL, Finished, finished
from tests.store.synthetic_run import BREAK, RATES, make_run

pytestmark = pytest.mark.long

NAMES = ("dose_response", "layer_by_rate", "seed_dots", "threshold_by_layer")


def elsewhere(made: Finished, folder: Path) -> Run:
    """The same run under another path, so that its figures do not overwrite others."""
    shutil.copytree(made.run.path, folder, ignore=shutil.ignore_patterns("figures", "tables"))
    return Run(folder)


@pytest.fixture(scope="module")
def figures(synthetic: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = elsewhere(synthetic, tmp_path_factory.mktemp("figures") / "run")
    write_figures(run, cell_curves(run), synthetic.estimates, n_boot=50)
    return run.path / "figures"


@pytest.fixture
def page() -> Figure:
    return Figure()


def inked(path: Path) -> float:
    """The share of pixels that are not white."""
    return float((imread(path)[..., :3] < 0.98).any(axis=2).mean())


def test_four_figures_are_written_with_their_captions_and_for_slides(figures: Path) -> None:
    expected = [f"{name}.{kind}" for name in NAMES for kind in ("pdf", "png", "txt")]
    assert sorted(path.name for path in figures.iterdir()) == sorted([*expected, "slides"])
    slides = [f"{name}.{kind}" for name in NAMES for kind in ("pdf", "png")]
    assert sorted(path.name for path in (figures / "slides").iterdir()) == slides


@pytest.mark.parametrize("name", NAMES)
def test_a_slide_is_1920_by_1080(figures: Path, name: str) -> None:
    height, width = imread(figures / "slides" / f"{name}.png").shape[:2]
    assert (width, height) == (pytest.approx(1920, abs=2), pytest.approx(1080, abs=2))


@pytest.mark.parametrize("name", NAMES)
def test_a_caption_says_in_words_what_was_run(figures: Path, name: str) -> None:
    caption = " ".join((figures / f"{name}.txt").read_text(encoding="utf-8").split())
    assert f"Model synthetic-model, dataset {EVIL}" in caption
    assert "nan" not in caption.replace("Finance", "")
    assert len(caption) > 150


def test_the_caption_of_the_dose_response_gives_its_numbers(figures: Path, synthetic: Finished) -> None:
    effects = synthetic.run.effects()
    chosen = effects[(effects["arm"] == "top") & (effects["layer"] > 0) & (effects["rate"] == 0.1)]
    caption = " ".join((figures / "dose_response.txt").read_text(encoding="utf-8").split())
    assert f"{chosen['delta_logprob'].mean():.3f} nats at 10.0 %" in caption


def test_keep_top_has_a_figure_of_its_own(synthetic: Finished, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", arms=("top", "keep_top"), curve=lambda rate: 2 - rate)
    write_figures(run, cell_curves(run), synthetic.estimates, n_boot=50)
    folder = run.path / "figures"
    assert inked(folder / "sufficiency.png") > 0.02
    effects = run.effects()
    kept = effects[(effects["arm"] == "keep_top") & (effects["layer"] > 0)].groupby("rate")["delta_logprob"].mean()
    won_back = f"{100 * (1 - kept[0.1] / kept[0.002]):.0f} % at 10.0 % of neurons"
    said = " ".join((folder / "sufficiency.txt").read_text(encoding="utf-8").split())
    assert f"sufficiency: {won_back}." in said
    assert "all but the largest" not in text_of(folder / "dose_response.pdf")


@pytest.mark.parametrize("name", NAMES)
def test_no_figure_is_blank(figures: Path, name: str) -> None:
    assert 0.02 < inked(figures / f"{name}.png") < 0.9
    assert (figures / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    pixels = imread(figures / f"{name}.png")[..., :3]
    # The upper three quarters, where no provenance line is: colours, not only black frames.
    upper = pixels[: 3 * len(pixels) // 4]
    assert (np.ptp(upper, axis=2) > 0.2).mean() > 0.0005


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_the_dataset_is_drawn_as_it_is(figures: Path, name: str) -> None:
    assert f"Model synthetic-model, dataset {EVIL}" in text_of(figures / f"{name}.pdf")


def test_the_same_run_gives_the_same_bytes(synthetic: Finished, figures: Path, tmp_path: Path) -> None:
    run = elsewhere(synthetic, tmp_path / "again")
    write_figures(run, cell_curves(run), synthetic.estimates, n_boot=50)
    for path in figures.rglob("*.*"):
        assert (run.path / "figures" / path.relative_to(figures)).read_bytes() == path.read_bytes(), path.name


def test_text_that_would_break_mathematics_is_drawn(tmp_path: Path) -> None:
    with figure_file(tmp_path / "plot", r"dataset $\frac{$ and $x_1^2$", (3.0, 2.0)) as page:
        page.subplots().set_title("$not mathematics$")
    assert inked(tmp_path / "plot.png") > 0.01
    printed = text_of(tmp_path / "plot.pdf")
    assert r"dataset $\frac{$ and $x_1^2$" in printed
    assert "$not mathematics$" in printed


def test_a_figure_whose_drawing_fails_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no data"), figure_file(tmp_path / "plot", "source", (3.0, 2.0)):
        raise ValueError("no data")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_the_font_has_no_glyphs_for_warns_of_nothing(tmp_path: Path) -> None:
    with figure_file(tmp_path / "plot", "dataset 数据", (3.0, 2.0)) as page:
        page.subplots().plot([0, 1])
    assert (tmp_path / "plot.pdf").exists()


def test_the_dose_response_has_a_curve_and_a_band_for_each_arm(synthetic: Finished, page: Figure) -> None:
    effects = synthetic.run.effects()
    curves = {arm: layer_curves(effects[effects["arm"] == arm], "delta_logprob") for arm in ("top", "random")}
    draw_dose_response(page, curves, n_boot=50, seed=0)
    (ax,) = page.axes
    top, random = ax.lines[:2]
    np.testing.assert_allclose(top.get_xdata(), 100 * np.array(RATES))
    np.testing.assert_allclose(top.get_ydata(), curves["top"].pooled()[0])
    np.testing.assert_allclose(random.get_ydata(), curves["random"].pooled()[0])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["largest activations", "random neurons"]
    for line, band in zip((top, random), ax.collections, strict=True):
        corners = band.get_paths()[0].vertices
        assert corners[:, 1].min() < line.get_ydata().min()
        assert corners[:, 1].max() > line.get_ydata().max()
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "drop in log-probability (nats)"


def test_the_dose_response_of_the_first_block_does_not_claim_to_be_of_the_others(tmp_path: Path, page: Figure) -> None:
    made = finished(tmp_path / "run", layers=(0,), arms=("random",))
    draw_dose_response(page, {"random": layer_curves(made.run.effects(), "delta_logprob")}, n_boot=50)
    assert page.axes[0].get_title(loc="left") != "Mean over all blocks but the first"


def test_the_map_holds_the_mean_of_every_layer_and_rate(synthetic: Finished, page: Figure) -> None:
    effects = synthetic.run.effects()
    effects = effects[effects["arm"] == "top"]
    draw_layer_by_rate(page, layer_curves(effects, "delta_logprob"), "top")
    ax = page.axes[0]
    expected = effects.groupby(["layer", "rate"])["delta_logprob"].mean().unstack()
    np.testing.assert_allclose(ax.images[0].get_array(), expected, rtol=1e-5)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2"]
    # Only rates of the grid are labelled, where they lie: .2, 1, 2 … of .2, .6, 1, 2, 3, 4.5, 10, 30, 60, 90 %.
    ticks = dict(zip([label.get_text() for label in ax.get_xticklabels()], ax.get_xticks(), strict=True))
    assert ticks == {"0.2": 0, "1": 2, "2": 3, "10": 6, "90": 9}


def test_thresholds_are_drawn_in_percent_with_their_intervals(synthetic: Finished, page: Figure) -> None:
    rows = synthetic.estimates[synthetic.estimates["arm"] == "top"]
    draw_threshold_by_layer(page, rows)
    (ax,) = page.axes
    of = rows[(rows["quantity"] == "threshold") & (rows["metric"] == "delta_logprob") & (rows["method"] == INVERTED)]
    of = of.set_index("layer")
    dots, overall = ax.lines
    np.testing.assert_array_equal(dots.get_xdata(), [0, 1, 2])
    np.testing.assert_allclose(dots.get_ydata(), 100 * of.loc[["0", "1", "2"], "estimate"])
    np.testing.assert_allclose(overall.get_ydata(), 100 * of.loc["all", "estimate"])
    assert dots.get_ydata() == pytest.approx(100 * BREAK, abs=0.3)
    ends = [segment[:, 1] for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(ends, 100 * of.loc[["0", "1", "2"], ["conf_low", "conf_high"]])


def test_an_undefined_threshold_is_marked_as_such(synthetic: Finished, page: Figure) -> None:
    rows = synthetic.estimates[synthetic.estimates["arm"] == "top"].copy()
    rows.loc[rows["layer"] == "1", ["estimate", "conf_low", "conf_high"]] = np.nan
    draw_threshold_by_layer(page, rows)
    (crosses,) = (line for line in page.axes[0].lines if line.get_marker() == "x")
    np.testing.assert_array_equal(crosses.get_xdata(), [1])
    assert "undefined" in [text.get_text() for text in page.axes[0].get_legend().get_texts()]


def test_the_seeds_dots_are_split_into_its_two_grids(synthetic: Finished, page: Figure) -> None:
    effects = synthetic.run.effects()
    draw_seed_dots(page, mean_effects(layer_curves(effects[effects["arm"] == "top"], "delta_logprob")), 12)
    coarse, fine = page.axes[:2]
    # One line for zero, then one a rate: 10, 30, 60, 90 %, and .2, .6, 1, 2, 3, 4.5 %.
    assert len(coarse.lines) == 1 + 4
    assert len(fine.lines) == 1 + 6
    expected = effects[(effects["arm"] == "top") & (effects["rate"] == 0.1)].groupby("layer")["delta_logprob"].mean()
    np.testing.assert_allclose(coarse.lines[1].get_ydata(), expected, rtol=1e-5)


def test_a_grid_that_was_not_run_is_said(synthetic: Finished, page: Figure) -> None:
    effects = synthetic.run.effects()
    draw_seed_dots(page, mean_effects(layer_curves(effects[effects["rate"] < 0.05], "delta_logprob")), 12)
    assert [text.get_text() for text in page.axes[0].texts] == ["no rate of this grid was run"]


@pytest.mark.parametrize(
    "options",
    [
        {"arms": ("keep_top",), "curve": np.zeros_like, "noise": 0.0, "layers": (1, 2)},
        {"arms": ("random",), "prompts": 3, "layers": (0,)},
        {"arms": ("random",), "rates": (0.1,), "layers": (1, 2)},
        {"arms": ("random",), "rates": (0.0, *RATES), "layers": (1, 2)},
    ],
    ids=["no effect", "first block, three documents", "one rate", "rate zero"],
)
def test_every_kind_of_run_has_its_figures(
    tmp_path: Path, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pixels are looked at above.
    monkeypatch.setitem(charts._STYLE, "savefig.dpi", 40)
    made = finished(tmp_path / "run", **options)
    write_figures(made.run, cell_curves(made.run), made.estimates, n_boot=50)
    assert len(list((made.run.path / "figures").glob("*.*"))) == 3 * len(NAMES)


def test_estimates_read_back_from_disk_give_the_same_figure(synthetic: Finished, tmp_path: Path) -> None:
    run = elsewhere(synthetic, tmp_path / "run")
    synthetic.estimates.to_csv(run.path / "estimates.csv", index=False)
    pages = [Figure(), Figure()]
    for page, estimates in zip(pages, (synthetic.estimates, run.estimates()), strict=True):
        draw_threshold_by_layer(page, estimates[estimates["arm"] == "top"])
    first, second = (page.axes[0].lines[0].get_ydata() for page in pages)
    np.testing.assert_allclose(first, second, rtol=1e-12)
