"""Shared fixtures: tiny models, prompts of random tokens, and the embedded model where it can be had."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# One thread: tiny models gain nothing from more, and threads that wait for a busy core make minutes of seconds.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch

from ripplestats.errors import RippleStatsError
from ripplestats.model.load import Model, load_model
from ripplestats.model.sites import find_layout
from ripplestats.prompts.table import Prompt, PromptTable
from ripplestats.rendering import charts
from ripplestats.sweeps.runner import Sweep
from tests.pictures import embed_fonts_quickly, leave_out_pictures
from tests.tiny import save_tiny_model, tiny_network, tiny_tokenizer

FONTS_AS_PUBLISHED = charts._STYLE["pdf.fonttype"]
#: Folders whose files share fixtures that take half a minute: one process runs them all.
_TOGETHER = ("tests/analyses/",)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole files, and some folders whole."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrFolder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in _TOGETHER if nodeid.startswith(folder)), super()._split_scope(nodeid))

    return ByFileOrFolder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files with long tests be handed out first, so that none is left for the end."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """One thread also where the environment asks for more: two on tiny matrices wait for each other most of the time."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def quick_fonts() -> Iterator[None]:
    """Fonts as drawings, but where a test asks for ``fonts_as_published``."""
    with pytest.MonkeyPatch.context() as patch:
        embed_fonts_quickly(patch.setitem)
        yield


@pytest.fixture
def fonts_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fonts as users get them."""
    monkeypatch.setitem(charts._STYLE, "pdf.fonttype", FONTS_AS_PUBLISHED)


@lru_cache(maxsize=4)
def tiny_model(family: str = "gpt2", seed: int = 0) -> Model:
    """A tiny random model of a family, with its tokenizer."""
    network = tiny_network(family, seed)
    return Model(network, tiny_tokenizer(), find_layout(network), family, family, "", "0" * 64)


def tiny_prompts(n: int, length: int, seed: int = 0, n_documents: int | None = None) -> PromptTable:
    """Prompts of random tokens, each from a document of its own unless told."""
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
    whole = Sweep.run

    def broken(job: Sweep, rows: slice, *more: Any) -> Any:
        if rows.start >= prompt:
            raise RuntimeError("a mistake")
        return whole(job, rows, *more)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError, match="a mistake"):
        patch.setattr(Sweep, "run", broken)
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local model folder."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny-gpt2")


@pytest.fixture(scope="module")
def tables_only() -> Iterator[None]:
    """Let an analysis write no figures and no page, which cost most of it and are looked at by tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_pictures(patch.setattr)
        yield


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first prompt of each shard that is computed."""
    run, starts = Sweep.run, []

    def counting(job: Sweep, rows: slice, *more: Any) -> Any:
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
def embedded_model() -> Model:
    """The embedded model; tests that need it are skipped where it is neither installed nor to be fetched."""
    try:
        return load_model("smollm2-135m")
    except RippleStatsError as error:
        pytest.skip(f"the embedded model cannot be had: {error}")
