"""A model's name → a causal language model with its blocks and neuron sites."""
