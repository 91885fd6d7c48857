"""A command line whose complaints are one line, as all others."""

import argparse
from typing import NoReturn

from ripplestats.errors import InputError


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
