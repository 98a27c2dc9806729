"""Hosts and groups from a collector, as ansible-inventory and plays see them."""

import json
from pathlib import Path

import pytest
from cli.canned import Canned
from fleetnet_proto.v1 import query_pb2
from system.playing import Controller

from cli import fleet

from .conftest import PLUGIN, Lists

TEMPLATE = "{{ lookup('pipe', 'touch TOUCHED') }}"


def test_hosts_are_grouped_by_what_they_listen_on_and_hold_and_by_their_labels(lists: Lists) -> None:
    listed = lists("listens: [https, 5432, 50-60]\nholds: [CLOSE_WAIT]\n")
    assert listed.groups == {
        "fleetnet_stale": ["web1", "web2"],
        "holds_close_wait": ["web1"],
        "label_env_prod": ["db1"],
        "label_role_db": ["db1"],
        "label_role_web": ["web1"],
        "listens_50_60": ["odd"],
        "listens_5432": ["db1"],
        "listens_https": ["web1"],
    }, listed.told
    web1 = listed.hosts["web1"]
    # No text of a host is a template, which ansible-inventory says of each.
    (listener,) = web1["fleetnet_listeners"]
    assert (listener["local_port"], listener["unit"]) == (443, {"__ansible_unsafe": "nginx.service"})
    assert web1["fleetnet"]["labels"] == {"role": {"__ansible_unsafe": "web"}}
    assert web1["fleetnet_as_of"] == {"__ansible_unsafe": "2026-03-01T13:00:00.123456Z"}


def test_loopback_may_be_passed_over_and_a_few_sockets_be_too_few(lists: Lists) -> None:
    listed = lists("listens: [5432]\nexposed: true\nholds: [CLOSE_WAIT]\nholds_min: 3\n")
    assert set(listed.hosts) == {"db1", "odd", "web1", "web2"}
    assert not {"listens_5432", "holds_close_wait"} & listed.groups.keys()


def test_variables_and_groups_may_be_made_of_what_is_known(lists: Lists) -> None:
    listed = lists(
        "compose: {ansible_host: inventory_hostname ~ '.example.com'}\n"
        "groups: {loud: fleetnet.sockets > 1000}\n"
        "keyed_groups: [{key: fleetnet.architecture, prefix: cpu}]\n"
        "label_groups: false\n",
    )
    assert listed.groups == {
        "fleetnet_stale": ["web1", "web2"],
        "loud": ["web1"],
        "cpu_x86_64": ["db1", "odd", "web1"],
    }, listed.told
    assert listed.hosts["db1"]["ansible_host"] == {"__ansible_unsafe": "db1.example.com"}


def test_labels_that_come_to_one_name_make_no_group_and_are_said(lists: Lists, canned: Canned) -> None:
    for host, (key, value) in zip(canned.hosts, [("a.b", "c"), ("a", "b/c"), ("a", "b"), ("role", "é")], strict=True):
        del host.labels[:]
        host.labels.append(query_pb2.Label(key=key, value=value))
    listed = lists()
    assert [name for name in listed.groups if name.startswith("label_")] == ["label_a_b", "label_role__"]
    assert "no group label_a_b_c: it would stand for each of label a.b=c, label a=b/c" in listed.told


def test_who_has_left_the_fleet_is_not_there(lists: Lists, canned: Canned) -> None:
    canned.hosts[0].status = query_pb2.HOST_STATUS_RETIRED
    listed = lists("listens: [5432]\n")
    assert set(listed.hosts) == {"odd", "web1", "web2"}
    assert "listens_5432" not in listed.groups


@pytest.mark.parametrize("allowed", [False, True])
def test_an_answer_that_is_not_whole_is_refused_or_says_so(lists: Lists, canned: Canned, allowed: bool) -> None:
    canned.coverage.hosts_stale.extend(fleet.stale(180, "web1"))
    canned.coverage.hosts_fresh, canned.coverage.gaps = 3, 2
    listed = lists(f"listens: [443]\nallow_partial: {allowed}\n")
    assert (
        "1 of 4 hosts answered from what was last known: web1; gaps that overlap the time asked about: 2" in listed.told
    )
    assert sorted(listed.hosts) == (["db1", "odd", "web1", "web2"] if allowed else [])


def test_nobody_there_is_said(lists: Lists) -> None:
    listed = lists("server: unix:///nowhere\n")
    assert "fleetnet hosts --server=unix:///nowhere --output=json` ended with 5" in listed.told
    assert listed.hosts == {}
    assert "/no/fleetnet cannot be run (No such file or directory)" in lists("command: /no/fleetnet\n").told


def test_what_is_set_for_people_who_type_narrows_nothing(lists: Lists) -> None:
    narrowing = {"FLEETNET_HOST": "db*", "FLEETNET_LIMIT": "1", "FLEETNET_OUTPUT": "table", "FLEETNET_AT": "1h ago"}
    listed = lists(**narrowing)
    assert sorted(listed.hosts) == ["db1", "odd", "web1", "web2"], listed.told


def test_what_is_asked_for_is_no_option_of_the_command(lists: Lists, canned: Canned) -> None:
    for text in ("listens: ['--limit=1']\n", "holds: ['--limit=1']\n"):
        assert "ended with 2" in lists(text).told
    assert not any(isinstance(each, query_pb2.ListSocketsRequest) for each in canned.asked)


def test_a_cache_is_asked_before_the_collector(lists: Lists, canned: Canned, tmp_path: Path) -> None:
    cached = f"cache: true\ncache_plugin: jsonfile\ncache_connection: {tmp_path}/cache\nlistens: [443]\n"
    first = lists(cached)
    asked = len(canned.asked)
    assert asked > 0
    second = lists(cached)
    assert len(canned.asked) == asked
    assert first == second
    lists(cached, "--flush-cache")
    assert len(canned.asked) > asked


def test_a_file_of_another_name_is_not_its(lists: Lists, canned: Canned) -> None:
    assert lists(name="some.yml").hosts == {}
    assert canned.asked == []


def test_in_plays_no_text_of_a_host_is_a_template_and_a_group_that_was_asked_for_is_there(
    controller: Controller, canned: Canned, tmp_path: Path
) -> None:
    text = TEMPLATE.replace("TOUCHED", str(tmp_path / "touched"))
    canned.hosts[0].os = text
    canned.hosts[0].labels[0].value = text
    canned.sockets[0].unit = canned.sockets[0].owners[0].name = text
    made = "compose: {composed: fleetnet.os}\nkeyed_groups: [{key: fleetnet.os, prefix: os}]\n"
    path = tmp_path / "some.fleetnet.yml"
    path.write_text(f"{PLUGIN}listens: [5432, 9999]\n{made}")
    play = tmp_path / "play.yml"
    play.write_text("""
- hosts: listens_9999
  gather_facts: false
  tasks: []
- hosts: db1
  gather_facts: false
  vars:
    listener: "{{ fleetnet_listeners[0] }}"
  tasks:
    - ansible.builtin.copy:
        dest: "{{ playbook_dir }}/told"
        content: "{{ [fleetnet.os, composed, listener.unit, listener.owners[0].name] | to_json }}"
        mode: "0600"
      delegate_to: localhost
""")
    done = controller.run(
        "ansible-playbook", f"--inventory={path}", str(play), FLEETNET_SERVER=f"unix://{tmp_path / 'admin.sock'}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "told").read_text()) == [text] * 4
    assert not (tmp_path / "touched").exists()
    assert "no hosts matched" in done.stdout
    assert "Could not match" not in done.stderr
