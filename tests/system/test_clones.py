"""Two machines with one identity: a state directory copied to another host, real agents on both."""

import shutil

import hasty
import pytest
from system.laboratory import Laboratory

from demo.fabric import Host
from demo.fleet import Fleet, console_script
from demo.programs import Program, until

pytestmark = [pytest.mark.root, pytest.mark.slow]

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MACHINE_ID = "/etc/machine-id"


def _start(lab: Laboratory, fleet: Fleet, name: str, place: Host, seen: dict[str, str]) -> Program:
    """An agent that finds other words than ours in some files, as on a machine of its own; it comes back soon."""
    command = [console_script("fleetnet-agent"), "run", "--state", str(fleet.state(name)), "--namespaces", "own"]
    script = 'exec "$@"'
    for number, (file, words) in enumerate(seen.items()):
        instead = lab.directory / f"{name}.{number}"
        instead.write_text(f"{words}\n")
        script = f"mount --bind {instead} {file} && {script}"
    in_its_mounts = place.command("unshare", "--mount", "sh", "-c", script, "sh", *command)
    return lab.programs.start(name, in_its_mounts, hasty.ENVIRONMENT)


def _copied(lab: Laboratory) -> tuple[Fleet, Host, Host]:
    first, second = lab.fabric.add_host("first"), lab.fabric.add_host("second")
    fleet = lab.fleet()
    fleet.enroll("web1", first)
    shutil.copytree(fleet.state("web1"), fleet.state("copy"))
    return fleet, first, second


def _streams(fleet: Fleet) -> int:
    return fleet.collector.says().count('event="stream opened"')


def _degraded(fleet: Fleet) -> str:
    [item] = fleet.ask("hosts", "-o", "json").items
    return " ".join(item["degraded"])


def test_a_copy_with_another_machine_id_never_disturbs_the_first(lab: Laboratory) -> None:
    fleet, first, second = _copied(lab)
    original = _start(lab, fleet, "web1", first, {_MACHINE_ID: "a" * 32})
    fleet.wait_until_fresh("web1")
    copy = _start(lab, fleet, "copy", second, {_MACHINE_ID: "b" * 32})
    copy.wait_for("another machine reports as web1")
    assert "identity: another machine" in _degraded(fleet)
    assert "web1: identity" in fleet.ask("hosts").output
    assert _streams(fleet) == 1
    assert "hears another agent" not in original.says()
    doctor = lab.programs.start("doctor", [console_script("fleetnet-server"), "doctor", "--data", str(fleet.data)])
    doctor.wait_for("problem  web1: another machine with this host's identity came")
    # The copy gets a name of its own, and both report.
    copy.stop()
    shutil.rmtree(fleet.state("copy"))
    fleet.enroll("copy", second)
    _start(lab, fleet, "copy", second, {_MACHINE_ID: "b" * 32})
    fleet.wait_until_fresh("web1", "copy")
    assert fleet.collector.says().count("two machines have the identity of one host") == 1


def test_copies_with_one_machine_id_end_each_others_streams_once_and_no_more(lab: Laboratory) -> None:
    fleet, first, second = _copied(lab)
    boots = ("11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222")
    _start(lab, fleet, "web1", first, {_MACHINE_ID: "a" * 32, _BOOT_ID: boots[0]})
    fleet.wait_until_fresh("web1")
    copy = _start(lab, fleet, "copy", second, {_MACHINE_ID: "a" * 32, _BOOT_ID: boots[1]})
    until(lambda: _streams(fleet) == 2, within_s=60.0, what="the stream of the copy")
    until(lambda: _streams(fleet) == 3, within_s=60.0, what="the return of the first")
    copy.wait_for("another machine reports as web1", within_s=60.0)
    fleet.wait_until_fresh("web1")
    assert "identity: another machine" in _degraded(fleet)
    assert _streams(fleet) == 3
