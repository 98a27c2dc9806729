"""Rounds of messages that are wrong upon one collector, and what must be true after each.

A round is one report stream of a host, or some calls, or some reports read in this process, which is quicker. All of
it is drawn from the seed and the number of the round, so a round can be told again alone. After each:

- the collector lives, and no line of its log is an error ("failed inside", "a mistake of the collector's") but the
  one about a host that says it is two machines, which it may;
- no call ended as INTERNAL or UNKNOWN, and none was left without an end;
- a host that means what it says was heard, now and then.

And after all: no descriptor is left open, no more memory was taken than caches may fill, and hardly any more once they
are full.
"""

import concurrent.futures
import contextlib
import itertools
import queue
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc
from fleetnet_proto.v1 import query_pb2, report_pb2
from fleetnet_server.errors import BadBatch
from fleetnet_server.rpc import translate_report
from fuzz import doors, seeds
from fuzz.mutations import Mutator
from google.protobuf.message import DecodeError, Message
from server.agents import Identity, ReportStream
from server.people import OPERATOR, VIEWER, log_in
from server.running import Running, wait_for

from bench.growth import Series, descriptors, taken_bytes
from server import messages

# A host has 30 streams at once (services/quotas.py), and ten reports set aside in an hour (services/quarantine.py); the
# next one comes in its place before much is turned away unread.
_STREAMS_OF_A_HOST: Final = 5
_CALLS_OF_A_ROUND: Final = 20
_READ_IN_A_ROUND: Final = 100
_HEARD_EVERY: Final = 10  # rounds
# SQLite may keep 64 MiB of the writer and 2 MiB of each of 16 readers (storage/dialect.py); the rest is what is made of
# questions and kept for the next one like it (storage/compiled.py), and what threads and half-taken reports leave.
MOST_MORE_BYTES: Final = 160 * 2**20
# By then these are as full as they become; what grows on is a leak. Between two such stretches lies what one large
# report or answer takes.
WARM_ROUNDS: Final = 1_500
_STRETCH: Final = 150  # of rounds, of which the least counts
MOST_MORE_WARM_BYTES: Final = 32 * 2**20
# Threads and readers of the database that were not there before the first question.
MOST_MORE_DESCRIPTORS: Final = 64
_SAID_OF_HOSTS: Final = 'event="two machines have the identity of one host'
_WRONG_CODES: Final = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class FoundError(Exception):
    """Something that no message may do to a collector; its note is the command that does it again."""


@dataclass(slots=True)
class Told:
    """What came of it all."""

    rounds: int = 0
    messages: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    more_bytes: int = 0
    more_warm_bytes: int | None = None  # than when the caches had filled; None where there were too few rounds
    mb_per_hour: float = 0.0


def grown(taken: Sequence[tuple[int, int]]) -> int | None:
    """How much more was taken in the last rounds than when caches had filled, of samples by round; the least of each
    stretch, for what is taken for a moment is given up. None where the rounds are too few to tell."""
    last = max((number for number, _ in taken), default=0)
    if last < WARM_ROUNDS + 2 * _STRETCH:
        return None
    warm = [bytes_ for number, bytes_ in taken if WARM_ROUNDS <= number < WARM_ROUNDS + _STRETCH]
    return min(bytes_ for number, bytes_ in taken if number > last - _STRETCH) - min(warm)


class Campaign:
    """One collector, and those who speak with it."""

    def __init__(self, collector: Running, seed: int) -> None:
        self._collector = collector
        self._seed = seed
        self.told = Told()
        self.last: list[tuple[str, bytes]] = []  # what was said in the last round, by method
        self.number = 0  # of that round
        self._recording = seeds.recording()
        self._batches = list(seeds.batches(self._recording))
        self._live = seeds.live_parts(self._recording)
        self._read_bytes = 0  # of the log
        self._taken: list[tuple[int, int]] = []  # by round
        self._series = Series(collector.process.pid)
        self._channels = contextlib.ExitStack()
        self._names = itertools.count()
        self._epochs = itertools.count(1)
        self._asking = concurrent.futures.ThreadPoolExecutor(1)

    def run(self, until_s: float, rounds: range | None = None) -> None:
        """Until so many seconds of time.monotonic(), or exactly these rounds. Raises FoundError."""
        collector = self._collector
        with self._channels, self._asking:
            self._join()
            # What everybody else has open stays out of the count.
            before, before_bytes = descriptors(collector.process.pid), taken_bytes(collector.process.pid)
            for number in rounds or itertools.count():
                if rounds is None and time.monotonic() >= until_s:
                    break
                self._told_again(number)
            self._look_at_the_collector()
        wait_for(
            lambda: True if descriptors(collector.process.pid) <= before + MOST_MORE_DESCRIPTORS else None,
            "end of what was opened",
        )
        self.told.more_bytes = taken_bytes(collector.process.pid) - before_bytes
        self.told.mb_per_hour = self._series.mb_per_hour(self._series.bytes[0][0]) if self._series.bytes else 0.0
        if self.told.more_bytes > MOST_MORE_BYTES:
            raise FoundError(f"the collector has taken {self.told.more_bytes:,} bytes more than before")
        self.told.more_warm_bytes = more = grown(self._taken)
        if more is not None and more > MOST_MORE_WARM_BYTES:
            raise FoundError(f"the collector has taken {more:,} bytes more since its caches are full")

    def as_they_are(self) -> dict[str, grpc.StatusCode]:
        """What comes of each request when nothing is wrong with it."""
        with self._channels, self._asking:
            self._join()
            draw = random.Random(self._seed)
            return {
                method: doors.call(self._door(method, draw), method, request.SerializeToString())
                for method, request in seeds.REQUESTS.items()
            }

    def _join(self) -> None:
        collector, enter = self._collector, self._channels.enter_context
        self._admin = enter(collector.admin())
        strangers = grpc.ssl_channel_credentials(collector.ca_pem)
        self._stranger = enter(grpc.secure_channel(collector.enroll_address, strangers))
        self._operator = enter(collector.channel(log_in(collector, "operates", OPERATOR)))
        log_in(collector, "alice", VIEWER)
        self._honest = ReportStream(enter(collector.channel(collector.join("honest"))))
        self._channels.callback(self._honest.close)
        self._honest.open(messages.hello())
        self._honest.send(batch=messages.batch(1, messages.listener(22), snapshot=True))
        self._honest.await_ack(1)
        self._heard = 1
        self._renewing: grpc.Channel | None = None
        self._next_host()

    def _next_host(self) -> None:
        name = f"{seeds.HOST}{next(self._names)}"
        self._host: Identity = self._collector.join(name)
        self._of_host = contextlib.ExitStack()
        self._host_channel = self._of_host.enter_context(self._collector.channel(self._host))
        self._channels.callback(self._of_host.close)
        self._streams = 0

    def _told_again(self, number: int) -> None:
        self.number = number
        try:
            self._round(number)
        except FoundError as found:
            found.add_note(self.again)
            raise

    @property
    def again(self) -> str:
        """The command that says the last round again."""
        return f"again: make fuzz ARGS='--seed {self._seed} --round {self.number}'"

    def _round(self, number: int) -> None:
        draw = random.Random(f"{self._seed}/{number}")
        self.last = []
        kind = draw.random()
        if kind < 0.6:
            self._stream(draw)
        elif kind < 0.8:
            for _ in range(_CALLS_OF_A_ROUND):
                self._call(draw)
        else:
            for _ in range(_READ_IN_A_ROUND):
                self._read(draw)
        self.told.rounds += 1
        self.told.messages += len(self.last)
        if number % _HEARD_EVERY == 0:
            self._hear_the_honest_one()
            self._series.sample(time.monotonic())
            self._taken.append((self.told.rounds, int(self._series.bytes[-1][1])))
        self._look_at_the_collector()

    def _call(self, draw: random.Random) -> None:
        method = draw.choice(list(seeds.REQUESTS))
        right = seeds.REQUESTS[method]
        # Now and then one that is right, so that what comes after that is tried, too.
        request = right.SerializeToString() if draw.random() < 0.1 else _wrong(right, draw)
        self.last.append((method, request))
        code = doors.call(self._door(method, draw), method, request)
        self._ended(method, code)
        if method.endswith("/RenewPerson") and code is not grpc.StatusCode.INVALID_ARGUMENT:
            self._renewing = None  # one certificate of a person is good at a time, and few are made in a minute

    def _read(self, draw: random.Random) -> None:
        """What a report becomes, or why it cannot be."""
        told = _wrong_report(draw.choice(self._batches), draw)
        self.last.append(("read in this process", told))
        try:
            translate_report.batch(report_pb2.Batch.FromString(told))
        except (BadBatch, DecodeError):
            self.told.ended["not read"] += 1
        except Exception as error:
            raise FoundError(f"a report that was read raised {type(error).__name__}: {error}") from error
        else:
            self.told.ended["read"] += 1

    def _door(self, method: str, draw: random.Random) -> grpc.Channel:
        service = method.partition("/")[0].rpartition(".")[2]
        if service == "EnrollService":
            return self._stranger
        if service == "ReportService":
            return self._host_channel
        if service != "PersonService":
            return draw.choice((self._admin, self._operator))
        if self._renewing is None:
            identity = log_in(self._collector, f"renews{next(self._names)}", VIEWER)
            self._renewing = self._channels.enter_context(self._collector.channel(identity))
        return self._renewing

    def _stream(self, draw: random.Random) -> None:
        self._streams += 1
        if self._streams > _STREAMS_OF_A_HOST:
            self._of_host.close()
            self._next_host()
        stream = doors.ByteStream(self._host_channel)
        stream.open()
        try:
            with self._looked_at(draw):
                self._say(draw, stream)
        except queue.Empty:
            raise FoundError("a report stream was neither acknowledged nor ended") from None
        finally:
            stream.close()
            self.last.extend((doors.REPORT, message) for message in stream.told)

    @contextlib.contextmanager
    def _looked_at(self, draw: random.Random) -> Iterator[None]:
        """Somebody wants a live look at the host meanwhile, now and then."""
        if draw.random() < 0.7:
            yield
            return
        wanted = seeds.REQUESTS["fleetnet.v1.QueryService/Live"]
        assert isinstance(wanted, query_pb2.LiveRequest)
        question = query_pb2.LiveRequest(host=self._host.host, wanted=wanted.wanted).SerializeToString()
        asked = self._asking.submit(doors.call, self._admin, "fleetnet.v1.QueryService/Live", question)
        yield
        self._ended("fleetnet.v1.QueryService/Live", asked.result())

    def _say(self, draw: random.Random, stream: doors.ByteStream) -> None:
        hello = report_pb2.AgentMessage()
        hello.CopyFrom(self._recording[0])
        if draw.random() < 0.5:
            hello.hello.epoch = next(self._epochs)
        stream.send(_wrong(hello, draw) if draw.random() < 0.2 else hello)
        answer = stream.receive()
        if isinstance(answer, grpc.StatusCode) or not answer.HasField("welcome"):
            self._await_the_end(stream, answer)
            return
        sequence = answer.welcome.committed_sequence
        for _ in range(draw.randrange(1, 12)):
            sequence += 1
            told = self._message(draw, hello.hello, sequence)
            stream.send(_wrong_report(told, draw) if draw.random() < 0.4 else told)
        if (left := draw.random()) < 0.1:
            return  # broken off
        last = report_pb2.AgentMessage(batch=messages.batch(sequence + 1, epoch=hello.hello.epoch))
        last.batch.boot_id = hello.hello.boot_id
        stream.send(last)
        if left < 0.2:
            stream.done_writing()
        self._await(draw, stream, sequence + 1)

    def _message(self, draw: random.Random, hello: report_pb2.Hello, sequence: int) -> report_pb2.AgentMessage:
        if draw.random() < 0.05:
            return report_pb2.AgentMessage(live=draw.choice(self._live))
        told = report_pb2.AgentMessage(batch=draw.choice(self._batches))
        told.batch.boot_id, told.batch.epoch, told.batch.sequence = hello.boot_id, hello.epoch, sequence
        return told

    def _await(self, draw: random.Random, stream: doors.ByteStream, sequence: int) -> None:
        while not isinstance(answer := stream.receive(), grpc.StatusCode):
            if answer.ack.sequence >= sequence:
                self.told.ended["acknowledged"] += 1
                return
            if answer.HasField("look_now"):
                part = report_pb2.AgentMessage(live=draw.choice(self._live))
                part.live.request = answer.look_now.request
                stream.send(_wrong(part, draw))
        self._ended(doors.REPORT, answer)

    def _await_the_end(self, stream: doors.ByteStream, answer: report_pb2.CollectorMessage | grpc.StatusCode) -> None:
        stream.done_writing()
        while not isinstance(answer, grpc.StatusCode):
            answer = stream.receive()
        self._ended(doors.REPORT, answer)

    def _ended(self, method: str, code: grpc.StatusCode) -> None:
        self.told.ended[code.name] += 1
        if code in _WRONG_CODES:
            raise FoundError(f"{method} ended as {code.name}")
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise FoundError(f"{method} did not end")

    def _hear_the_honest_one(self) -> None:
        self._heard += 1
        self._honest.send(batch=messages.batch(self._heard))
        try:
            self._honest.await_ack(self._heard)
        except (TimeoutError, EOFError, AssertionError, grpc.RpcError) as error:
            raise FoundError(f"a host that means what it says was not heard: {error}") from error

    def _look_at_the_collector(self) -> None:
        if (status := self._collector.process.poll()) is not None:
            raise FoundError(f"the collector has ended with {status}")
        with self._collector.log_file.open("rb") as log:
            log.seek(self._read_bytes)
            said = log.read()
        said = said[: said.rfind(b"\n") + 1]  # a line may be half written
        self._read_bytes += len(said)
        for line in said.decode("utf-8", "replace").splitlines():
            if not line.startswith("at=") or ("level=error" in line and _SAID_OF_HOSTS not in line):
                raise FoundError(f"the log says {line}")


def _wrong(message: Message, draw: random.Random) -> bytes:
    """The message with something wrong in it, as bytes."""
    changed = type(message)()
    changed.CopyFrom(message)
    mutator = Mutator(draw)
    how: tuple[Callable[[], bytes], ...] = (
        lambda: _in_fields(mutator, changed, draw),
        lambda: _in_fields(mutator, changed, draw),
        lambda: mutator.in_bytes(changed.SerializeToString(), draw.randint(1, 4)),
        lambda: mutator.in_bytes(_in_fields(mutator, changed, draw), 1),
        lambda: mutator.message(type(message)).SerializeToString(),
    )
    return draw.choice(how)()


def _wrong_report(message: Message, draw: random.Random) -> bytes:
    """The same, mostly in ways that leave it a message: bytes that are none end the stream at once."""
    if draw.random() < 0.1:
        return _wrong(message, draw)
    changed = type(message)()
    changed.CopyFrom(message)
    return _in_fields(Mutator(draw), changed, draw)


def _in_fields(mutator: Mutator, message: Message, draw: random.Random) -> bytes:
    mutator.in_fields(message, draw.randint(1, 4))
    return message.SerializeToString()
