"""Every result has a picture: drawn on axes, and saved as PDF, PNG and a caption in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import ripplestats as rs
from ripplestats.errors import InputError
from ripplestats.fits.planning.design import plan_mean
from ripplestats.fits.planning.variance_components import VarianceComponents
from ripplestats.rendering.drawable import Drawable
from tests.fits.frames import noisy_frame

mpl.use("Agg")
COLUMNS = {"y": "effect", "x": "rate", "cluster": "document_id"}
FEW = {"n_boot": 40}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Curves of documents in two groups, with a break."""
    one = noisy_frame(n_documents=12, seed=1)
    return pd.concat([one.assign(layer=1), one.assign(layer=2, effect=1.2 * one["effect"])], ignore_index=True)


RESULTS: dict[str, Callable[[pd.DataFrame], Drawable]] = {
    "segmented": lambda frame: rs.segmented(frame, **COLUMNS, **FEW, by="layer"),
    "several breaks": lambda frame: rs.segmented(frame, **COLUMNS, **FEW, breaks=2),
    "segmented_mixed": lambda frame: rs.segmented_mixed(
        frame, y="effect", x="rate", group="document_id", by="layer", law="simple"
    ),
    "core_fraction": lambda frame: rs.core_fraction(frame, **COLUMNS, **FEW),
    "mixed": lambda frame: rs.mixed(frame, "effect ~ rate", groups="document_id"),
    "break_test": lambda frame: rs.break_test(frame, **COLUMNS, **FEW, by="layer"),
    "davies_test": lambda frame: rs.davies_test(frame, y="effect", x="rate", by="layer"),
    "equivalence": lambda frame: rs.equivalence(frame, **COLUMNS, **FEW, by="layer"),
    "moderators": lambda frame: rs.moderators(
        frame, pd.DataFrame({"prompt_id": range(12), "length": np.arange(12.0) % 5}),
        y="effect", x="rate", covariates=["length"], by="layer",
    ),
    "plan": lambda _: plan_mean(VarianceComponents(0.1, 0.05, 0.2), half_width=0.02, per_document=(1, 2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_has_its_picture_table_and_caption(name: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    found: Any = RESULTS[name](frame)
    ax = Figure().subplots()
    assert found.plot(ax) is ax
    assert ax.has_data()
    assert ax.get_xlabel()
    found.save_plot(tmp_path / "plot", width="slide")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".pdf", ".png", ".txt"]
    pixels = imread(tmp_path / "plot.png")[..., :3]
    assert pixels.shape[:2] == (708, 1260)  # 16:9
    assert (np.ptp(pixels, axis=2) > 0.2).any()
    assert len((tmp_path / "plot.txt").read_text(encoding="utf-8")) > 40
    assert r"\bottomrule" in found.to_latex(columns="siunitx")


def test_new_axes_have_the_house_style_and_the_width_asked_for(frame: pd.DataFrame) -> None:
    import matplotlib.pyplot as plt

    result = RESULTS["segmented"](frame)
    widths = {}
    for width in ("column", "page", "slide"):
        ax = result.plot(width=width)
        widths[width] = ax.figure.get_figwidth()
        assert ax.xaxis.label.get_size() == 8
        plt.close(ax.figure)
    assert widths == {"column": 3.4, "page": 7.0, "slide": 6.3}
    with pytest.raises(InputError, match="width='poster' is not known; allowed: column, page, slide"):
        result.plot(width="poster")


def test_a_picture_of_many_rows_is_higher(frame: pd.DataFrame) -> None:
    many = pd.concat([frame[frame["layer"] == 1].assign(layer=layer) for layer in range(30)], ignore_index=True)
    import matplotlib.pyplot as plt

    few, tall = (rs.equivalence(one, **COLUMNS, **FEW, by="layer").plot() for one in (frame, many))
    assert tall.figure.get_figheight() > 2 * few.figure.get_figheight()
    for ax in (few, tall):
        plt.close(ax.figure)
