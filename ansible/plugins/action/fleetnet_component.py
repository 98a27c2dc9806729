# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The controller's half of fleetnet_component: knows which bundles there are, and sends the one that a host asks for.

A host that lacks nothing costs one round trip.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.fleetnet.fleetnet.plugins.module_utils.releases import digest_of

_BUNDLE = re.compile(r"(fleetnet-[a-z]+)-([0-9][0-9A-Za-z.+_]*)-(?:cp(3)([0-9]+)-([0-9a-z_]+)|index)\.tar\.gz")


class ActionModule(ActionBase):
    """See the module of the same name."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call of the module, and a second one after what it asked for was sent."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("state", "present") == "present":
            arguments["offered"] = self._offered(arguments.get("dist"), arguments.get("version") or "")
        try:
            done = self._execute(arguments, task_vars)
            if "wanted" in done:
                arguments["archive"] = self._send(Path(arguments["dist"]), done["wanted"])
                done = self._execute(arguments, task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        result.update(done)
        return result

    def _execute(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(
            "fleetnet.fleetnet.fleetnet_component", module_args=arguments, task_vars=task_vars
        )
        return done

    def _offered(self, dist: str | None, version: str) -> list[dict[str, str]]:
        """The bundles of one version, the newest if none is given."""
        if not dist:
            return []
        found = list(bundles(dist))
        if not version and found:
            version = max((one["version"] for one in found), key=_order)
        return [one for one in found if one["version"] == version]

    def _send(self, dist: Path, bundle: dict[str, str]) -> str:
        local = dist / bundle["file"]
        if digest_of(local) != bundle["digest"]:
            raise AnsibleActionFail(f"{local} is not what SHA256SUMS beside it says; build it anew: make dist")
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        remote: str = self._connection._shell.join_path(self._connection._shell.tmpdir, bundle["file"])
        self._transfer_file(str(local), remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote))
        return remote


def bundles(dist: str) -> Iterator[dict[str, str]]:
    """Those of a directory that SHA256SUMS lists. Raises AnsibleActionFail where there is no such list."""
    sums = os.path.join(dist, "SHA256SUMS")
    try:
        with open(sums, encoding="ascii") as lines:
            for line in lines:
                digest, name = line.split(maxsplit=1)
                name = name.strip().lstrip("*")
                match = _BUNDLE.fullmatch(name)
                if match:
                    kind, version, major, minor, architecture = match.groups()
                    yield {
                        "file": name,
                        "name": kind,
                        "version": version,
                        # Of a bundle without libraries both are empty.
                        "python": f"{major}.{minor}" if major else "",
                        "architecture": architecture or "",
                        "digest": digest,
                    }
    except OSError as error:
        raise AnsibleActionFail(
            f"there are no bundles in {dist} ({error.strerror}); make dist builds them, and fleetnet_dist says where"
        ) from error


def _order(version: str) -> list[tuple[bool, int | str]]:
    """1.10 is newer than 1.9."""
    return [(part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"[.+_-]", version)]
