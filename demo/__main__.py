"""The demo: real hosts, a collector, a few questions. `python -m demo`, or `make demo`.

As root: this machine and three hosts in network namespaces; otherwise this machine alone. What must stay true: when
it ends, in whatever way, no process, namespace or interface of its own is left, and no file outside its folder.
"""

import argparse
import fcntl
import os
import re
import shutil
import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from demo import fabric, interrupts, services, story
from demo.fabric import Fabric, Host
from demo.fleet import Fleet, environment, on
from demo.programs import FailedError, Programs
from demo.story import Service, say

_ROOT = Path(__file__).resolve().parents[1]
# A socket's path has at most 107 bytes (sun_path of linux/un.h); the longest below the folder is the helper's.
_MAX_FOLDER_BYTES = 107 - len("/fleetnet-helper-12345678/helper.sock")


def main() -> int:
    """Run it; the exit status: 0 all answers were right, 1 something was not."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="See fleetnet answer for real hosts.")
    parser.add_argument("--alone", action="store_true", help="this machine alone, though root could have more hosts")
    parser.add_argument("--keep", action="store_true", help="keep logs and database")
    parser.add_argument("--run", metavar="DIR", type=Path, default=_ROOT / "demo" / "run", help="folder of its files")
    asked = parser.parse_args()
    interrupts.install()
    try:
        run(asked.run.resolve(), keep=asked.keep, alone=asked.alone)
    except FailedError as failure:
        print(f"\ndemo: {failure}.", file=sys.stderr)
        if failure.log:
            print("".join(f"    | {line}\n" for line in failure.log.splitlines()), end="", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader has had enough. What is still buffered must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return 0


def run(directory: Path, *, keep: bool, alone: bool) -> None:
    """Set up, ask, clean up."""
    began = time.monotonic()
    with ExitStack() as ends:
        ends.enter_context(Folder(directory, keep=keep))
        why_alone = "--alone was given" if alone else fabric.why_not()
        if not why_alone:
            fabric.sweep()
        hosts = None if why_alone else ends.enter_context(Fabric(fabric.free_subnet()))
        programs = ends.enter_context(Programs(directory, environment(directory)))
        if hosts is None:
            on_this_machine(directory, programs, why_alone, began)
        else:
            on_four_hosts(directory, programs, hosts, began)
    kept = f"logs and database are in {directory}" if keep else "nothing is left behind"
    say(f"All answers were right. {kept.capitalize()}. ({time.monotonic() - began:.0f} s)")


def on_four_hosts(directory: Path, programs: Programs, hosts: Fabric, began: float) -> None:
    """This machine, and three hosts with services."""
    say("Starting a collector, four hosts with an agent each, and three services on them …")
    # In a namespace of its own, so that it meets neither another collector's ports nor this machine's packet filter.
    fleet = Fleet(directory, programs, hosts.add_host("collector"))
    fleet.start_collector()
    hosts.join()
    here = host_name()
    web_at, database_at, shop_at = (hosts.add_host(name) for name in ("web1", "db1", "app1"))
    enroll_all(fleet, {"web1": web_at, "db1": database_at, "app1": shop_at, here: None})
    web = start(programs, "web", "web1", "0.0.0.0", 443, web_at)
    database = start(programs, "database", "db1", "127.0.0.1", 5432, database_at)
    shop = start(programs, "shop", "app1", web_at.address, 443, shop_at)
    say(f"Ready after {time.monotonic() - began:.0f} s. Four hosts report, and everything below is real:")
    say(f"web1, db1 and app1, which are network namespaces, and this machine, {here}.")
    ask(fleet, web, database, shop)
    story.this_moment(fleet, shop, services.LEAKED)
    story.where_to(fleet, "db1", web_at.address)


def on_this_machine(directory: Path, programs: Programs, why: str, began: float) -> None:
    """This machine only, with its own sockets and a few of the demo's."""
    say("Starting a collector, an agent for this machine, and three services on it …")
    fleet = Fleet(directory, programs)
    fleet.start_collector()
    here = host_name()
    enroll_all(fleet, {here: None})
    web = start(programs, "web", here, "127.0.0.1", 0)
    database = start(programs, "database", here, "127.0.0.1", 0)
    shop = start(programs, "shop", here, "127.0.0.1", web.port)
    say(f"Ready after {time.monotonic() - began:.0f} s. This machine, {here}, reports, and everything below is real.")
    say(f"There would be three hosts more, with services of their own, but {why}.")
    ask(fleet, web, database, shop)


def enroll_all(fleet: Fleet, places: dict[str, Host | None]) -> None:
    """Let each host join and start its agent; returns when all have reported."""
    for name, place in places.items():
        fleet.enroll(name, place)
        fleet.start_agent(name, place)
    fleet.wait_until_fresh(*places)


def ask(fleet: Fleet, web: Service, database: Service, shop: Service) -> None:
    """Four questions."""
    say()
    known_at = story.who_listens(fleet, web)
    story.not_exposed(fleet, database)
    story.who_leaks(fleet, shop, services.LEAKED)
    others = [item for item in fleet.ask("who-listens", str(web.port), "-o", "json").items if not story.of([item], web)]
    story.memory(fleet, web, known_at, others=bool(others))


def start(programs: Programs, name: str, host: str, address: str, port: int, place: Host | None = None) -> Service:
    """Start a service; returns when its sockets are open."""
    command = [sys.executable, "-m", "demo.services", name, address, str(port)]
    program = programs.start(name, on(place, *command), {"PYTHONPATH": str(_ROOT)})
    return Service(host, int(program.wait_for(r"^ready (\d+)")[1]), program)


def host_name() -> str:
    """This machine's name, as a host of the fleet may be called."""
    name = re.sub(r"[^a-z0-9._-]+", "-", socket.gethostname().lower()).strip("._-")[:253]
    return name if name and name not in ("web1", "db1", "app1") else "this-machine"


class Folder:
    """The demo's folder: empty at the beginning, gone at the end, and one demo's at a time."""

    def __init__(self, directory: Path, *, keep: bool) -> None:
        self._directory = directory
        self._keep = keep
        self._lock = -1

    def __enter__(self) -> None:
        if len(os.fsencode(self._directory)) > _MAX_FOLDER_BYTES:
            raise FailedError(f"the path {self._directory} is too long to make sockets in; give a shorter --run DIR")
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(self._directory, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in self._directory.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        except BlockingIOError:
            raise FailedError(f"another demo is running in {self._directory}; wait for it, or give --run DIR") from None
        except OSError as error:
            why = error.strerror.lower() if error.strerror else str(error)
            raise FailedError(f"the folder {self._directory} cannot be used: {why}; give --run DIR") from None

    def __exit__(self, *_: object) -> None:
        if not self._keep:
            shutil.rmtree(self._directory, ignore_errors=True)
        os.close(self._lock)


if __name__ == "__main__":
    sys.exit(main())
