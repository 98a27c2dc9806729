"""Streams that hosts open: one, or many at one stroke, and both by the same way.

What must stay true: an older stream of the host is fenced by the transaction that opens the next.
"""

from collections.abc import Sequence

from fleetnet_server.records import Session
from fleetnet_server.services import machines
from fleetnet_server.services.together import Opening
from fleetnet_server.storage import hosts, sessions
from fleetnet_server.storage.database import Connection


def open_streams(conn: Connection, openings: Sequence[Opening]) -> list[Session | str | None]:
    """The streams that are opened, each of another host; or why another machine is the host, in a sentence for this
    one's agent; or None of a host that is not there or not active."""
    if not openings:
        return []
    newest = hosts.generations(conn, [host.host_id for host, *_ in openings])
    known = [one for one in openings if one[0].host_id in newest]
    refusals = machines.refusals(conn, known) if known else {}
    let_in = [
        (host.host_id, newest[host.host_id] + 1, hello, received_at_us)
        for host, hello, received_at_us in known
        if host.host_id not in refusals
    ]
    opened: dict[int, Session] = {}
    if let_in:
        hosts.fence(conn, [(host_id, generation) for host_id, generation, *_ in let_in])
        opened = {session.host_id: session for session in sessions.open_sessions(conn, let_in)}
    return [refusals.get(host.host_id) or opened.get(host.host_id) for host, *_ in openings]
