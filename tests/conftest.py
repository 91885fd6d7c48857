"""Shared fixtures: tiny models, prompts of random tokens, and the embedded model where it can be had.

Nothing heavy is imported before it is needed: the process that hands out the tests needs none of it, and all wait for it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

# One thread: tiny models gain nothing from more, and threads that wait for a busy core make minutes of seconds.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

if TYPE_CHECKING:
    from ripplestats.model.load import Model
    from ripplestats.prompts.table import PromptTable
    from ripplestats.sweeps.runner import Sweep

#: Files that share what takes half a minute and is kept in a process, by how their paths begin: the runs that analyses are made
#: of, what the code of the pages gives and the table of agreement with R; the run of the reports. One process runs a group.
_TOGETHER = (("tests/analyses/", "tests/docs/", "tests/reference/"), ("tests/report/test_",))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole files, and those of a group as if they were one."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrGroup(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((group[0] for group in _TOGETHER if nodeid.startswith(group)), super()._split_scope(nodeid))

    return ByFileOrGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files with long tests be handed out first, so that none is left for the end."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """One thread also where the environment asks for more: two on tiny matrices wait for each other most of the time."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def fonts_of_users() -> Iterator[int]:
    """The kind of fonts in users' PDFs; tests' hold drawings, but where a test asks for ``fonts_as_published``."""
    from ripplestats.rendering import charts
    from tests.pictures import embed_fonts_quickly

    kind = charts._STYLE["pdf.fonttype"]
    with pytest.MonkeyPatch.context() as patch:
        embed_fonts_quickly(patch.setitem)
        yield kind


@pytest.fixture
def fonts_as_published(monkeypatch: pytest.MonkeyPatch, fonts_of_users: int) -> None:
    """Fonts as users get them."""
    from ripplestats.rendering import charts

    monkeypatch.setitem(charts._STYLE, "pdf.fonttype", fonts_of_users)


@lru_cache(maxsize=4)
def tiny_model(family: str = "gpt2", seed: int = 0) -> "Model":
    """A tiny random model of a family, with its tokenizer."""
    from ripplestats.model.load import Model
    from ripplestats.model.sites import find_layout
    from tests.tiny import tiny_network, tiny_tokenizer

    network = tiny_network(family, seed)
    return Model(network, tiny_tokenizer(), find_layout(network), family, family, "", "0" * 64)


def tiny_prompts(n: int, length: int, seed: int = 0, n_documents: int | None = None) -> "PromptTable":
    """Prompts of random tokens, each from a document of its own unless told."""
    from ripplestats.prompts.table import Prompt, PromptTable

    rng = np.random.default_rng(seed)
    documents = n if n_documents is None else n_documents
    rows = [
        Prompt(
            i,
            i % documents,
            f"context {i}",
            tuple(rng.integers(3, 256, length).tolist()),
            "t",
            int(rng.integers(3, 256)),
        )
        for i in range(n)
    ]
    return PromptTable(tuple(rows))


@contextmanager
def a_mistake_from(prompt: int) -> Iterator[None]:
    """Let a sweep fail at the first part that begins at this prompt or later."""
    from ripplestats.sweeps.runner import Sweep

    whole = Sweep.run

    def broken(job: "Sweep", rows: slice, *more: Any) -> Any:
        if rows.start >= prompt:
            raise RuntimeError("a mistake")
        return whole(job, rows, *more)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError, match="a mistake"):
        patch.setattr(Sweep, "run", broken)
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local model folder."""
    from tests.tiny import save_tiny_model

    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny-gpt2")


@pytest.fixture(scope="module")
def tables_only() -> Iterator[None]:
    """Let an analysis write no figures and no page, which cost most of it and are looked at by tests of their own."""
    from tests.pictures import leave_out_pictures

    with pytest.MonkeyPatch.context() as patch:
        leave_out_pictures(patch.setattr)
        yield


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first prompt of each shard that is computed."""
    from ripplestats.sweeps.runner import Sweep

    run, starts = Sweep.run, []

    def counting(job: "Sweep", rows: slice, *more: Any) -> Any:
        starts.append(rows.start)
        return run(job, rows, *more)

    monkeypatch.setattr(Sweep, "run", counting)
    return starts


@pytest.fixture
def on_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Go on as another machine would, whose folder for copies is returned; the first is ``a``."""

    def go(name: str) -> Path:
        monkeypatch.setattr("huggingface_hub.utils._cache_assets.HF_ASSETS_CACHE", str(tmp_path / name))
        return tmp_path / name

    go("a")
    return go


@pytest.fixture(scope="session")
def embedded_model() -> "Model":
    """The embedded model; tests that need it are skipped where it is neither installed nor to be fetched."""
    from ripplestats.errors import RippleStatsError
    from ripplestats.model.load import load_model

    try:
        return load_model("smollm2-135m")
    except RippleStatsError as error:
        pytest.skip(f"the embedded model cannot be had: {error}")
