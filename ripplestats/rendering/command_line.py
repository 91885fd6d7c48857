"""A command line whose complaints are one line, as all others, what it says on the way, and text for a terminal."""

import argparse
import shutil
import sys
import textwrap
from typing import NoReturn

from ripplestats.errors import InputError

#: Characters of a line on a terminal, however wide, and by how many further lines of a paragraph are set in.
_WIDEST, _HANGING = 110, 2


class OneLineParser(argparse.ArgumentParser):
    """A parser of flags in full, which shows help as it is written and raises ``InputError`` where it would exit."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog, description=description, epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        )  # fmt: skip

    def error(self, message: str) -> NoReturn:
        """Refuse a command line.

        Raises:
            InputError: always.
        """
        line = "".join(one if one.isprintable() else repr(one)[1:-1] for one in message)
        raise InputError(f"{line}; --help explains every flag")


def say(text: str) -> None:
    """Print a line to the person who waits, beside what the command prints."""
    print(f"ripplestats: {text}", file=sys.stderr, flush=True)


def for_terminal(text: str) -> str:
    """Return text with lines broken between words where it goes to a terminal, as it is where it goes elsewhere."""
    if not sys.stdout.isatty():
        return text
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    return "\n".join(_broken(line, width) for line in text.splitlines())


def _broken(line: str, width: int) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + _HANGING)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
