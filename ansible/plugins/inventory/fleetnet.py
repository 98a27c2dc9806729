# Copyright: the fleetnet authors
# SPDX-License-Identifier: Apache-2.0
"""Hosts and groups as the collector knows them.

What must stay true: who is in a group is what one whole answer said, or the inventory is refused or says what is
missing; no two meanings share a group; no text of a host is ever a template.
"""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleetnet
short_description: Hosts of a fleet, grouped by what they listen on, hold, and are labelled
version_added: 0.1.0
description:
  - Asks the collector of a fleet which hosts there are, by the command line C(fleetnet), and groups them.
  - Groups are C(listens_PORT), C(holds_STATE), C(label_KEY_VALUE), and C(fleetnet_stale) for hosts that are answered
    from their last known state.
  - "The file's name ends in C(fleetnet.yml) or C(fleetnet.yaml)."
  - Characters that a group's name may not have become underscores. Where two labels so come to one name there is no
    group of that name, and a warning names both; O(groups) can make one under another name.
  - Each host has the variables C(fleetnet) (the host as C(fleetnet hosts -o json) has it), C(fleetnet_as_of), and
    C(fleetnet_listeners) (those that O(listens) asks for, as C(fleetnet who-listens -o json) has them). What hosts
    say is in them, and is never a template.
  - A host that has left the fleet (retired) is not in the inventory.
author:
  - The fleetnet authors (@fleetnet)
extends_documentation_fragment:
  - fleetnet.fleetnet.asking
  - constructed
  - inventory_cache
options:
  plugin:
    description: Says that a file is for this plugin.
    type: str
    required: true
    choices: [fleetnet.fleetnet.fleetnet]
  listens:
    description:
      - Ports, ranges (C(8000-8999)) or services (C(https)); each makes a group of the hosts that listen there.
    type: list
    elements: str
    default: []
  exposed:
    description: Whether listeners that are bound to loopback alone are passed over.
    type: bool
    default: false
  holds:
    description: States (C(CLOSE_WAIT)); each makes a group of the hosts that have sockets in it.
    type: list
    elements: str
    default: []
  holds_min:
    description: How many such sockets a host has at least, to be in a group of O(holds).
    type: int
    default: 1
  label_groups:
    description: Whether there is a group for each label and value.
    type: bool
    default: true
  hosts:
    description: Only hosts whose names match one of these globs.
    type: list
    elements: str
    default: []
  labels:
    description: Only hosts that have all of these labels now, each C(KEY=VALUE) or C(KEY).
    type: list
    elements: str
    default: []
  max_age:
    description: A host that was silent for longer is stale, such as C(2m).
    type: str
  allow_partial:
    description:
      - Whether an answer that is not whole (a silent host, a gap) will do, with a warning that says what is missing.
      - Otherwise there is no inventory then. Ansible says so and goes on with no host, or stops where
        C(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true) says so.
    type: bool
    default: false
"""

EXAMPLES = r"""
# production.fleetnet.yml: a play with `hosts: listens_8080:!fleetnet_stale` reaches who is there
plugin: fleetnet.fleetnet.fleetnet
server: collector.example.com:7443
listens: [443, 8080]
holds: [CLOSE_WAIT]
holds_min: 100
labels: [env=prod]
allow_partial: true
compose:
  ansible_host: inventory_hostname ~ ".example.com"
keyed_groups:
  - key: fleetnet.os
    prefix: os
"""

import re
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.fleetnet.fleetnet.plugins.module_utils.questions import CONNECTION_SPEC, AskingError, ask

STALE = "fleetnet_stale"


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """As Ansible's inventory manager calls it."""

    NAME = "fleetnet.fleetnet.fleetnet"
    trusted_by_default = False  # what a host says is never a template; before ansible-core 2.19 by `wrap_var`

    def verify_file(self, path: str) -> bool:
        """Whether the file is ours, by its name."""
        return bool(super().verify_file(path)) and path.endswith(("fleetnet.yml", "fleetnet.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:  # noqa: ANN401  # as there
        """Ask, or take what is in the cache, and fill the inventory. Raises AnsibleParserError."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        answers = self._answers(self.get_cache_key(path), cache)
        if answers["shortfalls"]:
            told = f"{path}: the answer is not whole: {'; '.join(answers['shortfalls'])}"
            if not self.get_option("allow_partial"):
                raise AnsibleParserError(f"{told} (allow_partial takes it as it is)")
            self.display.warning(told)
        self._fill(answers)

    def _answers(self, key: str, may_be_cached: bool) -> dict[str, Any]:
        """What was asked and answered: plain lists and dictionaries, for they go into the cache."""
        caches = self.get_option("cache")
        if caches and may_be_cached and key in self._cache:
            kept: dict[str, Any] = self._cache[key]
            return kept
        try:
            answers = self._ask_all()
        except AskingError as error:
            raise AnsibleParserError(str(error)) from error
        if caches:
            self._cache[key] = answers
        return answers

    def _ask_all(self) -> dict[str, Any]:
        connection = {name: self.get_option(name) for name in CONNECTION_SPEC}
        narrowed = [f"--host={glob}" for glob in self.get_option("hosts")]
        narrowed += [f"--label={label}" for label in self.get_option("labels")]
        if self.get_option("max_age"):
            narrowed.append(f"--max-age={self.get_option('max_age')}")
        exposed = ["--exposed"] if self.get_option("exposed") else []
        counted = ["--by=host", f"--min={self.get_option('holds_min')}"]
        hosts = ask(connection, "HostList", ["hosts", *narrowed])
        listens = {
            port: ask(connection, "SocketList", ["who-listens", *exposed, *narrowed], port)
            for port in map(str, self.get_option("listens"))  # YAML has made a number of 443
        }
        holds = {
            state: ask(connection, "CountList", ["who-holds", *counted, *narrowed], state)
            for state in map(str, self.get_option("holds"))
        }
        reasons = [answer.shortfall for answer in (hosts, *listens.values(), *holds.values()) if answer.shortfall]
        return {
            "as_of": hosts.as_of,
            "shortfalls": list(dict.fromkeys(reasons)),
            "hosts": hosts.items,
            "listens": {port: answer.items for port, answer in listens.items()},
            "holds": {state: answer.items for state, answer in holds.items()},
        }

    def _fill(self, answers: dict[str, Any]) -> None:
        hosts = {host["host"]: host for host in answers["hosts"] if host["status"] != "retired"}
        listeners: dict[str, list[dict[str, Any]]] = {name: [] for name in hosts}
        for items in answers["listens"].values():
            for item in items:
                # One that joined between two questions is there the next time.
                if item["host"] in hosts and item not in listeners[item["host"]]:
                    listeners[item["host"]].append(item)
        for name, host in hosts.items():
            self.inventory.add_host(name)
            self.inventory.set_variable(name, "fleetnet", wrap_var(host))
            self.inventory.set_variable(name, "fleetnet_as_of", answers["as_of"])
            self.inventory.set_variable(name, "fleetnet_listeners", wrap_var(listeners[name]))
        for group, members in self._groups(answers, hosts).items():
            self.inventory.add_group(group)
            for name in members:
                self.inventory.add_host(name, group=group)
        for name in hosts:
            self._construct(name)

    def _groups(self, answers: dict[str, Any], hosts: dict[str, Any]) -> dict[str, list[str]]:
        """The members of each group. A group that was asked for is there where it has none, so that a play for it does
        nothing and a name that nobody asked for is still noticed."""
        meanings = {(STALE, ""): [name for name, host in hosts.items() if not host["fresh"]]}
        for prefix in ("listens", "holds"):
            for asked, items in answers[prefix].items():
                found = dict.fromkeys(item["host"] for item in items)
                meanings[(f"{prefix}_{asked}".lower(), "")] = [name for name in found if name in hosts]
        if self.get_option("label_groups"):
            for name, host in hosts.items():
                for label in host["labels"].items():
                    meanings.setdefault(label, []).append(name)
        return self._named(meanings)

    def _named(self, meanings: dict[tuple[str, str], list[str]]) -> dict[str, list[str]]:
        """Each meaning's members under its group's name. Of several with one name there is none: a play would reach
        hosts that it does not mean."""
        by_name: dict[str, list[tuple[str, list[str]]]] = {}
        for (key, value), members in meanings.items():
            group, said = (f"label_{key}_{value}", f"label {key}={value}") if value else (key, key)
            by_name.setdefault(re.sub(r"\W", "_", group, flags=re.ASCII), []).append((said, members))
        for group, alike in by_name.items():
            if len(alike) > 1:
                said = ", ".join(one[0] for one in alike)
                self.display.warning(f"no group {group}: it would stand for each of {said}; make one with `groups`")
        return {group: alike[0][1] for group, alike in by_name.items() if len(alike) == 1}

    def _construct(self, name: str) -> None:
        strict = self.get_option("strict")
        variables = self.inventory.get_host(name).get_vars()
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), {}, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), {}, name, strict=strict)
