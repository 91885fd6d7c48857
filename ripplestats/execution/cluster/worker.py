"""A worker of a cluster: a process that holds the model and computes one shard after another.

It reads the model itself, by its name and commit from the hub or its cache, or from the same path, and refuses to begin
unless everything that fixes a prompt's numbers is there as it is with the process that hands out the shards.
"""

import os
import socket
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ripplestats.errors import ModelError, RippleStatsError
from ripplestats.execution.definition import computation
from ripplestats.execution.local import Engine, compute_shard
from ripplestats.execution.shards import Shard
from ripplestats.store.shards import EncodedShard, encode_shard

if TYPE_CHECKING:
    from ripplestats.model.load import Model
    from ripplestats.model.placement import DeviceMap
    from ripplestats.model.sites import SiteNames
    from ripplestats.prompts.table import PromptTable
    from ripplestats.sweeps.grid import Grid
    from ripplestats.sweeps.runner import Sweep

_TRIAL_PROMPTS = 8


@dataclass(frozen=True)
class Recipe:
    """What a worker needs to know to compute shards of a run: the sweep but for its prompts, its model by name.

    ``computation`` is what must come out the same here and there, ``trial`` the first prompts, for the check of the
    engine. ``device`` and ``threads`` are the worker's own; ``batch_size`` None leaves it to the worker, which has
    prompts of at most so many ``tokens`` to expect.
    """

    model: str
    revision: str | None
    device_map: "DeviceMap | None"
    sites: "SiteNames"
    grid: "Grid"
    seed: int
    metrics: tuple[str, ...]
    tf32: bool
    engine: Engine
    computation: dict[str, Any]
    trial: "PromptTable"
    device: str
    threads: int | None
    batch_size: int | None
    tokens: int


def make_recipe(job: "Sweep", engine: Engine, *, device: str, threads: int | None, batch_size: int | None) -> Recipe:
    """Describe a sweep to workers.

    Raises:
        ModelError: the model was made in this process, so that no worker could read it.
    """
    name, revision = _source(job.model)
    return Recipe(
        model=name, revision=revision, device_map=job.model.device_map, sites=job.model.layout.names, grid=job.grid,
        seed=job.seed, metrics=job.metrics, tf32=job.tf32, engine=engine, computation=computation(job),
        trial=job.prompts[:_TRIAL_PROMPTS], device=device if job.model.device_map is None else "auto", threads=threads,
        batch_size=batch_size, tokens=job.prompts.longest,
    )  # fmt: skip


def _source(model: "Model") -> tuple[str, str | None]:
    """Return by which name and commit a worker finds a model."""
    from ripplestats.model.embedded import EMBEDDED_MODELS

    if model.used in EMBEDDED_MODELS:
        return model.used, None
    if model.folder is None:
        raise ModelError(
            "--cluster: a model that is not from a name or a folder cannot be read by workers; save it first"
        )
    return (model.used, model.revision) if model.revision else (str(model.folder.resolve()), None)


@dataclass(frozen=True)
class Computed:
    """A shard as a worker gives it back, how long it took in seconds, and where memory did not suffice, for how many."""

    encoded: EncodedShard
    seconds: float
    backed_off: tuple[int, ...]


class ShardWorker:
    """What Ray runs in a process of its own. Nothing is done on the way in: an error there could not be told."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._job: Sweep | None = None

    def prepare(self) -> str:
        """Load the model, check it and the engine, and return where this is.

        Raises:
            ModelError: the model cannot be loaded here, or something here would give other numbers.
        """
        try:
            self._job = _sweep(self._recipe)
            self._job.checked(self._recipe.engine)
        except RippleStatsError as error:
            raise ModelError(f"on {socket.gethostname()}: {error}") from error
        return f"process {os.getpid()} on {socket.gethostname()}, {self._job.model.placement}"

    def compute(self, shard: Shard, prompts: "PromptTable", rows: slice) -> Computed:
        """Compute a shard.

        Args:
            shard: which.
            prompts: its prompts alone, or the whole table where donors are drawn from all.
            rows: which of them are the shard's.
        """
        if self._job is None:
            raise RuntimeError("a worker was given a shard before it was prepared")
        started, fewer = time.monotonic(), list[int]()
        job = replace(self._job, prompts=prompts)
        columns = compute_shard(job, replace(shard, rows=rows), self._recipe.engine, backed_off=fewer.append)
        return Computed(encode_shard(*columns), time.monotonic() - started, tuple(fewer))


def _sweep(recipe: Recipe) -> "Sweep":
    """Build the sweep that a recipe describes; the prompts of a shard come with it."""
    import torch

    from ripplestats.model.load import load_model
    from ripplestats.sweeps.memory import usual_batch_size
    from ripplestats.sweeps.runner import Sweep

    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    model = load_model(
        recipe.model, device=recipe.device, dtype=recipe.computation["dtype"], revision=recipe.revision, fallback=False,
        sites=recipe.sites, device_map=recipe.device_map,
    )  # fmt: skip
    if recipe.tf32 and model.device.type != "cuda":
        raise ModelError(f"--tf32 has no effect on {model.device.type}, and would have on the machine that asks")
    batch_size = recipe.batch_size or usual_batch_size(model, recipe.grid, recipe.tokens)
    # The name that the run goes by: a worker reads a local model by its whole path.
    wanted = recipe.computation
    named = replace(model, used=wanted["model"], revision=wanted["revision"])
    job = Sweep(named, recipe.trial, recipe.grid, recipe.seed, batch_size, recipe.metrics, recipe.tf32)
    found = computation(job)
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ModelError(f"another {name.replace('_', ' ')} ({found.get(name)}, asked for {value})")
    return job
