"""How `--help` is laid out: as argparse does it, but that this asks for the terminal's width.

argparse would ask shutil, at every option that is added and not only for help, and shutil brings three compression
libraries: 0.6 MiB. Standard library only: the helper uses it.
"""

import argparse
import os

USUAL_COLUMNS = 80


class Formatter(argparse.HelpFormatter):
    """To be given to every parser, as `formatter_class`."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """As shutil.get_terminal_size() has it."""
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(1).columns or USUAL_COLUMNS  # 1: standard output
    except OSError:
        return USUAL_COLUMNS
