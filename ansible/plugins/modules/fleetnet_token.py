#!/usr/bin/python
# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleetnet_token
short_description: A token with which one host joins the fleet, once
version_added: 0.1.0
author:
  - The fleetnet authors (@fleetnet)
description:
  - Runs where the fleet is administered (C(delegate_to) the collector), and returns the token to the controller, which
    hands it on to M(fleetnet.fleetnet.fleetnet_join). It is good once, for that host, until O(ttl) is over.
  - The token is on no command line, in no file of the controller's and in no output. The task censors itself, with
    C(no_log) or without.
options:
  host:
    description: The name that the host will have in the fleet.
    type: str
    required: true
  labels:
    description: Labels that the host has from then on.
    type: dict
    default: {}
  ttl:
    description: How long it may be used.
    type: str
    default: 10m
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
    details: No token is made.
"""

EXAMPLES = r"""
- name: A token for this host
  fleetnet.fleetnet.fleetnet_token:
    host: "{{ inventory_hostname }}"
  delegate_to: collector1
  register: fleetnet_token
  no_log: true
"""

RETURN = r"""
token:
  description: The token; empty in check mode.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetnet.fleetnet.plugins.module_utils.administering import ARGUMENTS, AskError, ask


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "labels": {"type": "dict", "default": {}},
            "ttl": {"type": "str", "default": "10m"},
            **ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params
    if module.check_mode:
        module.exit_json(changed=True, token="")
    labels = [word for key, value in given["labels"].items() for word in ("--label", f"{key}={value}")]
    try:
        (made,) = ask(module, "token", "create", "--host", given["host"], "--ttl", given["ttl"], *labels)
    except AskError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, token=made["token"])


if __name__ == "__main__":
    main()
