"""The data directory: made, checked and locked before anything in it is touched."""

import os
import stat
from pathlib import Path

from fleetnet_server.errors import StartRefused
from fleetnet_server.identity import ca, server
from fleetnet_server.run.locks import FileLock, LockHeldError

LOCK_FILE = "lock"
_OURS = (ca.KEY_FILE, ca.CERTIFICATE_FILE, server.KEY_FILE)  # a collector may have the CA's key elsewhere


def prepare(data: Path) -> FileLock:
    """Make `data` (0700) if it is not there, and lock it. Raises StartRefused."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(data)
        return FileLock(data / LOCK_FILE)
    except LockHeldError as error:
        raise StartRefused(f"another collector is running on {data}; stop it first, or give another --data") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise StartRefused(f"{data} is not a directory, or not in one; choose another with --data") from error
    except OSError as error:
        raise StartRefused(
            f"the data directory {data} cannot be used: {os.strerror(error.errno or 0)}; "
            "give its owner the right to write it, or choose another with --data"
        ) from error


def _check(data: Path) -> None:
    status = data.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise StartRefused(f"{data} is not a directory; choose another with --data")
    if status.st_uid != os.geteuid():
        raise StartRefused(f"the data directory {data} belongs to another user; run the collector as that user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        # Keys and history belong behind 0700. An empty directory made by hand, or our own that was opened, is closed;
        # anything else may be /tmp, given by mistake, and is left as it is.
        if any(data.iterdir()) and not any((data / name).exists() for name in _OURS):
            raise StartRefused(
                f"{data} is open to others and holds files that are not the collector's; give a directory of its own "
                "with --data"
            )
        data.chmod(0o700)
