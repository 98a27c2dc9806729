# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""fleetnet_token, whose answer nobody is shown: not even where a task forgets to say no_log."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """See the module of the same name."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call of the module. The connection writes what comes back at -vvv unless it is told not to."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._play_context.no_log = True
        self._task.no_log = True
        result.update(self._execute_module("fleetnet.fleetnet.fleetnet_token", task_vars=task_vars))
        result["_ansible_no_log"] = True
        return result
