"""A real PostgreSQL server for tests: on a unix socket in a folder of its own, and never as root."""

import contextlib
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg

_DEADLINE_S = 60.0
# Nobody's data: what a crash of the machine would cost is not paid for. A kill -9 costs nothing even so.
_SETTINGS = ("listen_addresses=", "fsync=off", "max_connections=60", "autovacuum=off", "log_min_messages=fatal")
# The first line that fits a user counts: who has a password must give it, all others are whom they say they are.
_WHO_MAY = (
    "local all with_password scram-sha-256\nlocal all not_let_in reject\nlocal all all trust\n"
    "local replication all trust\nhost all all 127.0.0.1/32 trust\n"
)
_PORT = 5432  # in the name of its socket; nobody listens there


@functools.cache
def binaries() -> Path | None:
    """The folder of initdb and postgres, the newest where there are several; Debian has them outside the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def why_not() -> str:
    """Why no server can be started here; empty if one can."""
    return "" if binaries() else "PostgreSQL is not here (run tests/install-tools as root)"


class Server:
    """A server that has been started."""

    def __init__(
        self, *settings: str, standby_of: "Server | None" = None, port: int = 0, directory: Path | None = None
    ) -> None:
        """With these settings, whenever it is started. A standby begins as a copy of its primary, and follows it. With
        a port it is reached by TCP as well. `directory` is that of one that has been removed."""
        self._settings, self.port = settings, port
        # Not in pytest's folders, for those are closed to other users; and paths of sockets are bounded.
        self.directory = directory or Path(tempfile.mkdtemp(prefix="fleetnet-pg-"))
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self._data = self.directory / "data"
        # Its own connections, as Citus makes them, look for certificates at home.
        at_home = {**os.environ, "HOME": str(self.directory)}
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self._as: dict[str, Any] = {"cwd": self.directory, "env": at_home, **quiet}
        if os.geteuid() == 0:
            # It refuses to run as root.
            user = _unprivileged()
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            self._as |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if standby_of is None:
                self._make()
            else:
                self._copy(standby_of)
            self.start()
        except BaseException:
            self.remove()
            raise

    def _make(self) -> None:
        options = ("--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres")
        with self._log() as log:
            subprocess.run([self._program("initdb"), "-D", self._data, *options], stderr=log, check=True, **self._as)
        (self._data / "pg_hba.conf").write_text(_WHO_MAY)

    def _copy(self, primary: "Server") -> None:
        options = ("--no-sync", "--checkpoint=fast", "--write-recovery-conf", "--dbname", primary.conninfo(""))
        with self._log() as log:
            command: list[str | Path] = [self._program("pg_basebackup"), "-D", self._data, *options]
            subprocess.run(command, stderr=log, check=True, **self._as)

    def _program(self, name: str) -> Path:
        folder = binaries()
        assert folder is not None, why_not()
        return folder / name

    def _log(self) -> Any:
        return (self.directory / "log").open("ab")

    def start(self, *settings: str) -> None:
        """Start it, or start it again; returns when it answers."""
        command: list[str | Path] = [self._program("postgres"), "-D", self._data, "-k", self.directory]
        told = (f"port={self.port}", "listen_addresses=127.0.0.1") if self.port else ()
        for setting in (*_SETTINGS, *told, *self._settings, *settings):
            command += ["-c", setting]
        with self._log() as log:
            self._process = subprocess.Popen(command, stderr=log, **self._as)
        deadline = time.monotonic() + _DEADLINE_S
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    @property
    def pid(self) -> int:
        """Of its first process."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """What it has said."""
        return (self.directory / "log").read_text()

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Carry out statements as its master, each for itself."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def asked(self, question: str, database: str = "postgres") -> list[Any]:
        """The first column of an answer."""
        with psycopg.connect(self.conninfo(database)) as connection:
            return [row[0] for row in connection.execute(question.encode())]

    def conninfo(self, database: str = "postgres") -> str:
        """As libpq takes it."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.directory), port=self.port or _PORT, user="postgres", dbname=database
        )

    def url(self, database: str = "postgres", user: str = "postgres", **query: str) -> str:
        """As `--database` takes it."""
        where = {"host": str(self.directory)} | ({"port": str(self.port)} if self.port else {})
        told = "&".join(f"{name}={quote(value)}" for name, value in {**where, **query}.items())
        return f"postgresql+psycopg://{user}@/{database}?{told}"

    @property
    def address(self) -> str:
        """HOST:PORT of a server that has a port."""
        return f"127.0.0.1:{self.port}"

    def promote(self) -> None:
        """Make a standby a primary; returns when it can be written."""
        self.execute("SELECT pg_promote()")

    def kill(self) -> None:
        """End it and all its processes as a loss of power does."""
        assert self._process is not None
        self._tell_all(signal.SIGKILL)
        self._process.wait(_DEADLINE_S)

    def freeze(self) -> None:
        """Have it and all its processes stand still; its kernel goes on to take what is sent."""
        self._tell_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have them go on."""
        self._tell_all(signal.SIGCONT)

    def _tell_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        # Its processes leave its group, so each is told by its number; the first of them cannot mourn the others then.
        others = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(number)
        for process in others:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def stop(self) -> None:
        """End it as an administrator does who does not wait for anybody."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.send_signal(signal.SIGINT)
            self._process.wait(_DEADLINE_S)

    def remove(self) -> None:
        """Stop it, and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.directory)


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
