"""Starting the privileged helper, and giving up root.

    1. The helper starts as a process of its own, while this one is still root and has not imported gRPC (which must
       not be there when a process forks).
    2. Its socket is waited for.
    3. This process becomes the owner of the state directory, for good. If that is root, it stays root and says so.

The helper ends when its standard input does, and the other end of that pipe is only here: however this process ends,
the helper does not outlive it.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleetnet_agent.errors import AgentError
from fleetnet_agent.log import Log
from fleetnet_agent.notify import without_notify

DEFAULT_SOCKET: Final = Path("/run/fleetnet/helper.sock")
READY_TIMEOUT_S: Final = 10.0
END_TIMEOUT_S: Final = 0.4  # what does not end by then does so when it can: its standard input is at its end


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper that this process started."""

    process: "subprocess.Popen[bytes]"
    socket: Path
    made_directory: bool  # for the socket alone

    def close(self) -> None:
        """End it. It removes its socket itself, for this process may not be root any more; if it was killed, we try."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(PermissionError):
                self.process.kill()
        if self.made_directory:
            with contextlib.suppress(OSError):
                self.socket.unlink(missing_ok=True)
                self.socket.parent.rmdir()


def start_helper(uid: int, path: Path | None) -> Helper:
    """Start the helper for the user `uid` and wait until it answers. Raises AgentError."""
    command = [sys.executable, "-I", "-m", "fleetnet_agent.helper.main", "--exit-with-stdin"]
    made_directory = path is None
    if path is not None and answers(path):
        raise AgentError(
            f"a helper already answers on {path}; leave out --with-helper to use it, or name another socket"
        )
    if path is None:
        # The directory stays root's: in one of the agent's user, that user could swap the socket under root's hands.
        directory = Path(os.environ.get("TMPDIR", "/tmp")) / f"fleetnet-helper-{os.urandom(4).hex()}"  # noqa: S108 - fails if it is there
        directory.mkdir(mode=0o700)
        directory.chmod(0o711)
        path = directory / "helper.sock"
        command.append("--remove-directory")
    command += ["--socket", str(path)]
    if os.geteuid() == 0:
        command += ["--allow-uid", str(uid)]
    # In a session of its own: Ctrl-C ends the agent, and the agent's end ends the helper.
    # Its threads live for one answer each, and each would keep an arena of its own (mallopt(3)).
    frugal = {**without_notify(os.environ), "MALLOC_ARENA_MAX": "1"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=frugal)
    helper = Helper(process, path, made_directory)
    try:
        _wait_until_ready(helper.process, path)
    except BaseException:
        helper.close()
        raise
    return helper


def _wait_until_ready(process: "subprocess.Popen[bytes]", path: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not answers(path):
        status = process.poll()
        if status is not None:
            raise AgentError(f"the privileged helper ended at once with status {status}; its own line above says why")
        if time.monotonic() > deadline_s:
            raise AgentError(f"the privileged helper does not answer on {path} within {READY_TIMEOUT_S:g} s; try again")
        time.sleep(0.01)


def answers(path: Path) -> bool:
    """True if something accepts connections on this unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True


def become(owner: tuple[int, int], directory: Path, log: Log) -> None:
    """As root, become the user (uid, gid) that owns the state directory, for good. Raises AgentError."""
    uid, gid = owner
    if os.geteuid() != 0:
        return
    if uid == 0:
        log.say(f"stays root, for {directory} belongs to root; chown it to a user of its own to run as that one")
        return
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise AgentError(f"root could not be given up: {error.strerror}; run as the owner of {directory}") from error


def owner_of(directory: Path) -> tuple[int, int]:
    """Who owns it. Raises AgentError where it is not there."""
    try:
        owner = directory.stat()
    except OSError as error:
        raise AgentError(f"{directory} cannot be read: {error.strerror}; name the right --state") from error
    return owner.st_uid, owner.st_gid
