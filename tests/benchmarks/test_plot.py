import pytest
from matplotlib import pyplot as plt

from benchmarks.sweep.plot import draw, draw_engines, moved_apart
from ripplestats.rendering.charts import chart_style
from tests.benchmarks.small_results import results


def test_the_plot_is_written_in_both_formats(tmp_path):
    draw(results(), tmp_path / "sweep")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "sweep.pdf").read_bytes().startswith(b"%PDF")


def test_each_engine_is_one_line_on_logarithmic_axes():
    with chart_style():
        figure, panel = plt.subplots()
        draw_engines(panel, results()["models"]["small"])
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in panel.get_lines()}
    assert lines["the note's loop"] == ([8, 512], [40.0, 90.0])
    assert lines["ours"] == ([8, 512], [0.4, 0.9])
    assert panel.get_yscale() == panel.get_xscale() == "log"
    assert "× 100" in {text.get_text() for text in panel.texts}
    plt.close(figure)


def test_names_that_would_cover_each_other_are_moved_apart_and_stay_below_the_top():
    assert moved_apart([0.0, 0.1, 5.0], 1.0, 9.0) == [0.0, 1.0, 5.0]
    assert moved_apart([8.7, 8.8, 8.9], 0.5, 9.0) == pytest.approx([8.0, 8.5, 9.0])
