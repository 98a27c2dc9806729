"""Where `fleetnet` begins: an interrupt ends it quietly while its modules are still being loaded, too.

What must stay true: nothing is imported here but what the interpreter has loaded already.
"""

import os
import signal
import sys
from types import FrameType

_INTERRUPTED = 130  # exits.INTERRUPTED, which is not loaded yet


def main() -> int:
    """Runs one command; returns the exit status."""
    # Who ignores interrupts for us, as nohup(1) and a shell's & do, is not overruled.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _leave)
    from fleetnet_cli.main import main as run

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    # Nothing has been written yet. An exception in the midst of an import is shown by whoever imports.
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
