"""All benchmarks of the statistics in one run; writes benchmarks/results/statistics.json.

make bench
"""

import json
import sys
from pathlib import Path

from benchmarks import breakpoint_refits, mixed_models
from benchmarks.measuring import machine

RESULTS = Path(__file__).parent / "results" / "statistics.json"


def main() -> int:
    """Measure and write; say where."""
    measured = {"machine": machine(), "breakpoint": breakpoint_refits.main(), **mixed_models.main()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(f"in {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
