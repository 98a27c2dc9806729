"""The Ansible collection on hosts that boot: a fleet is deployed, asked, upgraded and taken apart, and nothing is
invented or lost on the way.

One fleet for all tests here, which are in the order in which things happen to it.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from system.booted import Booted, booted
from system.deployed import NEVER_REPORTS, Play, Site, build_bundles, give_nft, raise_bundles, why_not_deployed
from system.installed import BARS, BIN
from system.laboratory import Laboratory, laboratory
from system.leftovers import Files, accounts, files_of
from system.secrecy import TOKEN, Watched, files_with_it, watched

from demo.programs import until

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.usefixtures("bootable"), pytest.mark.timeout(900)]

FLEETNET = Path(sys.executable).parent / "fleetnet"
FIRST = ("hub", "web1", "db1")
LATER = "web2"
GOOD, BROKEN = "97.0.0", "98.0.0"
# Asked for in the inventory, beyond what the unit has by itself.
LIMITS = {"MemoryMax": "200M", "CPUQuota": "40%", "TasksMax": "100"}
PORT = 8080
EXPOSED = ("hub", "web1")  # who serves on it to everybody
UNIT = """
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /srv {port} --bind {address}
[Install]
WantedBy=multi-user.target
"""
POLICY = f"""
[[rule]]
name = "nothing on {PORT}"
forbid = [{{ port = {PORT}, exposed = true }}]
"""


class Stage:
    """The site, and hosts that can be added to it."""

    def __init__(self, lab: Laboratory, stack: ExitStack) -> None:
        self.lab, self._stack = lab, stack
        self.site = Site(lab.directory / "site", lab.fabric.add_host("controller"))
        self.site.variables = {"fleetnet_agent_limits": LIMITS, "fleetnet_batches": [1, "100%"]}
        self.site.prepare()
        self.watched = Watched()
        self.bare: dict[str, Files] = {}  # what was on a host before anything was deployed

    def add(self, name: str) -> Booted:
        """A bare host, up, that serves on a port: to everybody, or to itself."""
        host = self._stack.enter_context(
            booted(self.lab.fabric.add_host(name), self.lab.directory / name, self.lab.programs)
        )
        self.site.let_in(host)
        shop = host.upper / "etc/systemd/system/shop.service"
        shop.parent.mkdir(parents=True)
        shop.write_text(UNIT.format(port=PORT, address="0.0.0.0" if name in EXPOSED else "127.0.0.1"))
        if name == FIRST[0]:
            give_nft(host)
        host.start()
        host.let_units_be_bounded()
        host.run("systemctl", "enable", "--now", "shop")
        self.bare[name] = files_of(host)
        self.site.hosts[name] = host
        return host


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if why := why_not_deployed():
        pytest.skip(why)
    with laboratory(tmp_path_factory.mktemp("lab")) as lab, ExitStack() as stack:
        made = Stage(lab, stack)
        build_bundles(made.site.dist)
        for name in FIRST:
            made.add(name)
        yield made


@pytest.fixture
def site(stage: Stage) -> Site:
    return stage.site


def shown(done: Play, host: str) -> tuple[int, int, int]:
    """changed, unreachable, failed of a host."""
    recap = done.recap[host]
    return recap.changed, recap.unreachable, recap.failed


def test_a_check_of_bare_hosts_says_what_would_be_done_and_does_nothing(site: Site) -> None:
    said = site.play("site", "--check", "--diff").succeeded()
    assert all(changed > 0 for changed in said.changed.values()), said.said
    for host in site.hosts.values():
        assert not (host.root / "opt/fleetnet").exists()
        assert not (host.root / "etc/fleetnet").exists()


def test_bare_hosts_are_deployed_without_a_way_out(stage: Stage, site: Site) -> None:
    for host in site.hosts.values():
        assert "default" not in host.run("ip", "route")
    site.variables["fleetnet_nftables"] = True
    with watched() as stage.watched:
        said = site.play("site", "-vvv").succeeded()
    assert said.recap.keys() == set(FIRST)
    listening = {item["host"]: item for item in site.ask("who-listens", "22") if item["local_address"] == "0.0.0.0"}
    assert listening.keys() == set(FIRST)
    assert {(item["unit"], item["owners"][0]["name"]) for item in listening.values()} == {("ssh.service", "sshd")}
    labels = {item["host"]: item["labels"] for item in site.ask("hosts")}
    assert labels["web1"] == {"group/fleetnet_agents": "yes", "group/web": "yes"}


def test_a_token_is_seen_in_no_output_no_process_no_journal_and_no_file(stage: Stage, site: Site) -> None:
    used = [item for item in site.ask("token", "list") if item["uses"]]
    assert len(used) == len(FIRST)
    # What follows would find one: in a command line, and in a file.
    bait = site.collector.run(f"{BIN}/fleetnet", "token", "create", "--host", "bait").encode()
    assert TOKEN.fullmatch(bait.strip())
    with watched() as trap:
        site.run("sh", "-c", "sleep 0.5", bait.decode().strip())
    assert trap.seen
    (site.directory / "bait").write_bytes(bait)
    assert files_with_it([site.directory]) == [site.directory / "bait"]
    (site.directory / "bait").unlink()

    output = (site.directory / "plays.log").read_bytes()
    assert b"ESTABLISH SSH CONNECTION" in output  # of -vvv
    assert not TOKEN.search(output)
    assert any(program.endswith(b"/fleetnet-agent") or b"python" in program for program in stage.watched.programs)
    assert stage.watched.seen == set()
    for host in site.hosts.values():
        command = host.command("journalctl", "--no-pager", "--all", "--output=export")
        journal = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        assert b"fleetnet-agent-enroll.service" in journal
        assert not TOKEN.search(journal)
        assert files_with_it([host.upper, *(host.root / part for part in ("run", "tmp", "dev/shm"))]) == []
    assert files_with_it([site.directory]) == []


def test_a_second_run_changes_nothing_and_a_check_says_so(site: Site) -> None:
    assert set(site.play("site").succeeded().changed.values()) == {0}
    said = site.play("site", "--check", "--diff").succeeded()
    assert set(said.changed.values()) == {0}
    assert "+++" not in said.said


def test_units_run_hardened_and_within_the_limits_that_were_asked_for(site: Site) -> None:
    host = site.hosts["web1"]
    assert host.property("fleetnet-agent.service", "MemoryMax") == str(200 << 20)
    assert host.property("fleetnet-agent.service", "CPUQuotaPerSecUSec") == "400ms"
    assert host.property("fleetnet-agent.service", "TasksMax") == "100"
    # The kernel has it.
    pid = host.property("fleetnet-agent.service", "MainPID")
    groups = dict(line.split(":")[1:] for line in host.run("cat", f"/proc/{pid}/cgroup").splitlines())
    if "memory" in groups:
        bound = host.run("cat", f"/sys/fs/cgroup/memory{groups['memory']}/memory.limit_in_bytes")
    else:
        bound = host.run("cat", f"/sys/fs/cgroup{groups['']}/memory.max")
    assert int(bound) == 200 << 20
    for unit in ("fleetnet-agent", "fleetnet-helper"):
        told = host.run("systemd-analyze", "security", "--no-pager", f"{unit}.service").splitlines()[-1]
        assert float(told.split(": ")[1].split()[0]) <= BARS[unit], told


def log_in(site: Site) -> None:
    """Have the controller's admin be known to the collector."""
    token = site.directory / "admin.token"
    token.touch(mode=0o600)
    token.write_text(site.collector.run(f"{BIN}/fleetnet", "token", "create", "--person", "admin", "--role", "viewer"))
    address = site.collector.place.address
    site.run(str(FLEETNET), "login", "--server", f"{address}:7444", "--token-file", str(token))


def shops(site: Site) -> dict[str, tuple[str, str]]:
    """Of each host, whether its shop runs and whether it will after a boot."""
    return {
        name: (host.property("shop.service", "ActiveState"), host.property("shop.service", "UnitFileState"))
        for name, host in site.hosts.items()
    }


def test_a_port_is_closed_on_exactly_the_hosts_that_have_it_open_and_then_audited(site: Site) -> None:
    log_in(site)
    (site.directory / "policy.toml").write_text(POLICY)
    (site.directory / "fleet.fleetnet.yml").write_text(
        f"plugin: fleetnet.fleetnet.fleetnet\ncommand: {FLEETNET}\nlistens: [{PORT}]\nexposed: true\n"
    )
    given = (
        *("--inventory=inventory.yml", "--inventory=fleet.fleetnet.yml", f"--extra-vars=fleetnet_port={PORT}"),
        *(f"--extra-vars=fleetnet_command={FLEETNET}", f"--extra-vars=fleetnet_policy={site.directory}/policy.toml"),
    )
    until(lambda: len(site.ask("who-listens", str(PORT))) == 3, within_s=60.0, what="the three listeners")
    assert site.attempt(str(FLEETNET), "audit", "policy.toml").returncode == 1

    closed = site.play("close_port", *given).succeeded()
    assert {host for host, changed in closed.changed.items() if changed} == set(EXPOSED), closed.said
    assert set(closed.recap) == {"localhost", *EXPOSED}
    off, on = ("inactive", "disabled"), ("active", "enabled")
    assert shops(site) == {"hub": off, "web1": off, "db1": on}
    assert [item["host"] for item in site.ask("who-listens", str(PORT))] == ["db1"]
    assert site.attempt(str(FLEETNET), "audit", "policy.toml").returncode == 0

    again = site.play("close_port", *given).succeeded()
    assert set(again.changed.values()) == {0}
    assert set(again.recap) == {"localhost"}


def test_a_host_that_is_cut_off_as_it_is_added_is_given_up_and_joins_with_the_next_run(
    stage: Stage, site: Site
) -> None:
    host = stage.add(LATER)

    def cut_off() -> None:
        until(lambda: list((host.root / "opt").glob("fleetnet/.unpacked-*")), within_s=300.0, what="the release")
        host.place.ip("link", "set", "eth0", "down")

    cutting = threading.Thread(target=cut_off)
    cutting.start()
    done = site.play("site", within_s=240.0)
    cutting.join()
    assert done.status == 4  # of Ansible: some host was not reached
    assert {name: shown(done, name)[1:] for name in site.hosts} == {**dict.fromkeys(FIRST, (0, 0)), LATER: (1, 0)}
    assert LATER not in {item["host"] for item in site.ask("hosts")}

    host.place.ip("link", "set", "eth0", "up")
    again = site.play("site").succeeded()
    assert {name for name, changed in again.changed.items() if changed} - {"hub"} == {LATER}, again.said
    assert {item["host"] for item in site.ask("hosts") if item["fresh"]} == {*FIRST, LATER}
    assert not list((host.root / "opt/fleetnet").glob(".*"))


def gaps(site: Site, host: str) -> list[tuple[str, str, str]]:
    """From when to when, and why."""
    found = site.ask("history", host, "--since", "1h ago")
    return [(item["from"], item["to"], item["reason"]) for item in found if item["what"] == "gap"]


def releases(site: Site) -> dict[str, str]:
    """What is in use on each host."""
    return {name: (host.root / "opt/fleetnet/current").readlink().name for name, host in site.hosts.items()}


def agents(site: Site) -> dict[str, str]:
    """The version of each host that is heard."""
    return {item["host"]: item["agent_version"] for item in site.ask("hosts") if item["connected"] and item["fresh"]}


def started(site: Site) -> dict[str, str]:
    """When each host's agent was started."""
    return {
        name: host.property("fleetnet-agent.service", "ExecMainStartTimestampMonotonic")
        for name, host in site.hosts.items()
    }


def restarted_at(host: Booted) -> str:
    """When its agent was started last, as answers write it."""
    told = host.run(
        *("systemctl", "show", "--timestamp=us+utc", "--value", "--property=ExecMainStartTimestamp"),
        "fleetnet-agent.service",
    )
    return host.run("date", "--utc", "+%FT%T.%6NZ", "--date", told.strip()).strip()


def test_an_upgrade_keeps_history_with_one_gap_around_the_restart_of_each_agent(stage: Stage, site: Site) -> None:
    old = releases(site)["hub"]
    listening = site.ask("who-listens", "22", "--exposed")
    opened = {item["host"]: item["opened_at"] for item in listening}
    looked = {item["host"]: item["last_seen"] for item in listening}
    before = {name: gaps(site, name) for name in site.hosts}
    site.variables["fleetnet_dist"] = str(site.directory / GOOD)
    raise_bundles(site.dist, GOOD, site.directory / GOOD)
    site.play("upgrade").succeeded()

    assert releases(site) == dict.fromkeys(site.hosts, GOOD)
    # The collector came last, and told all to come back a little later.
    until(lambda: agents(site) == dict.fromkeys(site.hosts, GOOD), within_s=90.0, what="all agents")
    again = {item["host"]: item["opened_at"] for item in site.ask("who-listens", "22", "--exposed")}
    assert again == opened
    for name, host in site.hosts.items():
        # One restart, one gap: from what the agent had told last to the first look of the new one.
        [(since, to, reason)] = [gap for gap in gaps(site, name) if gap not in before[name]]
        assert reason == "agent restarted"
        assert looked[name] <= since < restarted_at(host) <= to
    [backup] = [path.name for path in (site.collector.root / "var/lib/fleetnet-server/backups").iterdir()]
    assert backup.startswith(f"{old}-")
    assert set(site.play("upgrade").succeeded().changed.values()) == {0}


def test_a_release_that_never_reports_is_stopped_after_its_first_batch_and_rolled_back(
    stage: Stage, site: Site
) -> None:
    before = started(site)
    site.variables["fleetnet_dist"] = str(site.directory / BROKEN)
    raise_bundles(site.dist, BROKEN, site.directory / BROKEN, kinds=("agent",), agent=NEVER_REPORTS)
    done = site.play("upgrade", "--extra-vars=fleetnet_wait=5")
    assert done.status == 2
    assert done.recap.keys() == {"web1"}, done.said
    assert "web1 is not connected" in done.said
    assert f"web1 is back at {GOOD}" in done.said
    assert releases(site) == dict.fromkeys(site.hosts, GOOD)
    until(lambda: agents(site) == dict.fromkeys(site.hosts, GOOD), within_s=60.0, what="the agent of before")
    after = started(site)
    assert {name for name in site.hosts if after[name] != before[name]} == {"web1"}
    for name in ("db1", LATER):
        assert not (site.hosts[name].root / "opt/fleetnet" / BROKEN).exists()


def test_a_release_is_left_for_the_one_before_and_to_do_it_again_changes_nothing(site: Site) -> None:
    asked = ("rollback", f"--extra-vars=fleetnet_leaving={GOOD}")
    old = (site.hosts["db1"].root / "opt/fleetnet/previous").readlink().name
    site.play(*asked, "--limit=db1").succeeded()
    assert agents(site) == {**dict.fromkeys(site.hosts, GOOD), "db1": old}
    assert set(site.play(*asked, "--limit=db1").succeeded().changed.values()) == {0}


def test_of_a_host_that_is_removed_nothing_is_left_but_its_history(stage: Stage, site: Site) -> None:
    host = site.hosts[LATER]
    then = site.collector.run("date", "--utc", "+%FT%T.%6NZ").strip()
    said = site.play("remove", f"--extra-vars=fleetnet_remove={LATER}").succeeded()
    assert shown(said, LATER)[1:] == (0, 0)
    left = files_of(host)
    assert left.beyond(stage.bare[LATER]) == []
    assert stage.bare[LATER].beyond(left) == []
    assert not [line for line in accounts(host) if "fleetnet" in line]
    assert "fleetnet" not in host.run("systemctl", "list-units", "--all", "--plain", "--no-legend")

    assert LATER not in {item["host"] for item in site.ask("hosts")}
    assert {item["host"]: item["status"] for item in site.ask("hosts", "--at", then)}[LATER] == "retired"
    kept = site.ask("history", LATER, "--since", "1h ago")
    assert any(item["what"] == "socket" and item["local_port"] == 22 for item in kept)
    again = site.play("remove", f"--extra-vars=fleetnet_remove={LATER}").succeeded()
    assert set(again.changed.values()) == {0}
    del site.hosts[LATER]


# systemd-nspawn gives each boot of a host an id of its own, and the unit, whose /proc is mounted anew, shows it that of
# this machine. So what the host has is put there.
TAKE_BOOT_ID = """
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "cat /proc/sys/kernel/random/boot_id > /run/boot_id; chmod 644 /run/boot_id"
"""
SHOW_BOOT_ID = """
[Unit]
Requires=boot-id.service
After=boot-id.service
[Service]
BindReadOnlyPaths=/run/boot_id:/proc/sys/kernel/random/boot_id
"""


def heard_since(site: Site, host: str, when: str) -> bool:
    """Whether a look that was made later is stored."""
    return any(item["host"] == host and item["last_seen"] > when for item in site.ask("hosts"))


def test_a_host_that_boots_is_back_and_what_it_held_open_has_ended(site: Site) -> None:
    host = site.hosts["db1"]
    port = str(PORT)
    units = host.root / "etc/systemd/system"
    (units / "boot-id.service").write_text(TAKE_BOOT_ID)
    (units / "fleetnet-agent.service.d/60-boot-id.conf").write_text(SHOW_BOOT_ID)
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", "fleetnet-agent")
    until(lambda: heard_since(site, "db1", restarted_at(host)), within_s=60.0, what="the agent")
    before = host.run("cat", "/proc/sys/kernel/random/boot_id")
    host.reboot()
    assert host.run("cat", "/proc/sys/kernel/random/boot_id") != before
    until(lambda: heard_since(site, "db1", restarted_at(host)), within_s=120.0, what="the agent")
    first = next(item for item in site.ask("history", "db1", "--since", "1h ago") if item["what"] == "agent-start")
    assert first["booted"] is True
    lives = [item for item in site.ask("history", f"db1:{port}", "--since", "1h ago") if item["what"] == "socket"]
    # The same service again: of the boot before it ended somewhere in the gap.
    assert [(item["closed_at_is"], bool(item["closed_at"])) for item in lives[:2]] == [(None, False), ("gap", True)]
    assert lives[1]["last_seen"] < lives[0]["opened_at"] <= lives[0]["last_seen"]


def test_a_collector_that_is_removed_takes_all_of_its_own_along(stage: Stage, site: Site) -> None:
    host = site.collector
    assert "table inet fleetnet" in host.run("nft", "list", "tables")
    site.play("remove", "--extra-vars=fleetnet_remove=hub", "--extra-vars=fleetnet_remove_collector=true").succeeded()
    left = files_of(host)
    assert left.beyond(stage.bare["hub"]) == []
    assert not [line for line in accounts(host) if "fleetnet" in line]
    assert "fleetnet" not in host.run("nft", "list", "tables")
