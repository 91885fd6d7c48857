"""Refuse a LaTeX log with undefined references, missing glyphs, or boxes that are overfull by more than 5 points.

python paper/check_log.py paper/main.log
"""

import re
import sys
from pathlib import Path

MOST_OVERFULL = 5.0
_UNDEFINED = re.compile(r"(Reference|Citation) `[^']*' on page \S+ undefined|There were undefined|multiply defined")
_OVERFULL = re.compile(r"Overfull \\[hv]box \(([0-9.]+)pt too (?:wide|high)\)[^\n]*")


def faults(log: str) -> list[str]:
    """Return the lines of a log that a reader of the PDF would see the reason of."""
    found = [line for line in log.splitlines() if _UNDEFINED.search(line) or "Missing character" in line]
    return found + [match[0] for match in _OVERFULL.finditer(log) if float(match[1]) > MOST_OVERFULL]


def main() -> int:
    """Print what is wrong with the log that is named, and fail if anything is."""
    found = faults(Path(sys.argv[1]).read_text(encoding="latin-1"))
    sys.stderr.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
