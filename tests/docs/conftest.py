"""A folder with what the pages' examples take for given: a model, texts, a run, a table of someone's own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.fits.frames import DOSES, two_phase
from tests.store.synthetic_run import make_run
from tests.tiny import tiny_text


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """The folder of a reader who tries the pages."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(tiny_folder, folder / "my-model")
    for seed, name in enumerate(("texts", "texts-1", "texts-2")):
        lines = [json.dumps({"text": text, "title": f"{name} {i}"}) for i, text in enumerate(tiny_text(60, 30, seed))]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    make_run(folder / "runs" / "example", prompts=16, per_document=2)
    rng, n = np.random.default_rng(0), 12
    responses = two_phase(DOSES, 0.0, 20.0, 0.1, 0.05) * rng.gamma(9, 1 / 9, (n, 1))
    table = {"animal": np.repeat(np.arange(n), len(DOSES)), "dose_mg": np.tile(100 * DOSES, n)}
    responses += 0.05 * rng.standard_normal(responses.shape)
    pd.DataFrame({**table, "response": responses.ravel()}).to_csv(folder / "my-data.csv", index=False)
    return folder
