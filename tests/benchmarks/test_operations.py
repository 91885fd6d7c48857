import pytest

from benchmarks.sweep.job import Case
from benchmarks.sweep.operations import Shape, model_shape, sweep_operations
from benchmarks.sweep.whole_sweep import counted_operations
from tests.conftest import tiny_model


def small_case(tokens: int) -> Case:
    return Case(tokens, (tuple(range(3, 3 + tokens)),), (5,), (0,), (3,), (3,), 0.0)


@pytest.mark.parametrize(("family", "gated"), [("gpt2", False), ("llama", True), ("qwen3", True), ("phi", False)])
@pytest.mark.parametrize(("tokens", "rates"), [(7, "10,20,50"), (2, "90")])
def test_the_formula_is_what_pytorch_counts_while_the_engine_works(family, gated, tokens, rates):
    model = tiny_model(family)
    shape = model_shape(model.network.config, model.n_neurons, gated=gated)
    branches = len(rates.split(","))
    expected = sweep_operations(shape, 1, tokens, branches)
    counted = counted_operations(model, small_case(tokens), rates)
    # A block's own branches attend as its clean row does. That is done for each, but not needed, and so not in the formula.
    again = (branches - 1) * shape.layers * tokens * shape.attention_pair
    # PyTorch's counter does not know the fused attention of the CPU, through which the prefix runs.
    assert counted == expected.total - expected.prefix_attention + again


def test_attention_of_the_prefix_is_counted_for_the_pairs_that_causality_leaves():
    shape = Shape(layers=2, hidden=4, heads=2, key_heads=1, head_size=2, neurons=8, gated=True, vocabulary=10)
    # 3 tokens: 6 pairs; scores and weighted values of 2 heads of size 2 are 2·2·(2·2) = 16 operations a pair.
    assert sweep_operations(shape, 5, 3, 1).prefix_attention == 5 * 2 * 6 * 16


def test_operations_are_linear_in_prompts():
    shape = Shape(layers=3, hidden=8, heads=2, key_heads=2, head_size=4, neurons=16, gated=False, vocabulary=20)
    assert sweep_operations(shape, 7, 5, 4).total == 7 * sweep_operations(shape, 1, 5, 4).total
