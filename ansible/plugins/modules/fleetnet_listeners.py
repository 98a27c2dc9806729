#!/usr/bin/python
# Copyright: the fleetnet authors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: fleetnet_listeners
short_description: Ask fleetnet who listens
version_added: 0.1.0
description:
  - Asks the collector of a fleet who listens, as C(fleetnet who-listens) does, and hands the answer to the play.
  - It runs where the command line is and may ask, so mostly with C(delegate_to=localhost) and C(run_once=true).
  - An answer that is not whole (a silent host, a gap) fails the task, unless O(allow_partial) is true.
  - It changes nothing, and does the same in check mode.
author:
  - The fleetnet authors (@fleetnet)
extends_documentation_fragment:
  - fleetnet.fleetnet.asking
options:
  ports:
    description: Ports, ranges (C(8000-8999)) or names of services (C(https)). All where there is none.
    type: list
    elements: str
    default: []
  protocols:
    description: Only these; all where there is none.
    type: list
    elements: str
    choices: [tcp, udp, raw]
    default: []
  exposed:
    description: Not those bound to loopback alone.
    type: bool
    default: false
  process:
    description: Held by a process of this name.
    type: str
  unit:
    description: Of this systemd unit.
    type: str
  user:
    description: Of this user.
    type: str
  container:
    description: Of this container, or id from 12 digits.
    type: str
  cidr:
    description: On an address in this net, or on every address of its family.
    type: str
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
  at:
    description: As it was then, such as C(10m ago) or C(yesterday 14:00).
    type: str
  since:
    description: What began since then, open still or not.
    type: str
  until:
    description: With O(since), what began up to then.
    type: str
  max_age:
    description: A host that was silent for longer is stale, such as C(2m).
    type: str
  allow_partial:
    description:
      - Whether an answer that is not whole will do. RV(shortfall) then says what is missing, and a warning too.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed.
    support: none
seealso:
  - plugin: fleetnet.fleetnet.fleetnet
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Ask who listens on the database's port where others reach it
  fleetnet.fleetnet.fleetnet_listeners:
    ports: [postgresql]
    exposed: true
  delegate_to: localhost
  run_once: true
  register: databases

- name: Nobody does but the databases
  ansible.builtin.assert:
    that: databases.hosts is subset(groups["db"])
  run_once: true

- name: Wait until nobody listens on 8080 any more
  fleetnet.fleetnet.fleetnet_listeners:
    ports: ["8080"]
  delegate_to: localhost
  run_once: true
  register: still
  until: still is success and not still.listeners
  retries: 12
  delay: 5
"""

RETURN = r"""
listeners:
  description: A listener each, host first, then port, as C(fleetnet who-listens -o json) has them.
  returned: success
  type: list
  elements: dict
  sample: [{"host": "web1", "local_port": 443, "unit": "nginx.service", "exposed": true}]
hosts:
  description: Names of the hosts that have one of them, each once.
  returned: success
  type: list
  elements: str
  sample: [web1]
as_of:
  description: The time that was asked about, in UTC.
  returned: always
  type: str
  sample: "2026-03-01T13:00:00.123456Z"
coverage:
  description: How far the answer reaches, as in every document of fleetnet.
  returned: always
  type: dict
shortfall:
  description: Why the answer is not whole; empty where it is.
  returned: always
  type: str
  sample: "1 of 42 hosts answered from what was last known: db3"
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetnet.fleetnet.plugins.module_utils.questions import CONNECTION_SPEC, AskingError, ask

_SPEC: dict[str, dict[str, Any]] = {
    **CONNECTION_SPEC,
    "ports": {"type": "list", "elements": "str", "default": []},
    "protocols": {"type": "list", "elements": "str", "choices": ["tcp", "udp", "raw"], "default": []},
    "exposed": {"type": "bool", "default": False},
    "process": {"type": "str"},
    "unit": {"type": "str"},
    "user": {"type": "str"},
    "container": {"type": "str"},
    "cidr": {"type": "str"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "labels": {"type": "list", "elements": "str", "default": []},
    "at": {"type": "str"},
    "since": {"type": "str"},
    "until": {"type": "str"},
    "max_age": {"type": "str"},
    "allow_partial": {"type": "bool", "default": False},
}
_SINGLE = ("process", "unit", "user", "container", "cidr", "at", "since", "until", "max_age")


def question(parameters: Mapping[str, Any]) -> list[str]:
    """The command and its options for what the task asks."""
    options = [f"--{name.replace('_', '-')}={parameters[name]}" for name in _SINGLE if parameters[name]]
    options += [f"--{protocol}" for protocol in parameters["protocols"]]
    options += [f"--host={glob}" for glob in parameters["hosts"]]
    options += [f"--label={label}" for label in parameters["labels"]]
    return ["who-listens", *(["--exposed"] if parameters["exposed"] else []), *options]


def main() -> None:
    """Ask, and hand the answer over."""
    module = AnsibleModule(
        argument_spec=_SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("at", "since")],
        required_by={"until": "since"},
    )
    parameters = module.params
    try:
        answer = ask(parameters, "SocketList", question(parameters), *parameters["ports"])
    except AskingError as error:
        module.fail_json(msg=str(error))
    reach = {"as_of": answer.as_of, "coverage": answer.coverage, "shortfall": answer.shortfall}
    if answer.shortfall and not parameters["allow_partial"]:
        module.fail_json(msg=f"the answer is not whole: {answer.shortfall} (allow_partial takes it as it is)", **reach)
    if answer.shortfall:
        module.warn(f"fleetnet_listeners: the answer is not whole: {answer.shortfall}")
    hosts = sorted({listener["host"] for listener in answer.items})
    module.exit_json(changed=False, listeners=answer.items, hosts=hosts, **reach)


if __name__ == "__main__":
    main()
