"""What a manifest says of a sweep besides its definition: where model and text come from, versions, engine, machine."""

import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ripplestats.sweeps.runner import Sweep
    from ripplestats.sweeps.selfcheck import SelfCheck

_LIBRARIES = ("torch", "transformers", "datasets", "numpy", "scipy", "pandas", "pyarrow", "statsmodels")


def manifest(job: "Sweep", engine: str, check: "SelfCheck | None", options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a sweep that starts now."""
    model, origin = job.model, job.prompts.provenance
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "ripplestats": metadata.version("ripplestats"),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
            "git_commit": _git_commit(),
        },
        "model": {
            "requested": model.requested, "used": model.used, "revision": model.revision,
            "fallback": model.fallback, "type": type(model.network).__name__, "dtype": model.dtype,
            "device": model.placement, "n_layers": model.n_layers, "n_neurons": model.n_neurons,
        },
        "dataset": {
            **asdict(origin), "fingerprint": job.prompts.fingerprint,
            "n_prompts": len(job.prompts), "n_documents": job.prompts.n_documents,
        },
        "options": dict(options),
        "engine": {"used": engine, "products": job.products, "self_check": None if check is None else {**asdict(check), "passed": check.passed}},
        "platform": {"system": platform.platform(), "command": sys.argv},
        "completeness": {"complete": False, "prompts_done": 0, "prompts": len(job.prompts)},
    }  # fmt: skip


def _git_commit() -> str:
    """Return the commit of the checkout that the package runs from, or nothing."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
