"""A canned collector, and `fleetnet` run against it in this process or in its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import warm
from cli.canned import Canned, serve
from fleetnet_cli import client, services, times
from fleetnet_cli.commands.explain import answer
from fleetnet_cli.main import main

from cli import fleet, interchange, network, schemas

SCRIPT = Path(sys.executable).parent / "fleetnet"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing of this machine's settings, in UTC, with the services of the fixture."""
    for name in os.environ:
        if name.startswith("FLEETNET") or name in ("NO_COLOR", "COLUMNS", "XDG_RUNTIME_DIR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TZ", "UTC")
    (tmp_path / "services").write_text(fleet.SERVICES)
    monkeypatch.setattr(services, "PATH", tmp_path / "services")
    _forget_zone()
    yield
    monkeypatch.undo()
    _forget_zone()


def _forget_zone() -> None:
    time.tzset()
    times.local_second.cache_clear()


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the local zone."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        _forget_zone()

    return set_zone


@pytest.fixture
def canned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    """A collector of the small fleet, where FLEETNET_SERVER says."""
    canned = Canned()
    canned.coverage = fleet.all_fresh()
    canned.sockets = fleet.listeners()
    canned.hosts = fleet.hosts()
    canned.people = fleet.people()
    canned.tokens = fleet.tokens()
    canned.log = fleet.log()
    canned.namespaces = network.namespaces()
    canned.live_sockets = network.live_sockets()
    canned.counters = network.counters()
    canned.statistics = network.statistics()
    path = tmp_path / "admin.sock"
    end = serve(canned, path)
    monkeypatch.setenv("FLEETNET_SERVER", f"unix://{path}")
    # What is only an extra is given up after a second; here a busy machine may take longer.
    monkeypatch.setattr(answer, "_PATIENCE_S", 60.0)
    monkeypatch.setattr(client, "_GUESS_S", 60.0)
    yield canned
    canned.left.set()
    if canned.silent is not None:
        canned.silent.set()
    end()


@pytest.fixture
def fleetnet(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs the program in this process."""

    def run(*arguments: str) -> Ran:
        status = main(arguments)
        out, err = capsys.readouterr()
        _hold_to_the_schemas(out)
        return Ran(status, out, err)

    return run


def _hold_to_the_schemas(out: str) -> None:
    """Whatever a test asks, a document is as published; one that broke off is none."""
    if out.startswith('{"api_version"'):
        if out.endswith("]}\n"):
            schemas.check_document(out)
        elif '\n{"kind": "End"' in out:
            schemas.check_lines(out)
    elif '"$schema": "https://json.schemastore.org/sarif' in out:
        interchange.check_sarif(out)
    elif "\n<testsuites" in out:
        interchange.check_junit(out)


@pytest.fixture
def script() -> Callable[..., Ran]:
    """Runs the installed console script in a process of its own."""

    def run(*arguments: str, user: int | None = None) -> Ran:
        if user is None:
            done = warm.CLI.run(arguments, environment=os.environ, timeout=60)
        else:
            done = subprocess.run(
                [SCRIPT, *arguments], capture_output=True, text=True, check=False, user=user, timeout=60
            )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def as_nobody(tmp_path: Path) -> Callable[..., Ran]:
    """Runs the program as a user to whom what is not open to all is closed. Needs root."""
    for parent in [tmp_path, *tmp_path.parents[:2]]:
        parent.chmod(0o755)

    def run(*arguments: str, before: str = "") -> Ran:
        # The program may lie where only root reads, so it gives root up when it has loaded all it needs.
        program = (
            f"import os, sys\nfrom fleetnet_cli import client, main\nimport fleetnet_cli.output.table\n{before}\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\nsys.exit(main.main(sys.argv[1:]))"
        )
        # Another pytest that begins closes the folder of all of them again; settings are not to be looked for there.
        env = {**os.environ, "XDG_CONFIG_HOME": "/nonexistent"}
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
