"""From the store on nothing imports torch: the statistics work on a laptop that has only the parquet files."""

import json
import subprocess
import sys

_PROGRAM = """
import importlib, json, pkgutil, sys

names = []
for package in map(importlib.import_module, sys.argv[1:]):
    names += [one.name for one in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(json.dumps([names, sorted(sys.modules)]))
"""
HEAVY = {"torch", "transformers", "datasets"}


def imported_by(*packages: str) -> tuple[list[str], set[str]]:
    """The modules of some packages, and all that is loaded once each of them is imported by a fresh interpreter."""
    command = [sys.executable, "-W", "error", "-c", _PROGRAM, *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    names, loaded = json.loads(done.stdout)
    return names, set(loaded)


def test_no_module_from_the_store_on_imports_torch() -> None:
    stages = ("store", "fits", "hypotheses", "report", "rendering")
    names, loaded = imported_by(*(f"ripplestats.{stage}" for stage in stages))
    for stage in stages:
        assert sum(name.startswith(f"ripplestats.{stage}.") for name in names) >= 3, stage
    assert set(names) <= loaded
    assert not HEAVY & loaded


def test_the_public_statistics_are_had_without_torch() -> None:
    program = (
        "import sys, ripplestats as rs; rs.segmented, rs.mixed, rs.core_fraction, rs.open_run; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    loaded = set(done.stdout.split())
    assert "ripplestats.fits.segmented" in loaded
    assert not HEAVY & loaded


def test_the_check_would_see_torch() -> None:
    _, loaded = imported_by("ripplestats.intervention")
    assert "torch" in loaded
