"""Who talks to whom among three hosts: asked by address, net and host, now, before it began and after it ended."""

import datetime
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from system.far import GROUPS
from system.laboratory import Laboratory, laboratory

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import until

pytestmark = pytest.mark.root

FOUND, NOTHING, PARTIAL = 0, 1, 3
_HOSTS = ("db1", "idle", "web1")
_PORT = GROUPS["unsent"]
_COUNT = 3


@dataclass(frozen=True)
class Talk:
    """Connections from web1 to db1 that have been and are gone, and what was told of them while they were there."""

    fleet: Fleet
    hosts: dict[str, Host]
    before: str
    during: str
    told: dict[str, tuple[int, dict[str, int]]]  # of each target: the exit status, and how many sockets of which hosts
    tables: dict[str, list[list[str]]]

    def ask(self, *arguments: str) -> tuple[int, dict[str, int]]:
        """Likewise, now."""
        return _ask(self.fleet, *arguments)


def _ask(fleet: Fleet, *arguments: str) -> tuple[int, dict[str, int]]:
    answer = fleet.ask("who-talks-to", *arguments, "-o", "json")
    # Of what began since a time each state is there that a look came upon.
    sockets = {(item["host"], item["local_port"], item["remote_port"]) for item in answer.items}
    return answer.status, dict(Counter(host for host, *_ in sockets))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def _right(hosts: dict[str, Host]) -> list[str]:
    db1 = hosts["db1"].address
    return [f"{db1}:{_PORT}", f"[::ffff:{db1}]:{_PORT}", f"db1:{_PORT}", f"198.18.0.0/24:ssh,{_PORT}"]


def _missed(hosts: dict[str, Host]) -> list[str]:
    db1, idle = hosts["db1"].address, hosts["idle"].address
    return [f"{db1}:{_PORT - 1}", f"{idle}:{_PORT}", f"198.18.1.0/24:{_PORT}", "idle"]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    with laboratory(tmp_path_factory.mktemp("talk")) as lab:
        yield _talked(lab)


def _talked(lab: Laboratory) -> Talk:
    hosts = {name: lab.fabric.add_host(name) for name in _HOSTS}
    fleet = lab.fleet()
    for name, host in hosts.items():
        fleet.enroll(name, fleet.place)  # from elsewhere, so that it leaves no TIME_WAIT on the host
        fleet.start_agent(name, host)
    fleet.wait_until_fresh(*_HOSTS)
    far = lab.start(hosts["db1"], "far", hosts["db1"].address)
    far.wait_for("^ready")
    until(lambda: all(_ask(fleet, name)[0] == NOTHING for name in _HOSTS), within_s=60.0, what="each host's addresses")
    before = _now()
    near = lab.start(hosts["web1"], "talking", hosts["db1"].address, str(_PORT), str(_COUNT))
    near.wait_for("^connected")
    both = {"db1": _COUNT, "web1": _COUNT}
    until(
        lambda: {**_ask(fleet, "db1")[1], **_ask(fleet, "web1")[1]} == both, within_s=60.0, what="what both ends told"
    )
    during = _now()
    told = {target: _ask(fleet, target) for target in [*_right(hosts), *_missed(hosts), "web1"]}
    tables = {target: _lines(fleet, target) for target in ("db1", "web1")}
    near.tell("")
    near.wait_for("^ended")
    until(lambda: _gone(fleet), within_s=60.0, what="their end")
    return Talk(fleet, hosts, before, during, told, tables)


def _gone(fleet: Fleet) -> bool:
    return [_ask(fleet, name) for name in _HOSTS] == [(NOTHING, {})] * len(_HOSTS)


def _lines(fleet: Fleet, target: str) -> list[list[str]]:
    return [line.split() for line in fleet.expect(FOUND, "who-talks-to", target, "-q").output.splitlines()]


def test_a_connection_is_found_by_the_address_the_net_and_the_host_at_its_other_end(talk: Talk) -> None:
    right = _right(talk.hosts)
    assert {target: talk.told[target] for target in right} == dict.fromkeys(right, (FOUND, {"web1": _COUNT}))


def test_of_the_other_end_it_is_the_end_that_was_accepted(talk: Talk) -> None:
    assert talk.told["web1"] == (FOUND, {"db1": _COUNT})


def test_a_near_miss_finds_nothing(talk: Talk) -> None:
    missed = _missed(talk.hosts)
    assert {target: talk.told[target] for target in missed} == dict.fromkeys(missed, (NOTHING, {}))


def test_many_connections_are_one_line_that_names_the_service(talk: Talk) -> None:
    db1, web1 = talk.hosts["db1"].address, talk.hosts["web1"].address
    [[count, host, process, *ends]] = talk.tables["db1"]
    assert (count, host, process[:6], ends) == (str(_COUNT), "web1", "python", [f"{db1}:{_PORT}"])
    [[count, host, process, *ends]] = talk.tables["web1"]
    assert (count, host, process[:6], ends) == (str(_COUNT), "db1", "python", [f"*:{_PORT}", f"{web1}:*"])


def test_at_a_time_before_it_began_there_is_nothing_and_at_one_when_it_was_there_all_of_it(talk: Talk) -> None:
    for target in ("db1", f"198.18.0.0/24:{_PORT}"):
        assert talk.ask(target, "--at", talk.before) == (NOTHING, {})
        assert talk.ask(target, "--at", talk.during) == (FOUND, {"web1": _COUNT})
        assert talk.ask(target) == (NOTHING, {})


def test_what_began_since_is_found_though_it_has_ended(talk: Talk) -> None:
    assert talk.ask("db1", "--since", talk.before) == (FOUND, {"web1": _COUNT})
    assert talk.ask("db1", "--since", talk.during) == (NOTHING, {})
    assert talk.ask("db1", "--since", talk.before, "--at", talk.during) == (FOUND, {"web1": _COUNT})


def test_only_the_hosts_that_are_named_are_asked(talk: Talk) -> None:
    asked = ("db1", "--at", talk.during, "--host")
    assert talk.ask(*asked, "web*", "--host", "idle") == (FOUND, {"web1": _COUNT})
    assert talk.ask(*asked, "db1", "--host", "idle") == (NOTHING, {})


def test_of_a_host_whose_addresses_were_not_known_then_no_answer_is_given(talk: Talk) -> None:
    answer = talk.fleet.ask("who-talks-to", "db1", "--at", "2020-01-01T00:00:00Z")
    assert (answer.status, answer.output) == (PARTIAL, "")
    assert "no address of it was known then; name an address instead" in answer.errors
