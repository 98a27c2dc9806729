"""`fleetnet audit`: what a policy means, what is called a violation, and what is never called clean."""

import json
import tomllib
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli.audit import judge, learn, policy
from fleetnet_cli.audit.patterns import Pattern
from fleetnet_cli.errors import UsageError
from fleetnet_cli.records import Host, Label, Owner, PortRange, Socket
from fleetnet_cli.services import parse as parse_services
from fleetnet_proto.v1 import query_pb2, sockets_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from cli import fleet

SERVICES = parse_services(fleet.SERVICES)
NGINX = Owner(812, "nginx", "/usr/sbin/nginx", 0, "nginx: master")
LISTENER = Socket(
    host="web1", netns="host", protocol="tcp", family="ipv4", state="LISTEN", interface="", v6only=None,
    local_address="0.0.0.0", local_port=443, remote_address="", remote_port=0, recv_queue=0, send_queue=511, uid=33,
    user="www-data", inode=1, unit="nginx.service", container="", owners=(NGINX,), owner_status="known", scope="any",
    exposed="yes", opened_at_us=0, opened_at_is="seen", closed_at_us=0, closed_at_is="", last_seen_us=0, source="diag",
)  # fmt: skip
RESOLVED = Owner(5, "systemd-resolve", "/lib/systemd/systemd-resolved", 0, "systemd-resolved")
UNSEEN = replace(LISTENER, owners=(), owner_status="no-helper", uid=None, user="", unit="")
HOST = Host("web1", True, True, 1, 0, 1, 1, "", "", "", "", 0, 0, ())


@pytest.mark.parametrize(
    ("pattern", "socket", "verdict"),
    [
        ('port = 443', LISTENER, True),
        ('port = "80, 400-499"', LISTENER, True),
        ('port = ["ssh", "https"]', LISTENER, True),
        ('port = 80', LISTENER, False),
        ('protocol = "udp"', LISTENER, False),
        ('process = "ngin*"', LISTENER, True),
        ('process = "nginx", port = 80', UNSEEN, False),
        ('process = "nginx", port = 443', UNSEEN, None),
        ('process = "sshd"', replace(LISTENER, owners=(), owner_status="kernel"), False),
        ('user = "www-data"', LISTENER, True),
        ('user = "33"', LISTENER, True),
        ('user = "root"', LISTENER, False),
        ('user = "root"', UNSEEN, None),
        ('unit = "nginx.service"', LISTENER, True),
        ('unit = "nginx.service"', UNSEEN, None),
        ('container = "0123*"', LISTENER, False),
        ('container = "0123*"', replace(LISTENER, container="0123456"), True),
        ('scope = ["public", "any"]', LISTENER, True),
        ('scope = "loopback"', LISTENER, False),
        ('exposed = true', LISTENER, True),
        ('exposed = true', replace(LISTENER, exposed="unknown"), None),
        ('exposed = false', replace(LISTENER, exposed="no"), True),
        ('address = "10.0.0.0/8"', replace(LISTENER, local_address="10.1.2.3"), True),
        ('address = "10.0.0.0/8"', replace(LISTENER, local_address="::ffff:10.1.2.3"), True),
        ('address = "2001:db8::1"', replace(LISTENER, local_address="2001:db8::2"), False),
        ('address = "10.0.0.0/8"', replace(LISTENER, local_address="fe80::1"), False),
        ('netns = "host"', LISTENER, True),
        # A name is what the kernel keeps of it, 15 bytes; what it is called by itself may be longer.
        ('process = "systemd-resolved"', replace(LISTENER, owners=(RESOLVED,)), True),
        ('process = "systemd-resolvex"', replace(LISTENER, owners=(RESOLVED,)), True),
        ('process = "systemd-r*d"', replace(LISTENER, owners=(RESOLVED,)), True),
        ('process = "evil"', replace(LISTENER, owners=(), owner_status="gone"), None),
        ('user = "alice"', replace(LISTENER, uid=1500, user=""), None),
        ('user = "1501"', replace(LISTENER, uid=1500, user=""), False),
        ('scope = "public"', replace(LISTENER, scope="unknown"), None),
        ('protocol = "tcp"', replace(LISTENER, protocol="unknown"), None),
        ('address = "::ffff:10.0.0.0/104"', replace(LISTENER, local_address="10.1.2.3"), True),
        ('address = "::ffff:10.1.2.3"', replace(LISTENER, local_address="10.1.2.3"), True),
        ('netns = "!host"', LISTENER, False),
        ('netns = "!host"', replace(LISTENER, netns="host", netns_inode=5), True),
        ('netns = "host"', replace(LISTENER, netns="host", netns_inode=5), False),
        ('netns = "b*"', replace(LISTENER, netns="blue", netns_inode=5), True),
    ],
)  # fmt: skip
def test_a_pattern_says_yes_no_or_that_it_cannot_tell(pattern: str, socket: Socket, verdict: bool | None) -> None:
    rules = policy.parse(f"[[rule]]\nname = 'r'\nforbid = [{{ {pattern} }}]", "p.toml", SERVICES).rules
    assert rules[0].patterns[0].matches(socket) is verdict


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rules"),
        ("rule = 1", "has no rules"),
        ("[[rule]", "is not TOML"),
        ("rule = " + "[" * 10_000, "nested too deep"),
        ("[[rule]]\nname = ' '\nforbid = [{port = 1}]", "line 1: the rule has no name"),
        ("[[rule]]\nname = 'a'\nforbid = [{exposed = true, scope = 'loopback'}]", "is never exposed"),
        ("[[rules]]", '"rules" is not known; did you mean "rule"?'),
        ("[[rule]]\nforbid = [{port = 1}]", "line 1: the rule has no name"),
        ("\n[[rule]]\nname = 'a'", 'line 2, "a": a rule says one of expect, forbid, only, exactly, at_most'),
        ("[[rule]]\nname = 'a'\nforbid = [{port = 1}]\nexpect = [{port = 2}]", "this one says 2"),
        ("[[rule]]\nname = 'a'\nforbit = [{port = 1}]", 'did you mean "forbid"?'),
        ("[[rule]]\nname = 'a'\nforbid = []", "forbid names nothing"),
        ("[[rule]]\nname = 'a'\nforbid = [{}]", "would be any listener"),
        ("[[rule]]\nname = 'a'\nforbid = 23", "forbid is a list of listeners"),
        ("[[rule]]\nname = 'a'\nforbid = [{port = 'htps'}]", 'port: "htps" is not a port'),
        ("[[rule]]\nname = 'a'\nforbid = [{port = 70000}]", "70000 is not a port"),
        ("[[rule]]\nname = 'a'\nforbid = [{port = true}]", "port is a number or a text"),
        ("[[rule]]\nname = 'a'\nforbid = [{protocol = 'tpc'}]", 'did you mean "tcp"?'),
        ("[[rule]]\nname = 'a'\nforbid = [{scope = 'world'}]", '"world" is no scope'),
        ("[[rule]]\nname = 'a'\nforbid = [{address = '10.0.0.1/8'}]", '"10.0.0.1/8" is no address or net'),
        ("[[rule]]\nname = 'a'\nforbid = [{exposed = 'yes'}]", "exposed is true or false"),
        ("[[rule]]\nname = 'a'\nforbid = [{proces = 'x'}]", 'did you mean "process"?'),
        ("[[rule]]\nname = 'a'\nforbid = [{process = 1}]", "process is not a text"),
        ("[[rule]]\nname = 'a'\nforbid = [{port = []}]", "port is empty, which would be any"),
        ("[[rule]]\nname = 'a'\nforbid = [{process = ''}]", "process is empty, which would be any"),
        ("[[rule]]\nname = 'a'\nhosts = []\nforbid = [{port = 1}]", "hosts is empty"),
        ("[[rule]]\nname = 'a'\nhosts = 1\nforbid = [{port = 1}]", "hosts is not a list of texts"),
        ("[[rule]]\nname = 'a'\nlabels = {}\nforbid = [{port = 1}]", "labels is a table"),
        ("[[rule]]\nname = 'a'\nlabels = 'role'\nforbid = [{port = 1}]", "labels is a table"),
        ("[[rule]]\nname = 'a'\nlabels = {Role = 'x'}\nforbid = [{port = 1}]", 'labels: "Role"'),
        ("[[rule]]\nname = 'a'\nlabels = {role = true}\nforbid = [{port = 1}]", "labels.role is not a text"),
        ("[[rule]]\nname = 'a'\nlabel = {role = 'x'}\nforbid = [{port = 1}]", 'did you mean "labels"?'),
        ("[[rule]]\nname = 'a'\nseverity = 'bad'\nforbid = [{port = 1}]", '"bad" is no severity'),
        ("[[rule]]\nname = 'a'\nloopback = true\nforbid = [{port = 1}]", "loopback belongs to only and exactly"),
        ("[[rule]]\nname = 'a'\nat_most = 5", "at_most is a table of states"),
        ("[[rule]]\nname = 'a'\nat_most = { CLOSED_WAIT = 5 }", 'did you mean "CLOSE_WAIT"?'),
        ("[[rule]]\nname = 'a'\nat_most = { CLOSE_WAIT = 5, close-wait = 6 }", "at_most names CLOSE_WAIT twice"),
        ("[[rule]]\nname = 'a'\nat_most = { CLOSE_WAIT = 'x' }", "at_most.CLOSE_WAIT is not a number"),
        ("[[rule]]\nname = 'a'\nforbid = [{port = 1}]\n" * 2, 'line 4: there is a rule "a" already'),
    ],
)
def test_what_a_policy_cannot_mean_is_said_with_its_place(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        policy.parse(text, "p.toml", SERVICES)
    assert words in str(refused.value)
    assert str(refused.value).startswith("p.toml")


def verdicts(rule: str, *sockets: Socket, host: Host = HOST, ephemeral: bool = False, **counts: int) -> list[str]:
    rules = policy.parse(f"[[rule]]\nname = 'r'\n{rule}", "p.toml", SERVICES).rules
    counted = Counter({(host.host, state): count for state, count in counts.items()})
    judged = judge.judge(rules, [host], sockets, counted, 0, ephemeral=ephemeral, raw=False)
    return [finding.verdict for one in judged for finding in one.findings]


MAYBE = replace(LISTENER, exposed="unknown", netns="blue")
LOCAL = replace(LISTENER, exposed="no", scope="loopback", local_address="127.0.0.1")
RAW = replace(LISTENER, protocol="raw", state="CLOSE", local_port=1)
SIX = replace(LISTENER, local_address="::")
HANDED_OUT = replace(LISTENER, protocol="udp", state="CLOSE", local_port=40_000)


@pytest.mark.parametrize(
    ("rule", "sockets", "expected"),
    [
        ("expect = [{port = 443}]", [LISTENER], []),
        ("expect = [{port = 443}]", [], ["violated"]),
        ("expect = [{port = 443}, {port = 22}]", [LISTENER], ["violated"]),
        ("expect = [{process = 'nginx'}]", [UNSEEN], ["not-judged"]),
        ("expect = [{process = 'nginx'}]", [UNSEEN, LISTENER], []),
        ("forbid = [{port = 443}]", [LISTENER], ["violated"]),
        ("forbid = [{port = 443}]", [], []),
        ("forbid = [{process = 'nginx'}]", [UNSEEN], ["not-judged"]),
        ("forbid = [{exposed = true}]", [MAYBE, LOCAL], ["not-judged"]),
        ("forbid = [{protocol = 'udp'}]", [HANDED_OUT], []),
        ("forbid = [{port = 40000}]", [HANDED_OUT], ["violated"]),
        ("forbid = [{address = '10.0.0.0/8'}]", [LISTENER], ["violated"]),
        ("forbid = [{address = '2001:db8::/32'}]", [LISTENER], []),
        ("forbid = [{address = '2001:db8::/32'}]", [SIX], ["violated"]),
        ("forbid = [{address = '10.0.0.0/8'}]", [SIX], ["not-judged"]),
        ("forbid = [{address = '10.0.0.0/8'}]", [replace(SIX, v6only=True)], []),
        ("forbid = [{address = '10.0.0.0/8'}]", [replace(SIX, v6only=False)], ["violated"]),
        ("forbid = [{address = '10.0.0.0/8'}]", [replace(SIX, local_address="::ffff:0.0.0.0")], ["violated"]),
        ("only = [{address = '10.0.0.0/8'}]", [LISTENER], ["violated"]),
        ("only = [{port = 443}]", [LISTENER, LOCAL, HANDED_OUT, RAW], []),
        ("only = [{port = 443}, {protocol = 'raw', port = 6}]", [LISTENER, RAW], ["violated"]),
        ("forbid = [{process = 'nginx'}]", [RAW], []),
        ("forbid = [{protocol = 'raw'}]", [RAW], ["violated"]),
        ("only = [{port = 22}]", [LISTENER], ["violated"]),
        ("only = [{port = 22}]", [LOCAL], []),
        ("only = [{port = 22}]\nloopback = true", [LOCAL], ["violated"]),
        ("only = [{port = 22}]", [MAYBE], ["not-judged"]),
        ("only = [{port = 443}]", [MAYBE], []),
        ("only = [{port = 443, process = 'nginx'}]", [UNSEEN], ["not-judged"]),
        ("only = []", [LISTENER], ["violated"]),
        ("exactly = [{port = 443}]", [LISTENER], []),
        ("exactly = [{port = 22}]", [LISTENER], ["violated", "violated"]),
    ],
)
def test_what_is_called_a_violation(rule: str, sockets: list[Socket], expected: list[str]) -> None:
    assert verdicts(rule, *sockets) == expected
    assert set(verdicts(rule, *sockets, host=replace(HOST, fresh=False))) == {"not-judged"}


@pytest.mark.parametrize(
    ("degraded", "rule", "sockets", "expected"),
    [
        ("udp: not read: Permission denied", "forbid = [{protocol = 'udp'}]", [], ["not-judged"]),
        ("udp: not read: Permission denied", "forbid = [{protocol = 'tcp'}]", [], []),
        ("tcp: not read: Permission denied", "expect = [{port = 22}]", [], ["not-judged"]),
        ("tcp: not read: Permission denied", "forbid = [{port = 443}]", [LISTENER], ["violated", "not-judged"]),
        ("tcp: not read: Permission denied", "at_most = { CLOSE_WAIT = 5 }", [], ["not-judged"]),
        ("tcp: from psutil", "forbid = [{port = 22}]", [], []),
        ("namespaces: 2 cannot be entered", "only = [{port = 443}]", [LISTENER], ["not-judged"]),
        ("budget: too much memory", "only = [{port = 443}]", [LISTENER], []),
    ],
)
def test_what_an_agent_could_not_read_is_not_taken_for_nothing(
    degraded: str, rule: str, sockets: list[Socket], expected: list[str]
) -> None:
    assert verdicts(rule, *sockets, host=replace(HOST, degraded=(degraded,))) == expected


def test_a_host_with_a_gap_then_is_not_judged() -> None:
    assert verdicts("forbid = [{port = 443}]", LISTENER, host=replace(HOST, gaps=1)) == ["not-judged"]


def test_what_is_learned_of_a_container_is_not_right_on_its_host() -> None:
    inside = replace(LISTENER, netns="4026532001", netns_inode=4026532001, exposed="unknown", local_port=6379)
    learned = policy.parse(learn.learn([HOST], [inside], ephemeral=False), "p", SERVICES).rules
    outside = replace(inside, netns="host", netns_inode=0, exposed="yes")
    [one] = judge.judge(learned, [HOST], [outside], Counter(), 0, ephemeral=False, raw=False)
    assert {finding.verdict for finding in one.findings} == {"violated"}


def test_of_a_state_so_many_are_allowed_and_no_more() -> None:
    rule = "at_most = { CLOSE-WAIT = 2, TIME_WAIT = 0 }"
    assert verdicts(rule, CLOSE_WAIT=2) == []
    assert verdicts(rule, CLOSE_WAIT=3) == ["violated"]
    assert verdicts(rule, CLOSE_WAIT=3, TIME_WAIT=1) == ["violated", "violated"]


def test_a_socket_on_a_port_handed_out_counts_where_that_is_asked_for() -> None:
    assert verdicts("only = [{port = 22}]", HANDED_OUT, ephemeral=True) == ["violated"]


def test_each_host_is_judged_by_what_is_its_own_and_only_where_a_rule_concerns_it() -> None:
    text = "[[rule]]\nname = 'r'\nhosts = ['WEB*', 'db1']\nexcept = 'web9'\nexpect = [{port = 443}]"
    hosts = [replace(HOST, host=name) for name in ("db1", "other", "web1", "web2", "web9")]
    sockets = [replace(LISTENER, host=name) for name in ("gone", "other", "web1", "zoo")]
    judged = judge.judge(
        policy.parse(text, "p", SERVICES).rules, hosts, sockets, Counter(), 0, ephemeral=False, raw=False
    )
    assert [(one.host, len(one.findings)) for one in judged] == [("db1", 1), ("web1", 0), ("web2", 1)]


def labelled(name: str, **labels: str) -> Host:
    return replace(HOST, host=name, labels=tuple(Label(*one) for one in labels.items()))


@pytest.mark.parametrize(
    ("labels", "concerned"),
    [
        ("{ role = 'web' }", ["web1", "web2"]),
        ("{ role = 'w*' }", ["web1", "web2", "web3"]),
        ("{ role = '*', env = 'prod' }", ["web2", "web3"]),
        ("{ role = 'WEB' }", []),
        ("{ env = '*' }", ["web2", "web3"]),
    ],
)
def test_a_rule_concerns_hosts_that_have_all_of_its_labels(labels: str, concerned: list[str]) -> None:
    hosts = [
        labelled("db1"),
        labelled("web1", role="web"),
        labelled("web2", role="web", env="prod"),
        labelled("web3", role="worker", env="prod"),
    ]
    text = f"[[rule]]\nname = 'r'\nhosts = ['web*', 'db*']\nlabels = {labels}\nforbid = [{{port = 1}}]"
    rules = policy.parse(text, "p", SERVICES).rules
    judged = judge.judge(rules, hosts, [], Counter(), 0, ephemeral=False, raw=False)
    assert [one.host for one in judged] == concerned
    nobody = [one.findings[0].message for one in judge.of_nobody(rules, hosts)]
    assert nobody == ([] if concerned else ["no host that matches web*, db* has role=WEB"])


def test_a_label_that_no_host_has_is_said_and_never_clean(
    canned: Canned, fleetnet: Callable[..., Ran], tmp_path: Path
) -> None:
    for host in canned.hosts:
        host.fresh = True
    (tmp_path / "p.toml").write_text("[[rule]]\nname = 'r'\nlabels = { role = 'wbe' }\nforbid = [{port = 1}]")
    ran = fleetnet("audit", str(tmp_path / "p.toml"))
    assert ran.status == 3
    assert "no host has role=wbe" in ran.out
    (tmp_path / "p.toml").write_text("[[rule]]\nname = 'r'\nlabels = { role = 'web' }\nforbid = [{port = 1}]")
    assert fleetnet("audit", str(tmp_path / "p.toml")).status == 0
    sarif = fleetnet("audit", str(tmp_path / "p.toml"), "-o", "sarif").out
    assert "forbid, on * with role=web" in sarif


_NAMES = st.text(st.characters(exclude_categories=()), min_size=1, max_size=8)
_SOCKETS = st.builds(
    lambda **said: replace(LISTENER, **said),
    host=st.sampled_from(["web1", "we[b]2", "web*"]),
    protocol=st.sampled_from(["tcp", "udp", "sctp"]),
    local_address=st.sampled_from(["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1"]),
    local_port=st.integers(1, 65535),
    unit=_NAMES.map(lambda name: f"{name}.service") | st.just(""),
    container=st.sampled_from(["", "0123"]),
    owners=st.lists(_NAMES.map(lambda name: replace(NGINX, name=name)), max_size=3).map(tuple),
    owner_status=st.sampled_from(["known", "no-helper", "raced"]),
    exposed=st.sampled_from(["yes", "unknown", "no"]),
)


@settings(max_examples=300)
@given(st.lists(_SOCKETS, max_size=12))
def test_what_is_learned_of_a_fleet_is_satisfied_by_it_and_by_nothing_less(sockets: list[Socket]) -> None:
    sockets.sort(key=lambda socket: socket.host)
    hosts = [replace(HOST, host=name) for name in sorted({"web1", "we[b]2", "web*"})]
    learned = learn.learn(hosts, sockets, ephemeral=True)
    assert learned.isascii()
    rules = policy.parse(learned, "learned", SERVICES).rules
    judged = list(judge.judge(rules, hosts, sockets, Counter(), 0, ephemeral=True, raw=True))
    assert sorted(one.host for one in judged) == sorted(host.host for host in hosts)
    assert not [finding for one in judged for finding in one.findings]
    another = replace(LISTENER, host="web1", protocol="raw", local_port=1)
    judged = (
        list(judge.judge(rules, hosts, [*sockets, another], Counter(), 0, ephemeral=True, raw=True))
        if not sockets
        else []
    )
    assert [one.host for one in judged if one.findings] == (["web1"] if not sockets else [])


@given(st.text(st.characters(exclude_categories=())))
def test_every_text_of_a_host_can_be_written_as_toml(text: str) -> None:
    written = learn.quoted(text)
    assert written.isascii()
    assert written.isprintable()
    assert tomllib.loads(f"x = {written}")["x"] == text.encode("utf-8", "replace").decode()


POLICY = """
[[rule]]
name = "https on web servers"
hosts = "web*"
expect = [{ port = "https", process = "nginx" }]

[[rule]]
name = "no names served"
severity = "warning"
why = "asked for by security\x1b[31m"
forbid = [{ port = 53 }]

[[rule]]
name = "mail"
hosts = ["mail*"]
expect = [{ port = 25 }]
"""


@pytest.fixture
def written(tmp_path: Path) -> str:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.replace("\x1b", "\\u001b"))
    return str(path)


def test_violations_are_1_what_could_not_be_judged_is_3_and_clean_is_0(
    canned: Canned, fleetnet: Callable[..., Ran], tmp_path: Path
) -> None:
    for host in canned.hosts:
        host.fresh = True

    def audited(text: str) -> int:
        (tmp_path / "p.toml").write_text(f"[[rule]]\nname = 'r'\n{text}")
        return fleetnet("audit", str(tmp_path / "p.toml")).status

    assert audited("hosts = 'web1'\nexpect = [{port = 443}]") == 0
    assert audited("hosts = 'web1'\nforbid = [{port = 443}]") == 1
    assert audited("hosts = 'web1'\nforbid = [{port = 80, process = 'nginx'}]") == 3
    assert audited("hosts = 'mail*'\nforbid = [{port = 25}]") == 3, "it concerns nobody, perhaps by mistake"
    canned.coverage.gaps = 1
    assert audited("hosts = 'web1'\nexpect = [{port = 443}]") == 3
    canned.coverage.gaps = 0
    assert fleetnet("audit", str(tmp_path / "p.toml"), "--host", "nobody*").status == 0
    canned.hosts, all_of_them = [], canned.hosts
    ran = fleetnet("audit", str(tmp_path / "p.toml"), "--host", "nobody*", "-o", "json")
    assert ran.status == 3
    assert json.loads(ran.out)["items"][0]["message"] == "no host was asked about"
    canned.hosts = all_of_them
    canned.coverage.hosts_stale.extend(fleet.stale(3, "web1"))  # as the later answers have it
    assert audited("hosts = 'web1'\nexpect = [{port = 443}]") == 3
    del canned.coverage.hosts_stale[:]
    canned.hosts[2].fresh = False
    assert audited("hosts = 'web1'\nforbid = [{port = 443}]") == 3


def test_a_rule_for_a_host_that_is_not_asked_about_is_left_alone(
    fleetnet: Callable[..., Ran], canned: Canned, written: str
) -> None:
    canned.hosts = [host for host in canned.hosts if host.host == "db1"]
    ran = fleetnet("audit", written, "--host", "db1", "-o", "json")
    assert [item["rule"] for item in json.loads(ran.out)["items"]] == []
    assert fleetnet("audit", written).out.count("no host matches") == 2


@pytest.mark.usefixtures("canned")
def test_junit_counts_what_it_tells(fleetnet: Callable[..., Ran], written: str) -> None:
    ran = fleetnet("audit", written, "-o", "junit")
    assert ran.status == 1
    suites = ElementTree.fromstring(ran.out)
    for suite in suites:
        cases = list(suite)
        assert int(suite.attrib["tests"]) == len(cases)
        assert int(suite.attrib["failures"]) == sum(case.find("failure") is not None for case in cases)
        assert int(suite.attrib["skipped"]) == sum(case.find("skipped") is not None for case in cases)
    assert [suite.attrib["name"] for suite in suites] == ["https on web servers", "no names served", "mail", "coverage"]
    assert [(case.attrib["name"], [part.tag for part in case]) for case in suites[1]] == [
        ("db1", []), ("odd", ["failure"]), ("web1", ["skipped"]), ("web2", ["skipped"]),
    ]  # fmt: skip


def test_a_policy_that_names_raw_sockets_has_them_asked_for(
    canned: Canned, fleetnet: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "p.toml").write_text("[[rule]]\nname = 'r'\nforbid = [{protocol = 'raw'}]")
    fleetnet("audit", str(tmp_path / "p.toml"))
    listeners = canned.asked[-1]
    assert isinstance(listeners, query_pb2.ListSocketsRequest)
    assert sockets_pb2.PROTOCOL_RAW in listeners.protocols


def test_junit_says_where_the_answer_is_not_whole(canned: Canned, fleetnet: Callable[..., Ran], written: str) -> None:
    canned.coverage.gaps = 1
    coverage = ElementTree.fromstring(fleetnet("audit", written, "-o", "junit").out)[-1]
    assert (coverage.attrib["name"], coverage.attrib["skipped"]) == ("coverage", "1")
    skipped = coverage[0].find("skipped")
    assert skipped is not None
    assert "1 gap overlaps" in skipped.attrib["message"]


def test_in_sarif_the_same_listener_in_two_namespaces_is_two(
    canned: Canned, fleetnet: Callable[..., Ran], tmp_path: Path
) -> None:
    twice = [fleet.listeners()[2], fleet.listeners()[2]]
    twice[1].netns, twice[1].netns_inode = "blue", 5
    canned.sockets = twice
    canned.hosts[2].fresh = True
    (tmp_path / "p.toml").write_text("[[rule]]\nname = 'r'\nhosts = 'web1'\nforbid = [{port = 443}]")
    [run] = json.loads(fleetnet("audit", str(tmp_path / "p.toml"), "-o", "sarif").out)["runs"]
    assert len({result["partialFingerprints"]["finding/v1"] for result in run["results"]}) == 2


@pytest.mark.usefixtures("canned")
def test_sarif_has_each_finding_at_its_rule(fleetnet: Callable[..., Ran], written: str) -> None:
    (run,) = json.loads(fleetnet("audit", written, "-o", "sarif").out)["runs"]
    lines = POLICY.splitlines()
    for result in run["results"]:
        (location,) = result["locations"]
        assert lines[location["physicalLocation"]["region"]["startLine"] - 1] == "[[rule]]"
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert [(r["ruleId"], r["kind"], r["level"]) for r in run["results"]] == [
        ("no names served", "fail", "warning"), ("https on web servers", "open", "none"),
        ("no names served", "open", "none"), ("https on web servers", "open", "none"),
        ("no names served", "open", "none"), ("mail", "open", "none"),
    ]  # fmt: skip


@pytest.mark.usefixtures("canned")
@pytest.mark.parametrize("output", ["table", "json", "junit", "sarif"])
def test_hostile_text_is_inert_in_every_format(fleetnet: Callable[..., Ran], written: str, output: str) -> None:
    out = fleetnet("audit", written, "-o", output).out
    assert "\\x1b" in out or "\\u001b" in out
    assert all(character.isprintable() or character == "\n" for character in out)


def test_a_policy_that_cannot_be_read_is_2(fleetnet: Callable[..., Ran], tmp_path: Path) -> None:
    assert fleetnet("audit").status == 2
    assert "cannot be read (No such file" in fleetnet("audit", str(tmp_path / "absent")).err
    (tmp_path / "latin").write_bytes(b"# \xe9")
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf# as some editors begin")
    assert "has no rules" in fleetnet("audit", str(tmp_path / "marked")).err
    assert "is not UTF-8" in fleetnet("audit", str(tmp_path / "latin")).err
    assert "leave out" in fleetnet("audit", "--learn", "p.toml").err
    assert "--learn writes TOML" in fleetnet("audit", "--learn", "-o", "sarif").err


@pytest.mark.usefixtures("canned")
def test_what_is_learned_leaves_out_who_is_silent(fleetnet: Callable[..., Ran], tmp_path: Path) -> None:
    learned = fleetnet("audit", "--learn")
    assert '# Of these nothing is known now, for they are silent: "web1", "web2"' in learned.out
    (tmp_path / "learned.toml").write_text(learned.out)
    assert fleetnet("audit", str(tmp_path / "learned.toml")).status == 0


def test_patterns_are_told_in_words() -> None:
    pattern = Pattern(
        (PortRange(80, 80), PortRange(8000, 8999)), ("tcp",), scopes=("any",), process="nginx", user="root"
    )
    assert pattern.words() == "tcp 80, 8000-8999 with scope any by nginx as root"
    assert Pattern(exposed=True).words() == "any port that is exposed"
