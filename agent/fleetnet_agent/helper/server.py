"""The helper's end of its socket: answers the closed set of requests, one to a connection, to those it knows.

What must stay true:
- only root and the allowed user are answered, by what the kernel says of the peer (SO_PEERCRED);
- no client, slow or silent or hostile, takes more than one of a few places, and that for a few seconds;
- a lack of descriptors, memory or threads costs an answer and never the helper;
- of what is opened for a client nothing stays open here once it was sent, or could not be;
- a socket file that another helper serves is never taken over, and at the end only the own one is removed; one that the
  service manager handed over is its own;
- what is told to be alive has a place free for a client.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from fleetnet_agent import memory
from fleetnet_agent.helper import frames, protocol
from fleetnet_agent.helper.census import Census
from fleetnet_agent.helper.entering import close_all, open_events, open_inside
from fleetnet_agent.helper.home import Home
from fleetnet_agent.helper.requests import ListNamespaces, OpenEvents, OpenInside
from fleetnet_agent.helper.scan import Question, scan

CLIENT_HAS_S = 5.0
CLIENTS_AT_ONCE = 8
_LARGE_BYTES = 128 * 1024  # of an answer: it, and what it was made of, would stay as holes in the helper's memory
_PAUSE_S = 0.1  # where accept() lacks something
# A signal that comes on the way into accept() does not end that, and its handler waits until something does.
_NOTICED_S = 5.0
_LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_PEER_CREDENTIALS = struct.Struct("3i")  # struct ucred, unix(7): pid, uid, gid


class SocketInUseError(Exception):
    """The helper cannot listen where it should; the text is one sentence."""


class Server:
    """Listens on a unix socket from its making to its closing."""

    def __init__(
        self, path: Path, allowed_uid: int, proc: Path = Path("/proc"), handed: socket.socket | None = None
    ) -> None:
        """`handed` is a socket that listens already, on `path`, and is not ours to remove."""
        self._path = path
        self._allowed = frozenset({0, allowed_uid})
        self._proc = proc
        self._places = threading.BoundedSemaphore(CLIENTS_AT_ONCE)
        self._one_scan = threading.Lock()  # two at once would only take turns
        self._listener = handed or _listen(path, allowed_uid)
        self._home = Home(self._listener, proc)
        self._census = Census(proc, home=self._home)
        self._inode = None if handed else path.stat().st_ino

    def serve(self, alive: Callable[[], None] = lambda: None, every_s: float | None = None) -> None:
        """Answer until an exception, such as that of a signal's handler, ends it. Once in `every_s` or so `alive` is
        called, unless every place is taken: a client has one for seconds, so if that lasts, what is done there
        hangs."""
        self._listener.settimeout(min(every_s / 2, _NOTICED_S) if every_s else _NOTICED_S)
        told_s = 0.0
        while True:
            if every_s and time.monotonic() >= told_s + every_s / 2 and self._has_a_place():
                alive()
                told_s = time.monotonic()
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if error.errno not in _LACKS:
                    raise
                time.sleep(_PAUSE_S)  # the client waits in the queue meanwhile
                continue
            if not self._places.acquire(blocking=False):
                connection.close()
                continue
            try:
                threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()
            except RuntimeError:  # no more threads
                connection.close()
                self._places.release()

    def close(self) -> None:
        """Stop listening and remove the socket, unless it is another's by now, or always was."""
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            if self._inode is not None and self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _has_a_place(self) -> bool:
        if free := self._places.acquire(blocking=False):
            self._places.release()
        return free

    def _serve_one(self, connection: socket.socket) -> None:
        try:
            # A client that goes away or is too slow is its own loss.
            with connection, contextlib.suppress(OSError, frames.ProtocolError):
                if _peer_uid(connection) in self._allowed:
                    deadline_s = time.monotonic() + CLIENT_HAS_S
                    request = frames.receive(connection, protocol.REQUEST_BYTES, deadline_s)
                    answer, descriptors = self._answer(request)
                    try:
                        frames.send(connection, answer, time.monotonic() + CLIENT_HAS_S, descriptors)
                    finally:
                        close_all(descriptors)
                    if len(answer) >= _LARGE_BYTES:
                        del answer
                        memory.give_back()
        finally:
            self._places.release()

    def _answer(self, raw: bytes) -> tuple[bytes, list[int]]:
        """The answer, and the descriptors that go with it, which are the caller's."""
        try:
            match protocol.decode_request(raw):
                case Question() as question:
                    with self._one_scan:
                        return protocol.encode_answer(scan(self._proc, question)), []
                case ListNamespaces():
                    with self._one_scan:
                        return protocol.encode_listing(self._census.take()), []
                case OpenInside() as request:
                    opened, descriptors = open_inside(request, self._census.doors_of)
                    return protocol.encode_opened(opened), descriptors
                case OpenEvents() as request:
                    events, descriptor = open_events(request.buffer_bytes, self._home)
                    return protocol.encode_events_opened(events), [descriptor]
        except frames.ProtocolError as error:
            return protocol.encode_error(str(error)), []
        except OSError as error:
            return protocol.encode_error(f"the kernel refuses: {os.strerror(error.errno or 0)}"), []


def _listen(path: Path, allowed_uid: int) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)  # there is no moment at which others may connect
    try:
        listener.bind(os.fspath(path))
        if os.geteuid() == 0 and allowed_uid != 0:
            _give(path, allowed_uid)
        listener.listen(CLIENTS_AT_ONCE)
    except OSError as error:
        listener.close()
        raise SocketInUseError(f"cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return listener


def _give(path: Path, uid: int) -> None:
    """Make the socket that user's. In a directory of that user's another file may lie there by now, and stays whose it
    is: what is given away is what was looked at."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISSOCK(status.st_mode) or status.st_nlink != 1:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.chown(f"/proc/self/fd/{descriptor}", uid, -1)
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    """Make way for the socket: what a helper left behind that was killed is removed, anything else is not."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_socket():
        raise SocketInUseError(f"{path} is there and is not a socket: remove it or choose another --socket")
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise SocketInUseError(f"cannot tell who listens on {path}: {os.strerror(error.errno or 0)}") from error
    raise SocketInUseError(f"another process listens on {path}: stop it or choose another --socket")


def _peer_uid(connection: socket.socket) -> int:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    _, uid, _ = _PEER_CREDENTIALS.unpack(raw)
    return int(uid)
