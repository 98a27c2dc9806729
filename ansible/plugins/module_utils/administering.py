# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The fleet, asked and administered by its own command line, on a host where that may."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

COMMAND = "/opt/fleetnet/current/bin/fleetnet"
ARGUMENTS = {
    "command": {"type": "path", "default": COMMAND},
    "server": {"type": "str", "default": ""},
}
ANSWERED = (0, 1, 3)  # found, nothing found, partial


class AskError(Exception):
    """No answer; one sentence says why."""


def ask(module: AnsibleModule, *words: str) -> list[dict[str, Any]]:
    """The items of an answer. Raises AskError."""
    where = ["--server", module.params["server"]] if module.params["server"] else []
    command = [module.params["command"], *words, *where, "-o", "json"]
    if not os.access(command[0], os.X_OK):
        raise AskError(
            f"there is no {command[0]} on this host; fleetnet_admin_host names the one where the fleet is administered"
        )
    for name in [name for name in os.environ if name.startswith("FLEETNET_")]:
        del os.environ[name]  # what people have set for themselves narrows no answer here
    status, out, err = module.run_command(command)
    if status not in ANSWERED:
        raise AskError(f"{' '.join(words)}: {err.strip() or f'exit status {status}'}")
    items: list[dict[str, Any]] = json.loads(out)["items"]
    return items
