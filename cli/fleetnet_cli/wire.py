"""Protobuf messages on one side, the CLI's own records on the other; nothing else here, and no protobuf elsewhere.

Numbers become words by the names that the .proto gives them. A number that this version does not know (a newer
collector) becomes "unknown" and never an error.
"""

import socket as sockets
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fleetnet_proto.v1 import admin_pb2, query_pb2, sockets_pb2

from fleetnet_cli.labels import Wish
from fleetnet_cli.records import (
    Coverage,
    Described,
    End,
    HeldBack,
    Host,
    HostStanding,
    Label,
    Labelled,
    LabelledHost,
    Net,
    News,
    NotKept,
    Owner,
    PortRange,
    RefusedReports,
    Selection,
    Socket,
    SocketQuestion,
    StaleHost,
    Token,
    TokenWish,
)


def words(names_and_numbers: Iterable[tuple[str, int]], prefix: str, *, lower: bool = True) -> dict[int, str]:
    """The words of an enumeration by their numbers."""
    # Number 0 is "unspecified" in every enumeration: there is no word for it.
    words = {n: name.removeprefix(prefix) for name, n in names_and_numbers if n != 0}
    return {n: w.lower().replace("_", "-") for n, w in words.items()} if lower else words


_PROTOCOLS = words(sockets_pb2.Protocol.items(), "PROTOCOL_")
FAMILIES = words(sockets_pb2.Family.items(), "FAMILY_")
_STATES = words(sockets_pb2.State.items(), "STATE_", lower=False)
_OWNER_STATUSES = words(sockets_pb2.OwnerStatus.items(), "OWNER_STATUS_")
_SOURCES = words(sockets_pb2.Source.items(), "SOURCE_")
_OPENED = words(sockets_pb2.OpenedAtIs.items(), "OPENED_AT_IS_")
_CLOSED = words(sockets_pb2.ClosedAtIs.items(), "CLOSED_AT_IS_")
_SCOPES = words(query_pb2.AddressScope.items(), "ADDRESS_SCOPE_")
_EXPOSURES = words(query_pb2.Exposure.items(), "EXPOSURE_")
_KEPT = words(query_pb2.Kept.items(), "KEPT_")
_STATUSES = words(query_pb2.HostStatus.items(), "HOST_STATUS_")
_TYPES = words(sockets_pb2.SocketType.items(), "SOCKET_TYPE_")

_STATE_NUMBERS = {word: number for number, word in _STATES.items()}
_PROTOCOL_NUMBERS = {word: number for number, word in _PROTOCOLS.items()}

UNKNOWN = "unknown"


SocketsRequest = query_pb2.ListSocketsRequest | query_pb2.FindSocketsRequest | query_pb2.SeekSocketsRequest


def sockets_request(question: SocketQuestion) -> SocketsRequest:
    """The question about sockets, as asked: in the oldest of its forms that has a place for all of it, so that a
    collector that knows no newer one answers what it can, and never half of it."""
    some_hosts = len(question.selection.host_globs) > 1 or question.selection.labels
    if some_hosts or question.container or question.local or not _has_one_end_at_most(question):
        return _sought(question)
    plain = listed(question)
    if not (question.remotes or question.since_us):
        return plain
    return query_pb2.FindSocketsRequest(
        sockets=plain,
        remote=net(question.remotes[0]) if question.remotes else None,
        remote_port=question.remote_ports[0].first if question.remote_ports else 0,
        opened_since_us=question.since_us,
    )


def watch_request(question: SocketQuestion) -> query_pb2.WatchSocketsRequest:
    """What to watch."""
    return query_pb2.WatchSocketsRequest(sockets=_sought(question))


def news(message: query_pb2.WatchSocketsResponse) -> Iterator[News]:
    """What a message tells; nothing where it is of a kind that is not known here."""
    kind = message.WhichOneof("part") or ""
    if kind in ("there", "came", "went"):
        for item in getattr(message, kind).items:
            yield News(kind, message.at_us, socket=socket(item))
    elif kind == "coverage":
        yield News(kind, message.at_us, coverage=coverage(message.coverage))
    elif kind == "mark":
        yield News(kind, message.at_us)


def _has_one_end_at_most(question: SocketQuestion) -> bool:
    """No other end, or one net with one port or any."""
    nets, ports = question.remotes, question.remote_ports
    return len(nets) <= 1 and len(ports) <= len(nets) and all(one.first == one.last for one in ports)


def _sought(question: SocketQuestion) -> query_pb2.SeekSocketsRequest:
    asked = question.selection
    return query_pb2.SeekSocketsRequest(
        sockets=listed(replace(question, selection=replace(asked, host_globs=(), labels=()))),
        host_globs=asked.host_globs,
        labels=map(_labelled, asked.labels),
        opened_since_us=question.since_us,
        remotes=map(net, question.remotes),
        remote_ports=map(_ports, question.remote_ports),
        local=net(question.local) if question.local else None,
        container=question.container,
    )


def listed(question: SocketQuestion) -> query_pb2.ListSocketsRequest:
    """The question in its oldest form, without what has no place in that."""
    return query_pb2.ListSocketsRequest(
        selection=selection(question.selection),
        states=[sockets_pb2.State.Name(_STATE_NUMBERS[s]) for s in question.states],
        protocols=[sockets_pb2.Protocol.Name(_PROTOCOL_NUMBERS[p]) for p in question.protocols],
        local_ports=map(_ports, question.local_ports),
        listeners_only=question.listeners_only,
        exposed_only=question.exposed_only,
        process=question.process,
        unit=question.unit,
        user=question.user,
    )


def net(asked: Net) -> query_pb2.Net:
    """Addresses that begin alike."""
    family = sockets.AF_INET6 if ":" in asked.address else sockets.AF_INET
    return query_pb2.Net(address=sockets.inet_pton(family, asked.address), prefix_bits=asked.prefix_bits)


def _ports(ports: PortRange) -> query_pb2.PortRange:
    return query_pb2.PortRange(first=ports.first, last=ports.last)


def hosts_request(asked: Selection) -> query_pb2.ListHostsRequest | query_pb2.SeekHostsRequest:
    """The question about hosts, as asked; likewise."""
    if len(asked.host_globs) > 1 or asked.labels:
        plain = query_pb2.ListHostsRequest(selection=selection(replace(asked, host_globs=(), labels=())))
        return query_pb2.SeekHostsRequest(hosts=plain, host_globs=asked.host_globs, labels=map(_labelled, asked.labels))
    return query_pb2.ListHostsRequest(selection=selection(asked))


def token_request(wish: TokenWish, ttl_s: int) -> admin_pb2.CreateTokenRequest:
    """The wish for a token; what is as it always was is not said."""
    return admin_pb2.CreateTokenRequest(
        host=wish.host,
        ttl_s=ttl_s,
        labels=map(_labelled, wish.labels),
        max_uses=wish.max_uses if wish.max_uses != 1 else 0,
        approve=wish.approve,
    )


def approve_hosts_request(names: Iterable[str]) -> admin_pb2.ApproveHostsRequest:
    """The wish to let hosts in."""
    return admin_pb2.ApproveHostsRequest(hosts=names)


def labels_request(wish: Wish, globs: Iterable[str]) -> admin_pb2.LabelHostsRequest:
    """The wish for labels."""
    return admin_pb2.LabelHostsRequest(
        hosts=wish.hosts, host_globs=globs, set=map(_labelled, wish.given), remove=wish.taken
    )


def revoke_hosts_request(names: Iterable[str]) -> admin_pb2.RevokeHostsRequest:
    """The wish to keep hosts out."""
    return admin_pb2.RevokeHostsRequest(hosts=names)


def forget_hosts_request(names: Iterable[str]) -> admin_pb2.ForgetHostsRequest:
    """The wish to have hosts leave the fleet."""
    return admin_pb2.ForgetHostsRequest(hosts=names)


def labelled(message: admin_pb2.LabelHostsResponse) -> Labelled:
    """What became of it."""
    return Labelled(
        hosts=tuple(LabelledHost(one.host, labels(one.labels), one.changed) for one in message.hosts),
        unmatched_globs=tuple(message.unmatched_globs),
    )


def labels(messages: Iterable[query_pb2.Label]) -> tuple[Label, ...]:
    """Labels of an answer."""
    return tuple(Label(one.key, one.value) for one in messages)


def _labelled(label: Label) -> query_pb2.Label:
    return query_pb2.Label(key=label.key, value=label.value)


def selection(asked: Selection) -> query_pb2.Selection:
    """Which hosts, when, and how much. It has a place for one glob and none for labels: ValueError where there are."""
    [glob] = asked.host_globs or [""]
    if asked.labels:
        raise ValueError("labels have no place in this question")
    return query_pb2.Selection(
        host_glob=glob,
        host=asked.host,
        at_us=asked.at_us,
        max_age_ms=asked.max_age_ms,
        limit=asked.limit,
    )


def coverage(message: query_pb2.Coverage) -> Coverage:
    """How far an answer reaches."""
    return Coverage(
        as_of_us=message.as_of_us,
        hosts_asked=message.hosts_asked,
        hosts_fresh=message.hosts_fresh,
        hosts_stale=tuple(StaleHost(s.host, s.last_seen_us) for s in message.hosts_stale),
        gaps=message.gaps,
        not_kept=tuple(NotKept(_KEPT.get(gone.kind, UNKNOWN), gone.since_us) for gone in message.not_kept),
        unseen_holders=message.unseen_holders,
        unmatched_globs=tuple(message.unmatched_globs),
        unmatched_labels=labels(message.unmatched_labels),
    )


def end(message: query_pb2.End) -> End:
    """The end of an answer."""
    return End(message.items, message.truncated)


def token(message: admin_pb2.CreateTokenResponse) -> Token:
    """A token that was made."""
    return Token(
        message.token,
        message.host,
        message.expires_at_us,
        labels=labels(message.labels),
        max_uses=message.max_uses or 1,
        approve=message.approve,
    )


def described(message: admin_pb2.DescribeCollectorResponse) -> Described:
    """What a collector says of itself."""
    return Described(
        version=message.version,
        at_us=message.at_us,
        server_certificate_until_us=message.server_certificate_until_us,
        ca_certificate_until_us=message.ca_certificate_until_us,
        refused=tuple(RefusedReports(r.host, r.reports, r.last_at_us, r.reason) for r in message.refused),
        held_back=tuple(HeldBack(h.host, h.over, h.held_s, h.since_us) for h in message.held_back),
    )


def host(message: query_pb2.HostItem) -> Host:
    """One host of an answer."""
    return Host(
        host=message.host,
        fresh=message.fresh,
        connected=message.connected,
        last_seen_us=message.last_seen_us,
        enrolled_at_us=message.enrolled_at_us,
        sockets=message.sockets,
        listeners=message.listeners,
        agent_version=message.agent_version,
        os=message.os,
        kernel=message.kernel,
        architecture=message.architecture,
        booted_at_us=message.booted_at_us,
        clock_offset_us=message.clock_offset_us,
        degraded=tuple(message.degraded),
        gaps=message.gaps,
        labels=labels(message.labels),
        status=_word_or_none(_STATUSES, message.status),
    )


def standing(message: admin_pb2.HostStanding) -> HostStanding:
    """How one host stands."""
    return HostStanding(message.host, _STATUSES.get(message.status, UNKNOWN), message.changed)


def socket(message: query_pb2.SocketItem) -> Socket:
    """One socket of an answer."""
    return Socket(
        host=message.host,
        netns=message.netns,
        protocol=_PROTOCOLS.get(message.protocol, UNKNOWN),
        family=FAMILIES.get(message.family, UNKNOWN),
        state=_STATES.get(message.state, UNKNOWN),
        interface=message.interface,
        v6only=message.v6only if message.HasField("v6only") else None,
        local_address=address(message.local_address),
        local_port=message.local_port,
        remote_address=address(message.remote_address),
        remote_port=message.remote_port,
        recv_queue=message.recv_queue,
        send_queue=message.send_queue,
        uid=message.uid if message.HasField("uid") else None,
        user=message.user,
        inode=message.inode,
        unit=message.unit,
        container=message.container,
        owners=tuple([Owner(o.pid, o.name, o.exe, o.started_at_us, o.program) for o in message.owners]),
        owner_status=_OWNER_STATUSES.get(message.owner_status, UNKNOWN),
        scope=_word_or_none(_SCOPES, message.scope),
        exposed=_word_or_none(_EXPOSURES, message.exposure),
        opened_at_us=message.opened_at_us,
        opened_at_is=_OPENED.get(message.opened_at_is, UNKNOWN),
        closed_at_us=message.closed_at_us,
        closed_at_is=_word_or_none(_CLOSED, message.closed_at_is),
        last_seen_us=message.last_seen_us,
        source=_SOURCES.get(message.source, UNKNOWN),
        runtime=message.runtime,
        type=_word_or_none(_TYPES, message.type),
        path=_path(message.path) if message.path else "",
        peer_inode=message.peer_inode,
        netns_inode=message.netns_inode,
        cookie=message.cookie,
    )


def _path(name: bytes) -> str:
    # Linux has no encoding for paths; what is not UTF-8 is told by its bytes.
    text = name.decode(errors="backslashreplace")
    return "@" + text[1:] if text.startswith("\0") else text


def _word_or_none(words: dict[int, str], number: int) -> str:
    return words.get(number, UNKNOWN) if number else ""


def address(packed: bytes) -> str:
    """An address as text; "" where it is none."""
    # inet_ntop keeps ::ffff: for IPv4-mapped addresses and is many times faster than ipaddress.
    if len(packed) == 4:
        return sockets.inet_ntop(sockets.AF_INET, packed)
    if len(packed) == 16:
        return sockets.inet_ntop(sockets.AF_INET6, packed)
    return ""
