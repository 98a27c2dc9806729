"""A fleet of real processes: a collector, agents, and the command line that asks. Used by the demo and the tests.

What must stay true: only what a user could type is run, the console scripts with their options; nothing here reads
the database or calls the project's code.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.fabric import Host
from demo.programs import FailedError, Program, Programs, until

_ASK_S = 30.0

Wrap = Callable[[list[str]], list[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the command line said."""

    command: tuple[str, ...]
    status: int
    output: str
    errors: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document."""
        try:
            document: dict[str, Any] = json.loads(self.output)
        except json.JSONDecodeError:
            raise FailedError(f"`{' '.join(self.command)}` printed no JSON", self.output + self.errors) from None
        return document

    @property
    def items(self) -> list[dict[str, Any]]:
        """Its items."""
        items: list[dict[str, Any]] = self.document["items"]
        return items


def environment(directory: Path) -> dict[str, str]:
    """This process's environment, with temporary files in `directory` and without a fleetnet that the user may have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLEETNET_", "XDG_"))}
    no_file = {"FLEETNET_SERVER_CONFIG": os.devnull, "FLEETNET_AGENT_CONFIG": os.devnull}
    return {**kept, **no_file, "TMPDIR": str(directory)}


def console_script(name: str) -> str:
    """The console script of this environment."""
    return str(Path(sys.executable).parent / name)


class Fleet:
    """A collector in a directory of its own, and its hosts."""

    collector: Program  # once started

    def __init__(self, directory: Path, programs: Programs, place: Host | None = None) -> None:
        """`place` is the host that the collector is on; None: here, on loopback and any free ports."""
        self.directory = directory
        self.data = directory / "data"
        self.admin_socket = directory / "admin.sock"
        self._programs = programs
        self._agents: dict[str, Program] = {}
        self.place = place
        self._report_at = f"{place.address}:7443" if place else "127.0.0.1:0"
        self._enroll_at = f"{place.address}:7444" if place else "127.0.0.1:0"
        self._metrics_at = "127.0.0.1:9464" if place else "127.0.0.1:0"

    def start_collector(self, *options: str, wrap: Wrap | None = None) -> Program:
        """Start it, or start it again with what it keeps; returns when it serves."""
        self.collector = self.launch_collector(*options, wrap=wrap)
        ready = self.collector.wait_for(r"^fleetnet-server: ready, .*report (\S+:\d+), enroll (\S+:\d+)", within_s=60.0)
        self._report_at, self._enroll_at = ready[1], ready[2]
        return self.collector

    def launch_collector(
        self, *options: str, wrap: Wrap | None = None, environment: Mapping[str, str] | None = None
    ) -> Program:
        """Start it and do not wait; `wrap` makes another command of the one that would run."""
        command = [
            *(console_script("fleetnet-server"), "run", "--data", str(self.data)),
            *("--listen", self._report_at, "--enroll-listen", self._enroll_at),
            *("--admin-socket", str(self.admin_socket), "--metrics-listen", self._metrics_at, *options),
        ]
        return self._programs.start("collector", wrap(command) if wrap else on(self.place, *command), environment)

    @property
    def enroll_address(self) -> str:
        """Where hosts enroll."""
        return self._enroll_at

    @property
    def report_address(self) -> str:
        """Where hosts report."""
        return self._report_at

    def state(self, name: str) -> Path:
        """Where the agent of a host keeps its identity."""
        return self.directory / f"{name}.state"

    def enroll(self, name: str, place: Host | None = None, *options: str) -> None:
        """Make a token, with these options, and let a host join with it, speaking to the collector from `place`."""
        token = self.directory / f"{name}.token"
        made = self.expect(0, "token", "create", "--host", name, "-o", "json", *options)
        token.touch(mode=0o600)
        token.write_text(made.items[0]["token"])
        command = ["enroll", "--server", self._enroll_at, "--token-file", str(token), "--state", str(self.state(name))]
        self._programs.start(f"{name}.enroll", on(place, console_script("fleetnet-agent"), *command)).succeed()

    def start_agent(
        self, name: str, place: Host | None = None, *options: str, environment: Mapping[str, str] | None = None
    ) -> Program:
        """Start the agent of an enrolled host; returns at once."""
        command = [
            console_script("fleetnet-agent"),
            "run",
            "--state",
            str(self.state(name)),
            "--namespaces",
            "own",
        ]
        if os.geteuid() == 0:
            command.append("--with-helper")
        self._agents[name] = self._programs.start(name, on(place, *command, *options), environment)
        return self._agents[name]

    def ask(self, *arguments: str, within_s: float = _ASK_S) -> Answer:
        """`fleetnet ARGUMENTS`, on the collector's machine."""
        command = on(self.place, console_script("fleetnet"), *arguments)
        told = {"FLEETNET_SERVER": f"unix://{self.admin_socket}"}
        try:
            done = self._programs.run(command, told, within_s=within_s)
        except subprocess.TimeoutExpired:
            raise FailedError(f"`fleetnet {' '.join(arguments)}` did not answer within {within_s:g} s") from None
        return Answer(("fleetnet", *arguments), done.returncode, done.stdout, done.stderr)

    def expect(self, status: int, *arguments: str) -> Answer:
        """An answer that ends with this status; anything else fails."""
        answer = self.ask(*arguments)
        if answer.status != status:
            raise FailedError(
                f"`{' '.join(answer.command)}` ended with status {answer.status} instead of {status}",
                answer.errors or answer.output,
            )
        return answer

    def wait_until_fresh(self, *names: str, within_s: float = 60.0) -> None:
        """Wait until the agents of these hosts have told all that is open there."""

        def silent() -> set[str]:
            told = {item["host"] for item in self.ask("hosts", "-o", "json").items if item["fresh"] and item["sockets"]}
            return set(names) - told

        try:
            until(lambda: not silent(), within_s=within_s, what=f"the first report of {', '.join(names)}")
        except FailedError as failure:
            logs = [self.collector, *(self._agents[name] for name in silent())]
            raise FailedError(str(failure), "\n".join(f"{log.name}:\n{log.tail()}" for log in logs)) from None


def on(place: Host | None, *command: str) -> list[str]:
    """A command for a host, or for here."""
    return place.command(*command) if place else list(command)
