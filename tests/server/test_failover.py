"""A PostgreSQL server that freezes, fails over to a standby or cannot be written, under a collector that goes on."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fleetnet_server.errors import StorageUnavailable
from fleetnet_server.storage.database import Database
from server.agents import DEADLINE_S, ReportStream
from server.monitored import get
from server.postgresql import Server, why_not
from server.running import Running, ports_of, run, wait_for

from server import messages

# Nothing is acknowledged that the standby has not got, and does not show.
_SYNCHRONOUS = ("synchronous_standby_names = '*'", "synchronous_commit = 'remote_apply'")


class Pair:
    """A primary and a standby that follows it."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as held:
            self.primary = Server(port=free_port())
            held.callback(self.primary.remove)
            self.standby = Server(standby_of=self.primary, port=free_port())
            held.callback(self.standby.remove)
            # From now on, when there is one that can answer for it.
            for setting in _SYNCHRONOUS:
                self.primary.execute(f"ALTER SYSTEM SET {setting}")
            self.primary.execute("SELECT pg_reload_conf()")
            wait_for(lambda: self.primary.asked("SELECT 1 FROM pg_stat_replication") or None, "a standby that follows")
            self._held = held.pop_all()

    def url(self, *hosts: Server, more: str = "&target_session_attrs=read-write") -> str:
        """Both of them, or those given, as docs/operations.md has it."""
        told = "&".join(f"host={server.address}" for server in hosts or (self.primary, self.standby))
        return f"postgresql+psycopg://postgres@/postgres?{told}{more}"

    def remove(self) -> None:
        self._held.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    if reason := why_not():
        pytest.skip(reason)
    both = Pair()
    try:
        yield both
    finally:
        both.remove()


class Host:
    """Tells of a listener with each batch, and is cut off as an agent is: then it comes again, from what is stored."""

    def __init__(self, running: Running, name: str) -> None:
        self._channel = running.channel(running.join(name))
        self.acknowledged = 0
        self._stream: ReportStream | None = None
        self._epoch = 1
        self.began_anew = 0

    def tell(self) -> None:
        """One more; returns when it is acknowledged, however often it has to come again."""
        wait_for(self._told, "an acknowledgement")

    def _told(self) -> bool | None:
        try:
            if self._stream is None:
                self._stream = ReportStream(self._channel)
                stored = self._stream.open(messages.hello(self._epoch)).committed_sequence
                if stored < self.acknowledged:
                    # As an agent: of another past it tells in another epoch.
                    self._epoch, self.acknowledged, self.began_anew = self._epoch + 1, 0, self.began_anew + 1
                    self._stream.close()
                    self._stream = None
                    return None
                # More may be stored than was acknowledged, and then is not told again.
                if stored > self.acknowledged:
                    self.acknowledged = stored
                    return True
            sequence = self.acknowledged + 1
            told = [messages.listener(port) for port in (range(1, sequence + 1) if sequence == 1 else (sequence,))]
            self._stream.send(batch=messages.batch(sequence, *told, epoch=self._epoch, snapshot=sequence == 1))
            self._stream.await_ack(sequence)
            self.acknowledged = sequence
            return True
        except (grpc.RpcError, EOFError, AssertionError):
            if self._stream is not None:
                self._stream.close()
            self._stream = None
            return None

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._channel.close()


def test_a_standby_alone_is_told_and_what_to_do(pair: Pair) -> None:
    for more, advice in (("", "target_session_attrs=read-write"), ("&target_session_attrs=read-write", "promote one")):
        with pytest.raises(StorageUnavailable, match="cannot be written") as told:
            Database.open(pair.url(pair.standby, more=more))
        assert advice in str(told.value)


@pytest.mark.timeout(300)
def test_a_primary_that_stands_still_is_told_and_when_it_dies_its_standby_takes_over_and_nothing_is_missing(
    data: Path, pair: Pair
) -> None:
    database = f"--database={pair.url()}"
    running = Running(data, database)
    web1 = Host(running, "web1")
    web1.tell()
    # It stands still.
    pair.primary.freeze()
    try:
        telling = threading.Thread(target=web1.tell)
        telling.start()
        status, words = wait_for(lambda: told if (told := get(running, "/healthz"))[0] != 200 else None, "trouble")
        assert status == 503
        assert "the database has not answered a question for" in words or "at one commit for" in words
    finally:
        pair.primary.thaw()
    telling.join(DEADLINE_S)
    wait_for(lambda: get(running, "/healthz") == (200, "ok\n") or None, "health")
    # It dies.
    stored = web1.acknowledged
    telling = threading.Thread(target=web1.tell)
    telling.start()
    pair.primary.kill()
    pair.standby.promote()
    telling.join(DEADLINE_S)
    web1.tell()
    assert (web1.acknowledged, web1.began_anew) == (stored + 2, 0)
    assert ports_of(running, "web1") == list(range(1, stored + 3))
    said = run("doctor", f"--data={data}", database)[1]
    assert f"database postgresql://postgres@{pair.primary.address},{pair.standby.address}/postgres" in said
    assert "tables at step" in said
    web1.close()
    assert running.terminate() == 0
