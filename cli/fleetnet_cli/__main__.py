"""Where `fleetnet` begins: an interrupt ends it quietly while its modules are still being loaded, too, and who only
wants to know the version does not wait for them. And where it ends: at once.

What must stay true: nothing is imported here but what the interpreter has loaded already.
"""

import os
import signal
import sys
from types import FrameType

_FOUND, _FAILED, _INTERRUPTED = 0, 2, 130  # as exits has them, which is not loaded yet


def main() -> int:
    """Runs one command; returns the exit status."""
    # Who ignores interrupts for us, as nohup(1) and a shell's & do, is not overruled.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _leave)
    if sys.argv[1:] == ["--version"] and _told_the_version():
        return _FOUND
    from fleetnet_cli.main import main as run

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def program() -> None:
    """Runs one command and ends, once all it has said is written. Python would first take to pieces, one by one, all
    that was loaded, which takes a fifth of the time of a question; none of it holds anything by then but memory."""
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            status = status or _FAILED
    os._exit(status)


def _told_the_version() -> bool:
    """Whether it could be written; where not, main.py fails at it again and says why."""
    from fleetnet_cli.version import VERSION

    line = f"fleetnet {VERSION}\n".encode()
    try:
        return os.write(1, line) == len(line)
    except OSError:
        return False


def _leave(_signal: int, _frame: FrameType | None) -> None:
    # Nothing has been written yet. An exception in the midst of an import is shown by whoever imports.
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    program()
