"""A PostgreSQL server that freezes, fails over to a standby or cannot be written, under a collector that goes on."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fleetnet_server.errors import StorageUnavailable
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.inspection import inspect
from server.agents import DEADLINE_S, ReportStream
from server.monitored import get
from server.postgresql import why_not
from server.running import Running, ports_of, wait_for
from server.standbys import Pair

from server import messages


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
        self.missing: list[int] = []  # what was acknowledged, and then was not there
        self._stream: ReportStream | None = None

    def tell(self) -> None:
        """One more; returns when it is acknowledged, however often it has to come again."""
        wait_for(self._told, "an acknowledgement")

    def _told(self) -> bool | None:
        try:
            if self._stream is None:
                self._stream = ReportStream(self._channel)
                self._stream.send(hello=messages.hello())
                answer = self._stream.receive()
                assert answer.HasField("welcome"), "sent away"
                stored = answer.welcome.committed_sequence
                self.missing += range(stored + 1, self.acknowledged + 1)
                # More may be stored than was acknowledged, and then is not told again.
                if stored > self.acknowledged:
                    self.acknowledged = stored
                    return True
            sequence = self.acknowledged + 1
            told = messages.batch(sequence, messages.listener(sequence), snapshot=sequence == 1)
            self._stream.send(batch=told)
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
    running = Running(data, f"--database={pair.url()}")
    web1 = Host(running, "web1")
    web1.tell()
    # It stands still.
    pair.primary.freeze()
    try:
        telling = threading.Thread(target=web1.tell)
        telling.start()
        status, words = wait_for(lambda: told if (told := get(running, "/healthz"))[0] != 200 else None, "trouble")
        assert status == 503
        assert "has not answered" in words or "at one commit for" in words
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
    assert (web1.acknowledged, web1.missing) == (stored + 2, [])
    assert ports_of(running, "web1") == list(range(1, stored + 3))
    looked = inspect(pair.url())  # as the doctor, `migrate` and `quarantine` do
    assert looked.name == f"postgresql://postgres@{pair.primary.address},{pair.standby.address}/postgres"
    assert looked.step == looked.newest_step
    web1.close()
    assert running.terminate() == 0
