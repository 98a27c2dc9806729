"""`python -m server.storage.dying URL`: brings tables up to date in processes that are killed in the midst of it.

Each line on stdin is where: a number, just before the statement that has it (comments are not counted, nor stopped at);
`commit`, just before that. The answer is how the process ended: 0 if it came through, -9.
"""

import os
import signal
import sys

from fleetnet_server.storage import dialect, migrate
from fleetnet_server.storage.database import Database
from sqlalchemy import Engine, event


def main() -> None:
    """Fork for each line, when all is imported that takes long."""
    dialect.engines(sys.argv[1]).dispose()
    migrate.newest_step()
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            _bring_up(sys.argv[1], line.strip())
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _bring_up(url: str, where: str) -> None:
    done = 0

    def before_statement(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal done
        if not statement.startswith("COMMENT"):
            done += 1
            if where == str(done):
                _die()

    event.listen(Engine, "before_cursor_execute", before_statement)
    if where == "commit":
        event.listen(Engine, "commit", lambda _: _die())
    Database.open(url)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
