"""Streams that hosts open: one, or many at one stroke, and both by the same way.

What must stay true: an older stream of the host is fenced by the transaction that opens the next, which has judged the
certificate that was shown.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from fleetnet_server.records import Hello, Host, Session
from fleetnet_server.services import machines
from fleetnet_server.services.together import Opening
from fleetnet_server.storage import hosts, sessions
from fleetnet_server.storage.database import Connection

# And when the Hello was received, by the collector's clock, and the serial of the certificate that was shown.
Came: TypeAlias = tuple[Host, Hello, int, str]


def came(conn: Connection, openings: Mapping[int, Opening]) -> dict[int, Came]:
    """Those of some that come as a host that is there, by what they are given by."""
    found = hosts.find_each(conn, [name for name, *_ in openings.values()]) if openings else {}
    return {
        place: (found[name], hello, at_us, serial)
        for place, (name, hello, at_us, serial) in openings.items()
        if name in found
    }


def open_streams(conn: Connection, came: Sequence[Came]) -> list[Session | str | None]:
    """The streams that are opened, each of another host; or why another machine is the host, in a sentence for this
    one's agent; or None of a host that is not there or not active, or has another certificate."""
    if not came:
        return []
    newest = hosts.generations(conn, [host.host_id for host, *_ in came])
    known = [one for one in came if _is_good(one, newest.get(one[0].host_id))]
    refusals = machines.refusals(conn, known) if known else {}
    let_in = [
        (host.host_id, newest[host.host_id].generation + 1, hello, received_at_us, serial)
        for host, hello, received_at_us, serial in known
        if host.host_id not in refusals
    ]
    opened: dict[int, Session] = {}
    if let_in:
        hosts.fence(conn, [(host_id, generation, serial) for host_id, generation, *_, serial in let_in])
        opened = {session.host_id: session for session in sessions.open_sessions(conn, let_in)}
    return [refusals.get(host.host_id) or opened.get(host.host_id) for host, *_ in came]


def _is_good(came: Came, newest: hosts.Newest | None) -> bool:
    *_, serial = came
    return newest is not None and hosts.good(serial, newest.certificate_serial, newest.renewed_serial)
