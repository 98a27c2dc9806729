"""Lines on their way out: the first at once, the rest many at a time, and none held for longer than that."""

from collections.abc import Iterable

from fleetnet_cli import errors
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Answer

_LINES_A_WRITE = 200


def write_lines(lines: Iterable[str], out: Terminal) -> int:
    """Writes whole lines; returns how many. Where the answer breaks off, what came before is written."""
    written = 0
    batch: list[str] = []
    try:
        for line in lines:
            batch.append(line)
            written += 1
            if len(batch) >= _LINES_A_WRITE or written == 1:
                _write(batch, out)
                if written == 1:
                    out.flush()
    finally:
        _write(batch, out)
    return written


def _write(batch: list[str], out: Terminal) -> None:
    # Emptied before: what could not be written, or was interrupted, is not tried again.
    text = "".join(batch)
    batch.clear()
    if text:
        out.write(text)


def refuse_cut(answer: Answer[object], *, limited: bool) -> None:
    """Raises BrokenAnswer where the collector left something out that it was not asked to."""
    if answer.end is not None and answer.end.truncated and not limited:
        raise errors.BrokenAnswer("the collector cut the answer without having been asked to; ask with --limit")
