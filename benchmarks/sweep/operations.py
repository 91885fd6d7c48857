"""Floating-point operations of a one-pass sweep, from the model's configuration: matrix products alone, 2·m·k·n each.

Softmax, norms, activations and the sums over the vocabulary are not counted: they are what the sweep should not spend
its time on.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """Sizes that fix the matrix products of a decoder-only transformer with one MLP a block."""

    layers: int
    hidden: int
    heads: int
    key_heads: int
    head_size: int
    neurons: int
    gated: bool
    vocabulary: int

    @property
    def block_products(self) -> int:
        """Operations of the weight matrices of one block, for one token."""
        queries_and_output = 2 * self.heads * self.head_size
        keys_and_values = 2 * self.key_heads * self.head_size
        matrices = 3 if self.gated else 2
        return 2 * self.hidden * (queries_and_output + keys_and_values + matrices * self.neurons)

    @property
    def last_product(self) -> int:
        """Operations of the MLP's last matrix, for one token."""
        return 2 * self.hidden * self.neurons

    @property
    def attention_pair(self) -> int:
        """Operations of one query token for one key token, over all heads: scores, and the weighted sum of values."""
        return 4 * self.heads * self.head_size


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of a sweep by where they are spent."""

    prefix: int
    prefix_attention: int
    branches: int
    attention: int
    unembedding: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.prefix + self.prefix_attention + self.branches + self.attention + self.unembedding


def model_shape(config: Any, n_neurons: int, *, gated: bool) -> Shape:
    """Read the sizes from a transformers configuration."""
    heads = config.num_attention_heads
    return Shape(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=heads,
        key_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_size=getattr(config, "head_dim", None) or config.hidden_size // heads,
        neurons=n_neurons,
        gated=gated,
        vocabulary=config.vocab_size,
    )


def benchmark_shape(config: Any) -> Shape:
    """Read the sizes of one of the benchmark's models: GPT-2's kind of block, or a gated one."""
    gated = config.model_type != "gpt2"
    return model_shape(config, config.intermediate_size if gated else 4 * config.hidden_size, gated=gated)


def sweep_operations(shape: Shape, prompts: int, tokens: int, branches: int) -> Operations:
    """Count the operations of one batch through the one-pass engine, all blocks swept.

    At block l the rows are the clean last token and the ``branches`` of each of the l blocks below. The block's own branches
    equal the clean row up to the replaced neurons (at ``pre``): they need its last matrix, and the clean row once more.

    Args:
        shape: sizes of the model.
        prompts: prompts of the batch.
        tokens: tokens of each.
        branches: different interventions in a block (arms × replacements × sites × different doses).
    """
    rows = prompts * sum(2 + branches * layer for layer in range(shape.layers))
    joining = prompts * (branches - 1) * shape.layers
    pairs = tokens * (tokens + 1) // 2  # a kernel that is not told of causality does nearly twice as many
    # The clean logits, those of the branches, the mean of the unembedding under the clean prediction, and its products.
    unembedded = prompts * (2 + branches * shape.layers) * shape.vocabulary + prompts * branches * shape.layers
    return Operations(
        prefix=prompts * tokens * shape.layers * shape.block_products,
        prefix_attention=prompts * pairs * shape.layers * shape.attention_pair,
        branches=rows * shape.block_products + joining * shape.last_product,
        attention=rows * tokens * shape.attention_pair,
        unembedding=2 * unembedded * shape.hidden,
    )
