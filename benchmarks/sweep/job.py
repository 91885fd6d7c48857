"""What one process of the benchmark is asked to do, as a plain JSON file."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

Precision = Literal["float32", "tf32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Case:
    """One context length: the prompts, and the sample of cells that slow engines are timed on.

    ``doses`` are numbers of neurons. An engine that runs one cell at a time is timed on ``layers`` × ``doses``, one
    that runs all rates of a block together on ``layers`` × ``doses_together``, which contain the former.
    """

    context: int
    prompts: tuple[tuple[int, ...], ...]
    targets: tuple[int, ...]
    layers: tuple[int, ...]
    doses: tuple[int, ...]
    doses_together: tuple[int, ...]
    seconds: float


@dataclass(frozen=True)
class Job:
    """An engine, a model folder, and the cases to run.

    ``rates`` is a grid's name or a comma list in percent; without ``batch_size`` ours takes its default. ``repeats`` is for
    what is measured several times beside something else.
    """

    engine: str
    folder: str
    device: str
    precision: Precision
    rates: str
    cases: tuple[Case, ...]
    batch_size: int | None = None
    repeats: int = 1

    def write(self, file: Path) -> None:
        """Write the job as JSON."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_job(file: Path) -> Job:
    """Read a job."""
    content = json.loads(file.read_text(encoding="utf-8"))
    cases = tuple(Case(**{name: _tuples(value) for name, value in case.items()}) for case in content.pop("cases"))
    return Job(**content, cases=cases)


def _tuples(value: object) -> object:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def first_prompts(case: Case, n: int) -> Case:
    """Return a case with its first ``n`` prompts only."""
    return replace(case, prompts=case.prompts[:n], targets=case.targets[:n])


def spread(values: tuple[int, ...], n: int) -> tuple[int, ...]:
    """Return ``n`` of the values, evenly spread, the first and the last among them (the middle one if n is 1)."""
    if n >= len(values):
        return values
    if n == 1:
        return (values[len(values) // 2],)
    return tuple(values[round(i * (len(values) - 1) / (n - 1))] for i in range(n))
