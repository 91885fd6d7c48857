"""Shards cover the prompts once and in order, and depend on nothing but the number of the prompt."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripplestats.execution.shards import LARGEST, SMALLEST, make_shards, shard_size, shard_slices
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_model, tiny_prompts


def job(n: int = 20, **options: object) -> Sweep:
    model = tiny_model(str(options.pop("family", "gpt2")))
    grid = make_grid(model.n_layers, model.n_neurons, **{"rates": "10,50", **options.pop("grid", {})})  # type: ignore[dict-item]
    return replace(Sweep(model, tiny_prompts(n, 6), grid), **options)  # type: ignore[arg-type]


@given(n=st.integers(1, 40_000), cuts=st.lists(st.integers(-5, 40_000), max_size=3))
def test_shards_cover_every_prompt_once_and_in_order(n: int, cuts: list[int]) -> None:
    slices = list(shard_slices(n, cuts))
    assert slices[0].start == 0
    assert slices[-1].stop == n
    assert all(one.stop == following.start for one, following in pairwise(slices))
    assert all(0 < one.stop - one.start <= LARGEST for one in slices)
    ends = {one.stop for one in slices}
    assert {cut for cut in cuts if 0 < cut <= n} <= ends


@given(n=st.integers(1, 40_000), more=st.integers(1, 40_000))
def test_a_grown_run_keeps_the_shards_that_it_had(n: int, more: int) -> None:
    before = list(shard_slices(n))
    assert list(shard_slices(n + more, [n]))[: len(before)] == before
    # Without a last shard that was cut short, the others are those of any run.
    assert list(shard_slices(n + more))[: len(before) - 1] == before[:-1]


def test_the_same_end_twice_cuts_once() -> None:
    assert list(shard_slices(20, [20, 8, 8])) == [slice(0, 8), slice(8, 16), slice(16, 20)]
    assert list(shard_slices(30, [20])) == [slice(0, 8), slice(8, 16), slice(16, 20), slice(20, 24), slice(24, 30)]


@given(start=st.integers(0, 10**9))
def test_a_shard_is_at_most_a_sixty_fourth_of_what_comes_before_it(start: int) -> None:
    size = shard_size(start)
    assert SMALLEST <= size <= LARGEST
    assert size & (size - 1) == 0
    assert size == SMALLEST or size * 64 <= start


def test_a_million_prompts_are_some_thousand_shards() -> None:
    assert len(list(shard_slices(10**6))) == 4227


def test_keys_name_what_defines_a_shard_and_nothing_else() -> None:
    usual = make_shards(job())
    assert [shard.name for shard in usual] == [f"part-{shard.number:06d}-{shard.key[:12]}" for shard in usual]
    assert len({shard.key for shard in usual}) == 3
    for same in (job(batch_size=3), job(40), job(grid={"arms": ("random", "top")})):
        assert make_shards(same)[:2] == usual[:2]


OTHERS: dict[str, dict[str, object]] = {
    "seed": {"seed": 1},
    "rates": {"grid": {"rates": "10,51"}},
    "arms": {"grid": {"arms": ("top",)}},
    "replacement": {"grid": {"replacements": ("zero",)}},
    "site": {"grid": {"sites": ("post",)}},
    "layers": {"grid": {"layers": "1"}},
    "model": {"family": "llama"},
    "prompts": {"prompts": tiny_prompts(20, 6, seed=1)},
    "context": {"prompts": tiny_prompts(20, 7)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_anything_that_changes_a_number_changes_every_key(name: str) -> None:
    usual, changed = ({shard.key for shard in make_shards(one)} for one in (job(), job(**OTHERS[name])))
    assert not usual & changed


def test_other_documents_change_the_keys_of_their_shards() -> None:
    changed = make_shards(job(prompts=tiny_prompts(20, 6, n_documents=8)))
    assert [one.key == other.key for one, other in zip(make_shards(job()), changed, strict=True)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("name", ["revision", "weights_sha256", "used"])
def test_other_weights_change_every_key(name: str) -> None:
    usual = job()
    changed = replace(usual, model=replace(usual.model, **{name: "1" * 64}))
    assert not {shard.key for shard in make_shards(usual)} & {shard.key for shard in make_shards(changed)}


def test_donors_tie_the_keys_to_all_prompts() -> None:
    donors = {"replacements": ("resample",)}
    few, many = make_shards(job(16, grid=donors)), make_shards(job(24, grid=donors))
    assert not {shard.key for shard in few} & {shard.key for shard in many}
