"""A worker begins only where everything that fixes the numbers is as it is with the process that asks."""

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import ripplestats as rs
from ripplestats.errors import ModelError
from ripplestats.execution.cluster.worker import Recipe, ShardWorker, make_recipe
from ripplestats.execution.shards import make_shards
from ripplestats.model.load import Model
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_prompts
from tests.tiny import save_tiny_model


@pytest.fixture
def job(folder_model: Model) -> Sweep:
    grid = make_grid(folder_model.n_layers, folder_model.n_neurons, rates="10,90", layers="1", arms=("top",))
    return Sweep(folder_model, tiny_prompts(16, 6), grid)


@pytest.fixture
def recipe(job: Sweep) -> Recipe:
    return make_recipe(job, "hooks", device="cpu", threads=1, batch_size=None)


def test_a_worker_says_where_it_is_and_gives_back_a_shard_as_it_lies_on_disk(recipe: Recipe, job: Sweep) -> None:
    worker = ShardWorker(recipe)
    assert worker.prepare().startswith("process ")
    shard = make_shards(job)[1]
    computed = worker.compute(shard, job.prompts[shard.rows], slice(0, 8))
    assert (computed.encoded.n_prompts, computed.encoded.n_rows) == (8, 16)
    assert all(table.startswith(b"PAR1") for table in computed.encoded.tables.values())
    assert computed.backed_off == ()


def test_a_local_model_goes_by_its_whole_path_and_keeps_its_name(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tiny_folder.parent)
    model = rs.load_model(tiny_folder.name, device="cpu")
    job = Sweep(model, tiny_prompts(8, 6), make_grid(model.n_layers, model.n_neurons, layers="1"))
    recipe = make_recipe(job, "hooks", device="cpu", threads=1, batch_size=2)
    monkeypatch.chdir(tmp_path)
    assert recipe.model == str(tiny_folder)
    assert recipe.computation["model"] == tiny_folder.name
    ShardWorker(recipe).prepare()


def test_a_model_that_is_spread_out_here_is_spread_out_there_and_gives_the_same_numbers(
    recipe: Recipe, job: Sweep, tiny_folder: Path
) -> None:
    spread = replace(job, model=rs.load_model(str(tiny_folder), device_map={"": "disk"}))
    worker = ShardWorker(make_recipe(spread, "hooks", device="cpu", threads=1, batch_size=None))
    assert worker.prepare().endswith("disk (1 module)")
    plain = ShardWorker(recipe)
    plain.prepare()
    shard = make_shards(job)[1]
    one, other = (one.compute(shard, job.prompts[shard.rows], slice(0, 8)).encoded for one in (plain, worker))
    effects = [pd.read_parquet(io.BytesIO(encoded.tables["effects"])) for encoded in (one, other)]
    pd.testing.assert_frame_equal(*effects, rtol=0, atol=1e-6)


def test_other_weights_under_the_same_path_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    other = save_tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(ModelError, match=r"^on .*: another weights sha256 \([0-9a-f]{64}, asked for [0-9a-f]{64}\)$"):
        ShardWorker(replace(recipe, model=str(other))).prepare()


def test_a_model_that_is_not_there_is_one_line_with_the_machine(recipe: Recipe) -> None:
    with pytest.raises(ModelError, match=r"^on .*: --model '/nowhere/tiny' is not a folder"):
        ShardWorker(replace(recipe, model="/nowhere/tiny")).prepare()


def test_tf32_without_a_gpu_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ModelError, match="--tf32 has no effect on cpu"):
        ShardWorker(replace(recipe, tf32=True)).prepare()
