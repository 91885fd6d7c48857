"""Versions of what is compared, and what the arithmetic ran on."""

import os
from importlib import metadata
from typing import Any

import torch

_LIBRARIES = ("torch", "transformers", "transformer-lens", "nnsight", "pyvene", "ripplestats")


def versions(device: str) -> dict[str, Any]:
    """Return library versions, threads, the CPU's vector units, and the GPU's name where there is one."""
    found: dict[str, Any] = {name: _version(name) for name in _LIBRARIES}
    found |= {"torch_threads": torch.get_num_threads(), "vector_units": torch.backends.cpu.get_cpu_capability()}
    found["load_average_before"] = os.getloadavg()[0]
    if torch.device(device).type == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return found


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
