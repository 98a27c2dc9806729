"""A collector is put back to a backup: hosts tell everything anew, and the time between is a gap."""

import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import hasty

from demo.fleet import Fleet, console_script
from demo.programs import Programs, until


def test_agents_of_a_collector_that_was_put_back_tell_everything_anew(here: Fleet, programs: Programs) -> None:
    kept = here.directory / "kept"
    here.enroll("web1")
    agent = here.start_agent("web1", environment=hasty.ENVIRONMENT)
    here.wait_until_fresh("web1")
    with socket.create_server(("127.0.0.1", 0)) as before, socket.create_server(("127.0.0.1", 0)) as later:
        ports = [listener.getsockname()[1] for listener in (before, later)]
        until(lambda: all(listens(here, port) for port in ports), within_s=60, what="both listeners")
        programs.start(
            "backup", [console_script("fleetnet-server"), "backup", "--data", str(here.data), str(kept)]
        ).succeed()
        before.close()
        until(lambda: not listens(here, ports[0]), within_s=60, what="the end of the first listener")
        here.collector.stop()
        shutil.rmtree(here.data)
        restore(here, programs, kept)
        here.start_collector()
        until(lambda: not listens(here, ports[0]), within_s=120, what="its end, told anew")
        assert listens(here, ports[1])
        here.wait_until_fresh("web1")
        assert agent.running
        assert gaps_of(here) >= 1


def gaps_of(fleet: Fleet) -> int:
    with closing(sqlite3.connect(f"file:{fleet.data}/fleetnet.db?mode=ro", uri=True)) as conn:
        count: int = conn.execute("SELECT count(*) FROM gaps").fetchone()[0]
        return count


def listens(fleet: Fleet, port: int) -> bool:
    return bool(fleet.ask("who-listens", str(port), "-o", "json").items)


def restore(fleet: Fleet, programs: Programs, kept: Path) -> None:
    programs.start(
        "restore", [console_script("fleetnet-server"), "restore", "--data", str(fleet.data), str(kept)]
    ).succeed()
