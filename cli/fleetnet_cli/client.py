"""Talks to the collector: what is asked, and what its statuses mean. Import it when there is a question, never before.

Every failure leaves here as one of the errors of errors.py. An answer is taken message by message, so its size does
not matter; what must stay true is that an answer which broke off never looks like one that ended.
"""

import functools
import getpass
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from fleetnet_cli.channel import dial  # first: it tells gRPC what this is to know when it is loaded

# isort: split

import grpc
from fleetnet_proto.v1 import query_pb2, query_pb2_grpc

from fleetnet_cli import errors, wire
from fleetnet_cli.records import (
    Coverage,
    Described,
    End,
    Host,
    HostStanding,
    Labelled,
    LogEntry,
    MadeToken,
    News,
    Person,
    Selection,
    Socket,
    SocketQuestion,
    Token,
    TokenWish,
)
from fleetnet_cli.settings import Destination

if TYPE_CHECKING:  # who asks about these has loaded them
    from fleetnet_cli.labels import Wish
    from fleetnet_cli.live import LiveItem, LiveQuestion
    from fleetnet_cli.lives import Life, LivesQuestion
    from fleetnet_cli.network import Namespace, NamespaceQuestion

Item = TypeVar("Item")
Response = (
    query_pb2.ListSocketsResponse
    | query_pb2.ListHostsResponse
    | query_pb2.ListNamespacesResponse
    | query_pb2.ListLivesResponse
    | query_pb2.LiveResponse
)
Message = Response | query_pb2.WatchSocketsResponse  # of which the last never comes to an end

_GUESS_S = 1.0  # for the names of hosts, one of which a wrong name may be meant for

_LEAVE_S = 2.0  # for a call to end that was called off: no time at all but on a machine that does nothing

# Who watches hears at least a mark, every 25 s, and is not to think at once that a busy collector hangs.
_MARKS_S = 75.0


class Collector:
    """A connection to a collector."""

    def __init__(self, destination: Destination, timeout_s: float) -> None:
        """Raises Unreachable or NotAuthorised where that shows already."""
        self._line = dial(destination)
        self._timeout_s = timeout_s
        self.identity = self._line.identity
        self._questions = query_pb2_grpc.QueryServiceStub(self._line.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._line.channel.close()

    def sockets(self, question: SocketQuestion) -> "Stream[Socket]":
        """Asks for sockets; the answer's coverage is here when this returns."""
        request = wire.sockets_request(question)
        if isinstance(request, query_pb2.SeekSocketsRequest):
            call = self._questions.SeekSockets(request)
        elif isinstance(request, query_pb2.FindSocketsRequest):
            call = self._questions.FindSockets(request)
        else:
            call = self._questions.ListSockets(request)
        translate = functools.partial(self._translated, host=question.selection.host)
        return self._told_what_is_near(
            Stream(call, lambda m: map(wire.socket, m.page.items), self._timeout_s, translate)
        )

    def watch(self, question: SocketQuestion) -> "Stream[News]":
        """Asks for sockets that are there, and then for those that come and go, for ever; the coverage of the beginning
        is here when this returns."""
        call = self._questions.WatchSockets(wire.watch_request(question))
        translate = functools.partial(self._translated, host=question.selection.host)
        return self._told_what_is_near(
            Stream(call, wire.news, self._timeout_s, translate, later_s=max(self._timeout_s, _MARKS_S))
        )

    def hosts(self, selection: Selection) -> "Stream[Host]":
        """Asks for hosts; the answer's coverage is here when this returns."""
        request = wire.hosts_request(selection)
        if isinstance(request, query_pb2.SeekHostsRequest):
            call = self._questions.SeekHosts(request)
        else:
            call = self._questions.ListHosts(request)
        translate = functools.partial(self._explained, host=selection.host)
        return self._told_what_is_near(Stream(call, lambda m: map(wire.host, m.page.items), self._timeout_s, translate))

    def namespaces(self, question: "NamespaceQuestion") -> "Stream[Namespace]":
        """Asks for namespaces; the answer's coverage is here when this returns."""
        from fleetnet_cli import wire_network  # only these questions need it

        call = self._questions.ListNamespaces(wire_network.request(question))
        translate = functools.partial(self._translated, host=question.selection.host)
        return Stream(call, lambda m: map(wire_network.namespace, m.page.items), self._timeout_s, translate)

    def lives(self, question: "LivesQuestion") -> "Stream[Life]":
        """Asks what happened on a host; the answer's coverage is here when this returns."""
        from fleetnet_cli import wire_lives  # likewise

        host = question.sockets.selection.host
        call = self._questions.ListLives(wire_lives.request(question))
        translate = functools.partial(self._explained, host=host)
        return Stream(call, lambda m: wire_lives.items(m.page, host), self._timeout_s, translate)

    def live(self, question: "LiveQuestion") -> "LiveLook":
        """Asks one host for a fresh look; raises HostAway or TooSoon where it cannot be had."""
        from fleetnet_cli import wire_live  # likewise

        call = self._questions.Live(wire_live.request(question))
        translate = functools.partial(self._translated, host=question.host, translate=translated_live)
        return LiveLook(call, wire_live.items, self._timeout_s, translate)

    def create_token(self, wish: TokenWish, ttl_s: int) -> Token:
        """Has a token for hosts made. Raises CollectorTooOld where it would not be as wished."""
        token = wire.token(self._administered("CreateToken", wire.token_request(wish, ttl_s)))
        # One of before has passed over what it does not know, and made a token without; nobody is shown that.
        if set(token.labels) != set(wish.labels):
            raise errors.CollectorTooOld(
                "the collector does not know labels of tokens; upgrade fleetnet-server, or leave --label out"
            )
        if (token.max_uses, token.approve) != (wish.max_uses, wish.approve):
            raise errors.CollectorTooOld(
                "the collector does not know --max-uses and --approve of tokens; upgrade fleetnet-server, or leave "
                "them out"
            )
        return token

    def tokens(self) -> list[MadeToken]:
        """All tokens that were made, the newest first."""
        from fleetnet_cli import wire_tokens  # only administration needs it

        return list(map(wire_tokens.made, self._administered("ListTokens", wire_tokens.list_request()).tokens))

    def revoke_token(self, token_id: str) -> MadeToken:
        """Has a token admit nobody any more."""
        from fleetnet_cli import wire_tokens  # likewise

        return wire_tokens.made(self._administered("RevokeToken", wire_tokens.revoke_request(token_id)).token)

    def log(self, most: int) -> list[LogEntry]:
        """What administrators did, the latest first."""
        from fleetnet_cli import wire_log  # likewise

        return list(map(wire_log.entry, self._administered("ListLog", wire_log.request(most)).entries))

    def approve_hosts(self, names: tuple[str, ...]) -> tuple[HostStanding, ...]:
        """Lets hosts in that wait for it."""
        return self._stand("ApproveHosts", wire.approve_hosts_request(names), names)

    def label_hosts(self, wish: "Wish", globs: tuple[str, ...]) -> Labelled:
        """Has hosts labelled."""
        host = wish.hosts[0] if len(wish.hosts) == 1 else ""
        return wire.labelled(self._administered("LabelHosts", wire.labels_request(wish, globs), host))

    def revoke_hosts(self, names: tuple[str, ...]) -> tuple[HostStanding, ...]:
        """Keeps hosts out."""
        return self._stand("RevokeHosts", wire.revoke_hosts_request(names), names)

    def forget_hosts(self, names: tuple[str, ...]) -> tuple[HostStanding, ...]:
        """Has hosts leave the fleet."""
        return self._stand("ForgetHosts", wire.forget_hosts_request(names), names)

    def _stand(self, method: str, request: object, names: tuple[str, ...]) -> tuple[HostStanding, ...]:
        answer = self._administered(method, request, names[0] if len(names) == 1 else "")
        return tuple(map(wire.standing, answer.hosts))

    def create_person_token(self, person: str, role: str, ttl_s: int) -> Token:
        """Has a one-time token made by which a person can log in."""
        from fleetnet_cli import wire_people  # only administration needs it

        request = wire_people.token_request(person, role, ttl_s)
        return wire_people.token(self._administered("CreatePersonToken", request))

    def people(self) -> list[Person]:
        """Everybody who has ever logged in."""
        from fleetnet_cli import wire_people  # likewise

        answer = self._administered("ListPeople", wire_people.people_request())
        return [wire_people.person(item) for item in answer.people]

    def change_role(self, person: str, role: str) -> Person:
        """Gives a person another role."""
        from fleetnet_cli import wire_people  # likewise

        request = wire_people.role_request(person, role)
        return wire_people.person(self._administered("ChangeRole", request).person)

    def revoke_person(self, person: str) -> Person:
        """Keeps a person out."""
        from fleetnet_cli import wire_people  # likewise

        request = wire_people.revoke_request(person)
        return wire_people.person(self._administered("RevokePerson", request).person)

    def _administered(self, method: str, request: object, host: str = "") -> Any:  # noqa: ANN401  # whatever it answers
        from fleetnet_proto.v1 import admin_pb2_grpc  # likewise

        call = getattr(admin_pb2_grpc.AdminServiceStub(self._line.channel), method)
        try:
            return call(request, timeout=self._timeout_s, metadata=_login())
        except grpc.RpcError as error:
            raise (self._translated(error, host) if host else self._explained(error)) from error

    def _explained(
        self,
        error: grpc.RpcError,
        host: str = "",
        translate: "Callable[[grpc.RpcError, str], errors.CliError] | None" = None,
    ) -> errors.CliError:
        return self._line.explained(error, (translate or translated)(error, host))

    def describe(self) -> Described:
        """What the collector says of itself. Raises CollectorTooOld where it does not know the question."""
        from fleetnet_proto.v1 import admin_pb2  # likewise

        return wire.described(self._administered("DescribeCollector", admin_pb2.DescribeCollectorRequest()))

    def _translated(
        self,
        error: grpc.RpcError,
        host: str,
        translate: "Callable[[grpc.RpcError, str], errors.CliError] | None" = None,
    ) -> errors.CliError:
        """What the status means; where no such host is known, with the one that was probably meant."""
        meaning = self._explained(error, host, translate)
        return errors.UnknownHost(host, self._near(host)) if isinstance(meaning, errors.UnknownHost) else meaning

    def _near(self, host: str) -> str | None:
        return errors.nearest(host, [h.host for h in self._some_hosts()])

    def _told_what_is_near(self, stream: "Stream[Item]") -> "Stream[Item]":
        """The same answer; where it is about nobody for no host has a label asked for, with one that some host has."""
        if unmatched := stream.coverage.unmatched_labels:
            known = {known.words for h in self._some_hosts() for known in wire.labels(h.labels)}
            if not unmatched[0].value:
                known = {words.partition("=")[0] for words in known}
            near = errors.nearest(unmatched[0].words, sorted(known)) or ""
            stream.coverage = replace(stream.coverage, near_label=near)
        return stream

    def _some_hosts(self) -> list[query_pb2.HostItem]:
        """As many hosts as can be had in a moment, for a guess; none where anything is amiss."""
        until_s = time.monotonic() + _GUESS_S
        try:
            call = self._questions.ListHosts(query_pb2.ListHostsRequest())
            answer = Stream(call, lambda m: m.page.items, min(self._timeout_s, _GUESS_S), translated)
            return list(itertools.takewhile(lambda _: time.monotonic() < until_s, answer))
        except errors.CliError:
            return []


def _login() -> tuple[tuple[str, str], ...]:
    """Who runs this, told for the collector's log of administration; it counts for nothing else."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # nobody of this number has a name
        name = f"uid {os.getuid()}"
    # gRPC takes printable ASCII alone as text.
    return (("fleetnet-login", name.encode("ascii", "backslashreplace").decode()),)


class _Call(Protocol):
    """What is used of a gRPC call that answers with a stream."""

    def __next__(self) -> Message: ...

    def cancel(self) -> object: ...

    def add_callback(self, callback: Callable[[], None]) -> bool: ...


class Stream(Generic[Item]):
    """An answer as it comes in (records.Answer). After its first message it may be silent for `later_s`, if given."""

    def __init__(
        self,
        call: _Call,
        items_of: Callable[[Any], Iterable[Item]],
        timeout_s: float,
        translate: Callable[[grpc.RpcError], errors.CliError],
        *,
        later_s: float | None = None,
    ) -> None:
        self._call = call
        self._items_of = items_of
        self._translate = translate
        self._patience = _Patience(call, timeout_s)
        self._ended = threading.Event()
        if not call.add_callback(self._ended.set):  # it is over already
            self._ended.set()
        self._taken = 0
        self.end: End | None = None
        try:
            self._patience.begin()
            self.coverage: Coverage = wire.coverage(self._first().coverage)
            self._patience.timeout_s = later_s or timeout_s
        except BaseException:  # who interrupts is done with the call too
            self._leave()
            raise

    def __iter__(self) -> Iterator[Item]:
        try:
            for message in self._messages():
                for item in self._items_of(message):
                    self._taken += 1
                    yield item
        finally:
            self._leave()

    def _leave(self) -> None:
        """Be done with the call. Its thread holds a lock while it takes in how the call ended, and Python may end
        meanwhile: then the thread never gives the lock back, and the call, which asks for it in its own end, waits for
        ever. So that is waited for here."""
        self._patience.over()
        self._call.cancel()
        self._ended.wait(_LEAVE_S)

    def _first(self) -> Message:
        try:
            with self._patience:
                message = next(self._call)
        except StopIteration:
            raise errors.CollectorFailed("the collector gave an empty answer; its log says more") from None
        except grpc.RpcError as error:
            raise self._patience.explained(error, self._translate) from error
        if message.WhichOneof("part") != "coverage":
            raise errors.CollectorFailed("the collector's answer does not begin with its coverage; upgrade fleetnet")
        return message

    def _messages(self) -> Iterator[Message]:
        while self.end is None:
            try:
                with self._patience:
                    message = next(self._call)
            except StopIteration:
                raise self._broken("it ended without saying so") from None
            except grpc.RpcError as error:
                meaning = self._patience.explained(error, self._translate)
                if isinstance(meaning, errors.NotAuthorised):  # to ask again would be refused again
                    raise meaning from error
                # What the collector gave up it tells with what to do; to ask the same again is not always that.
                gave_up = isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                way_out = "" if gave_up else "; ask again"
                raise self._broken(str(meaning), way_out) from error
            if not isinstance(message, query_pb2.WatchSocketsResponse) and message.WhichOneof("part") == "end":
                self.end = self._checked_end(message)
            else:
                yield message

    def _checked_end(self, message: Response) -> End:
        if message.end.items != self._taken:
            raise self._broken(f"{message.end.items} items were sent")
        return wire.end(message.end)

    def _broken(self, why: str, way_out: str = "; ask again") -> errors.BrokenAnswer:
        return errors.BrokenAnswer(
            f"the answer broke off after {self._taken} items, so this is not all ({why}){way_out}"
        )


class LiveLook(Stream["LiveItem"]):
    """A live look as it comes in; what the host could not look at is in `troubles` once the items are through."""

    def __init__(
        self,
        call: _Call,
        items_of: Callable[[query_pb2.LivePage], Iterable["LiveItem"]],
        timeout_s: float,
        translate: Callable[[grpc.RpcError], errors.CliError],
    ) -> None:
        self.troubles: list[str] = []

        def items(message: query_pb2.LiveResponse) -> Iterable["LiveItem"]:
            if message.page.trouble:
                self.troubles.append(message.page.trouble)
            return items_of(message.page)

        super().__init__(call, items, timeout_s, translate)


class _Patience:
    """Ends a call that says nothing for `timeout_s` while it is being waited for.

    gRPC's own deadline covers a whole answer, and a large one, or one being read in a pager, may take any time.
    """

    def __init__(self, call: _Call, timeout_s: float) -> None:
        self._call = call
        self.timeout_s = timeout_s
        self._waiting_since_s: float | None = None
        self._over = threading.Event()
        self.lost = False

    def begin(self) -> None:
        """From here on it looks at the time."""
        threading.Thread(target=self._watch, daemon=True, name="patience").start()

    def __enter__(self) -> None:
        self._waiting_since_s = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._waiting_since_s = None

    def over(self) -> None:
        """There is nothing left to wait for."""
        self._over.set()

    def explained(self, error: grpc.RpcError, translate: Callable[[grpc.RpcError], errors.CliError]) -> errors.CliError:
        """The error, or, where the patience ended the call, that."""
        if self.lost:
            return errors.Unreachable(
                f"the collector said nothing for {self.timeout_s:g} s; "
                "look at its log, or give it longer with --timeout"
            )
        return translate(error)

    def _watch(self) -> None:
        while not self._over.wait(min(self.timeout_s / 4, 1.0)):
            since_s = self._waiting_since_s
            if since_s is not None and time.monotonic() - since_s > self.timeout_s:
                self.lost = True
                self._call.cancel()
                return


def translated(error: grpc.RpcError, host: str = "") -> errors.CliError:
    """What a gRPC status means for somebody at a terminal. `host` is the one host asked about, if it was one."""
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    details = " ".join(((error.details() or "") if isinstance(error, grpc.Call) else "").split())
    if code is grpc.StatusCode.NOT_FOUND and host:
        return errors.UnknownHost(host)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.CollectorTooOld("the collector does not know this question; upgrade fleetnet-server")
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return errors.NotAuthorised(f"the collector refuses: {details or 'you are not authorised'}")
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.Unreachable(f"the collector went away ({details or 'no reason given'}); ask again when it runs")
    if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return errors.Unreachable(
            "the collector did not answer in time; look at its log, or give it longer with --timeout"
        )
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE):
        return errors.UsageError(f"the collector does not accept this: {details or code.name}")
    if code in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.NOT_FOUND):
        return errors.CollectorFailed(details or f"the collector refuses: {code.name}")
    if details and code is not grpc.StatusCode.UNKNOWN:
        return errors.CollectorFailed(f"the collector says: {details}")
    return errors.CollectorFailed(f"the collector failed ({details or code.name}); its log says more")


def translated_live(error: grpc.RpcError, host: str) -> errors.CliError:
    """Likewise, where a live look was asked for: it needs the host itself, and a host is looked at only so often."""
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    details = " ".join(((error.details() or "") if isinstance(error, grpc.Call) else "").split())
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.HostAway(host, f"cannot be looked at ({details or 'no reason given'})")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.TooSoon(f"{host} cannot be looked at yet ({details or 'no reason given'}); wait a moment")
    return translated(error, host)
