"""An admin asks from a machine of his own: logs in, asks, is kept to his role, and out in the midst of watching."""

import json
from pathlib import Path

import pytest
from system.laboratory import Laboratory

from demo.fleet import Fleet, console_script
from demo.programs import Program, until

pytestmark = pytest.mark.root

DENIED = 4


class Laptop:
    """A machine that has neither a collector nor an agent."""

    def __init__(self, lab: Laboratory, fleet: Fleet) -> None:
        self._lab, self._fleet = lab, fleet
        self._host = lab.fabric.add_host("laptop")
        self._home = lab.directory / "home"

    @property
    def logins(self) -> Path:
        """Where they are kept."""
        return self._home / "fleetnet/contexts"

    def start(self, *arguments: str, name: str = "laptop") -> Program:
        """`fleetnet ARGUMENTS`."""
        command = self._host.command(console_script("fleetnet"), *arguments)
        return self._lab.programs.start(name, command, {"XDG_CONFIG_HOME": str(self._home)})

    def ask(self, *arguments: str) -> tuple[int, str]:
        """The exit status, and all that was said."""
        program = self.start(*arguments)
        return program.wait(within_s=60.0), program.says()

    def log_in(self, person: str, role: str) -> None:
        """With a token that is made on the collector's machine, and brought over."""
        token = self._lab.directory / f"{person}.token"
        token.write_text(self._fleet.expect(0, "token", "create", "--person", person, "--role", role).output)
        login = ("login", "--server", self._fleet.enroll_address, "--token-file", str(token), "--context", person)
        status, said = self.ask(*login)
        assert status == 0, said


def test_an_admin_asks_from_his_own_machine_as_far_as_his_role_goes_until_he_is_revoked_and_a_host_does_not(
    lab: Laboratory,
) -> None:
    host, fleet = lab.fabric.add_host("web1"), lab.fleet()
    lab.start(host, "listening", "nginx", "tcp:0.0.0.0:443").wait_for("^ready")
    fleet.enroll("web1", host)
    fleet.start_agent("web1", host)
    laptop = Laptop(lab, fleet)
    assert laptop.ask("hosts", "--server", fleet.report_address)[0] == DENIED
    laptop.log_in("alice", "operator")

    def found() -> bool:
        status, said = laptop.ask("who-listens", "443", "-o", "json")
        return status == 0 and [item["host"] for item in json.loads(said)["items"]] == ["web1"]

    until(found, within_s=60.0, what="the listener of web1")
    assert laptop.ask("netstat", "web1", "-tln", "--live")[0] == 0
    assert laptop.ask("token", "create", "--host", "web2")[0] == 0

    fleet.expect(0, "person", "role", "alice", "viewer")
    status, said = laptop.ask("token", "create", "--host", "web3")
    assert (status, "this takes an operator" in said) == (DENIED, True), said
    assert laptop.ask("who-listens", "443")[0] == 0

    watch = laptop.start("watch", "who-listens", "443", "-q", name="watch")
    watch.wait_for(r"^            web1 +tcp +0\.0\.0\.0:443 .*nginx")
    fleet.expect(0, "person", "revoke", "alice")
    assert watch.wait(within_s=60.0) == DENIED, watch.says()
    watch.wait_for(r"^fleetnet: .*was revoked; log in with a new token$")
    assert laptop.ask("who-listens", "443")[0] == DENIED
    status, said = laptop.ask("login")
    assert (status, "was revoked" in said) == (DENIED, True), said

    laptop.log_in("alice", "viewer")
    assert laptop.ask("who-listens", "443")[0] == 0

    become(laptop.logins / "alice.toml", fleet.state("web1"))
    status, said = laptop.ask("who-listens", "443")
    assert (status, "hosts may not ask" in said) == (DENIED, True), said


def become(login: Path, state: Path) -> None:
    """Put the key and the certificate by which a host reports into a login."""
    parts = login.read_text().split("'''")
    parts[1], parts[3] = (f"\n{(state / name).read_text()}" for name in ("agent.key", "agent.pem"))
    login.write_text("'''".join(parts))
