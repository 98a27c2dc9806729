"""The questions that a map is drawn from, each narrowed in the collector as far as it can be.

1. Which hosts are named or have the labels asked for, where some are.
2. The namespaces of the fleet, with their addresses.
3. Its listeners, of all ports: which end of a connection serves is told by who listens at either.
4. The connections asked for: all, or those of the hosts, process or unit named. Of ports it is two questions, one for
   each end that may have them.
5. Where that was not all: whatever has an address at its other end that what was asked for has at its own, for among
   these are the other halves.
6. Of a process or unit that listens: all connections of its hosts, for what it listens for another may have accepted.
7. Where that joined two hosts at an address that a third has as well: whatever has the far address at its other end,
   for the third may report the same half. So a map of some hosts takes nobody's word that the map of all doubts.

What must stay true: the answer reaches no further than any of these, and no more than addresses is kept of them beside
what is drawn.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleetnet_cli.edges.connections import is_loopback, text
from fleetnet_cli.edges.drawing import Drawing
from fleetnet_cli.edges.places import Places
from fleetnet_cli.edges.records import Edge
from fleetnet_cli.edges.wanted import Wanted
from fleetnet_cli.network import NamespaceQuestion
from fleetnet_cli.records import Coverage, Net, Selection, SocketQuestion

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector

# In which something may still be said: not what is no connection yet, nor what is none any more.
STATES = ("ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT1", "FIN_WAIT2")

# What a collector takes in one question (its rpc/translate_query.py).
_MOST_NETS = 1_024
_MOST_GLOBS = 64


@dataclass(frozen=True, slots=True)
class MapQuestion:
    """What to draw; what is empty does not narrow."""

    selection: Selection  # an end is to be on these hosts
    named: frozenset[str]  # those of its globs that are the names of hosts, which there must be
    protocols: tuple[str, ...]
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Map:
    """Edges, and how far they reach."""

    edges: list[Edge]
    coverage: Coverage


def ask(collector: "Collector", question: MapQuestion) -> Map:
    """Draws a map. Raises UnknownHost."""
    wanted = question.wanted
    narrowed = Coverage(as_of_us=0)
    if question.selection.host_globs or question.selection.labels:  # 1.
        answer = collector.hosts(question.selection)
        hosts, narrowed = frozenset(host.host for host in answer), answer.coverage
        for host in sorted(question.named - hosts):
            alone = replace(question.selection, host_globs=(), labels=(), host=host)
            collector.namespaces(NamespaceQuestion(alone))  # fails, unless it lacks a label only
        if not hosts:
            return Map([], answer.coverage)
        wanted = replace(wanted, hosts=hosts)
    fleet = replace(question.selection, host_globs=(), labels=())
    namespaces = collector.namespaces(NamespaceQuestion(fleet, without_routes=True))
    with Drawing(Places(namespaces), wanted) as drawing:  # 2.
        reach = replace(
            namespaces.coverage,
            unmatched_globs=narrowed.unmatched_globs,
            unmatched_labels=narrowed.unmatched_labels,
        )
        asking = _Asking(collector, drawing, wanted, reach)
        asking.listeners(SocketQuestion(fleet, protocols=question.protocols, listeners_only=True))
        everyone = SocketQuestion(fleet, states=STATES, protocols=question.protocols)
        asked = replace(everyone, selection=question.selection, process=wanted.process, unit=wanted.unit)
        asking.connections(asked, asked=True)
        if wanted.narrows_ends and (own := asking.own()):
            asking.connections(_towards(own, everyone), asked=False)
        if not wanted.only_hosts and (own_hosts := asking.hosts()):
            beside = replace(fleet, host_globs=own_hosts if len(own_hosts) <= _MOST_GLOBS else ())
            asking.connections(replace(everyone, selection=beside), asked=False)
        edges = drawing.edges()
        if wanted.narrows_ends and drawing.contested:  # 7.
            asking.connections(_towards(_nets(drawing.contested), everyone), asked=False)
            edges = drawing.edges()
        return Map(edges, asking.reach)


def _towards(nets: tuple[Net, ...], everyone: SocketQuestion) -> SocketQuestion:
    """Those whose other end has one of these addresses, or all where they are more than a question takes."""
    return replace(everyone, remotes=nets) if len(nets) <= _MOST_NETS else everyone


def _nets(addresses: Iterable[bytes]) -> tuple[Net, ...]:
    """Each address as a net of its own."""
    kept = sorted(map(text, addresses))
    return tuple(Net(address, ipaddress.ip_address(address).max_prefixlen) for address in kept)


class _Asking:
    """Asks for sockets and draws them; keeps how far the answers reach, and which addresses are of what was asked."""

    def __init__(self, collector: "Collector", drawing: Drawing, wanted: Wanted, reach: Coverage) -> None:
        self.reach = reach
        self._collector = collector
        self._drawing = drawing
        self._wanted = wanted
        self._hosts = set(wanted.hosts or ()) if wanted.only_hosts else set[str]()
        self._addresses: set[bytes] = set()

    def listeners(self, question: SocketQuestion) -> None:  # 3.
        """Draws whoever listens."""
        answer = self._collector.sockets(question)
        self._heard(answer.coverage)
        for socket in answer:
            if self._wanted.has_end(self._drawing.listener(socket)):
                self._hosts.add(socket.host)

    def connections(self, question: SocketQuestion, *, asked: bool) -> None:  # 4. to 6.
        """Draws connections."""
        for one in self._by_port(question):
            answer = self._collector.sockets(one)
            self._heard(answer.coverage)
            for socket in answer:
                if not socket.remote_address:
                    continue  # none of those asked for
                local = self._drawing.half(socket, asked=asked)
                if asked and self._wanted.narrows_ends:
                    self._addresses.add(local)

    def own(self) -> tuple[Net, ...]:
        """Each address that an end asked for has, or may be reached at. Where all sockets of some hosts were asked for,
        both halves of what stays on one of them are there: on loopback, or on bridges that others have as well."""
        found = self._addresses.union(self._drawing.places.addresses(self._hosts))
        if self._wanted.only_hosts:
            places = self._drawing.places
            found = {address for address in found if not (is_loopback(address) or places.on_bridges(address))}
        return _nets(found)

    def hosts(self) -> tuple[str, ...]:
        """Those on which something listens that was asked for, or all that were asked for without more."""
        return tuple(sorted(self._hosts))

    def _by_port(self, question: SocketQuestion) -> Iterator[SocketQuestion]:
        if ports := self._wanted.ports:
            yield replace(question, local_ports=ports)
            yield replace(question, remote_ports=ports)
        else:
            yield question

    def _heard(self, coverage: Coverage) -> None:
        # Where fewer hosts were asked, fewer were fresh.
        self.reach = replace(self.reach.joined(coverage), hosts_fresh=self.reach.hosts_fresh)
