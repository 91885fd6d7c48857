"""What has been measured is kept, a file each, so that a long benchmark may be run in several goes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sweep.job import Case


class Parts:
    """A folder of measurements; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def kept(self, name: str, measure: Callable[[], Any]) -> Any:
        """Return what was measured under a name before, or measure it."""
        return self._read(name) if self._has(name) else self._write(name, measure())

    def kept_cases(
        self, name: str, cases: Sequence[Case], measure: Callable[[tuple[Case, ...]], list[dict[str, Any]] | str]
    ) -> list[dict[str, Any]] | str:
        """Return an engine's results by context, those that are missing measured together, or why it cannot run."""
        if self.folder is None:
            return measure(tuple(cases))
        missing = tuple(case for case in cases if not self._has(f"{name}-{case.context}"))
        found = measure(missing) if missing else []
        if isinstance(found, str):
            return found
        for case, result in zip(missing, found, strict=True):
            self._write(f"{name}-{case.context}", result)
        return [self._read(f"{name}-{case.context}") for case in cases]

    def _file(self, name: str) -> Path:
        return Path(self.folder or "") / f"{name.replace(', ', '-').replace(' ', '-')}.json"

    def _has(self, name: str) -> bool:
        return self.folder is not None and self._file(name).exists()

    def _read(self, name: str) -> Any:
        return json.loads(self._file(name).read_text(encoding="utf-8"))

    def _write(self, name: str, value: Any) -> Any:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file(name).write_text(json.dumps(value), encoding="utf-8")
        return value
