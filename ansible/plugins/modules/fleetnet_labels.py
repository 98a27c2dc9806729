#!/usr/bin/python
# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleetnet_labels
short_description: The labels of hosts in the fleet, as the inventory has them
version_added: 0.1.0
author:
  - The fleetnet authors (@fleetnet)
description:
  - Runs where the fleet is administered and labels many hosts at once. Labels that are not named, and whose key does
    not begin with O(owned), are left alone.
options:
  labels:
    description: For each host its labels. One without a value is taken from the host.
    type: dict
    required: true
  owned:
    description: Keys that begin so are the inventory's alone, and go where it does not give them.
    type: str
    default: group/
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
  diff_mode:
    description: Will return details on what has changed.
    support: full
"""

EXAMPLES = r"""
- name: Labels as in the inventory
  fleetnet.fleetnet.fleetnet_labels:
    labels:
      web1: {group/web: "yes", env: prod}
  delegate_to: collector1
  run_once: true
"""

RETURN = r"""
labelled:
  description: Hosts whose labels have changed, or would.
  returned: success
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetnet.fleetnet.plugins.module_utils.administering import ARGUMENTS, AskError, ask

_AT_ONCE = 500


def wishes(wanted: dict[str, dict[str, Any]], found: list[dict[str, Any]], owned: str) -> dict[str, tuple[str, ...]]:
    """What is to be said of each host that is not labelled as wanted: K=V, or K- for what goes."""
    said = {}
    for item in found:
        host, has = item["host"], item["labels"]
        if host not in wanted:
            continue
        wish: dict[str, str | None] = {key: None for key in has if owned and key.startswith(owned)}
        wish.update({key: None if value is None else str(value) for key, value in wanted[host].items()})
        words = [f"{key}={value}" for key, value in wish.items() if value is not None and has.get(key) != value]
        words += [key + "-" for key, value in wish.items() if value is None and key in has]
        if words:
            said[host] = tuple(sorted(words))
    return said


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "labels": {"type": "dict", "required": True},
            "owned": {"type": "str", "default": "group/"},
            **ARGUMENTS,
        },
        supports_check_mode=True,
    )
    wanted = module.params["labels"]
    if module.check_mode and not os.path.exists(module.params["command"]):
        # The collector is to be installed by this very play.
        module.exit_json(changed=bool(wanted), labelled=sorted(wanted))
    try:
        found = ask(module, "hosts")
        said = wishes(wanted, found, module.params["owned"])
        alike: dict[tuple[str, ...], list[str]] = {}
        for host, words in said.items():
            alike.setdefault(words, []).append(host)
        for words, hosts in alike.items() if not module.check_mode else ():
            for start in range(0, len(hosts), _AT_ONCE):
                ask(module, "host", "label", *hosts[start : start + _AT_ONCE], *words)
    except AskError as error:
        module.fail_json(msg=str(error))
    before = {item["host"]: item["labels"] for item in found}
    module.exit_json(
        changed=bool(said),
        labelled=sorted(said),
        diff={
            "before": "".join(f"{host}: {_listed(before[host])}\n" for host in sorted(said)),
            "after": "".join(f"{host}: {' '.join(said[host])}\n" for host in sorted(said)),
        },
    )


def _listed(labels: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(labels.items()))


if __name__ == "__main__":
    main()
