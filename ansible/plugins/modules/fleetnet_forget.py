#!/usr/bin/python
# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleetnet_forget
short_description: Has hosts leave the fleet, with their history kept
version_added: 0.1.0
author:
  - The fleetnet authors (@fleetnet)
description:
  - Runs where the fleet is administered. Hosts are retired, so they may not report and are not asked any more. What
    they told until then stays.
options:
  hosts:
    description: Their names in the fleet. One that is not in it is let be.
    type: list
    elements: str
    required: true
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
"""

EXAMPLES = r"""
- name: web1 leaves the fleet
  fleetnet.fleetnet.fleetnet_forget:
    hosts: [web1]
  delegate_to: collector1
"""

RETURN = r"""
forgotten:
  description: Those that were in the fleet until now.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetnet.fleetnet.plugins.module_utils.administering import ARGUMENTS, AskError, ask

_AT_ONCE = 500


def main() -> None:
    module = AnsibleModule(
        argument_spec={"hosts": {"type": "list", "elements": "str", "required": True}, **ARGUMENTS},
        supports_check_mode=True,
    )
    try:
        here = {item["host"] for item in ask(module, "hosts")}
        leaving = [host for host in module.params["hosts"] if host in here]
        for start in range(0, len(leaving), _AT_ONCE) if not module.check_mode else ():
            ask(module, "host", "forget", "--yes", *leaving[start : start + _AT_ONCE])
    except AskError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(leaving), forgotten=leaving)


if __name__ == "__main__":
    main()
