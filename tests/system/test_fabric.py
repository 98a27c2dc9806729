"""The laboratory itself: hosts reach one another and nothing else, and leave nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from system.laboratory import SILENT, Laboratory, silence

from demo import fabric
from demo.fabric import Fabric, Host
from demo.programs import FailedError, until

pytestmark = pytest.mark.root


def answers(host: Host, address: str) -> bool:
    """Whether a TCP connection to a port where nobody listens is refused, which only a living host does."""
    tried = f"import socket; s = socket.socket(); s.settimeout(0.5); s.connect(('{address}', 9))"
    done = subprocess.run(host.command(sys.executable, "-c", tried), capture_output=True, text=True, check=False)
    return "ConnectionRefusedError" in done.stderr


def test_hosts_reach_one_another_and_nothing_else() -> None:
    with Fabric() as hosts:
        web, database = hosts.add_host("web"), hosts.add_host("db")
        assert answers(web, database.address)
        assert answers(database, web.address)
        assert web.run("ip", "route", "show", "default") == ""


def test_two_fabrics_do_not_meet_though_they_use_the_same_names_and_addresses() -> None:
    with Fabric() as one, Fabric() as other:
        here, there = one.add_host("web"), other.add_host("web")
        assert here.address == there.address
        assert here.namespace != there.namespace
        assert not answers(here, str(fabric.SUBNET[2]))


def test_it_ends_with_whatever_still_runs_on_its_hosts() -> None:
    with Fabric() as hosts:
        host = hosts.add_host("web")
        stubborn = subprocess.Popen(host.command("sh", "-c", "trap '' TERM; while :; do sleep 60; done"))
        cmdline = Path(f"/proc/{stubborn.pid}/cmdline")  # that of nsenter, until it is inside and becomes the shell
        until(lambda: cmdline.read_text().startswith("sh\0"), within_s=60.0, what="the shell")
    assert stubborn.wait(timeout=5.0) != 0
    assert not [name for name in fabric.list_namespaces() if f"-{os.getpid()}-" in name]


def test_the_end_that_joins_a_fabric_goes_with_it() -> None:
    with Fabric(fabric.free_subnet()) as hosts:
        host, address = hosts.add_host("web"), hosts.join()
        assert answers(host, address)
        assert list(Path("/sys/class/net").glob(f"fn{os.getpid()}*"))
    assert not list(Path("/sys/class/net").glob(f"fn{os.getpid()}*"))


def test_it_is_removed_when_setting_it_up_fails() -> None:
    with pytest.raises(FailedError, match=r"ip .* ended with status"), Fabric() as hosts:
        hosts.add_host("web").ip("address", "add", "nonsense", "dev", "eth0")
    assert not [name for name in fabric.list_namespaces() if f"-{os.getpid()}-" in name]


def test_a_silenced_address_neither_answers_nor_refuses(lab: Laboratory) -> None:
    host = lab.fabric.add_host("web")
    silence(host, SILENT)
    tried = f"import socket; s = socket.socket(); s.settimeout(0.2); s.connect(('{SILENT}', 9))"
    done = subprocess.run(host.command(sys.executable, "-c", tried), capture_output=True, text=True, check=False)
    assert "TimeoutError" in done.stderr
