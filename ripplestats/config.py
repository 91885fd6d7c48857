"""The options of a run, checked where they come in."""

import os
from dataclasses import dataclass
from pathlib import Path

from ripplestats.errors import InputError

ENGINES = ("auto", "onepass", "hooks")
DTYPES = ("float32", "float64", "bfloat16", "float16")


def is_path(name: str) -> bool:
    """Tell whether a name is that of a file or folder that is there (what is too long for a path is a name)."""
    return bool(name) and os.path.exists(name)  # noqa: PTH110


@dataclass(frozen=True)
class RunConfig:
    """What one command line asks for; names and defaults are those of the flags."""

    dataset: str = "wikitext"
    model: str = "smollm2-135m"
    prompts: int = 64
    context: int = 32
    per_document: int = 1
    rates: str = "seed"
    arms: tuple[str, ...] = ("top", "random")
    replacement: tuple[str, ...] = ("median",)
    site: tuple[str, ...] = ("pre",)
    layers: str = "all"
    device: str = "auto"
    dtype: str = "float32"
    engine: str = "auto"
    batch_size: int = 8
    seed: int = 0
    bootstrap: int = 2000
    out: str | None = None
    fallback: bool = True
    fit_only: bool = False
    text_column: str | None = None
    revision: str | None = None
    neuron_modules: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range.

        Raises:
            InputError: one line with the flag, its value and what is allowed.
        """
        at_least = {"prompts": 8, "context": 1, "per_document": 1, "batch_size": 1, "bootstrap": 100, "seed": 0}
        for name, least in at_least.items():
            value = getattr(self, name)
            if value < least:
                raise InputError(f"--{name.replace('_', '-')} {value} must be at least {least}")
        for name, allowed in (("engine", ENGINES), ("dtype", DTYPES)):
            if getattr(self, name) not in allowed:
                raise InputError(f"--{name} {getattr(self, name)!r} is not known; allowed: {', '.join(allowed)}")

    @property
    def folder(self) -> Path:
        """The run directory: ``--out``, or one named after dataset and model."""
        if self.out:
            return Path(self.out)
        names = (Path(name).stem if is_path(name) else name[:80] for name in (self.dataset, self.model))
        plain = ("".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".-") for name in names)
        return Path("runs") / "-".join(name or "run" for name in plain)
