#!/usr/bin/python
# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleetnet_fresh
short_description: Waits until the collector has stored what hosts report
version_added: 0.1.0
author:
  - The fleetnet authors (@fleetnet)
description:
  - Asks the collector, where the fleet is administered, about many hosts at once, until of each an acknowledged report
    is fresh, or O(wait) is over. Fails unless O(may_be_late).
  - With O(version) only a connected agent of that version counts, which no report from before its start can pass for.
options:
  hosts:
    description: Their names in the fleet.
    type: list
    elements: str
    required: true
  version:
    description: Which agent is to be connected; any if this is empty.
    type: str
    default: ""
  wait:
    description: How long at most, in seconds.
    type: int
    default: 60
  may_be_late:
    description: Return those that are late instead of failing.
    type: bool
    default: false
  command:
    description: The command line.
    type: path
    default: /opt/fleetnet/current/bin/fleetnet
  server:
    description: Where the collector is asked, if not by its admin socket.
    type: str
    default: ""
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: Nothing is waited for.
"""

EXAMPLES = r"""
- name: All of this batch are heard
  fleetnet.fleetnet.fleetnet_fresh:
    hosts: "{{ ansible_play_batch }}"
    version: 0.2.0
  delegate_to: collector1
  run_once: true
"""

RETURN = r"""
late:
  description: What is wrong with each host that is not fresh.
  returned: always
  type: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetnet.fleetnet.plugins.module_utils.administering import ARGUMENTS, AskError, ask

_EVERY_S = 1.0


def late(found: list[dict[str, Any]], hosts: list[str], version: str) -> dict[str, str]:
    """What is wrong with each of these hosts that is not as it should be, by an answer to `fleetnet hosts`."""
    by_name = {item["host"]: item for item in found}
    wrong = {}
    for host in hosts:
        item = by_name.get(host)
        if item is None:
            wrong[host] = "is not in the fleet"
        elif not item["fresh"]:
            wrong[host] = f"was last heard of {item['last_seen'] or 'never'}"
        elif version and not item["connected"]:
            wrong[host] = f"is not connected; it was last heard of {item['last_seen']}"
        elif version and item["agent_version"] != version:
            wrong[host] = f"reports with agent {item['agent_version']}, not {version}"
    return wrong


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "hosts": {"type": "list", "elements": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "wait": {"type": "int", "default": 60},
            "may_be_late": {"type": "bool", "default": False},
            **ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params
    if module.check_mode:
        module.exit_json(changed=False, late={})
    deadline = time.monotonic() + given["wait"]
    globs = [word for host in given["hosts"] for word in ("--host", host)] if len(given["hosts"]) <= 50 else []
    while True:
        is_last = time.monotonic() >= deadline
        try:
            wrong = late(ask(module, "hosts", *globs), given["hosts"], given["version"])
        except AskError as error:  # a collector that is being started anew
            wrong = dict.fromkeys(given["hosts"], str(error))
        if not wrong or is_last:
            break
        time.sleep(_EVERY_S)
    if wrong and not given["may_be_late"]:
        module.fail_json(msg="; ".join(f"{host} {what}" for host, what in sorted(wrong.items())), late=wrong)
    module.exit_json(changed=False, late=wrong)


if __name__ == "__main__":
    main()
