#!/usr/bin/python
# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleetnet_join
short_description: Has a host join the fleet with a token
version_added: 0.1.0
author:
  - The fleetnet authors (@fleetnet)
description:
  - Lays the token where C(fleetnet-agent-enroll.service) takes it as a credential (root's, mode 0600), and starts that.
    The token is removed when it was used, and also when that fails.
  - A host that has joined already is left as it is.
options:
  token:
    description: What M(fleetnet.fleetnet.fleetnet_token) made.
    type: str
    required: true
  host:
    description: The name that it was made for.
    type: str
    required: true
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: This host joins
  fleetnet.fleetnet.fleetnet_join:
    host: "{{ inventory_hostname }}"
    token: "{{ fleetnet_token.token }}"
  no_log: true
"""

RETURN = r"""
joined:
  description: As which host.
  returned: success
  type: str
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetnet.fleetnet.plugins.module_utils import releases, units

_TOKEN = Path("/etc/fleetnet/enroll.token")
_IDENTITY = Path("/var/lib/fleetnet-agent/agent.json")
_JOINS = "fleetnet-agent-enroll.service"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "token": {"type": "str", "required": True, "no_log": True},
            "host": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    host = module.params["host"]
    if _IDENTITY.exists():
        module.exit_json(changed=False, joined=str(json.loads(_IDENTITY.read_text())["host"]))
    if module.check_mode:
        module.exit_json(changed=True, joined=host)
    releases.write(_TOKEN, module.params["token"] + "\n", 0o600)
    try:
        units.do("restart", [_JOINS])
        units.do("start", ["fleetnet-agent.service"])
    except units.UnitError as error:
        units.stop([_JOINS])
        module.fail_json(msg=str(error))
    finally:
        if _TOKEN.exists():
            _TOKEN.unlink()
    module.exit_json(changed=True, joined=host)


if __name__ == "__main__":
    main()
