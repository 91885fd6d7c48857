"""Chart primitives: what is on the axes afterwards."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ripplestats.rendering.charts import (
    PALETTE,
    chart_style,
    draw_band,
    draw_curves,
    draw_terms,
    in_standard_errors,
    percent_ticks,
)

X = np.array([0.1, 0.2, 0.4])


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def colours(ax: Axes) -> list[str]:
    return [to_hex(line.get_color()).upper() for line in ax.lines]


def test_the_style_holds_only_inside_its_context(fonts_as_published: None) -> None:
    before = dict(mpl.rcParams)
    with pytest.raises(ValueError, match="inside"), chart_style():
        assert mpl.rcParams["font.size"] == 8
        assert mpl.rcParams["pdf.fonttype"] == 42
        raise ValueError("inside")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("text", ["$x$", r"$\frac{$", "100% $ & $", r"\alpha_1^2"])
def test_dollars_are_drawn_as_dollars(text: str) -> None:
    with chart_style():
        page = Figure()
        title = page.subplots().set_title(text)
        page.canvas.draw()
    assert title.get_text() == text
    assert not title.get_parse_math()


def test_the_palette_has_seven_colours_and_black_last() -> None:
    assert len({to_hex(colour) for colour in PALETTE}) == 7
    assert to_hex(PALETTE[-1]) == "#000000"


def test_a_band_is_a_curve_with_points_and_an_area(ax: Axes) -> None:
    mean = np.array([1.0, 2.0, 3.0])
    draw_band(ax, X, mean, mean - 1, mean + 0.5, PALETTE[1], "top")
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([X, mean]))
    assert (line.get_label(), line.get_marker()) == ("top", "o")
    assert colours(ax) == [PALETTE[1]]
    (area,) = ax.collections
    corners = area.get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (0.0, 3.5)


def test_curves_have_a_colour_each_and_a_line_at_their_mark(ax: Axes) -> None:
    curves = np.array([[1.0, 2, 3], [3.0, 2, 1]])
    draw_curves(ax, X, curves, [0, "all"], marks={"all": 0.25, 0: np.nan}, x_label="rate", y_label="effect")
    first, second, mark = ax.lines
    np.testing.assert_array_equal(first.get_ydata(), curves[0])
    np.testing.assert_array_equal(second.get_ydata(), curves[1])
    np.testing.assert_array_equal(mark.get_xdata(), [0.25, 0.25])
    assert colours(ax) == [PALETTE[0], PALETTE[1], PALETTE[1]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("rate", "effect")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "all"]


@pytest.mark.parametrize(
    ("n", "named"),
    [(1, []), (2, ["0", "1"]), (7, list("0123456")), (8, ["0", "4", "7"]), (30, ["0", "15", "29"])],
)
def test_a_legend_names_curves_that_colours_tell_apart_and_of_many_the_ends(ax: Axes, n: int, named: list[str]) -> None:
    draw_curves(ax, X, np.arange(3.0 * n).reshape(n, 3), range(n), marks={}, x_label="", y_label="")
    assert len(ax.lines) == n
    assert len(set(colours(ax))) == n
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == named if named else legend is None


def test_all_marks_of_a_curve_are_drawn_and_named_once(ax: Axes) -> None:
    draw_curves(ax, X, X[None], ["all"], marks={"all": [0.15, 0.3]}, mark_name="break", x_label="", y_label="")
    at = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert at == [0.15, 0.3]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["break"]


@pytest.mark.parametrize(("n", "shaded"), [(1, 1), (2, 2), (3, 0)])
def test_intervals_of_marks_are_shaded_where_they_do_not_hide_each_other(ax: Axes, n: int, shaded: int) -> None:
    curves, limits = np.arange(3.0 * n).reshape(n, 3), dict.fromkeys(range(n), (0.15, 0.3))
    draw_curves(ax, X, curves, range(n), marks=dict.fromkeys(range(n), 0.2), limits=limits, x_label="", y_label="")
    ends = [(band.get_x(), band.get_x() + band.get_width()) for band in ax.patches]
    np.testing.assert_allclose(ends, [(0.15, 0.3)] * shaded)


def test_an_interval_without_limits_is_not_shaded(ax: Axes) -> None:
    draw_curves(ax, X, X[None], ["all"], marks={"all": 0.2}, limits={"all": (np.nan, 0.3)}, x_label="", y_label="")
    assert not ax.patches


def test_a_curve_with_a_fitted_line_is_points(ax: Axes) -> None:
    lines = {"top": (X, 2 * X)}
    draw_curves(ax, X, np.array([X, X]), ["top", "random"], marks={}, lines=lines, x_label="", y_label="")
    points, fitted, curve = ax.lines
    assert (points.get_linestyle(), fitted.get_linestyle(), curve.get_linestyle()) == ("None", "-", "-")
    np.testing.assert_array_equal(fitted.get_xydata(), np.column_stack([X, 2 * X]))


@pytest.mark.parametrize(("width", "long", "columns"), [(3.4, 1, 4), (3.4, 15, 2), (3.4, 60, 1), (7.0, 15, 4)])
def test_a_legend_has_as_many_columns_as_there_is_room_for(width: float, long: int, columns: int) -> None:
    with chart_style():
        ax = Figure(figsize=(width, 2.6)).subplots()
        draw_curves(ax, X, np.ones((4, 3)), ["a" * long + str(n) for n in range(4)], marks={}, x_label="", y_label="")
    assert ax.get_legend()._ncols == columns


def test_the_legend_says_what_groups_are(ax: Axes) -> None:
    draw_curves(ax, X, np.array([X, X]), [0, 5], marks={}, group_name="layer", x_label="", y_label="")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["layer 0", "layer 5"]


@pytest.mark.parametrize(
    ("doses", "scale"), [([0.002, 0.02, 0.9], "log"), ([0.1, 0.2, 0.4], "linear"), ([0.0, 0.01, 0.9], "linear")]
)
def test_doses_that_span_decades_have_a_logarithmic_axis(ax: Axes, doses: list[float], scale: str) -> None:
    draw_curves(ax, np.array(doses), np.ones((1, 3)), ["all"], marks={}, x_label="", y_label="")
    assert ax.get_xscale() == scale
    if scale == "log":
        shown = [label.get_text() for label in ax.get_xticklabels()]
        assert {"0.003", "0.1", "0.3"} <= set(shown)
        assert not ax.get_xticks(minor=True).size


def test_a_curve_that_lacks_doses_is_drawn_through_those_it_has(ax: Axes) -> None:
    draw_curves(ax, X, np.array([[1.0, np.nan, 3.0]]), ["all"], marks={}, x_label="", y_label="")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0.1, 1], [0.4, 3]])


def test_terms_of_several_groups_are_named_by_group_and_drawn_about_their_margin(ax: Axes) -> None:
    terms = pd.DataFrame(
        {"layer": [3, 4], "term": "difference", "estimate": [0.01, 0.2], "conf_low": [0, 0.1], "conf_high": [0.02, 0.3]}
    )
    draw_terms(ax, terms, margin=0.05)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["3", "4"]
    assert ax.get_ylabel() == "layer"
    (band,) = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (-0.05, 0.05)


def test_in_standard_errors_terms_of_several_units_share_an_axis() -> None:
    terms = pd.DataFrame(
        {"term": ["a", "b", "c"], "estimate": [4.0, 0.01, 1.0], "std_error": [2.0, 0.01, np.nan],
         "conf_low": [0.0, 0.0, 0.0], "conf_high": [8.0, 0.02, 2.0]}
    )  # fmt: skip
    found = in_standard_errors(terms)
    assert found["estimate"].to_list() == [2.0, 1.0]
    assert found["conf_high"].to_list() == [4.0, 2.0]


@pytest.mark.parametrize(("limits", "shown"), [((0.3, 12), ["0.5", "1", "2", "5", "10"]), ((3, 8), ["5"])])
def test_percent_ticks_are_plain_numbers_within_the_axis(
    ax: Axes, limits: tuple[float, float], shown: list[str]
) -> None:
    ax.set_yscale("log")
    ax.set_ylim(*limits)
    percent_ticks(ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == shown


def test_terms_are_drawn_from_the_top_down_with_their_intervals(ax: Axes) -> None:
    terms = pd.DataFrame(
        {"term": ["a", "b_$x$"], "estimate": [1.0, -2.0], "conf_low": [0.5, -4.0], "conf_high": [3.0, -1.0]}
    )
    with chart_style():
        draw_terms(ax, terms)
    places = dict(zip([label.get_text() for label in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert places["a"] > places["b_$x$"]
    (points,) = (container for container in ax.containers)
    dots, _, (bars,) = points.lines
    np.testing.assert_array_equal(dots.get_xdata(), [1, -2])
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert ends == [[0.5, 3.0], [-4.0, -1.0]]
