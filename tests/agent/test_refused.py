"""An agent for which a filter refuses socket diagnostics: what it reads all the same, and what it says."""

import contextlib
import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleetnet_agent.records import Protocol
from fleetnet_agent.sources.fallback import psutil_table
from fleetnet_agent.sources.source import SourceError

HERE = Path(__file__).parent
AGENT = Path(sys.executable).with_name("fleetnet-agent")

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="the filter is written for x86_64 and aarch64"
)


def refused(*arguments: str) -> str:
    command = [sys.executable, str(HERE / "without_diag.py"), str(AGENT), *arguments]
    environment = {**os.environ, "FLEETNET_AGENT_STATE": "/nonexistent"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60).stdout


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def test_sockets_of_every_kind_that_has_another_way_are_read(held: contextlib.ExitStack, tmp_path: Path) -> None:
    tcp = held.enter_context(socket.create_server(("127.0.0.1", 0)))
    unix = held.enter_context(socket.socket(socket.AF_UNIX))
    unix.bind(str(tmp_path / "listener"))
    unix.listen()
    items: list[dict[str, Any]] = json.loads(refused("once", "-o", "json"))["items"]
    (by_psutil,) = [one for one in items if one["protocol"] == "tcp" and one["local_port"] == tcp.getsockname()[1]]
    (by_file,) = [one for one in items if one["path"] == str(tmp_path / "listener")]
    assert by_psutil["source"] == "psutil"
    assert (by_file["source"], by_file["state"], by_file["type"]) == ("proc", "LISTEN", "stream")
    assert by_file["inode"] == os.fstat(unix.fileno()).st_ino
    assert [owner["pid"] for owner in by_file["owners"]] == [os.getpid()]


def test_every_source_says_how_it_reads() -> None:
    said = dict(re.findall(r"^\w+ +source (\S+): (.*)$", refused("doctor"), re.MULTILINE))
    assert said.keys() >= {"tcp", "udp", "udplite", "sctp", "raw", "unix", "packet"}
    for name, words in said.items():
        if name in ("tcp", "udp"):
            assert "psutil" in words
        elif name in ("unix", "raw", "packet", "udplite"):
            # Where the kernel has no such sockets at all there is nothing to read, and the table is whole.
            assert "of /proc/net" in words or (name != "unix" and words == "reads whole")


def test_where_psutil_cannot_be_loaded_that_is_a_failure_of_the_source_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(SourceError, match="psutil cannot be loaded"):
        psutil_table(Protocol.TCP).look()
