"""What becomes of a report that cannot be stored, so that one bad report does not cost a host its history.

What must stay true: it is acknowledged only with its place in quarantine, in one transaction; a gap says that it is
missing; and no look of its host is whole before the next snapshot. A host that sends too many is not helped by that,
and is refused instead.
"""

from fleetnet_server.errors import BadBatch
from fleetnet_server.records import Gap, RefusedBatch, Session
from fleetnet_server.storage import gaps, hosts, quarantine, sessions
from fleetnet_server.storage.database import Connection

NOT_STORED = "a report could not be stored"
MOST_IN_AN_HOUR = 10
_HOUR_US = 3_600_000_000
# How far from each other the two clocks may be reckoned: Hello takes its time on the way.
_SLACK_US = 60_000_000


def set_aside(
    conn: Connection, session: Session, batch: RefusedBatch, standing: sessions.Standing, received_at_us: int
) -> None:
    """Keep the next batch of a stream in quarantine, and note that history lacks it. Raises BadBatch if the host has
    sent too many such."""
    if quarantine.count_since(conn, session.host_id, received_at_us - _HOUR_US) >= MOST_IN_AN_HOUR:
        raise BadBatch(f"{batch.reason}; it is one of more than {MOST_IN_AN_HOUR} within an hour")
    quarantine.keep(conn, session.host_id, batch, received_at_us)
    gaps.record(conn, session.host_id, [_missing(batch, standing, received_at_us)])
    if batch.past_us is None:
        hosts.note_missing(conn, session.host_id)
    elif batch.past_last:
        # Nothing more comes that would withdraw what waits for it. What is missing is a gap of its own now.
        gaps.withdraw_kept(conn, session.host_id, *batch.past_us)
    sessions.note_sequence(conn, session, batch.sequence)


def _missing(batch: RefusedBatch, standing: sessions.Standing, received_at_us: int) -> Gap:
    """The past that it told of, or from the look before to the one that it told of; nothing later than the host's clock
    can be."""
    now_us = received_at_us + standing.clock_offset_us
    latest_us = max(standing.latest_us, now_us + _SLACK_US)
    if batch.past_us is not None:
        return Gap(min(batch.past_us[0], latest_us), min(batch.past_us[1], latest_us), NOT_STORED)
    to_us = min(batch.look_at_us or now_us, latest_us)
    from_us = standing.last_look.at_us if standing.last_look else batch.previous_look_at_us or to_us
    if standing.last_look and from_us == to_us:
        # What one look finds may take several batches, of which the first made it count as whole. It is not: so the gap
        # holds that look too, and what comes before the next one is missing with it.
        return Gap(min(batch.previous_look_at_us or from_us, from_us), to_us + 1, NOT_STORED)
    return Gap(min(from_us, to_us), to_us, NOT_STORED)
