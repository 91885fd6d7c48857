"""Every measurement in a process of its own, one at a time: a clean count of memory, and no library beside another."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.sweep.job import Job

_ROOT = Path(__file__).parents[2]


def run_job(job: Job, module: str = "benchmarks.sweep.worker") -> Any:
    """Run a job; return what it measured, or in one line (a string) why it cannot run."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "job.json", Path(folder) / "result.json"
        job.write(asked)
        done = run_module(module, str(asked), str(answered))
        if done.returncode != 0:
            return last_line(done.stderr) or f"it ended with code {done.returncode}"
        return json.loads(answered.read_text(encoding="utf-8"))


def run_module(module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a module of the benchmark or the package with this interpreter, offline."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def last_line(text: str) -> str:
    """Return the last line that says something: of a traceback, the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
