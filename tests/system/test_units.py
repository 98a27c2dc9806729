"""The units on a host that boots: everything works under them, and what is to be impossible is.

One host for all tests here, which are in the order in which things happen to it.
"""

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from server.postgresql import Server
from server.postgresql import why_not as why_no_postgresql
from system import probe
from system.booted import Booted, booted
from system.installed import BARS, BIN, PACKAGING, build_wheels, install
from system.laboratory import laboratory

from demo.programs import FailedError, until

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("bootable"), pytest.mark.timeout(900)]

WITHIN_S: Final = 120.0
# The agent last: one that is started finds its collector at once, and one whose collector stops waits for up to a
# minute.
SERVICES: Final = ("fleetnet-server", "fleetnet-helper", "fleetnet-agent")
MAY: Final = {
    "fleetnet-agent": {"open an IPv4 socket", "open an IPv6 socket", "open a netlink socket"},
    "fleetnet-agent-enroll": {"open an IPv4 socket", "open an IPv6 socket"},
    # What CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH are: docs/units.md says why it has them all the same.
    "fleetnet-helper": {
        "read /etc/shadow",
        "read another's memory by its file",
        "read another's environment",
        "open a netlink socket",
        "make a network namespace",
    },
    "fleetnet-server": {"open an IPv4 socket", "open an IPv6 socket"},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Station:
    """A host with collector, agent and helper installed, and PostgreSQL's socket in /srv."""

    host: Booted
    postgresql: Server | None

    def ask(self, *question: str) -> list[dict[str, Any]]:
        """The items of `fleetnet QUESTION`; none where nothing was found."""
        done = self.host.attempt(f"{BIN}/fleetnet", *question, "-o", "json")
        if done.returncode not in (0, 1, 3):
            raise FailedError(f"`fleetnet {' '.join(question)}` ended with status {done.returncode}", done.stderr)
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items

    def wait_for(self, *question: str, **wanted: object) -> dict[str, Any]:
        """The first item that is as wanted, once there is one."""

        def find() -> dict[str, Any] | None:
            found = self.ask(*question)
            return next((item for item in found if all(item[name] == value for name, value in wanted.items())), None)

        return until(find, within_s=WITHIN_S, what=f"{wanted} in the answer to `fleetnet {' '.join(question)}`")

    def serve(self, unit: str, port: int, *properties: str) -> None:
        """Start a service that listens on a port of its loopback."""
        command = ("python3", "-m", "http.server", str(port), "--bind", "127.0.0.1")
        self.host.run("systemd-run", "--quiet", f"--unit={unit}", *properties, *command)

    def drop_in(self, unit: str, *lines: str) -> None:
        """Change a unit until the next boot, as of its next start; without lines it is as before."""
        place = self.host.root / f"run/systemd/system/{unit}.service.d"
        place.mkdir(parents=True, exist_ok=True)
        (place / "50-test.conf").write_text("\n".join(lines) + "\n")
        self.host.run("systemctl", "daemon-reload")

    def main_pid(self, unit: str) -> int:
        """Its main process, in the host's numbers; 0 where it has none."""
        return int(self.host.property(f"{unit}.service", "MainPID"))


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    postgresql = None if why_no_postgresql() else Server()
    binds = [f"{postgresql.directory}/.s.PGSQL.5432:/srv/.s.PGSQL.5432"] if postgresql else []
    try:
        with (
            laboratory(tmp_path_factory.mktemp("lab")) as lab,
            booted(lab.fabric.add_host("web1"), lab.directory / "web1", lab.programs, *binds) as host,
        ):
            host.start()
            host.let_units_be_bounded()
            install(host, build_wheels(lab.directory / "wheels"))
            made = Station(host, postgresql)
            set_up(made)
            yield made
    finally:
        if postgresql:
            postgresql.remove()


def set_up(station: Station) -> None:
    """As docs/operations.md has it."""
    host = station.host
    settings = host.root / "etc/fleetnet"
    (settings / "server.toml").write_text('data = "/var/lib/fleetnet-server"\nadvertise = ["127.0.0.1:7443"]\n')
    (settings / "agent.toml").write_text('server = "127.0.0.1:7444"\n')
    host.run("systemctl", "enable", "--now", "fleetnet-server")
    token = settings / "enroll.token"
    token.touch(mode=0o600)
    token.write_text(host.run(f"{BIN}/fleetnet", "token", "create", "--host", "web1"))
    units = ("fleetnet-helper.socket", "fleetnet-agent-enroll", "fleetnet-agent")
    host.run("systemctl", "enable", "--now", *units)
    station.wait_for("hosts", host="web1", fresh=True)


def test_a_token_is_used_once_and_removed(station: Station) -> None:
    assert not (station.host.root / "etc/fleetnet/enroll.token").exists()
    assert (station.host.root / "var/lib/fleetnet-agent/agent.json").exists()
    for unit in SERVICES:
        assert station.host.property(f"{unit}.service", "ActiveState") == "active"
        assert station.host.property(f"{unit}.service", "NRestarts") == "0"


@pytest.mark.parametrize("unit", BARS)
def test_the_score_of_each_unit_is_within_its_bar(station: Station, unit: str) -> None:
    told = station.host.run("systemd-analyze", "security", "--no-pager", f"{unit}.service").splitlines()[-1]
    assert float(told.split(": ")[1].split()[0]) <= BARS[unit], told


@pytest.mark.parametrize("unit", SERVICES)
def test_each_unit_is_within_bounds_that_the_kernel_holds_it_to(station: Station, unit: str) -> None:
    for what in ("Memory", "Tasks"):
        most = int(station.host.property(f"{unit}.service", f"{what}Max"))
        assert 0 < int(station.host.property(f"{unit}.service", f"{what}Current")) < most


def test_who_listens_has_owner_and_unit(station: Station) -> None:
    found = [item for item in station.ask("who-listens", "22") if item["local_address"] == "0.0.0.0"]
    assert [(item["unit"], item["owner_status"], item["owners"][0]["name"]) for item in found] == [
        ("ssh.service", "known", "sshd")
    ]


def test_the_agent_lacks_nothing_that_a_unit_could_give_it(station: Station) -> None:
    command = ("runuser", "-u", "fleetnet-agent", "--", f"{BIN}/fleetnet-agent", "doctor", "-o", "json")
    items = json.loads(station.host.attempt(*command).stdout)["items"]
    # In a container the processes of other containers cannot be seen, whoever looks.
    assert {item["topic"] for item in items if item["verdict"] != "ok"} <= {"source owners"}


def test_sockets_of_every_kind_are_told(station: Station) -> None:
    opened = "import socket, time; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 768); time.sleep(9999)"
    station.host.run("systemd-run", "--quiet", "--unit=sniffer", "python3", "-c", opened)
    station.wait_for("netstat", "web1", "-a", protocol="packet", unit="sniffer.service")
    station.wait_for("netstat", "web1", "-x", "-l", path="/run/dbus/system_bus_socket", unit="dbus.service")


@pytest.fixture(scope="module")
def cellar(station: Station) -> dict[str, Any]:
    """What serves in a namespace of its own, as it is told."""
    station.host.run("ip", "netns", "add", "cellar")
    station.host.run("ip", "netns", "exec", "cellar", "ip", "link", "set", "lo", "up")
    station.serve("cellar", 8080, "--property=NetworkNamespacePath=/run/netns/cellar")
    return station.wait_for("who-listens", "8080", netns="cellar")


def test_sockets_of_another_namespace_are_told_and_connections_there_that_no_look_sees(
    station: Station, cellar: dict[str, Any]
) -> None:
    host, found = station.host, cellar
    assert (found["unit"], found["owner_status"]) == ("cellar.service", "known")
    # The server closes first, so that the client's end is gone when it is.
    fetch = (
        "from urllib.request import urlopen\nfor _ in range(20): urlopen('http://127.0.0.1:8080/etc/hostname').read()"
    )
    host.run("ip", "netns", "exec", "cellar", "python3", "-c", fetch)
    question = ("who-talks-to", "127.0.0.1:8080", "--since", "10m ago")
    station.wait_for(*question, netns="cellar", opened_at_is="unseen")


@pytest.mark.parametrize("unit", MAY)
def test_a_unit_may_do_what_it_needs_and_nothing_else(station: Station, unit: str) -> None:
    host = station.host
    (host.root / "opt/fleetnet/probe.py").write_text(Path(probe.__file__).read_text())
    command = (f"{BIN}/python", "/opt/fleetnet/probe.py", str(station.main_pid("ssh")))
    # The unit as it is, under another name, so that the real one goes on; only what it runs is another.
    text = (PACKAGING / f"systemd/{unit}.service").read_text()
    (host.root / f"run/systemd/system/probed-{unit}.service").write_text(text)
    (host.root / "etc/fleetnet/enroll.token").write_text("none")
    station.drop_in(
        f"probed-{unit}",
        *("[Unit]", "Requires=", "OnSuccess=", "Wants=", "ConditionPathExists=", "[Service]", "Type=oneshot"),
        *("Restart=no", "WatchdogSec=0", "ExecStart=", f"ExecStart={' '.join(command)}", "ExecStartPost="),
        *("StandardOutput=file:/run/probed", "RuntimeDirectoryPreserve=yes"),
    )
    host.run("systemctl", "start", f"probed-{unit}")
    outcomes = dict(line.split(": ") for line in (host.root / "run/probed").read_text().splitlines())
    assert outcomes.keys() == probe.attempts(0).keys()
    assert {what for what, outcome in outcomes.items() if outcome == "done"} == MAY[unit], outcomes
    (host.root / "run/probed").unlink()
    (host.root / "etc/fleetnet/enroll.token").unlink()
    # Without the unit all of it can be done: so it is the unit that forbids it.
    assert {line.split(": ")[1] for line in host.run(*command).splitlines()} == {"done"}


def test_the_admin_socket_is_open_to_its_group_and_nobody_else(station: Station) -> None:
    host = station.host
    for user, groups in (("alice", "fleetnet-admin"), ("mallory", "users")):
        host.run("useradd", "--groups", groups, user)
        done = host.attempt("runuser", "-u", user, "--", f"{BIN}/fleetnet", "hosts", "-o", "name")
        assert (done.returncode, done.stdout) == ((0, "web1\n") if user == "alice" else (4, "")), done.stderr


def test_it_can_be_monitored_and_backed_up(station: Station) -> None:
    fetch = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=60).read())"
    assert station.host.run("python3", "-c", fetch) == "b'ok\\n'\n"
    until(
        lambda: "1 hosts connected; all is well" in station.host.property("fleetnet-server.service", "StatusText"),
        within_s=60.0,
        what="the one host, in what the service manager is told",
    )
    station.host.run("install", "-d", "-m", "0700", "-o", "fleetnet-server", "/var/backups/fleetnet")
    backup = (f"{BIN}/fleetnet-server", "backup", "/var/backups/fleetnet/1")
    station.host.run("runuser", "-u", "fleetnet-server", "--", *backup)
    kept = (station.host.root / "var/backups/fleetnet/1").stat()
    assert (kept.st_mode & 0o777, kept.st_size > 10_000) == (0o600, True)


def test_a_certificate_is_renewed(station: Station) -> None:
    state = station.host.root / "var/lib/fleetnet-agent"
    before = (state / "agent.pem").read_bytes()
    station.host.run("systemctl", "stop", "fleetnet-agent")
    facts = json.loads((state / "agent.json").read_text())
    now_us = time.time_ns() // 1000
    # A life of ten days of which a minute is left: renewal is due within three seconds.
    facts |= {"valid_from_us": now_us - 864_000_000_000, "valid_until_us": now_us + 60_000_000}
    (state / "agent.json").write_text(json.dumps(facts))
    station.host.run("systemctl", "start", "fleetnet-agent")
    until(lambda: (state / "agent.pem").read_bytes() != before, within_s=WITHIN_S, what="a new certificate")
    station.wait_for("hosts", host="web1", connected=True)


def test_what_happens_while_the_collector_is_away_is_kept_and_told(station: Station) -> None:
    station.host.run("systemctl", "stop", "fleetnet-server")
    station.serve("late", 8081)
    # What is told fits into memory until enough has changed, and a host by itself may be quiet.
    connect = "while sleep 0.3; do (exec 3<>/dev/tcp/127.0.0.1/8081); done"
    station.host.run("systemd-run", "--quiet", "--unit=churn", "bash", "-c", connect)
    spool = station.host.root / "var/lib/fleetnet-agent/spool.db"
    until(spool.exists, within_s=WITHIN_S, what="the spool")
    station.host.run("systemctl", "stop", "churn", "late")
    station.host.run("systemctl", "start", "fleetnet-server")
    station.host.run("systemctl", "restart", "fleetnet-agent")
    told = station.wait_for("who-listens", "8081", "--since", "1h ago", unit="late.service")
    assert told["opened_at_is"] in ("seen", "exact")


@pytest.mark.usefixtures("cellar")
def test_who_hangs_is_started_anew(station: Station) -> None:
    host = station.host
    for unit in SERVICES:
        station.drop_in(unit, "[Service]", "WatchdogSec=5", "RestartSec=1", "TimeoutAbortSec=1")
        host.run("systemctl", "restart", f"{unit}.service")
    station.wait_for("hosts", host="web1", connected=True)
    before = {unit: station.main_pid(unit) for unit in SERVICES}
    host.run("kill", "-STOP", *map(str, before.values()))

    def anew(unit: str) -> bool:
        is_up = host.property(f"{unit}.service", "ActiveState") == "active"
        return is_up and station.main_pid(unit) not in (0, before[unit])

    for unit in SERVICES:
        until(lambda unit=unit: anew(unit), within_s=WITHIN_S, what=f"a new {unit}")  # type: ignore[misc]  # bound now
        assert "Watchdog timeout" in host.journal(unit)
        station.drop_in(unit)
        host.run("systemctl", "restart", f"{unit}.service")
    station.wait_for("hosts", host="web1", connected=True)
    station.wait_for("who-listens", "8080", netns="cellar", closed_at=None)


@pytest.mark.usefixtures("cellar")
def test_a_reboot_keeps_the_state_and_everything_comes_back(station: Station) -> None:
    state = station.host.root / "var/lib/fleetnet-agent/agent.pem"
    certificate = state.read_bytes()
    station.host.reboot()
    station.wait_for("hosts", host="web1", connected=True)
    assert (station.host.root / "var/lib/fleetnet-agent/agent.pem").read_bytes() == certificate
    station.wait_for("who-listens", "22", unit="ssh.service", owner_status="known")
    # What ended with the boot before is in history.
    assert station.ask("who-listens", "8080", "--since", "1h ago")


def test_the_history_may_be_on_postgresql_whose_password_is_a_credential(station: Station) -> None:
    if station.postgresql is None:
        pytest.skip(why_no_postgresql())
    station.postgresql.execute(
        "CREATE ROLE with_password LOGIN PASSWORD 'a secret'",
        "CREATE DATABASE fleetnet OWNER with_password ENCODING 'UTF8' TEMPLATE template0",
    )
    password = station.host.root / "etc/fleetnet/pgpass"
    password.touch(mode=0o600)
    password.write_text("*:*:fleetnet:with_password:a secret\n")
    station.drop_in(
        "fleetnet-server",
        "[Service]",
        "LoadCredential=pgpass:/etc/fleetnet/pgpass",
        "Environment=PGPASSFILE=%d/pgpass",
        "Environment=FLEETNET_SERVER_DATABASE=postgresql+psycopg://with_password@/fleetnet?host=/srv",
    )
    station.host.run("systemctl", "restart", "fleetnet-server")
    assert station.ask("hosts") == []
    assert station.postgresql.asked("SELECT count(*) FROM hosts", "fleetnet") == [0]
