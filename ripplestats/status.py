"""The command line ``python -m ripplestats.status RUN``: how far a run is, while it runs or after."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ripplestats.config import is_address, local_path
from ripplestats.errors import RippleStatsError, RunError
from ripplestats.rendering.command_line import OneLineParser, say

if TYPE_CHECKING:
    from ripplestats.store.progress import RunProgress

_DESCRIPTION = """\
How far is a run? Prompts done, rate, time left, what went wrong, and where it works or worked.

Only reads, from the files alone: it can be asked while the run goes on, after a kill, and on another machine.
"""
_EPILOG = """\
exit codes: 0 told; 2 there is no run, the command line is wrong, or a shard is damaged (the command that made the run
does it anew); 3 something outside failed; 130 interrupted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = OneLineParser("python -m ripplestats.status", _DESCRIPTION, _EPILOG)
    parser.add_argument("run", metavar="RUN", help="the run directory, or its address in an object store")
    parser.add_argument("--verify", action="store_true", help="read every shard and compare it with its checksum")
    try:
        options = parser.parse_args(argv)
        damaged = _tell(options.run, verify=options.verify)
    except RippleStatsError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print("\nripplestats: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return RunError.exit_code if damaged else 0


def _tell(place: str, *, verify: bool) -> list[str]:
    """Print where a run is, and return what is damaged."""
    from ripplestats.store.progress import find_damage, run_progress
    from ripplestats.store.run_directory import Run, read_manifest

    if is_address(place):
        from ripplestats.store.remote.working_copy import progress_of

        with progress_of(place, say) as (run, holder, find):
            return _print(
                replace(run_progress(run, held=bool(holder)), path=place), holder, find(verify), verify=verify
            )
    path = local_path(place)
    read_manifest(path)
    return _print(run_progress(Run(path)), "", find_damage(Run(path), verify=verify), verify=verify)


def _print(now: "RunProgress", holder: str, damaged: list[str], *, verify: bool) -> list[str]:
    for name, text in [*_lines(now), *([("held by", holder)] if holder else [])]:
        print(f"{name:<9} {text}")
    for line in damaged:
        print(f"{'damaged':<9} {line}")
    if verify and not damaged:
        print(f"{'verified':<9} every shard is as it was written")
    return damaged


def _lines(now: "RunProgress") -> list[tuple[str, str]]:
    from ripplestats.rendering.progress import duration

    lines = [
        ("run", f"{now.path}: {now.state}"),
        ("prompts", f"{now.prompts_done} of {now.prompts} ({100 * now.prompts_done / max(now.prompts, 1):.0f} %)"
                    f" in {now.shards_done} shards"),
        ("model", f"{now.model} on {now.dataset}"),
    ]  # fmt: skip
    if now.rate > 0:
        left = f"; {duration(now.seconds_left)} left" if now.seconds_left > 0 else ""
        lines.append(("rate", f"{now.rate:.2f} prompts a second{left}"))
    if now.worker:
        lines.append(("where", now.worker))
    if now.last:
        lines.append(("last", now.last))
    return lines + [("failure", failure) for failure in now.failures]


if __name__ == "__main__":
    code = main()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.exit(code)
