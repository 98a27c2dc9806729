"""Parts of a live look: checked and bounded like any report, and turned into pages of the answer.

Sockets are read as those of a batch are, by the very same checks; the numbers beside them have no meaning to the
collector and go through as they are. What is wrong is refused with BadBatch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fleetnet_proto.v1 import live_pb2, query_pb2, report_pb2

from fleetnet_server import records
from fleetnet_server.rpc import bounds, translate_query, translate_report
from fleetnet_server.rpc.pages import PAGE_BYTES

# Of one part: interfaces of all namespaces, and some 400 statistics of each.
MAX_COUNTERS = 65_536


@dataclass(frozen=True, slots=True)
class Look:
    """What a part tells of sockets, in its order."""

    look_at_us: int
    sockets: tuple[records.Socket, ...]


def look(part: live_pb2.LivePart) -> Look:
    """Read a part, which is bounded in place. Raises BadBatch."""
    bounds.at_most(max(len(part.interfaces), len(part.statistics)), MAX_COUNTERS, "counters")
    bounds.at_most(max(map(len, _names(part)), default=0), bounds.NAME, "characters of a name")
    part.trouble = bounds.text(part.trouble, bounds.SENTENCE)
    part.DiscardUnknownFields()  # they would go through to whoever asked
    batch = translate_report.batch(
        report_pb2.Batch(
            boot_id=bytes(16),
            epoch=1,
            sequence=1,
            look_at_us=part.look_at_us,
            processes=part.processes,
            holders=part.holders,
            opened=[live.socket for live in part.sockets],
        )
    )
    return Look(batch.look_at_us, batch.opened)


def pages(part: live_pb2.LivePart, sockets: Sequence[records.SocketAnswer]) -> Iterator[query_pb2.LivePage]:
    """A part that was read, on as many pages as its size needs; `sockets` are its sockets in their order."""
    page = query_pb2.LivePage(trouble=part.trouble, interfaces=part.interfaces, statistics=part.statistics)
    size_bytes = page.ByteSize()
    owners: dict[int, list[query_pb2.OwnerItem]] = {}
    for live, answer in zip(part.sockets, sockets, strict=True):
        held_by = owners.get(id(answer.holder))
        if held_by is None:
            held_by = owners[id(answer.holder)] = translate_query.owner_items(answer.holder)
        item = query_pb2.LiveItem(
            socket=translate_query.socket_item(answer, held_by),
            timer=live.timer if live.HasField("timer") else None,
            tcp=live.tcp if live.HasField("tcp") else None,
            memory=live.memory if live.HasField("memory") else None,
        )
        page.sockets.append(item)
        size_bytes += item.ByteSize()
        if size_bytes > PAGE_BYTES:
            yield page
            page, size_bytes = query_pb2.LivePage(), 0
    if page.sockets or page.interfaces or page.statistics or page.trouble:
        yield page


def _names(part: live_pb2.LivePart) -> Iterator[str]:
    yield from (live.tcp.congestion_control for live in part.sockets)
    yield from (counters.name for counters in part.interfaces)
    for statistic in part.statistics:
        yield statistic.group
        yield statistic.name
