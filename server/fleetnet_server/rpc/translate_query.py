"""Questions from protobuf messages to records, and answers back."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import replace
from typing import cast

from fleetnet_proto.v1 import admin_pb2, query_pb2, sockets_pb2

from fleetnet_server import records
from fleetnet_server.errors import RequestRefused
from fleetnet_server.rpc import bounds, known, port_ranges, translate_hosts, translate_labels, translate_network
from fleetnet_server.rpc.pages import in_pages
from fleetnet_server.services import labels, scopes
from fleetnet_server.services import news as told

_PROTOCOLS = [number for number in sockets_pb2.Protocol.values() if number != sockets_pb2.PROTOCOL_UNSPECIFIED]
_DEFAULT_MAX_AGE_MS = 120_000
_MAX_TEXT = 1_024
_MAX_RANGES = 4_096
_MAX_NETS = 1_024
# Each becomes up to eight parts of a statement (two forms of its addresses, two tables, and apart those hosts whose
# clocks are far off), of which SQLite allows 500 (SQLITE_MAX_COMPOUND_SELECT).
_MAX_WIDE_NETS = 60
_MAX_GLOBS = 64
_LAST_PORT = 0xFFFF


def socket_question(message: query_pb2.ListSocketsRequest) -> records.SocketQuestion:
    """Which sockets are asked for. Raises RequestRefused."""
    _check_count(message.local_ports, _MAX_RANGES, "ranges of ports")
    local_ports = port_ranges.merged(message.local_ports)
    port_ranges.check(local_ports, (), 0)
    return records.SocketQuestion(
        selection=selection(message.selection),
        states=_known(message.states, range(1, sockets_pb2.STATE_CLOSING + 1), "state"),
        protocols=_known(message.protocols, _PROTOCOLS, "protocol"),
        local_ports=local_ports,
        listeners_only=message.listeners_only,
        exposed_only=message.exposed_only,
        process=text(message.process, "process"),
        unit=text(message.unit, "unit"),
        user=text(message.user, "user"),
    )


def narrower_question(message: query_pb2.FindSocketsRequest) -> records.SocketQuestion:
    """Which sockets are asked for, more narrowly. Raises RequestRefused."""
    _check_since(message.opened_since_us, message.sockets.selection.at_us)
    if message.remote_port and not message.HasField("remote"):
        raise RequestRefused("a remote port is asked for without a remote address")
    if message.remote_port > _LAST_PORT:
        raise RequestRefused(f"{message.remote_port} is no port")
    return replace(
        socket_question(message.sockets),
        remotes=(net(message.remote),) if message.HasField("remote") else (),
        remote_ports=((message.remote_port, message.remote_port),) if message.remote_port else (),
        opened_since_us=message.opened_since_us,
    )


def narrowest_question(message: query_pb2.SeekSocketsRequest) -> records.SocketQuestion:
    """Which sockets are asked for, with all that narrows. Raises RequestRefused, also of what is not known here."""
    _check_counts(message)
    known.check(message)
    return _narrowest(message)


def watched_question(message: query_pb2.WatchSocketsRequest) -> records.SocketQuestion:
    """Which sockets are watched. Raises RequestRefused, also of what is not known here."""
    _check_counts(message.sockets)
    known.check(message)
    return _narrowest(message.sockets)


def _check_counts(message: query_pb2.SeekSocketsRequest) -> None:
    # Before anything else, for to look at each of millions takes seconds, in which nobody is answered.
    _check_count(message.sockets.local_ports, _MAX_RANGES, "ranges of ports")
    _check_count(message.remote_ports, _MAX_RANGES, "ranges of ports")
    _check_count(message.remotes, _MAX_NETS, "nets")
    _check_hosts(message)


def _narrowest(message: query_pb2.SeekSocketsRequest) -> records.SocketQuestion:
    _check_since(message.opened_since_us, message.sockets.selection.at_us)
    remotes = tuple(map(net, message.remotes))
    wide = [net for net in remotes if net.prefix_bits < len(net.address) * 8]
    _check_count(wide, _MAX_WIDE_NETS, "nets of more than one address")
    question = socket_question(message.sockets)
    remote_ports = port_ranges.merged(message.remote_ports)
    port_ranges.check(question.local_ports, remote_ports, len(wide))
    return replace(
        question,
        selection=_of_some(question.selection, message),
        opened_since_us=message.opened_since_us,
        remotes=remotes,
        remote_ports=remote_ports,
        local=net(message.local) if message.HasField("local") else None,
        container=text(message.container, "container"),
    )


def news(news: told.News) -> Iterator[query_pb2.WatchSocketsResponse]:
    """What is new, on as many messages as its size needs."""
    match news:
        case records.Coverage():
            yield query_pb2.WatchSocketsResponse(coverage=coverage(news))
        case told.There():
            yield from (query_pb2.WatchSocketsResponse(there=page) for page in socket_pages(news.sockets))
        case told.Came():
            yield from (query_pb2.WatchSocketsResponse(came=page) for page in socket_pages(news.sockets))
        case told.Went():
            yield from (query_pb2.WatchSocketsResponse(went=page) for page in socket_pages(news.sockets))
        case told.Mark():
            yield query_pb2.WatchSocketsResponse(mark=query_pb2.Mark())


def hosts_sought(message: query_pb2.SeekHostsRequest) -> records.Selection:
    """Which hosts are asked for. Raises RequestRefused, also of what is not known here."""
    _check_hosts(message)
    known.check(message)
    return _of_some(selection(message.hosts.selection), message)


def namespace_question(message: query_pb2.ListNamespacesRequest) -> records.NamespaceQuestion:
    """Which namespaces are asked for. Raises RequestRefused."""
    return records.NamespaceQuestion(
        selection=selection(message.selection),
        own_only=message.own_only,
        without_interfaces=message.without_interfaces,
        without_routes=message.without_routes,
    )


def selection(message: query_pb2.Selection) -> records.Selection:
    """Which hosts are asked about, and when. Raises RequestRefused."""
    if not 0 <= message.at_us <= bounds.LAST_US:
        raise RequestRefused("the time asked about is not between 1970 and 2100")
    return records.Selection(
        host=text(message.host, "host"),
        host_globs=(text(message.host_glob, "host"),) if message.host_glob else (),
        at_us=message.at_us,
        max_age_ms=min(message.max_age_ms, bounds.LAST_US // 1_000) or _DEFAULT_MAX_AGE_MS,
        # One more is looked for, and that too must be a number to the engine.
        limit=min(message.limit, bounds.MAX_INTEGER - 1),
    )


def coverage(coverage: records.Coverage) -> query_pb2.Coverage:
    """How far an answer reaches."""
    return query_pb2.Coverage(
        as_of_us=coverage.as_of_us,
        hosts_asked=coverage.hosts_asked,
        hosts_fresh=coverage.hosts_fresh,
        hosts_stale=[
            query_pb2.StaleHost(host=stale.host, last_seen_us=stale.last_seen_us) for stale in coverage.hosts_stale
        ],
        gaps=coverage.gaps,
        not_kept=[
            query_pb2.NotKept(kind=cast("query_pb2.Kept", gone.kind), since_us=gone.since_us)
            for gone in coverage.not_kept
        ],
        unseen_holders=coverage.unseen_holders,
        unmatched_globs=coverage.unmatched_globs,
        unmatched_labels=translate_labels.messages(coverage.unmatched_labels),
    )


def end(end: records.End) -> query_pb2.End:
    """The end of an answer."""
    return query_pb2.End(items=end.items, truncated=end.truncated)


def socket_pages(answers: Sequence[records.SocketAnswer]) -> Iterator[query_pb2.SocketPage]:
    """The answers in their order, on as many pages as their size needs."""
    return (query_pb2.SocketPage(items=page) for page in in_pages(_socket_items(answers)))


def _socket_items(answers: Sequence[records.SocketAnswer]) -> Iterator[query_pb2.SocketItem]:
    # Many sockets have one holder, which storage hands out as one object, and a holder may have thousands of owners.
    owners: dict[int, list[query_pb2.OwnerItem]] = {}
    for answer in answers:
        name = id(answer.holder)
        if name not in owners:
            owners[name] = owner_items(answer.holder)
        yield socket_item(answer, owners[name])


def socket_item(answer: records.SocketAnswer, owners: Sequence[query_pb2.OwnerItem]) -> query_pb2.SocketItem:
    """One socket. Scope and exposure are judged here, from what is stored, so that a rule can be mended later."""
    listens = scopes.listens(answer.protocol, answer.state, answer.remote_address)
    scope = scopes.scope(answer.local_address) if listens else scopes.Scope.NOT_A_LISTENER
    holder = answer.holder
    # The casts are for the type checker: at run time protobuf's enumerations are plain numbers.
    return query_pb2.SocketItem(
        host=answer.host,
        netns=translate_network.netns_name(answer.netns, answer.netns_name),
        protocol=cast("sockets_pb2.Protocol", answer.protocol),
        family=cast("sockets_pb2.Family", answer.family),
        state=cast("sockets_pb2.State", answer.state),
        interface=answer.interface,
        v6only=answer.v6only,
        local_address=answer.local_address,
        local_port=answer.local_port,
        remote_address=answer.remote_address,
        remote_port=answer.remote_port,
        recv_queue=answer.recv_queue,
        send_queue=answer.send_queue,
        uid=holder.uid,
        user=holder.user,
        inode=answer.inode,
        unit=holder.unit,
        container=holder.container,
        owners=owners,
        owner_status=cast("sockets_pb2.OwnerStatus", holder.owner_status),
        scope=cast("query_pb2.AddressScope", scope),
        exposure=cast("query_pb2.Exposure", scopes.exposure(answer.netns, scope, answer.interface)),
        opened_at_us=answer.opened_at_us,
        opened_at_is=cast("sockets_pb2.OpenedAtIs", answer.opened_at_is),
        closed_at_us=answer.closed_at_us,
        closed_at_is=cast("sockets_pb2.ClosedAtIs", answer.closed_at_is),
        last_seen_us=answer.last_seen_us,
        cookie=answer.cookie,
        source=cast("sockets_pb2.Source", answer.source),
        runtime=holder.runtime,
        type=cast("sockets_pb2.SocketType", answer.type),
        path=answer.path,
        peer_inode=answer.peer_inode,
        netns_inode=answer.netns,
    )


def owner_items(holder: records.Holder) -> list[query_pb2.OwnerItem]:
    """The processes that hold something, ascending by pid."""
    return [
        query_pb2.OwnerItem(
            pid=owner.pid,
            name=owner.name,
            exe=owner.exe,
            started_at_us=owner.started_at_us,
            program=owner.program,
        )
        for owner in sorted(holder.owners, key=lambda owner: owner.pid)
    ]


def host_pages(items: Iterable[query_pb2.HostItem]) -> Iterator[query_pb2.HostPage]:
    """The hosts in their order, on as many pages as their size needs."""
    return (query_pb2.HostPage(items=page) for page in in_pages(items))


def host_item(host: records.HostAnswer, connected: bool) -> query_pb2.HostItem:
    """One host."""
    return query_pb2.HostItem(
        host=host.host,
        fresh=host.fresh,
        connected=connected,
        last_seen_us=host.last_seen_us,
        enrolled_at_us=host.enrolled_at_us,
        sockets=host.sockets,
        listeners=host.listeners,
        agent_version=host.agent_version,
        os=host.facts.os,
        kernel=host.facts.kernel,
        architecture=host.facts.architecture,
        booted_at_us=host.facts.booted_at_us,
        clock_offset_us=host.clock_offset_us,
        degraded=host.degraded,
        gaps=host.gaps,
        labels=translate_labels.messages(host.labels),
        status=translate_hosts.status_number(host.status),
    )


def _check_hosts(message: query_pb2.SeekSocketsRequest | query_pb2.SeekHostsRequest) -> None:
    _check_count(message.host_globs, _MAX_GLOBS, "patterns of hosts")
    _check_count(message.labels, labels.MOST_OF_A_HOST, "labels")


def globs_to_label(message: admin_pb2.LabelHostsRequest) -> tuple[str, ...]:
    """Patterns of the hosts that are to be labelled. Raises RequestRefused, also of what is not known here."""
    _check_count(message.host_globs, _MAX_GLOBS, "patterns of hosts")
    known.check(message)
    return _globs(message.host_globs)


def _globs(given: Sequence[str]) -> tuple[str, ...]:
    if not all(given):
        raise RequestRefused("a pattern of hosts is empty; leave it out to ask all")
    return tuple(text(glob, "host") for glob in given)


def _of_some(
    asked: records.Selection, message: query_pb2.SeekSocketsRequest | query_pb2.SeekHostsRequest
) -> records.Selection:
    if message.labels and asked.host:
        raise RequestRefused("one host is asked about, whatever its labels are; leave them out")
    wanted = translate_labels.asked(message.labels)
    return replace(asked, host_globs=(*asked.host_globs, *_globs(message.host_globs)), labels=wanted)


def _check_since(since_us: int, at_us: int) -> None:
    if not 0 <= since_us <= bounds.LAST_US:
        raise RequestRefused("the time since which sockets are asked for is not between 1970 and 2100")
    if 0 < at_us < since_us:
        raise RequestRefused("the time since which sockets are asked for is later than the time asked about")


def _check_count(given: Sized, most: int, what: str) -> None:
    if len(given) > most:
        raise RequestRefused(f"the question names {len(given)} {what}; at most {most} work")


def net(message: query_pb2.Net) -> records.Net:
    """Addresses that begin alike. Raises RequestRefused."""
    size_bytes = len(message.address)
    if size_bytes not in (4, 16) or message.prefix_bits > size_bytes * 8:
        raise RequestRefused(f"{size_bytes} bytes of which {message.prefix_bits} bits count are no address and no net")
    return records.Net(message.address, message.prefix_bits)


def _known(values: Sequence[int], known: Sequence[int], what: str) -> tuple[int, ...]:
    for value in values:
        if value not in known:
            raise RequestRefused(f"{what} {value} is not known to this collector")
    return tuple(dict.fromkeys(values))


def text(asked: str, what: str) -> str:
    """What something is called. Raises RequestRefused."""
    if len(asked) > _MAX_TEXT or "\0" in asked:
        raise RequestRefused(f"the {what} asked for is longer than any name, or holds a NUL")
    return asked
