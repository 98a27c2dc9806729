"""Every question about a time past, against what was answered at that time.

Three hosts are asked everything there is to ask; then much changes on them, and everything is asked once more for the
time before: what is answered is what was answered. What may differ is listed here, each with its reason, and nothing
else may. A new question without a row in `ASKED` fails the first test.
"""

import contextlib
import datetime
import difflib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import pytest
from fleetnet_cli.default_command import SHOW, Group
from fleetnet_cli.main import build
from server.databases import own_server
from system.boxed import Box, box
from system.laboratory import Laboratory, laboratory
from system.streets import control_group

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import FailedError, Program, until

WEB, DATABASE, GRPC = 8001, 5432, 9000
PILE = 5  # connections in CLOSE_WAIT
INSIDE = "tenant"  # the namespace on the third host
MOVED_TO = "198.18.0.99"

# For each question what is asked; words in braces are known when all is there. Of a question with --until that takes
# the place of --at.
ASKED = {
    "who-listens": [
        "",
        "1-65535 --udp",
        "--raw",
        "--exposed",
        "1-9000 --process web --user root",
        "--cidr 198.18.0.0/24 --host web --host db",
        "--container {container}",
        "--since {earlier}",
    ],
    "who-holds": [
        "CLOSE_WAIT",
        "ESTABLISHED FIN_WAIT2 --by host,process,remote",
        "CLOSE_WAIT --min 2",
        "LISTEN --unix",
        "ESTABLISHED --since {earlier}",
    ],
    "who-talks-to": ["{db}", "db:5432", "198.18.0.0/24:5432 --by host", "db --by socket --since {earlier}"],
    "netstat": [
        "web -ta",
        "web -ua",
        "web -wa",
        "web -xa",
        "web -l",
        "web -tanpee",
        "db -a",
        "box -r",
        "box -rn6",
        "box -rnee",
        "box -i",
        "box -ia --wide",
        "box -a --netns {inside}",
        "box -rn --netns {inside}",
    ],
    "hosts": ["", "--host w* --host box"],
    "map": ["", "db --port 5432", "web --external each", "--process web"],
    "host": ["web", "db", "box"],
    "history": ["web --since {earlier}", "box --since {earlier} --state LISTEN"],
    "diff": ["--since {earlier} --ephemeral --raw --tcp --udp"],
    "audit": ["{policy}", "--learn"],
}

# What may differ, and why. Of a document:
NOT_OF_THAT_TIME = {
    "as_of": "the time that was given instead of the moment at which it was answered",
    "last_seen": "the last look that confirmed it, and every look after that time does, too",
    "connected": "whether the agent is connected now: that is of the collector that answers, and of nothing past",
    "degraded": "what an agent could not see is known of now alone",
    # docs/change.md and the schemas say of these fields that they are as last reported.
    "recv_queue": "queues are not kept",
    "send_queue": "queues are not kept",
}
# Of what had not ended then it may be known by now when and how it did.
KNOWN_SINCE = ("closed_at", "closed_at_is")
# Of a table which time it is about, where one was asked for, and of a comparison up to when.
ASKED_AT = re.compile(r"as of [^,]*, |(?<=\) to )[0-9: -]+")
# Tables that say in part what is known by now: when each host was last heard, what is not seen of it, and how and when
# something ended. Of these documents are compared.
OF_NOW = ("host ", "hosts ", "history ")
# Queues in the layout of netstat(8), see above.
QUEUES = re.compile(r"^(tcp6?|udp6?|raw6?) +\d+ +\d+ ")
# The column of a table that says when something ended.
ENDED = "ENDED"
# Tables that have no room for what is not kept end with 3 for a time past, and say on stderr what it is.
PARTIAL_OF_THE_PAST = ("netstat",)


@dataclass(frozen=True)
class Answered:
    """What was answered to each question."""

    documents: dict[str, tuple[int, Any]]
    tables: dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Then:
    """The fleet once everything has changed, the time before that, and what was answered then."""

    lab: Laboratory
    fleet: Fleet
    at: str
    words: dict[str, str]
    answered: Answered
    options: tuple[str, ...]  # of the collector


def questions() -> dict[str, str]:
    """All that can be asked about a time past, by the registry of commands, with the option that names that time."""
    program = build()
    assert isinstance(program, click.Group)
    found = {}
    for name, command in program.commands.items():
        if isinstance(command, Group):
            command = command.commands[SHOW]
        options = {option for parameter in command.params for option in parameter.opts}
        if options & {"--at", "--until"}:
            found[name] = "--at" if "--at" in options else "--until"
    return found


def test_every_question_about_a_time_past_is_asked_here() -> None:
    assert questions().keys() == ASKED.keys()


def now() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def ask_everything(lab: Laboratory, fleet: Fleet, words: dict[str, str], at: str = "", *, tables: bool) -> Answered:
    """Every question, about now or a time past, as a document and as a table."""
    times = questions()
    asked = [(name, row.format(**words)) for name, rows in ASKED.items() for row in rows]
    formats = ["json", *["table"] * tables]
    commands = [
        [name, *row.split(), *((times[name], at) if at else ()), "-o", form]
        for form in formats
        for name, row in asked
        if not (form == "json" and "--learn" in row)
    ]
    told = iter(ask(lab, fleet, commands))
    documents, shown = {}, {}
    for command, (status, out, err) in zip(commands, told, strict=True):
        what = " ".join(each for each in command[:-2] if each not in (at, times[command[0]]))
        if command[-1] == "json":
            assert status in (0, 1, 3), (what, status, err)
            documents[what] = (status, json.loads(out))
        else:
            shown[what] = (status, out)
    return Answered(documents, shown)


def ask(lab: Laboratory, fleet: Fleet, commands: list[list[str]]) -> list[tuple[int, str, str]]:
    environment = {**lab.programs.environment, "FLEETNET_SERVER": f"unix://{fleet.admin_socket}", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "system.many_asked"],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(status, out, err) for status, out, err in json.loads(done.stdout)]


def of_that_time(told: Any, at: str) -> Any:
    """A document without what is not of that time; of what ended later it was not known."""
    if isinstance(told, list | tuple):
        return [of_that_time(each, at) for each in told]
    if not isinstance(told, dict):
        return told
    later = bool(told.get("closed_at")) and told["closed_at"] > at
    return {
        name: None if later and name in KNOWN_SINCE else of_that_time(value, at)
        for name, value in told.items()
        if name not in NOT_OF_THAT_TIME
    }


def table_of_that_time(told: tuple[int, str]) -> tuple[int, list[str]]:
    status, text = told
    text = ASKED_AT.sub("", text)
    return status, [QUEUES.sub("", line).rstrip() for line in text.splitlines()]


def start(lab: Laboratory, host: Host, name: str, *sockets: str) -> Program:
    """A program of this name with these sockets (`system.listening`); they are open."""
    program = lab.start(host, "listening", name, *sockets, name=f"{host.name}.{name}")
    program.wait_for("^ready")
    return program


def talk(lab: Laboratory, host: Host, to: Host, port: int, count: int) -> Program:
    """Connections to another host; they are there."""
    program = lab.start(host, "talking", to.address, str(port), str(count), name=f"{host.name}.talking")
    program.wait_for("^connected")
    return program


class Scene:
    """The hosts and what is on them, before and after."""

    def __init__(self, lab: Laboratory, stack: contextlib.ExitStack) -> None:
        self.lab = lab
        self.web, self.db = lab.fabric.add_host("web"), lab.fabric.add_host("db")
        self.box: Box = box(lab, "box")
        self.container, group = stack.enter_context(control_group("docker-{}.scope"))
        self.programs: dict[str, Program] = {}
        self._furnish()
        self.programs["tenant"] = lab.programs.start("tenant", self.box.command(*self._in_the_container(str(group))))
        stack.callback(self.programs["tenant"].stop)  # before its control group goes
        self.programs["tenant"].wait_for("^ready")

    def _furnish(self) -> None:
        """Addresses, routes and a namespace; all that the kernel does of itself is done when this returns."""
        self.box.ip("netns", "add", INSIDE)
        self.box.ip("link", "add", "c0", "type", "veth", "peer", "name", "eth0", "netns", INSIDE)
        self.box.ip("address", "add", "10.8.0.1/24", "dev", "c0")
        self.box.ip("link", "set", "c0", "up")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "address", "add", "10.8.0.2/24", "dev", "eth0")
        self.inside("ip", "link", "set", "eth0", "up")
        self.inside("ip", "route", "add", "default", "via", "10.8.0.1")
        self.box.ip("route", "add", "10.9.0.0/16", "via", "10.8.0.2")
        self.box.ip("route", "add", "10.10.0.0/16", "via", "10.8.0.2", "metric", "7")
        self.box.ip("-6", "address", "add", "2001:db8::1/64", "dev", "c0", "nodad")
        for look in (self.web.run, self.db.run, self.box.run, self.inside):
            # A link-local address is tried out for a second or two before it is taken.
            until(lambda look=look: not look("ip", "address", "show", "tentative"), within_s=60.0, what="addresses")  # type: ignore[misc]

    def inside(self, *command: str) -> str:
        """Run a command in the namespace of the container."""
        return self.box.run("nsenter", f"--net=/run/netns/{INSIDE}", "--", *command)

    def _in_the_container(self, group: str) -> list[str]:
        inside = ("nsenter", f"--net=/run/netns/{INSIDE}", "--", sys.executable, "-m", "system.listening")
        opened = (f"tcp:10.8.0.2:{WEB}", "udp:0.0.0.0:5353", "close-wait:1")
        return ["sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', group, *inside, "tenant", *opened]

    def fill(self) -> None:
        """What is there at the time that is asked about later."""
        lab = self.lab
        self.programs["database"] = start(lab, self.db, "database", f"tcp:0.0.0.0:{DATABASE}", "udp:0.0.0.0:5353")
        opened = (f"tcp:0.0.0.0:{WEB}", "tcp:127.0.0.1:8002", "udp:0.0.0.0:5353:65534", f"close-wait:{PILE}")
        self.programs["web"] = start(lab, self.web, "web", *opened)
        self.programs["grpc"] = start(lab, self.box, "grpc", f"tcp:{self.box.address}:{GRPC}")
        self.programs["talking"] = talk(lab, self.web, self.db, DATABASE, 3)
        self.programs["life"] = lab.start(self.web, "life")
        self.programs["life"].wait_for("^ledger")
        self.programs["life"].tell("")

    def change(self) -> None:
        """Close, open, kill and remove, on each host something. A socket that changes hands: test_handovers.py."""
        lab = self.lab
        for name in ("web", "tenant"):
            self.programs[name].kill()
        self.programs["talking"].tell("")
        self.programs["talking"].wait_for("^ended")
        self.programs["life"].stop()
        start(lab, self.web, "other", f"tcp:0.0.0.0:{WEB}", "tcp:0.0.0.0:8003", "close-wait:2")
        start(lab, self.db, "cache", "tcp:0.0.0.0:6379")
        self.box.ip("route", "delete", "10.10.0.0/16")
        self.box.ip("netns", "delete", INSIDE)
        self.box.ip("route", "add", "10.11.0.0/16", "dev", "lo")
        self.box.ip("link", "set", "lo", "mtu", "9000")

    def move(self, fleet: Fleet) -> None:
        """A host gets another address and its agent is killed and started again; others connect to it anew."""
        self.agents["db"].kill()
        self.db.ip("address", "delete", f"{self.db.address}/24", "dev", "eth0")
        self.db.ip("address", "add", f"{MOVED_TO}/24", "dev", "eth0")
        talk(self.lab, self.web, Host("db", self.db.namespace, MOVED_TO), DATABASE, 2)
        self.start_agent(fleet, "db")

    agents: dict[str, Program]

    def start_agents(self, fleet: Fleet) -> None:
        """One on each host; that of the last sees every namespace that is there."""
        self.agents = {}
        for host in (self.web, self.db, self.box):
            # From the collector's own host, so that no TIME_WAIT is left here that would end some time.
            fleet.enroll(host.name, fleet.place)
            self.start_agent(fleet, host.name)
        fleet.wait_until_fresh(*self.agents)

    def start_agent(self, fleet: Fleet, name: str) -> None:
        """One of them."""
        options = ("--namespaces", "all") if name == self.box.name else ()
        self.agents[name] = fleet.start_agent(name, getattr(self, name), *options)


def listening(fleet: Fleet) -> set[tuple[str, str, int, str]]:
    """Who listens, of those that are known to be held by somebody."""
    items = fleet.ask("who-listens", "-o", "json").items
    return {(i["host"], i["netns"], i["local_port"], o["name"]) for i in items for o in i["owners"]}


def held(fleet: Fleet, state: str, *options: str) -> int:
    return len(fleet.ask("who-holds", state, *options, "-o", "json").items)


def last_heard(fleet: Fleet) -> list[str]:
    return [item["last_seen"] for item in fleet.ask("hosts", "-o", "json").items]


def wait_until_filled(fleet: Fleet) -> None:
    there = {
        ("web", "host", WEB, "web"), ("web", "host", 8002, "web"), ("web", "host", 5353, "web"),
        ("db", "host", DATABASE, "database"), ("db", "host", 5353, "database"), ("box", "host", GRPC, "grpc"),
        ("box", INSIDE, WEB, "tenant"), ("box", INSIDE, 5353, "tenant"),
    }  # fmt: skip
    until(lambda: there <= listening(fleet), within_s=90.0, what="all that listens")
    until(lambda: held(fleet, "CLOSE_WAIT") == PILE + 2, within_s=90.0, what="the pile")
    until(lambda: held(fleet, "ESTABLISHED", "--port", str(DATABASE)) == 3, within_s=90.0, what="who is connected")
    until(lambda: held(fleet, "ESTABLISHED", "--remote", f":{DATABASE}") == 3, within_s=90.0, what="who connects")


def wait_until_changed(fleet: Fleet) -> None:
    there = {("web", "host", WEB, "other"), ("web", "host", 8003, "other"), ("db", "host", 6379, "cache")}

    def shown() -> bool:
        found = listening(fleet)
        (db,) = fleet.ask("host", "db", "-o", "json").items
        (web,) = fleet.ask("host", "box", "-o", "json").items
        gone = INSIDE not in {space["netns"] for space in web["namespaces"]}
        routes = {item["destination"] for item in fleet.ask("netstat", "box", "-r", "-o", "json").items}
        moved = {a["address"] for a in db["addresses"] if a["interface"] == "eth0"} >= {MOVED_TO}
        return there <= found and gone and moved and "10.11.0.0" in routes and "10.10.0.0" not in routes

    until(shown, within_s=90.0, what="all that has changed")
    until(lambda: held(fleet, "ESTABLISHED", "--port", str(DATABASE)) == 2, within_s=90.0, what="who is connected anew")


@contextlib.contextmanager
def then(lab: Laboratory, *options: str) -> Iterator[Then]:
    """The story, on a collector with these options."""
    with contextlib.ExitStack() as stack:
        scene = Scene(lab, stack)
        fleet = Fleet(lab.directory, lab.programs, lab.fabric.add_host("collector"))
        fleet.start_collector(*options)
        scene.start_agents(fleet)
        words = {"earlier": now(), "container": scene.container, "db": scene.db.address, "inside": INSIDE}
        scene.fill()
        wait_until_filled(fleet)
        policy = lab.directory / "policy.toml"
        policy.write_text(fleet.ask("audit", "--learn").output.replace("database", "base"))
        words["policy"] = str(policy)

        def settled() -> tuple[str, Answered] | None:
            """A time between two answers that are the same."""
            first = ask_everything(lab, fleet, words, tables=False)
            at = now()
            second = ask_everything(lab, fleet, words, tables=True)
            unlike[:] = differences(first, second, at)
            return None if unlike else (at, second)

        unlike: list[str] = []
        try:
            at, answered = until(settled, within_s=60.0, what="two answers that are the same")
        except FailedError as failure:
            raise FailedError(str(failure), "\n".join(unlike)) from None
        scene.change()
        until(lambda: all(heard > at for heard in last_heard(fleet)), within_s=90.0, what="a later look of each host")
        scene.move(fleet)
        wait_until_changed(fleet)
        yield Then(lab, fleet, at, words, answered, options)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def changed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Then]:
    with contextlib.ExitStack() as stack:
        options: tuple[str, ...] = ()
        if request.param == "postgresql":
            server = stack.enter_context(own_server())
            server.execute("CREATE DATABASE fleet")
            options = ("--database", server.url("fleet"))
        lab = stack.enter_context(laboratory(tmp_path_factory.mktemp("then")))
        yield stack.enter_context(then(lab, *options))


def differences(then: Answered, now: Answered, at: str) -> list[str]:
    """Questions whose documents are not as they were, with the lines of both that differ."""
    found = []
    for question, told in then.documents.items():
        before, after = (
            json.dumps(of_that_time(each, at), indent=1).splitlines() for each in (told, now.documents[question])
        )
        if before != after:
            found.append("\n".join([question, *difflib.unified_diff(before, after, "then", "now", lineterm="")]))
    return found


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_answered_for_a_time_before_a_change_is_what_was_answered_then(changed: Then) -> None:
    answered = ask_everything(changed.lab, changed.fleet, changed.words, changed.at, tables=True)
    assert differences(changed.answered, answered, changed.at) == []
    for question, told in changed.answered.tables.items():
        if ENDED in told[1] or f"{question} ".startswith(OF_NOW):
            continue
        before, after = (table_of_that_time(each) for each in (told, answered.tables[question]))
        if question.startswith(PARTIAL_OF_THE_PAST):
            assert after[0] in (before[0], 3)
            before, after = (0, before[1]), (0, after[1])
        assert before == after, question


# What a collector remembers of a fleet does not depend on where it is kept.
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("changed", ["sqlite"], indirect=True)
def test_the_same_is_answered_when_the_collector_has_been_started_again(changed: Then) -> None:
    changed.fleet.collector.stop()
    changed.fleet.start_collector(*changed.options)
    answered = ask_everything(changed.lab, changed.fleet, changed.words, changed.at, tables=False)
    assert differences(changed.answered, answered, changed.at) == []
