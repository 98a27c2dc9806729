"""A collector's backup: one file with its CA and, where that is embedded, its database.

Made while the collector runs. It holds the CA's key: who has it can be any host of the fleet.
"""

import os
from pathlib import Path

from fleetnet_server.config import Config
from fleetnet_server.errors import StartRefused
from fleetnet_server.identity import ca, keyring, server
from fleetnet_server.identity.files import write_private
from fleetnet_server.run.directory import prepare
from fleetnet_server.storage import copies
from fleetnet_server.storage.inspection import inspect

_OWN_FILES = (server.KEY_FILE, server.CERTIFICATE_FILE)


def backup(config: Config, file: Path) -> str:
    """Write a new file, and say what is in it. Raises StartRefused, StorageError."""
    source = copies.embedded(config.database)
    if source is not None and not source.exists():
        raise StartRefused(f"there is no database {source}; check --data and --database")
    if file.exists():
        raise StartRefused(f"there is a file {file}; a backup never replaces one: give another name")
    try:
        files = keyring.files(config.data) if config.data.is_dir() else []
        files += [config.data / name for name in _OWN_FILES if (config.data / name).exists()]
        kept = {file.name: file.read_bytes() for file in files}
        if ca.KEY_FILE not in kept:
            raise StartRefused(f"there is no CA in {config.data}; give the collector's directory with --data")
        copies.write(source, kept, file)
    except OSError as error:
        raise StartRefused(
            f"{error.filename} cannot be used: {os.strerror(error.errno or 0)}; name a file in a directory that this "
            "user may write"
        ) from error
    if source is None:
        return f"the CA is in {file}, and no history: that is on the server, and pg_dump makes a backup of it"
    return f"database and CA are in {file}, {file.stat().st_size / 1e6:,.1f} MB; keep it as safe as the CA's key"


def restore(config: Config, file: Path) -> str:
    """Put a backup into a data directory that has nothing of a collector yet, and say what was put there. Raises
    StartRefused, StorageError."""
    if not file.is_file():
        raise StartRefused(f"there is no file {file}; name the one that `fleetnet-server backup` has written")
    if not os.access(file, os.R_OK):
        raise StartRefused(f"{file} may not be read by this user; run this as a user who may")
    target = copies.embedded(config.database)
    kept = copies.beside(file)
    whole = copies.has_database(file)
    if whole and target is None:
        raise StartRefused(
            f"the history in {file} is of an embedded database; it cannot be put on a server: leave out --database"
        )
    if whole:
        _check_step(file)
    lock = prepare(config.data)
    try:
        _check_room(config.data, kept, target if whole else None)
        for name in sorted(kept, key=keyring.order):
            if keyring.is_file(name) or name in _OWN_FILES:
                write_private(config.data / name, kept[name])
        if whole and target is not None:
            # Last: without it a start would make a new one, and this can be called again.
            copies.read(file, target)
    except OSError as error:
        raise StartRefused(f"{error.filename} cannot be used: {os.strerror(error.errno or 0)}") from error
    finally:
        lock.release()
    return f"database and CA are in {config.data}" if whole else f"the CA is in {config.data}"


def _check_step(file: Path) -> None:
    found = inspect(f"sqlite:///{file.absolute()}")
    if found.step is None or found.newest_step is None or found.step > found.newest_step:
        raise StartRefused(
            f"{file} was made by a newer fleetnet-server (its tables are at step {found.step}, this version knows "
            f"{found.newest_step}); install that version"
        )


def _check_room(data: Path, kept: dict[str, bytes], database: Path | None) -> None:
    """Nothing is replaced; what a restore that was cut short has put there may stay."""
    there = [data / name for name in kept if (data / name).exists() and (data / name).read_bytes() != kept[name]]
    if database is not None:
        # What is beside it would be taken for a part of it.
        beside = [database.with_name(database.name + end) for end in ("", "-wal", "-shm", "-journal")]
        there += [file for file in beside if file.exists()]
    if there:
        raise StartRefused(
            f"{there[0]} is there already, and a restore replaces nothing; move it away, or give another --data"
        )
