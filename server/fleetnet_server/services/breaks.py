"""What of a host's time nobody can know, as batches tell of it or end it: the gaps before a snapshot or a difference.

What must stay true: a snapshot of another agent than the one that made the last whole look has a gap before it, from
that look on; what a batch ends behind a gap ended somewhere in it.
"""

from collections.abc import Sequence
from dataclasses import replace

from fleetnet_server import metrics
from fleetnet_server.records import Gap
from fleetnet_server.services import backlog, quarantine
from fleetnet_server.services.steps import Rows, Step
from fleetnet_server.storage import gaps
from fleetnet_server.storage.database import Connection

HOST_REBOOTED = "host rebooted"


def note(conn: Connection, told: Sequence[Rows]) -> set[int]:
    """Record the gaps that batches, each of another host, tell of or end; the hosts of those that have one between the
    last whole look and their snapshot, or their difference.

    Before the last part of a snapshot only a new epoch can be known; a gap that the last part declares is made up for
    when the snapshot is whole.
    """
    gaps.record_each(conn, {one.host_id: _recorded(conn, one) for one in told})
    between = _between(conn, [one.step for one in told if _may_lie_between(one)])
    lengthened = {}
    broken = set()
    for one in told:
        step, last = one.step, one.step.standing.last_look
        reasons = between.get(step.host_id, set())
        if step.batch.snapshot is None:
            if quarantine.NOT_STORED in reasons:
                broken.add(step.host_id)
        elif reasons or not step.same_agent:
            broken.add(step.host_id)
            if last is not None and quarantine.NOT_STORED in reasons:
                # What a report told that was set aside is missing up to this look.
                lengthened[step.host_id] = [Gap(last.at_us, step.batch.look_at_us, quarantine.NOT_STORED)]
    gaps.record_each(conn, lengthened)
    return broken


def _recorded(conn: Connection, one: Rows) -> list[Gap]:
    step, last = one.step, one.step.standing.last_look
    told = _reached(step)
    found = backlog.declared(conn, step.host_id, told, step.last_look_us)
    if one.named is not None and last is not None and not step.same_agent:
        reason = gaps.AGENT_RESTARTED if last.boot_id == step.session.boot_id else HOST_REBOOTED
        unknown = backlog.beside(last.at_us, step.batch.look_at_us, told)
        found += [Gap(from_us, to_us, reason) for from_us, to_us in unknown]
        metrics.GAPS.labels("collector").inc(len(unknown))
    return found


def _reached(step: Step) -> list[Gap]:
    # Nobody knows of what no look has reached: a gap up to 2100 would mark every answer until then. What lies between
    # this look and a later one has been reached, though: by a clock that was set back since.
    latest_us = max(step.standing.latest_us, step.batch.look_at_us)
    return [
        replace(gap, from_us=min(gap.from_us, latest_us), to_us=min(gap.to_us, latest_us)) for gap in step.batch.gaps
    ]


def _may_lie_between(one: Rows) -> bool:
    """Whether it is for the recorded gaps to say if one lies before it."""
    if one.step.batch.snapshot is None:
        return not one.step.standing.whole and one.step.standing.last_look is not None
    return one.named is not None and one.step.same_agent


def _between(conn: Connection, steps: Sequence[Step]) -> dict[int, set[str]]:
    looks = [(step.host_id, step.last_look_us, step.batch.look_at_us) for step in steps]
    return gaps.reasons_between(conn, looks)
