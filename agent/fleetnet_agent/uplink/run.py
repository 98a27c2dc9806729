"""The uplink as a whole: one stream after the other until told to stop, with looks and renewal beside it.

What must stay true: `stop` ends everything within two seconds; nothing that a collector does or fails to do ends the
agent; the identity is read from the state directory for every stream, so a renewed or replaced one is used at once.
"""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleetnet_proto.v1 import report_pb2

from fleetnet_agent import facts, memory, state
from fleetnet_agent.errors import AgentError
from fleetnet_agent.host import Host
from fleetnet_agent.log import Log
from fleetnet_agent.notify import Notifier
from fleetnet_agent.uplink.backoff import Backoff
from fleetnet_agent.uplink.channel import open_channel
from fleetnet_agent.uplink.clock import WallClock
from fleetnet_agent.uplink.drain import RATE, Drain
from fleetnet_agent.uplink.keeping import TRY_EVERY_S, Keeper
from fleetnet_agent.uplink.live import LiveLooks
from fleetnet_agent.uplink.looks import BEAT_S, REPORT_NOT_TAKEN, Looker, Looks
from fleetnet_agent.uplink.outage import KEEP_AFTER_S
from fleetnet_agent.uplink.renewal import renew_forever
from fleetnet_agent.uplink.seldom import DIGEST_EVERY_S, SNAPSHOT_AT_MOST_EVERY_S
from fleetnet_agent.uplink.stream import ACK_TIMEOUT_S, End, Ending, Stream
from fleetnet_agent.uplink.window import Window
from fleetnet_agent.uplink.worker import Worker
from fleetnet_agent.version import VERSION
from fleetnet_agent.wire import batches

CHANNEL_CLOSE_S: Final = 0.3
SPOOL_CLOSE_S: Final = 0.4
ENROLL: Final = "to let it in again, enroll it with --force and a new token"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast things go; other than these only in tests."""

    look_every_s: float = 1.0
    beat_s: float = BEAT_S
    ack_timeout_s: float = ACK_TIMEOUT_S
    keep_after_s: float = KEEP_AFTER_S
    try_spool_every_s: float = TRY_EVERY_S
    backlog_bytes_per_s: float = RATE
    digest_every_s: float = DIGEST_EVERY_S
    snapshot_at_most_every_s: float = SNAPSHOT_AT_MOST_EVERY_S


class Uplink:
    """Reports what `watch` sees, as the host whose identity lies in `directory`."""

    def __init__(
        self,
        directory: Path,
        host: Host,
        watch: Looker,
        interval_s: Callable[[], float],
        log: Log,
        *,
        pace: Pace = Pace(),
        backoff: Backoff | None = None,
        draw: random.Random | None = None,
        notifier: Notifier | None = None,
        sockets: Callable[[], int] = lambda: 0,
        spool_bytes: int = 0,
    ) -> None:
        """`sockets` says how many are open, for the service manager; it is called where looks are made."""
        self._directory = directory
        self._host = host
        self._interval_s = interval_s
        self._log = log
        self._pace = pace
        self._draw = draw or random.Random(secrets.randbits(64))  # noqa: S311 - jitter, no secret
        self._backoff = backoff or Backoff(self._draw)
        self._worker = Worker()
        self._boot_id = facts.boot_id(host)
        self._keeper = Keeper(
            directory, spool_bytes, self._boot_id, self._worker, log, try_every_s=pace.try_spool_every_s
        )
        self._drain = Drain(self._keeper, pace.backlog_bytes_per_s)
        self._clock = WallClock(host, self._clock_was_set)
        self._looks = Looks(
            watch,
            self._worker,
            Window(),
            log,
            every_s=pace.look_every_s,
            beat_s=pace.beat_s,
            stored=self._stored,
            have_looked=self._clock.check,
            draw=self._draw,
            keeper=self._keeper,
            drain=self._drain,
            keep_after_s=pace.keep_after_s,
            digest_every_s=pace.digest_every_s,
            snapshot_at_most_every_s=pace.snapshot_at_most_every_s,
        )
        self._live = LiveLooks(watch, self._worker, host.wall_clock_us)
        self._identity = state.load(directory)
        self._epoch = new_epoch()
        self._notifier = notifier or Notifier({})
        self._sockets = sockets
        self._standing = "not connected yet"
        self._stands_anew = asyncio.Event()
        self._renewal_wanted = asyncio.Event()
        self._leave = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End soon, after a moment for what is under way to be acknowledged."""
        self._notifier.stopping()
        self._stopping.set()
        self._leave.set()

    def look_now(self) -> None:
        """Look at once, if that was not done just now. In the thread of the event loop."""
        self._looks.look_now()

    async def run(self) -> None:
        """Report until `stop`."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._looks.run()),
                group.create_task(self._drain.run(self._looks)),
                group.create_task(self._clock.watch(self._pace.look_every_s)),
                group.create_task(self._renew_forever()),
                group.create_task(self._notify_forever()),
            ]
            await self._streams()
            for task in beside:
                task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SPOOL_CLOSE_S):
                await self._looks.close()
        self._worker.close()

    async def _renew_forever(self) -> None:
        await renew_forever(self._directory, self._log, self._draw, self._leave.set, self._renewal_wanted)

    async def _notify_forever(self) -> None:
        """Tell the service manager when the first look is made, and from then on that looks can be made. By way of the
        thread that makes them: where a look hangs nothing is told, and the manager may start the agent anew."""
        await self._looks.looked.wait()
        self._notifier.ready()
        while True:
            self._stands_anew.clear()
            await self._worker.run(self._notify)
            await _wait_for(self._stands_anew, self._notifier.every_s)

    def _notify(self) -> None:
        self._notifier.alive(f"{self._sockets()} sockets, {self._standing}")

    def _stand(self, standing: str) -> None:
        self._standing = standing
        self._stands_anew.set()

    async def _streams(self) -> None:
        turn = 0
        while not self._stopping.is_set():
            self._leave.clear()
            self._read_identity()
            addresses = self._identity.report_addresses
            address = addresses[turn % len(addresses)]
            ending = await self._stream(address)
            memory.sweep()
            if ending.why is not End.LEFT:
                turn += ending.why is not End.OTHER_PAST
                await _wait_for(self._leave, self._settle(address, ending))

    async def _stream(self, address: str) -> Ending:
        try:
            channel = open_channel(address, self._identity)
        except ValueError as error:  # key and certificate that OpenSSL does not take
            return Ending(End.REFUSED, f"the identity cannot be used: {error}")
        stream = Stream(
            channel,
            self._looks,
            self._live,
            self._leave,
            boot_id=self._boot_id,
            epoch=self._epoch,
            ack_timeout_s=self._pace.ack_timeout_s,
            welcomed=lambda: self._welcomed(address),
            renewal_wanted=self._renewal_wanted,
        )
        try:
            hello = await self._hello_unless_left()
            return await stream.run(hello) if hello else Ending(End.LEFT)
        finally:
            await channel.close(CHANNEL_CLOSE_S if self._stopping.is_set() else None)

    async def _hello_unless_left(self) -> report_pb2.Hello | None:
        """None if this side wants to leave before: a look that hangs holds up no end."""
        made, left = asyncio.create_task(self._hello()), asyncio.create_task(self._leave.wait())
        try:
            await asyncio.wait((made, left), return_when=asyncio.FIRST_COMPLETED)
            return made.result() if made.done() else None
        finally:
            made.cancel()
            left.cancel()

    async def _hello(self) -> report_pb2.Hello:
        host_facts = await self._worker.run(facts.host_facts, self._host)
        spool_bytes, spool_oldest_us = await self._keeper.depth()
        return report_pb2.Hello(
            agent_version=VERSION,
            boot_id=self._boot_id,
            epoch=self._epoch,
            machine_id_hash=facts.machine_id_hash(self._host),
            wall_clock_us=self._host.wall_clock_us(),
            boottime_us=self._host.boottime_us(),
            facts=batches.host_facts(host_facts),
            interval_s=self._interval_s(),
            netns_inode=facts.netns_inode(self._host),
            spool_bytes=spool_bytes,
            spool_oldest_us=spool_oldest_us,
        )

    def _welcomed(self, address: str) -> None:
        self._log.situation(f"{address} welcomes", f"connected to {address}")
        self._stand(f"connected to {address}")

    def _stored(self) -> None:
        # Not at the welcome: a collector that welcomes and then fails, again and again, is one situation.
        self._log.settled()
        self._backoff.acknowledged()

    def _settle(self, address: str, ending: Ending) -> float:
        """Say what happened, if it is news, and how long to wait."""
        self._stand(f"no connection to {address}")
        if ending.why is End.OTHER_PAST:
            self._log.say(
                f"{address} has lost reports that it had acknowledged ({ending.words}); telling everything anew"
            )
            self._epoch = new_epoch()
            self._looks.restart()
            return self._backoff.after_failure()
        if ending.why is End.NOT_TAKEN:
            self._log.situation(
                address,
                f"{address} does not take a report of this host: {ending.words}; dropping it and telling everything "
                "anew, history will show a gap; it is a mistake in one of the two: report it",
            )
            self._epoch = new_epoch()
            self._looks.restart(REPORT_NOT_TAKEN)
            return self._backoff.after_refusal()
        if self._identity.valid_until_us < self._host.wall_clock_us():
            self._log.situation(
                address,
                f"the certificate of this host has expired, so {address} does not let it in; it asks for another, "
                "which an operator approves (`fleetnet hosts` shows it), or enroll it with --force and a new token",
            )
            self._renewal_wanted.set()
            return self._backoff.after_refusal()
        if ending.why is End.REFUSED:
            self._log.situation(address, f"{address} refuses this host: {ending.words}; trying again slowly; {ENROLL}")
            return self._backoff.after_refusal()
        if ending.why is End.TAKEN_OVER:
            self._log.situation(
                address,
                f"{address} hears another agent as this host ({ending.words}); trying again slowly; "
                "if this machine is a copy of another, enroll it with --force and a token for a name of its own",
            )
            return self._backoff.after_refusal()
        if ending.why is End.SENT_AWAY:
            self._log.situation(address, f"{address} asks to come back after {ending.floor_s:g} s: {ending.words}")
            return self._backoff.after_sent_away(ending.floor_s)
        self._log.situation(address, f"no connection to {address}: {ending.words}; trying again")
        return self._backoff.after_failure(len(self._identity.report_addresses))

    def _clock_was_set(self, between_us: tuple[int, int]) -> None:
        self._log.say("the host's clock was set; history will show a gap")
        self._looks.clock_was_set(between_us)
        self._leave.set()  # the next Hello tells the new offset

    def _read_identity(self) -> None:
        try:
            self._identity = state.load(self._directory)
        except AgentError as error:  # what is in memory is still good
            self._log.situation("state", str(error))


async def _wait_for(event: asyncio.Event, at_most_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await event.wait()


def new_epoch() -> int:
    """A random number that is not 0."""
    return secrets.randbits(64) or 1
