#!/usr/bin/python
# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleetnet_component
short_description: Agent or collector of fleetnet, as it is to be on a host
version_added: 0.1.0
author:
  - The fleetnet authors (@fleetnet)
description:
  - Installs a release from an offline bundle into C(/opt/fleetnet/VERSION), lets C(/opt/fleetnet/current) lead there,
    writes settings, units and users, and sees to it that the units run as they were written last.
  - A host that is not supported is refused with one sentence before anything on it is changed.
  - Needs no package index and no pip on the host. Nothing is sent to a host that has what it needs.
options:
  component:
    description: What is meant.
    type: str
    choices: [agent, collector]
    required: true
  state:
    description: With V(absent) units, users, settings, state and releases go, but for what O(keep) names.
    type: str
    choices: [present, absent]
    default: present
  dist:
    description: Directory on the controller that holds the bundles and their C(SHA256SUMS), as C(make dist) makes it.
    type: path
  index:
    description:
      - A package index (C(https://example.com/wheels)) that hosts take libraries and our wheels from. They are
        sent a bundle without libraries then, which has the hash of each. Hosts need C(python3-venv).
      - Without it all is in the bundle, and hosts need no index.
    type: str
    default: ""
  version:
    description:
      - The release. V(previous) is the one that was in use before the present one, where that is the one to be left.
      - Without it the newest in O(dist), and where there is no O(dist) the one that is in use.
    type: str
    default: ""
  leaving:
    description:
      - With O(version=previous), which release is to be left. A host on which another is in use stays as it is, so that
        to do it again changes nothing.
    type: str
    default: ""
  backup:
    description:
      - Before a collector's release changes, write C(fleetnet-server backup) into C(/var/lib/fleetnet-server/backups),
        and keep the newest two of those. Where that fails, nothing is changed.
    type: bool
    default: true
  python:
    description: The interpreter that the services run on, 3.11 or later.
    type: path
    default: /usr/bin/python3
  settings:
    description: What C(/etc/fleetnet/agent.toml) or C(/etc/fleetnet/server.toml) holds.
    type: str
    default: ""
  drop_ins:
    description:
      - What is added to units, as C(50-fleetnet-ansible.conf) in their drop-in directories. Where an earlier run has
        added something to a unit that is not named, that goes. Without this option nothing is added and nothing goes.
    type: dict
  secrets:
    description: Files of C(/etc/fleetnet) that root alone may read, by their names.
    type: dict
    default: {}
  keep:
    description: What O(state=absent) leaves.
    type: list
    elements: str
    choices: [state, settings]
    default: []
  any_distribution:
    description: Go on where the distribution is none of those that are supported.
    type: bool
    default: false
  offered:
    description: What the controller could send; filled in by the action of the same name.
    type: list
    elements: dict
    default: []
  archive:
    description: Where the bundle is on the host; filled in by the action of the same name.
    type: path
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed.
    support: full
"""

EXAMPLES = r"""
- name: The agent runs
  fleetnet.fleetnet.fleetnet_component:
    component: agent
    dist: /srv/fleetnet/dist
    settings: |
      server = "collector.example.com:7444"

- name: Back to the release before
  fleetnet.fleetnet.fleetnet_component:
    component: agent
    version: previous
    leaving: 0.2.0
"""

RETURN = r"""
version:
  description: The release that is in use, or would be.
  returned: success
  type: str
before:
  description: The one that was in use when this began; empty if there was none.
  returned: always
  type: str
backup:
  description: The file that a collector was backed up to before its release changed; empty where it did not.
  returned: success
  type: str
joined:
  description: As which host the agent has joined a fleet; empty if it has not.
  returned: success
  type: str
restarted:
  description: Units that were started anew, or would be.
  returned: success
  type: list
  elements: str
"""

import json
import os
import platform
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetnet.fleetnet.plugins.module_utils import releases, units

_DROP_IN = "50-fleetnet-ansible.conf"
_SETTINGS = Path("/etc/fleetnet")
_LEAST_RELEASE = {"debian": (12,), "ubuntu": (22, 4)}
_LEAST_SYSTEMD = 249


@dataclass(frozen=True)
class Component:
    """What makes an agent or a collector."""

    settings: str
    enabled: tuple[str, ...]
    services: tuple[str, ...]  # run all the time, in the order in which they are started anew
    on_demand: tuple[str, ...]  # started by others
    users: tuple[str, ...]
    groups: tuple[str, ...]
    state: tuple[str, ...]
    own: tuple[str, ...]  # other files that the services make, or the roles
    beside: tuple[str, ...] = ()  # units that the roles write


COMPONENTS = {
    "agent": Component(
        settings="agent.toml",
        enabled=("fleetnet-helper.socket", "fleetnet-agent-enroll.service", "fleetnet-agent.service"),
        services=("fleetnet-helper.socket", "fleetnet-agent.service"),
        on_demand=("fleetnet-helper.service", "fleetnet-agent-enroll.service"),
        users=("fleetnet-agent", "fleetnet-helper"),
        groups=(),
        state=("/var/lib/fleetnet-agent",),
        own=("/etc/fleetnet/enroll.token", "/run/fleetnet/helper.sock"),
    ),
    "collector": Component(
        settings="server.toml",
        enabled=("fleetnet-server.service",),
        services=("fleetnet-server.service",),
        on_demand=(),
        users=("fleetnet-server",),
        groups=("fleetnet-admin",),
        state=("/var/lib/fleetnet-server",),
        own=("/run/fleetnet/admin.sock", "/etc/fleetnet/pgpass", "/etc/fleetnet/collector.nft"),
        beside=("fleetnet-nftables.service",),
    ),
}
IDENTITY = Path("/var/lib/fleetnet-agent/agent.json")
_BACKUPS = Path("/var/lib/fleetnet-server/backups")
_BACKUPS_KEPT = 2


@dataclass
class Told:
    """What a run has changed, or would."""

    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    files: list[dict[str, str]] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)

    def fact(self, what: str, before: str, after: str) -> None:
        """Something that is not a file."""
        if before:
            self.before.append(f"{what}: {before}")
        if after:
            self.after.append(f"{what}: {after}")

    def file(self, path: Path, before: str, after: str) -> None:
        """A file."""
        self.files.append({"before_header": str(path), "after_header": str(path), "before": before, "after": after})

    @property
    def changed(self) -> bool:
        return bool(self.before or self.after or self.files or self.restarted)

    @property
    def diff(self) -> list[dict[str, str]]:
        facts = {"before": "\n".join(self.before), "after": "\n".join(self.after)}
        return (
            [{k: v + "\n" if v else "" for k, v in facts.items()}] if self.before or self.after else []
        ) + self.files


def refusal(any_distribution: bool) -> str:
    """Why this host is not for us, as one sentence; empty if it is."""
    if not Path("/run/systemd/system").is_dir():
        return "process 1 of this host is not systemd, which runs fleetnet's units"
    told = subprocess.run(["systemctl", "--version"], stdout=subprocess.PIPE, check=False).stdout.decode()
    version = int("".join(c for c in told.split()[1] if c.isdigit()) or 0)
    if version < _LEAST_SYSTEMD:
        return f"this host has systemd {version}, and fleetnet's units need {_LEAST_SYSTEMD} or later"
    release = {}
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _equals, value = line.partition("=")
        release[name] = value.strip("\"'")
    least = _LEAST_RELEASE.get(release.get("ID", ""))
    number = tuple(int(part) for part in release.get("VERSION_ID", "0").split(".") if part.isdigit())
    if (least is None or (number and number < least)) and not any_distribution:
        return (
            f"this host runs {release.get('PRETTY_NAME', 'an unknown system')}; fleetnet is for Debian 12, Ubuntu "
            "22.04 and later (fleetnet_any_distribution: true tries all the same)"
        )
    return ""


def joined() -> str:
    """The name of this host in the fleet; empty if it has not joined."""
    try:
        return str(json.loads(IDENTITY.read_text())["host"])
    except (OSError, ValueError, KeyError):
        return ""


class Present:
    """A component that is to be here. What would be done is found out first and done, in order, unless only asked."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.given = module.params
        self.name = self.given["component"]
        self.component = COMPONENTS[self.name]
        self.only_asked = module.check_mode
        self.told = Told()
        self.backup = ""

    def run(self) -> dict[str, Any]:
        if self.only_asked:
            return self._run()
        with releases.alone():
            return self._run()

    def _run(self) -> dict[str, Any]:
        python = releases.python_version(self.given["python"])
        before = releases.led_to("current")
        version = self._version(before)
        self._check_shared(before, version)
        bundle = self._bundle(version, python)
        if bundle and not self.only_asked:
            if not self.given["archive"]:
                return {"changed": False, "wanted": bundle}
            given = self.given
            releases.put_archive(Path(given["archive"]), bundle["digest"], given["python"], given["index"])
        if version != before and before and self.name == "collector" and self.given["backup"]:
            self._back_up(before)
        if bundle:
            self.told.fact("release", "", f"{version} in {releases.ROOT / version}")
        files = self._files(version)
        self._write(files)
        if version != before:
            self.told.fact("current", before, version)
            if not self.only_asked:
                if before:
                    releases.lead("previous", before)
                releases.lead("current", version)
        self._serve(files, version)
        if not self.only_asked:
            releases.prune([])
        return self._result(version, before)

    def _version(self, before: str) -> str:
        wanted = self.given["version"]
        if wanted == "previous" and self.given["leaving"] not in ("", before):
            return before or self._no_version()
        if wanted == "previous":
            wanted = releases.led_to("previous")
            if not wanted:
                raise releases.ReleaseError(f"no release was in use on this host before {before or 'any'}")
        return (
            wanted or (self.given["offered"][0]["version"] if self.given["offered"] else before) or self._no_version()
        )

    def _check_shared(self, before: str, version: str) -> None:
        """Agent and collector of one machine have one release; a collector's has no way back but a backup."""
        if self.name == "agent" and before not in ("", version) and any(map(os.path.exists, _units_of("collector"))):
            raise releases.ReleaseError(
                f"the collector is here too and has {before}, and the agent beside it has the same release: the "
                f"collector has to go to {version} first (the playbooks upgrade and site see to that)"
            )

    def _back_up(self, before: str) -> None:
        """By the release in use, as the collector's user. What the new one does to the tables has no way back."""
        self.backup = str(_BACKUPS / time.strftime(f"{before}-%Y%m%dT%H%M%SZ", time.gmtime()))
        self.told.fact("backup", "", self.backup)
        if self.only_asked:
            return
        user = ("runuser", "-u", "fleetnet-server", "--")
        command = [*user, str(releases.ROOT / "current/bin/fleetnet-server"), "backup", self.backup]
        subprocess.run([*user, "mkdir", "-p", "-m", "0700", str(_BACKUPS)], check=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise releases.ReleaseError(
                "no backup could be made, and nothing was changed (fleetnet_backup: false goes on without): "
                + done.stdout.decode(errors="replace").strip()
            )
        for old in sorted(_BACKUPS.iterdir(), key=lambda file: file.stat().st_mtime)[:-_BACKUPS_KEPT]:
            old.unlink()

    def _no_version(self) -> str:
        raise releases.ReleaseError(
            f"{self.given['dist'] or 'dist is not set, so it'} has no bundle; make dist builds them"
        )

    def _bundle(self, version: str, python: str) -> dict[str, str] | None:
        """The bundle that this host lacks; None if it lacks none. Raises ReleaseError where there is none for it."""
        here = releases.installed(version)
        machine = platform.machine()
        # Where the collector is too, the agent comes with its bundle, which has both: they share `current`.
        needed = "collector" if any(map(os.path.exists, _units_of("collector"))) else self.name
        for_here = ("", "") if self.given["index"] else (python, machine)
        offered: list[dict[str, str]] = self.given["offered"]
        ours = [one for one in offered if (one["python"], one["architecture"]) == for_here]
        meant = next((one for one in ours if one["name"] == "fleetnet-" + needed), None)
        is_as_meant = here and (meant is None or here["name"] != meant["name"] or here["digest"] == meant["digest"])
        if here and is_as_meant and needed in here["components"] and here["python"] == python:
            return None
        if meant is None:
            what = "without libraries" if self.given["index"] else f"for Python {python} on {machine}"
            raise releases.ReleaseError(
                "{} has no bundle of {} {} {}; it has those {}".format(
                    self.given["dist"] or "the controller", needed, version, what, self._offers()
                )
            )
        return meant

    def _offers(self) -> str:
        offers = sorted(
            {
                f"for {one['python']} on {one['architecture']}" if one["python"] else "without libraries"
                for one in self.given["offered"]
            }
        )
        return ", ".join(offers) or "of no kind"

    def _files(self, version: str) -> dict[Path, tuple[str, int]]:
        """All files but those of the release itself, with their modes. Of a release that is not here yet, and is only
        asked about, the units are not known."""
        files = {path: (text, 0o644) for path, text in releases.shipped(version, self.name).items()}
        if self.given["settings"]:
            files[_SETTINGS / self.component.settings] = (self.given["settings"], 0o644)
        for unit, text in (self.given["drop_ins"] or {}).items():
            files[_drop_in(unit)] = (text, 0o644)
        for name, text in self.given["secrets"].items():
            files[_SETTINGS / os.path.basename(name)] = (text, 0o600)
        return files

    def _write(self, files: dict[Path, tuple[str, int]]) -> None:
        changed = []
        for path, (text, mode) in files.items():
            before = path.read_text() if path.is_file() else ""
            if path.is_file() and before == text and path.stat().st_mode & 0o777 == mode:
                continue
            secret = mode == 0o600
            self.told.file(path, "" if secret else before, "a secret\n" if secret else text)
            changed.append(path)
            if not self.only_asked:
                releases.write(path, text, mode)
        for unit in (*self.component.services, *self.component.on_demand) if self.given["drop_ins"] is not None else ():
            path = _drop_in(unit)
            if path.exists() and path not in files:
                self.told.file(path, path.read_text(), "")
                changed.append(path)
                if not self.only_asked:
                    path.unlink()
        if changed and not self.only_asked:
            units.reload_all()

    def _serve(self, files: dict[Path, tuple[str, int]], version: str) -> None:
        """Users are there, units enabled, and services run as they were written last."""
        missing = [user for user in self.component.users if not _has_user(user)]
        for user in missing:
            self.told.fact("user", "", user)
        if not self.only_asked:
            placed = [path for path in files if path.parent.name in ("sysusers.d", "tmpfiles.d")]
            if missing or not all(
                os.path.lexists(place) for place in self.component.own if "/run/fleetnet/admin" in place
            ):
                releases.make_users_and_places(placed)
        stand = units.look([*self.component.enabled, *self.component.on_demand])
        off = [name for name in self.component.enabled if not stand[name].enabled]
        for name in off:
            self.told.fact("enabled", "", name)
        if off and not self.only_asked:
            units.enable(off)
        watched = [path for path in files if path.parent.name not in ("sysusers.d", "tmpfiles.d")]
        watched.append(releases.ROOT / "current")
        would_change = bool(self.told.files) or releases.led_to("current") != version
        for name in (*self.component.on_demand, *self.component.services):
            is_service = name.endswith(".service")
            needs_start = name in self.component.services and not stand[name].active and _may_start(name)
            is_old = (
                is_service
                and stand[name].active
                and (stand[name].is_older_than(watched) or (self.only_asked and would_change))
            )
            if needs_start or is_old:
                self.told.restarted.append(name)
                if not self.only_asked:
                    units.do("restart", [name])

    def _result(self, version: str, before: str) -> dict[str, Any]:
        told = self.told
        return {
            "changed": told.changed, "diff": told.diff, "version": version, "before": before,
            "joined": joined(), "restarted": told.restarted, "backup": self.backup,
        }  # fmt: skip


def remove(component: Component, keep: list[str], only_asked: bool, told: Told) -> None:
    """Have nothing of a component here but what is to be kept."""
    stand = units.look([*component.enabled, *component.on_demand, *component.beside])
    there = [name for name, unit in stand.items() if unit.enabled or unit.active]
    for name in there:
        told.fact("unit", name, "")
    if there and not only_asked:
        units.disable_and_stop(there)
    gone = [*_files_of(component), *map(Path, component.own)]
    gone += [] if "state" in keep else list(map(Path, component.state))
    gone += [] if "settings" in keep else [_SETTINGS / component.settings]
    for path in gone:
        if os.path.lexists(str(path)):
            told.fact("path", str(path), "")
            if not only_asked:
                shutil.rmtree(str(path)) if path.is_dir() and not path.is_symlink() else path.unlink()
    if told.changed and not only_asked:
        units.reload_all()
    for user in component.users if "state" not in keep else ():
        if _has_user(user):
            told.fact("user", user, "")
            if not only_asked:
                subprocess.run(["userdel", user], capture_output=True, check=True)
    for group in component.groups if "state" not in keep else ():
        if not only_asked:
            subprocess.run(["groupdel", group], capture_output=True, check=False)
    _remove_releases(component, only_asked, told)
    for place in (_SETTINGS, Path("/run/fleetnet"), Path("/etc/sysusers.d")):
        if not only_asked and place.is_dir() and not any(place.iterdir()):
            place.rmdir()


def _files_of(component: Component) -> list[Path]:
    """Units with their drop-in directories, and what makes users and places."""
    names = {*component.enabled, *component.services, *component.on_demand, *component.beside}
    found = [Path("/etc/systemd/system") / name for name in sorted(names)]
    found += [Path("/etc/systemd/system") / (name + ".d") for name in sorted(names)]
    what = component.settings.partition(".")[0]
    return [*found, Path(f"/etc/sysusers.d/fleetnet-{what}.conf"), Path(f"/etc/tmpfiles.d/fleetnet-{what}.conf")]


def _remove_releases(component: Component, only_asked: bool, told: Told) -> None:
    """All of them, unless the other component is here still."""
    others = [path for name, one in COMPONENTS.items() if one is not component for path in _units_of(name)]
    if any(map(os.path.exists, others)) or not releases.ROOT.exists():
        return
    told.fact("releases", " ".join(releases.versions()), "")
    if not only_asked:
        shutil.rmtree(str(releases.ROOT))


def _units_of(name: str) -> list[str]:
    return ["/etc/systemd/system/" + unit for unit in COMPONENTS[name].enabled]


def _drop_in(unit: str) -> Path:
    return Path("/etc/systemd/system") / (os.path.basename(unit) + ".d") / _DROP_IN


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _may_start(unit: str) -> bool:
    """An agent that has not joined has nothing to say, and its unit does not start."""
    return unit != "fleetnet-agent.service" or IDENTITY.exists()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "component": {"type": "str", "choices": ["agent", "collector"], "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "dist": {"type": "path"},
            "index": {"type": "str", "default": "", "no_log": True},
            "version": {"type": "str", "default": ""},
            "leaving": {"type": "str", "default": ""},
            "backup": {"type": "bool", "default": True},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "settings": {"type": "str", "default": ""},
            "drop_ins": {"type": "dict"},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "keep": {"type": "list", "elements": "str", "choices": ["state", "settings"], "default": []},
            "any_distribution": {"type": "bool", "default": False},
            "offered": {"type": "list", "elements": "dict", "default": []},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given = module.params
    before = releases.led_to("current")
    present = None
    try:
        if given["state"] == "absent":
            told = Told()
            remove(COMPONENTS[given["component"]], given["keep"], module.check_mode, told)
            module.exit_json(
                changed=told.changed, diff=told.diff, joined=joined(), restarted=[], version="", before=before
            )
        why_not = refusal(given["any_distribution"])
        if why_not:
            module.fail_json(msg=why_not + "; nothing was changed", before=before)
        releases.refuse_packaged(given["component"])
        present = Present(module)
        module.exit_json(**present.run())
    except (releases.ReleaseError, units.UnitError) as error:
        backup = present.backup if present else ""
        told_of = f"; the backup from before is {backup}" if backup and os.path.exists(backup) else ""
        module.fail_json(msg=str(error) + told_of, before=before, backup=backup)


if __name__ == "__main__":
    main()
