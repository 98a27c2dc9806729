"""Follows what is watched, over as many connections as it takes."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from fleetnet_cli import errors
from fleetnet_cli.options import Common
from fleetnet_cli.output import terminal, watching
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.records import Socket, SocketQuestion
from fleetnet_cli.text import visible

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector

# Between two attempts; a collector is away for some seconds when it is restarted.
_FIRST_S, _LONGEST_S = 1.0, 15.0
# What passes by itself, or with the next connection.
_LOST = (errors.Unreachable, errors.CollectorFailed, errors.BrokenAnswer)


def watch(
    collector: "Collector",
    connect: "Callable[[], Collector]",
    question: SocketQuestion,
    presentation: Presentation[Socket],
    common: Common,
) -> NoReturn:
    """Write what is there and what comes and goes, until somebody interrupts it. Raises what the first attempt does;
    later ones are made again and again, and why is said on stderr."""
    out = terminal.of(sys.stdout)
    writer: watching.Writer = (
        watching.Documents(presentation, out)
        if common.output == "ndjson"
        else watching.Lines(presentation, out, quiet=common.quiet, asked=common.selection)
    )
    screen = watching.Screen(writer, out)
    _follow(collector, question, screen)
    pause_s = _FIRST_S
    while True:
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_S)
        try:
            with connect() as another:
                if _follow(another, question, screen):
                    pause_s = _FIRST_S
        except _LOST as error:
            _say(error)


def _follow(collector: "Collector", question: SocketQuestion, screen: watching.Screen) -> bool:
    """One connection, to its end; whether anything came over it. Raises what does not pass."""
    stream = collector.watch(question)
    screen.connected(stream.coverage)
    try:
        for news in stream:
            screen.tell(news)
    except _LOST as error:
        if isinstance(error, errors.CollectorTooOld) or not screen.begun:
            raise
        _say(error)
    return screen.begun


def _say(error: errors.CliError) -> None:
    err = terminal.of(sys.stderr)
    sentence = visible(str(error)).removesuffix("; ask again")
    err.write(f"{err.paint('fleetnet:', terminal.YELLOW)} {sentence}; trying again\n")
    err.flush()
