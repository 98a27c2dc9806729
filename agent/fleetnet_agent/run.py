"""`fleetnet-agent run`: from the settings to a running uplink, in the order that privileges need.

1. The identity is read (as whoever started us), so that a host that is not enrolled is told so before anything starts.
2. The helper is started, then root is given up.
3. Only now gRPC and the event loop come in.
"""

import asyncio
import importlib
import os
import signal
import sys
from pathlib import Path

from fleetnet_agent import failpoints, memory, privileges, state
from fleetnet_agent.budget import MIB, Ceilings
from fleetnet_agent.config import Settings
from fleetnet_agent.errors import AgentError
from fleetnet_agent.lean import without_openssl
from fleetnet_agent.log import Log
from fleetnet_agent.notify import Notifier


def run(settings: Settings) -> int:
    """Report until SIGTERM or SIGINT; the exit status. Raises AgentError."""
    log = Log()
    if notice := failpoints.notice():
        log.say(notice)
    memory.be_frugal()
    identity = state.load(settings.state)
    owner = privileges.owner_of(settings.state)
    helper = privileges.start_helper(owner[0], settings.helper_socket) if settings.with_helper else None
    try:
        privileges.become(owner, settings.state, log)
        _import_the_rest(settings.state)
        log.say(f"reports as {identity.host} to {', '.join(identity.report_addresses)}")
        with state.held(settings.state):
            asyncio.run(_report(settings, log, helper.socket if helper else found_helper(settings), helper))
    finally:
        if helper:
            helper.close()
    return 0


def ceilings(settings: Settings) -> Ceilings:
    """What the agent may use."""
    return Ceilings(settings.cpu_ceiling_percent, int(settings.memory_ceiling_mib * MIB))


def found_helper(settings: Settings) -> Path | None:
    """The socket of a helper that others started: the one named, or the usual one if it is there."""
    if settings.helper_socket:
        return settings.helper_socket
    return privileges.DEFAULT_SOCKET if privileges.answers(privileges.DEFAULT_SOCKET) else None


def _import_the_rest(directory: Path) -> None:
    """Raises AgentError where the user that this process has become cannot read the installation."""
    try:
        with without_openssl():
            importlib.import_module("fleetnet_agent.uplink.run")
            importlib.import_module("fleetnet_agent.watch")
    except ImportError as error:
        raise AgentError(
            f"the owner of {directory} (uid {os.geteuid()}) cannot read this installation in {sys.prefix} ({error}); "
            "install the agent where everybody can read it"
        ) from error


async def _report(settings: Settings, log: Log, helper_socket: Path | None, helper: privileges.Helper | None) -> None:
    from fleetnet_agent.host import this_host
    from fleetnet_agent.pacing import LOOK_EVERY_S
    from fleetnet_agent.uplink.run import Pace, Uplink
    from fleetnet_agent.watch import open_watch

    host = this_host()
    watch = open_watch(
        host,
        helper_socket=helper_socket,
        namespaces=settings.namespaces,
        events_buffer_bytes=settings.events_buffer_bytes,
        ceilings=ceilings(settings),
        helper_is_own=helper is not None,
    )
    try:
        uplink = Uplink(
            settings.state,
            host,
            watch,
            watch.interval_s,
            log,
            pace=Pace(look_every_s=LOOK_EVERY_S),
            notifier=Notifier(os.environ),
            sockets=watch.size,
            spool_bytes=int(settings.spool_size * MIB),
        )
        loop = asyncio.get_running_loop()
        watch.when_urgent(lambda: loop.call_soon_threadsafe(uplink.look_now))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, uplink.stop)
        noticed = asyncio.create_task(_notice_end(helper, log)) if helper else None
        memory.settle()
        await uplink.run()
        if noticed:
            noticed.cancel()
    finally:
        watch.close()


async def _notice_end(helper: privileges.Helper, log: Log) -> None:
    """Say so if the helper ends before the agent does. Another cannot be started: root was given up, and gRPC is there,
    with which no process may fork."""
    while helper.process.poll() is None:  # noqa: ASYNC110 - a child that asyncio did not start has no other way
        await asyncio.sleep(1.0)
    log.say(
        f"the helper ended with status {helper.process.returncode}, and without root it cannot be started again: "
        "owners and what is in other network namespaces stay unknown until the agent is restarted: restart its service"
    )
