"""Asks many questions in one process, for to start the command line takes longer than most answers: reads a list of
them as JSON on its standard input and writes what came of each: `python -m system.many_asked`."""

import contextlib
import io
import json
import sys

from fleetnet_cli.main import main as fleetnet


def main() -> None:
    """Ask one after the other."""
    told = []
    for words in json.load(sys.stdin):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = fleetnet(words)
        told.append((status, out.getvalue(), err.getvalue()))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
