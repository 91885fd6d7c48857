"""Tiny models in less than float32."""

import copy
from dataclasses import replace
from typing import Any

import torch

from ripplestats.model.load import Model
from ripplestats.model.sites import find_layout
from ripplestats.sweeps.grid import make_grid
from ripplestats.sweeps.runner import Sweep
from tests.conftest import tiny_model, tiny_prompts


def narrow_model(family: str, dtype: str) -> Model:
    """A tiny model with its weights rounded."""
    model = tiny_model(family)
    network = copy.deepcopy(model.network).to(getattr(torch, dtype))
    return replace(model, network=network, layout=find_layout(network, model.layout.names))


def narrow_job(family: str = "llama", dtype: str = "bfloat16", prompts: int = 9, **options: Any) -> Sweep:
    """A sweep of it over four rates of two arms."""
    model = narrow_model(family, dtype)
    grid = make_grid(model.n_layers, model.n_neurons, rates="5,20,50,90", layers=options.pop("layers", "all"))
    return Sweep(model, tiny_prompts(prompts, 8), grid, **options)
