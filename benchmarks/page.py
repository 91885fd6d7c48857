"""How long a browser takes to open the page of a run of many prompts, until its last chart is drawn.

python -m benchmarks.page [--run RUN] [--prompts 10000]

Without RUN a synthetic run is written and analysed first, which takes minutes. Each width is opened five times in a new
profile of Chromium; the median counts. Writes benchmarks/results/page.json.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from playwright.sync_api import Browser

import ripplestats as rs
from benchmarks.measuring import machine, report
from tests.browser.chromium import CHROMIUM, MISSING, started, wait_for_charts
from tests.store.synthetic_run import make_run

RESULTS = Path(__file__).parent / "results" / "page.json"
#: Pixels across: a phone, a laptop, a large screen.
WIDTHS = (390, 1280, 2560)
OPENINGS = 5
PER_DOCUMENT, LAYERS = 4, 12


def opened(browser: Browser, page: Path, width: int) -> float:
    """Return the seconds until a page is loaded and drawn."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    tab = context.new_page()
    begun = perf_counter()
    tab.goto(page.as_uri())
    wait_for_charts(tab)
    spent = perf_counter() - begun
    context.close()
    return spent


def main() -> int:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="a run directory that was analysed")
    parser.add_argument("--prompts", type=int, default=10_000)
    given = parser.parse_args()
    if CHROMIUM is None:
        parser.error(MISSING)
    with tempfile.TemporaryDirectory(prefix="page-benchmark-") as folder:
        if given.run is None:
            path = Path(folder) / "run"
            made = make_run(path, prompts=given.prompts, per_document=PER_DOCUMENT, layers=tuple(range(LAYERS)))
            rs.analyse(made, n_boot=200)
        figures = measured(given.run or path)
    report("page", figures)
    RESULTS.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n", encoding="utf-8")
    return 0


def measured(path: Path) -> dict[str, Any]:
    """Open the page of a run at every width."""
    page = path / "report.html"
    with started() as browser:
        seconds = {
            f"seconds at {width} pixels": statistics.median(opened(browser, page, width) for _ in range(OPENINGS))
            for width in WIDTHS
        }
        version = browser.version
    return {
        "prompts": len(rs.open_run(path).prompts()),
        "page_mb": page.stat().st_size / 1e6,
        "browser": version,
        "load": os.getloadavg()[0],
        **seconds,
    }


if __name__ == "__main__":
    raise SystemExit(main())
