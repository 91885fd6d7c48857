"""The options of a run, checked where they come in."""

import os
from dataclasses import dataclass
from pathlib import Path

from ripplestats.errors import InputError

ENGINES = ("auto", "onepass", "hooks")
DTYPES = ("float32", "float64", "bfloat16", "float16")
#: What a sweep's precision is held against: by default float32 where the sweep computes in less, else nothing.
AUDIT_DTYPES = ("auto", "none", "float32", "float64")
#: The outcomes that ``--metrics`` names, and their columns in the effects.
METRICS = {"logit": "delta_logit", "logprob": "delta_logprob", "kl": "kl", "top1": "top1_changed"}


#: How the address of a folder on this machine, or of one that machines share, begins.
LOCAL = "file://"


def is_path(name: str) -> bool:
    """Tell whether a name is that of a file or folder that is there (what is too long for a path is a name)."""
    return bool(name) and os.path.exists(name)  # noqa: PTH110


def is_address(place: object) -> bool:
    """Tell whether a place is that of an object store, such as ``s3://bucket/folder``, and not a folder."""
    return isinstance(place, str) and "://" in place and not place.startswith(LOCAL)


def local_path(place: str | Path) -> Path:
    """Return the path of a folder, which may be given as ``file:///folder``."""
    return Path(place.removeprefix(LOCAL)) if isinstance(place, str) else place


@dataclass(frozen=True)
class RunConfig:
    """What one command line asks for; names and defaults are those of the flags."""

    dataset: str = "wikitext"
    model: str = "smollm2-135m"
    prompts: int = 64
    context: int = 32
    per_document: int = 1
    until_width: float | None = None
    rates: str = "seed"
    arms: tuple[str, ...] = ("top", "random")
    replacement: tuple[str, ...] = ("median",)
    site: tuple[str, ...] = ("pre",)
    layers: str = "all"
    metrics: tuple[str, ...] = tuple(METRICS)
    device: str = "auto"
    device_map: str | None = None
    dtype: str = "float32"
    tf32: bool = False
    audit_dtype: str = "auto"
    engine: str = "auto"
    batch_size: int | None = None
    seed: int = 0
    bootstrap: int = 2000
    cluster: str | None = None
    workers: int | None = None
    worker_cpus: int | None = None
    worker_gpus: int = 1
    out: str | None = None
    fallback: bool = True
    fit_only: bool = False
    push_to_hub: str | None = None
    text_column: str | None = None
    revision: str | None = None
    neuron_modules: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range.

        Raises:
            InputError: one line with the flag, its value and what is allowed.
        """
        at_least = {
            "prompts": 8, "context": 1, "per_document": 1, "batch_size": 1, "bootstrap": 100, "seed": 0, "workers": 1,
            "worker_cpus": 1, "worker_gpus": 1,
        }  # fmt: skip
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"--{name.replace('_', '-')} {value} must be at least {least}")
        for name in ("workers", "worker_cpus"):
            if getattr(self, name) is not None and self.cluster is None:
                raise InputError(f"--{name.replace('_', '-')} needs --cluster ray, or --cluster ray://HOST:PORT")
        if self.until_width is not None and not 0 < self.until_width < 100:
            raise InputError(f"--until-width {self.until_width:g} must lie between 0 and 100 percentage points")
        for name, allowed in (("engine", ENGINES), ("dtype", DTYPES), ("audit_dtype", AUDIT_DTYPES)):
            if getattr(self, name) not in allowed:
                flag = f"--{name.replace('_', '-')}"
                raise InputError(f"{flag} {getattr(self, name)!r} is not known; allowed: {', '.join(allowed)}")

    @property
    def folder(self) -> str | Path:
        """The run directory, or its address in an object store: ``--out``, or one named after dataset and model."""
        if self.out:
            return self.out if is_address(self.out) else local_path(self.out)
        names = (Path(name).stem if is_path(name) else name[:80] for name in (self.dataset, self.model))
        plain = ("".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".-") for name in names)
        return Path("runs") / "-".join(name or "run" for name in plain)
