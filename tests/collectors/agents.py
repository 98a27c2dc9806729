"""An agent that moves between collectors as it likes: a real stream over TLS, and sockets from a script.

It keeps what is not acknowledged in the real agent's window and puts it on the wire with the real agent's code. All
that it does is drawn from its seed; what it has told stands in its ledger.
"""

import contextlib
import enum
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import grpc
from collectors.progress import WITHIN_S, Progress
from fleetnet_agent.uplink.window import Entry, Kind, Window
from fleetnet_proto.v1 import report_pb2
from server.agents import Identity, ReportStream
from server.running import Running

from bench.fleet.population import Population
from server import messages

_CONNECTIONS: Final = 12
_PARTS: Final = 3  # of a snapshot, so that a host can move in the middle of one
_A_MOMENT_S: Final = 0.02  # before it tries again where nobody answered
_BURST: Final = 8  # batches that an older stream is given when the next one begins
_FALSE_COOKIE: Final = 1 << 40  # of sockets that are told by a stream that may not write any more
# Where a collector died; where a newer stream took over; where the database had no time for the host.
_ENDINGS: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED)


class Leave(enum.Enum):
    """How a host leaves a collector."""

    IN_GOOD_ORDER = enum.auto()  # all is acknowledged, and it says that nothing more comes
    BROKEN_OFF = enum.auto()  # with batches on their way
    STILL_THERE = enum.auto()  # the stream lives on, with batches on their way, while the next one is opened


class _EndedError(Exception):
    """The collector ended the stream, or is not there."""


@dataclass(slots=True)
class Ledger:
    """What a host has told, and what it was told about that."""

    host: str
    opened_at_us: dict[int, int] = field(default_factory=dict)  # by cookie; absent: before the first look
    closed_at_us: dict[int, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    acknowledged: dict[int, int] = field(default_factory=dict)  # highest sequence, by epoch
    streams: int = 0
    fenced: int = 0  # older streams that were ended because of a newer one
    restarts: int = 0
    wrong: list[str] = field(default_factory=list)


class _Visit:
    """A stream to one collector."""

    def __init__(self, collector: Running, identity: Identity) -> None:
        self._channel = collector.channel(identity)
        self._stream = ReportStream(self._channel)

    def await_connection(self) -> None:
        """Return when a Hello would be on its way at once, or nobody answers."""
        settled = threading.Event()

        def note(state: grpc.ChannelConnectivity) -> None:
            if state in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
                settled.set()

        self._channel.subscribe(note, try_to_connect=True)
        settled.wait(WITHIN_S)
        self._channel.unsubscribe(note)

    def send(self, *, hello: report_pb2.Hello | None = None, batch: report_pb2.Batch | None = None) -> None:
        self._stream.send(hello=hello, batch=batch)

    def hear(self) -> report_pb2.CollectorMessage:
        """The next message. Raises _EndedError."""
        try:
            message = self._stream.receive(WITHIN_S)
        except EOFError:
            raise _EndedError("a plain end") from None
        except grpc.RpcError as error:
            if not isinstance(error, grpc.Call) or error.code() not in _ENDINGS:
                raise
            raise _EndedError(str(error.code())) from error
        if message.HasField("reconnect"):
            raise _EndedError(message.reconnect.reason)
        return message

    def done_writing(self) -> None:
        self._stream.done_writing()

    def close(self) -> None:
        self._stream.close()
        self._channel.close()


class Agent:
    """One host's agent."""

    def __init__(
        self, identity: Identity, seed: int, collectors: Callable[[], list[Running]], progress: Progress
    ) -> None:
        self._identity = identity
        self._collectors = collectors  # those that are there
        self._progress = progress
        self._draw = random.Random(seed)
        self._population = Population(self._draw.getrandbits(32), _CONNECTIONS)
        self._boot_id = self._draw.randbytes(16)
        self._epoch = self._new_epoch()
        self._window = Window()
        self._old: _Visit | None = None
        self._known = False
        self.ledger = Ledger(identity.host)

    def run(self) -> Ledger:
        """Move about until the story is over, deliver what is left, and tell."""
        try:
            while not self._progress.over.is_set():
                self._visit(self._draw.choice(list(Leave)))
            until_s = time.monotonic() + WITHIN_S
            while not self._progress.failed.is_set() and not self._visit(Leave.IN_GOOD_ORDER):
                assert time.monotonic() < until_s, f"{self.ledger.host} could not deliver what it had"
        except BaseException:
            self._progress.fail()
            raise
        finally:
            self._forget_old()
        self.ledger.open = {socket.key.cookie for socket in self._population.sockets}
        self.ledger.acknowledged[self._epoch] = self._window.acknowledged
        return self.ledger

    def _visit(self, leave: Leave) -> bool:
        """One stream, from the choice of a collector to its end; whether all was acknowledged then."""
        there = self._collectors()
        if not there:
            self._progress.failed.wait(_A_MOMENT_S)
            return False
        visit = _Visit(self._draw.choice(there), self._identity)
        try:
            with self._false_words(self._open(visit)):
                self._tell(visit)
            if leave is Leave.IN_GOOD_ORDER:
                self._finish(visit)
            elif leave is Leave.STILL_THERE:
                self._old = visit
        except _EndedError:
            self._progress.failed.wait(_A_MOMENT_S)
        finally:
            if self._old is not visit:
                visit.close()
        return leave is Leave.IN_GOOD_ORDER and self._window.oldest is None

    def _open(self, visit: _Visit) -> int:
        hello = messages.hello(self._epoch)
        hello.boot_id, hello.machine_id_hash = self._boot_id, self.ledger.host.encode().ljust(32, b"\0")
        if self._old is not None:
            # Both at one moment: each of these is stored before the new stream begins, or never by the old one.
            visit.await_connection()
            self._look_about(self._old, _BURST)
        visit.send(hello=hello)
        welcome = visit.hear().welcome
        self.ledger.streams += 1
        # Refuses a collector that knows of less than was acknowledged, wherever that was.
        self._progress.add(len(self._window.begin_stream(welcome.committed_sequence, welcome.credit)))
        return welcome.committed_sequence

    @contextlib.contextmanager
    def _false_words(self, committed: int) -> Iterator[None]:
        """Meanwhile the older stream, if there is one, tells of a socket that never was: it must not be heard."""
        if self._old is not None:
            socket = messages.listener(4444, _FALSE_COOKIE + self.ledger.streams)
            batch = messages.batch(committed + 1, socket, epoch=self._epoch)
            batch.boot_id = self._boot_id
            self._old.send(batch=batch)
        try:
            yield
            if self._old is not None:
                self._hear_it_refused(self._old, committed)
        finally:
            self._forget_old()

    def _hear_it_refused(self, old: _Visit, committed: int) -> None:
        try:
            while (told := old.hear().ack.sequence) <= committed:
                continue
            self.ledger.wrong.append(f"an older stream was acknowledged {told}, the newer went on at {committed}")
        except _EndedError as end:
            self.ledger.fenced += str(grpc.StatusCode.ABORTED) in str(end)

    def _forget_old(self) -> None:
        if self._old is not None:
            self._old.close()
            self._old = None

    def _tell(self, visit: _Visit) -> None:
        """What was not acknowledged, everything anew, and a few looks more."""
        self._write(visit)
        for number, part in enumerate(self._snapshot()):
            self._put(visit, Kind.LAST_PART if number == _PARTS - 1 else Kind.PART, part)
        if not self._known:
            # What was open from the beginning is told by snapshots alone, which end with their streams.
            self._hear(visit, 0)
            self._known = True
        for _ in range(self._draw.randint(0, 4)):
            self._look_about(visit, self._draw.randint(1, 3))
            if self._draw.random() < 0.5:
                self._hear(visit, self._draw.randint(0, len(self._window)))

    def _look_about(self, visit: _Visit, times: int) -> None:
        """So many looks, as long as there is room for them; the stream is not listened to."""
        for _ in range(times):
            if self._window.room:
                [body] = self._population.change(self._draw.randint(0, 4))
                self._note(report_pb2.Batch.FromString(body))
                self._window.put(Kind.DIFFERENCE, body)
        self._write(visit)

    def _finish(self, visit: _Visit) -> None:
        self._hear(visit, 0)
        visit.done_writing()
        with contextlib.suppress(_EndedError):
            visit.hear()
        if self._draw.random() < 0.25 and not self._progress.over.is_set():
            # As if it had been started again: nothing is remembered but what is open.
            self.ledger.acknowledged[self._epoch] = self._window.acknowledged
            self.ledger.restarts += 1
            self._window.restart()
            self._epoch = self._new_epoch()

    def _snapshot(self) -> Iterator[bytes]:
        [(body, _)] = self._population.snapshot()
        whole = report_pb2.Batch.FromString(body)
        for number in range(_PARTS):
            part = report_pb2.Batch()
            part.CopyFrom(whole)
            del part.opened[:]
            part.opened.extend(whole.opened[number::_PARTS])
            part.snapshot.part, part.snapshot.last = number, number == _PARTS - 1
            yield part.SerializeToString()

    def _note(self, batch: report_pb2.Batch) -> None:
        self.ledger.opened_at_us |= {socket.key.cookie: batch.look_at_us for socket in batch.opened}
        self.ledger.closed_at_us |= {closed.key.cookie: closed.closed_at_us for closed in batch.closed}

    def _put(self, visit: _Visit, kind: Kind, body: bytes) -> None:
        while not self._window.room:
            self._hear_one(visit)
        self._window.put(kind, body)
        self._write(visit)

    def _write(self, visit: _Visit) -> None:
        while (entry := self._window.next_unsent()) is not None:
            visit.send(batch=self._addressed(entry))

    def _addressed(self, entry: Entry) -> report_pb2.Batch:
        batch = report_pb2.Batch.FromString(entry.body)
        batch.boot_id, batch.epoch, batch.sequence = self._boot_id, self._epoch, entry.sequence
        return batch

    def _hear(self, visit: _Visit, left: int) -> None:
        """Until no more than so many are not acknowledged."""
        while len(self._window) > left:
            self._hear_one(visit)

    def _hear_one(self, visit: _Visit) -> None:
        message = visit.hear()
        assert message.HasField("ack"), f"{self.ledger.host} gave no reason for {message}"
        self._progress.add(len(self._window.acknowledge(message.ack.sequence)))

    def _new_epoch(self) -> int:
        return self._draw.getrandbits(63) | 1
