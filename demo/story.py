"""The questions, asked through the real command line; each answer is checked, for a demo must not lie.

A question is asked twice: as JSON until it says what is known to be true, then once more as a person would type it.
What is shown is what the command line printed, whole.
"""

import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from demo.fleet import Answer, Fleet
from demo.programs import FailedError, Program, until

Item = dict[str, Any]

_CATCH_UP_S = 30.0  # a busy machine; where all is well an answer takes one or two


@dataclass(frozen=True, slots=True)
class Service:
    """One of the demo's services, and where it is."""

    host: str
    port: int
    program: Program


def say(text: str = "") -> None:
    """One line of narration."""
    print(text, flush=True)


def question(
    fleet: Fleet, *arguments: str, right: Callable[[list[Item]], bool], shows: str = "", status: int = 0, wrong: str
) -> None:
    """Ask until it is right, then show it, with the word `shows` in it; `wrong` is what to say where it never is.

    Right is right as a whole: an answer that a gap overlaps (another status) is asked for again, as a person would.
    """

    def answered() -> Answer | None:
        document = fleet.ask(*arguments, "-o", "json")
        if document.status != status or not right(document.items):
            return None
        shown = fleet.ask(*arguments)
        return shown if shown.status == status and shows in shown.output else None

    try:
        answer = until(answered, within_s=_CATCH_UP_S, what="the right answer")
    except FailedError:
        shown = fleet.ask(*arguments)
        told = f"$ {shlex.join(shown.command)}\n{shown.output}{shown.errors}(status {shown.status}, not {status})"
        raise FailedError(wrong, told) from None
    show(answer)


def show(answer: Answer) -> None:
    """The command as a user types it, and what it printed."""
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    say()
    say(f"    {bold}$ {shlex.join(answer.command)}{plain}")
    for line in (answer.output + answer.errors).rstrip().splitlines():
        say(f"    {line}".rstrip())
    say()


def who_listens(fleet: Fleet, web: Service) -> float:
    """The main job: a port, over the whole fleet; when it was known."""
    say(f"1. Who listens on port {web.port}, anywhere?")
    question(
        fleet, "who-listens", str(web.port),
        right=lambda items: [owners(item) for item in of(items, web)] == [[("web", web.program.pid)]],
        shows=f"web ({web.program.pid})",
        wrong=f"who-listens does not show the web server of {web.host}",
    )  # fmt: skip
    return time.time()


def not_exposed(fleet: Fleet, database: Service) -> None:
    """A listener that nobody else can reach."""
    say("2. Can others reach the database? It is bound to loopback, and the answer says so.")
    question(
        fleet, "who-listens", str(database.port),
        right=lambda items: [(i["scope"], i["exposed"]) for i in of(items, database)] == [("loopback", False)],
        shows=f"127.0.0.1:{database.port}",
        wrong=f"who-listens does not show the database of {database.host} as bound to loopback only",
    )  # fmt: skip


def who_leaks(fleet: Fleet, shop: Service, leaked: int) -> None:
    """CLOSE_WAIT: the peer is gone, the program has not noticed."""
    say("3. Which program forgets to close its connections? Those stay in CLOSE_WAIT.")
    question(
        fleet, "who-holds", "CLOSE_WAIT",
        right=lambda items: [owners(i) for i in of_program(items, shop)] == [[("shop", shop.program.pid)]] * leaked,
        shows=f"shop ({shop.program.pid})",
        wrong=f"who-holds does not show the {leaked} connections that the shop of {shop.host} leaks",
    )  # fmt: skip


def memory(fleet: Fleet, web: Service, known_at: float, others: bool) -> None:
    """What was, although it is no more. `others`: something else listens on the port too."""
    # A time as people type it has whole seconds: the second must have begun when the server was known.
    until(lambda: int(time.time()) > known_at, within_s=2.0, what="the next second")
    before = time.strftime("%Y-%m-%d %H:%M:%S")
    web.program.stop()
    say(f"4. The web server has just been stopped. Who listens on port {web.port} now …")
    question(
        fleet, "who-listens", str(web.port),
        right=lambda items: not of(items, web),
        wrong=f"who-listens still shows the web server of {web.host}, which has ended",
        status=0 if others else 1,
    )  # fmt: skip
    say("   … and who did a moment ago? This is what a netstat with a memory is for.")
    question(
        fleet, "who-listens", str(web.port), "--at", before,
        right=lambda items: [owners(item) for item in of(items, web)] == [[("web", web.program.pid)]],
        shows=f"web ({web.program.pid})",
        wrong=f"who-listens has forgotten the web server of {web.host}, which listened at {before}",
    )  # fmt: skip


def this_moment(fleet: Fleet, shop: Service, leaked: int) -> None:
    """A live look: what changes all the time is asked of the host itself."""
    say(f"5. Has the shop read its answers? Recv-Q is what waits this very moment: --live asks {shop.host} itself.")
    question(
        fleet, "netstat", shop.host, "-tn", "--live", "--timers",
        right=lambda items: [one["recv_queue"] > 0 for one in of_program(items, shop)] == [True] * leaked,
        shows="CLOSE_WAIT",
        wrong=f"a live look at {shop.host} does not show what waits for its shop on {leaked} connections",
    )  # fmt: skip


def where_to(fleet: Fleet, host: str, address: str) -> None:
    """Routes, which are history like sockets. `address` is one of the host's network."""
    say(f"6. And where does {host} send what it has to say? Its routes are remembered too, for --at and all.")
    question(
        fleet, "netstat", host, "-rn",
        right=lambda items: any(leads_to(item, address, "eth0") for item in items),
        shows="eth0",
        wrong=f"netstat -r does not show by which interface {host} reaches {address}",
    )  # fmt: skip


def leads_to(route: Item, address: str, interface: str) -> bool:
    """True if this is a route to the address by that interface."""
    network = ip_network(f"{route['destination']}/{route['prefix_length']}")
    return ip_address(address) in network and interface in [hop["interface"] for hop in route["next_hops"]]


def of(items: list[Item], service: Service) -> list[Item]:
    """Those of a service's host and port."""
    return [item for item in items if (item["host"], item["local_port"]) == (service.host, service.port)]


def of_program(items: list[Item], service: Service) -> list[Item]:
    """Those that the process of a service holds."""
    return [
        item
        for item in items
        if item["host"] == service.host and service.program.pid in [owner["pid"] for owner in item["owners"]]
    ]


def owners(item: Item) -> list[tuple[str, int]]:
    """Name and pid of each."""
    return [(owner["name"], owner["pid"]) for owner in item["owners"]]
