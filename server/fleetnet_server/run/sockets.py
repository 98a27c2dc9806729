"""Ports and the admin socket, looked at before gRPC binds them.

gRPC says why it could not bind in a paragraph of its own on stderr; here the same attempt is made first, with a plain
socket, and its failure becomes one sentence.
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from fleetnet_server.config import Address
from fleetnet_server.errors import StartRefused
from fleetnet_server.run.locks import FileLock, LockHeldError


def check_bindable(address: Address, option: str) -> None:
    """Raises StartRefused if nothing can listen on `address`."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartRefused(
            f"{option} {address}: the host is not known here; give an address of this machine"
        ) from error
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(where)
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT and len(found) > 1:
                continue
            raise refused_bind(address, option, error.errno or 0) from error


def refused_bind(address: Address, option: str, number: int) -> StartRefused:
    """Why nothing can listen there, and what to do."""
    if number == errno.EADDRINUSE:
        return StartRefused(f"{option} {address} is in use by another program; stop it, or choose another port")
    if number == errno.EADDRNOTAVAIL:
        return StartRefused(f"{option} {address} is not an address of this machine; choose one that is")
    if number in (errno.EACCES, errno.EPERM):
        return StartRefused(
            f"{option} {address} needs privilege; choose a port above 1023, or give CAP_NET_BIND_SERVICE"
        )
    return StartRefused(f"{option} {address} cannot be listened on: {os.strerror(number)}; choose another")


@contextlib.contextmanager
def admin_socket(path: Path) -> Iterator[None]:
    """The right to bind the admin socket, for as long as the block lasts. Raises StartRefused.

    gRPC takes over a socket file that another process serves, and deletes whatever bears the name at its end. So a
    lock beside the socket is taken first; what lies there then was left behind by a killed collector.
    """
    try:
        _make_directory(path.parent)
        lock = FileLock(path.with_name(path.name + ".lock"))
    except LockHeldError as error:
        raise StartRefused(
            f"another collector serves the admin socket {path}; stop it first, or give another --admin-socket"
        ) from error
    except OSError as error:
        raise _refused(path, error) from error
    try:
        _clear(path)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
    finally:
        lock.release(remove=True)


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """Another umask for a moment. It is the whole process's: nothing else may be creating files meanwhile."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _make_directory(directory: Path) -> None:
    if not directory.exists():
        directory.mkdir(parents=True)
        # Whatever the umask: the socket's own group and mode decide who may open it.
        directory.chmod(0o755)


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(path, error) from error
    if not stat.S_ISSOCK(mode):
        raise StartRefused(f"{path} is there and is not a socket; remove it, or give another --admin-socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise StartRefused(f"another program serves the socket {path}; stop it, or give another --admin-socket")


def _refused(path: Path, error: OSError) -> StartRefused:
    return StartRefused(
        f"the admin socket {path} cannot be made: {os.strerror(error.errno or 0)}; give another --admin-socket"
    )
