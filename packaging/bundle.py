"""Offline bundles: all that a host needs of fleetnet, in one archive for each role, Python and architecture.

    python packaging/bundle.py --wheels dist --to dist [--python 3.11 …] [--architecture x86_64 …]

An archive holds one directory, NAME-VERSION, that is /opt/fleetnet/VERSION but for the interpreter:

    lib/python3.11/site-packages/   the locked libraries and our wheels, unpacked by pip
    bin/                            our console scripts
    share/agent, share/collector    units, users and directories, as they stand below /etc
    release.json                    what this is
    install                         puts it on a host (ansible/plugins/module_utils/releases.py)

For hosts that take libraries from a package index there is a bundle without them, for every Python and machine:

    requirements/                   theirs and our wheels', with hashes

What must stay true: nothing is in it whose hash is not in requirements/ or that is not ours; the same wheels make the
same archive, byte for byte; nothing of it is run where it is built, so a bundle may be for another Python and machine.
"""

import argparse
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_LEVEL: Final = 6  # of gzip
INSTALLER: Final = ROOT / "ansible/plugins/module_utils/releases.py"
PYTHONS: Final = ("3.11", "3.12", "3.13")
ARCHITECTURES: Final = ("x86_64", "aarch64")
_GLIBC: Final = ("2_28", "2_17")  # of manylinux; Debian 12 and Ubuntu 22.04 have 2.35 and later
_SHIPPED: Final = {
    "agent": (
        "systemd/fleetnet-agent-enroll.service",
        "systemd/fleetnet-agent.service",
        "systemd/fleetnet-helper.service",
        "systemd/fleetnet-helper.socket",
        "sysusers.d/fleetnet-agent.conf",
    ),
    "collector": (
        "systemd/fleetnet-server.service",
        "sysusers.d/fleetnet-server.conf",
        "tmpfiles.d/fleetnet-server.conf",
    ),
}
_IN_ETC: Final = {"systemd": "systemd/system", "sysusers.d": "sysusers.d", "tmpfiles.d": "tmpfiles.d"}


@dataclass(frozen=True, slots=True)
class Kind:
    """What a bundle is for."""

    name: str
    distributions: tuple[str, ...]  # ours, as in requirements/
    components: tuple[str, ...]


# The collector's has all: where it runs, an agent does too.
KINDS: Final = (
    Kind("agent", ("agent",), ("agent",)),
    Kind("collector", ("agent", "server", "cli"), ("agent", "collector")),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a bundle runs."""

    python: str  # 3.11
    architecture: str  # as uname(1) has it

    @property
    def tag(self) -> str:
        """As in wheels."""
        return f"cp{self.python.replace('.', '')}-{self.architecture}"

    @property
    def options(self) -> list[str]:
        """pip's, so that it takes what is for there."""
        platforms = [f"manylinux_{glibc}_{self.architecture}" for glibc in _GLIBC] + [
            f"manylinux2014_{self.architecture}"
        ]
        abis = (f"cp{self.python.replace('.', '')}", "abi3", "none")
        return [
            "--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}",
            *(f"--abi={abi}" for abi in abis), *(f"--platform={platform}" for platform in platforms),
        ]  # fmt: skip


class MissingError(Exception):
    """pip did not find, or did not take, what it was told to."""


def arguments(description: str, architectures: Iterable[str] | None = None) -> argparse.ArgumentParser:
    """What whoever builds something of our wheels is told; `architectures` are all that there can be."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--wheels", type=Path, required=True, metavar="DIR", help="where our four wheels are")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="where what is built goes")
    parser.add_argument("--libraries", type=Path, metavar="DIR", help="keeps what was fetched, for the next time")
    parser.add_argument("--python", action="append", metavar="X.Y", help=f"default {' and '.join(PYTHONS)}")
    parser.add_argument(
        "--architecture",
        action="append",
        choices=architectures,
        metavar="NAME",
        help=f"default {' and '.join(ARCHITECTURES)}",
    )
    return parser


def main() -> int:
    """The exit status."""
    parser = arguments("Build offline bundles from our wheels and the locked libraries.")
    parser.add_argument(
        "--level",
        type=int,
        default=_LEVEL,
        metavar="N",
        help="of gzip, from 1 (quick) to 9 (small); default %(default)s",
    )
    parser.add_argument("--kind", action="append", choices=[kind.name for kind in KINDS], help="default both")
    given = parser.parse_args()
    kinds = [kind for kind in KINDS if kind.name in (given.kind or [kind.name])]
    with tempfile.TemporaryDirectory() as scratch:
        for kind in kinds:
            print(build_without_libraries(kind, given.wheels, given.to))
        for python in given.python or PYTHONS:
            for architecture in given.architecture or ARCHITECTURES:
                target = Target(python, architecture)
                libraries = (given.libraries or Path(scratch)) / target.tag
                for kind in kinds:
                    print(build(kind, target, given.wheels, libraries, given.to, given.level))
    return 0


def build(kind: Kind, target: Target, wheels: Path, libraries: Path, to: Path, level: int) -> Path:
    """One bundle; `libraries` is where wheels of others are kept."""
    ours = our_wheels(kind, wheels)
    version = version_of(ours)
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / f"fleetnet-{kind.name}-{version}"
        lay_out(kind, target, ours, libraries, tree, f"/opt/fleetnet/{version}")
        _ship(kind, tree)
        told = {
            "name": f"fleetnet-{kind.name}", "version": version, "python": target.python,
            "architecture": target.architecture, "components": kind.components,
        }  # fmt: skip
        (tree / "release.json").write_text(json.dumps(told, indent=1) + "\n")
        archive = to / f"{tree.name}-{target.tag}.tar.gz"
        pack(tree, archive, level)
    return archive


def build_without_libraries(kind: Kind, wheels: Path, to: Path) -> Path:
    """The bundle for hosts that have an index, which has to have our wheels too."""
    ours = our_wheels(kind, wheels)
    version = version_of(ours)
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / f"fleetnet-{kind.name}-{version}"
        named = tree / "requirements"
        named.mkdir(parents=True)
        for name in kind.distributions:
            shutil.copy(ROOT / f"requirements/{name}.txt", named)
        lines = [f"{_named(wheel)}=={version} --hash=sha256:{_digest(wheel.read_bytes())}\n" for wheel in ours]
        (named / "ours.txt").write_text("".join(lines))
        _write_scripts(ours, f"/opt/fleetnet/{version}", tree)
        _ship(kind, tree)
        told = {"name": f"fleetnet-{kind.name}", "version": version, "components": kind.components}
        (tree / "release.json").write_text(json.dumps(told, indent=1) + "\n")
        archive = to / f"{tree.name}-index.tar.gz"
        pack(tree, archive, _LEVEL)
    return archive


def _named(wheel: Path) -> str:
    return wheel.name.split("-")[0].replace("_", "-")


def our_wheels(kind: Kind, wheels: Path) -> list[Path]:
    """Ours that it is made of. Raises MissingError where they are not all there."""
    ours = sorted(wheel for name in ("proto", *kind.distributions) for wheel in wheels.glob(_pattern(name)))
    if len(ours) != len(kind.distributions) + 1:
        raise MissingError(
            f"{wheels} holds {len(ours)} of our wheels, not {len(kind.distributions) + 1}; make dist builds them"
        )
    return ours


def version_of(ours: list[Path]) -> str:
    """The one version that our wheels have."""
    return ours[0].name.split("-")[1]


def lay_out(kind: Kind, target: Target, ours: list[Path], libraries: Path, tree: Path, home: str) -> None:
    """Libraries and scripts, in `tree`; on hosts that will be at `home`."""
    _unpack([*ours, *fetch(kind, target, libraries)], target, tree)
    _write_scripts(ours, home, tree)


def fetch(kind: Kind, target: Target, libraries: Path) -> list[Path]:
    """The locked libraries of others, each with a hash that is in requirements/; the index is asked only where one of
    them is not in `libraries` yet."""
    libraries.mkdir(parents=True, exist_ok=True)
    locked = "".join((ROOT / f"requirements/{name}.txt").read_text() for name in kind.distributions)
    note = libraries / f"{kind.name}.json"
    if remembered := _remembered(note, locked):
        return remembered
    with tempfile.TemporaryDirectory() as scratch:
        wanted = (
            "download",
            "--no-deps",
            "--require-hashes",
            *target.options,
            *_requirements(kind),
            f"--dest={scratch}",
        )
        try:
            _pip(*wanted, "--no-index", f"--find-links={libraries}")
        except MissingError:
            _pip(*wanted)
        for wheel in Path(scratch).iterdir():
            if not (libraries / wheel.name).exists():
                shutil.copy(wheel, libraries)
        names = sorted(wheel.name for wheel in Path(scratch).iterdir())
    note.write_text(json.dumps({"locked": _digest(locked.encode()), "wheels": names}))
    return [libraries / name for name in names]


def _remembered(note: Path, locked: str) -> list[Path]:
    """What pip has chosen before for the same locks, where it is there still and each hash is one of theirs; else
    nothing. pip takes seconds to find that again."""
    if not note.exists():
        return []
    told = json.loads(note.read_text())
    wheels = [note.parent / name for name in told["wheels"]]
    if told["locked"] != _digest(locked.encode()) or not all(wheel.exists() for wheel in wheels):
        return []
    return wheels if all(f"sha256:{_digest(wheel.read_bytes())}" in locked for wheel in wheels) else []


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _requirements(kind: Kind) -> Iterable[str]:
    return [f"--requirement={ROOT / f'requirements/{name}.txt'}" for name in kind.distributions]


def _pattern(distribution: str) -> str:
    return "fleetnet-*.whl" if distribution == "cli" else f"fleetnet_{distribution}-*.whl"


def _unpack(wheels: list[Path], target: Target, tree: Path) -> None:
    packages = tree / f"lib/python{target.python}/site-packages"
    offline = ("--no-index", "--no-deps", "--no-compile", "--no-warn-script-location")
    _pip("install", *offline, *target.options, "--target", str(packages), *map(str, wheels))
    # Scripts of the Python that built this; ours are written below, and nobody needs those of others.
    shutil.rmtree(packages / "bin", ignore_errors=True)


def _write_scripts(wheels: list[Path], home: str, tree: Path) -> None:
    """As pip writes them, but for where they will be: at the interpreter of the release, which takes no module and no
    setting from whoever starts it (-I)."""
    (tree / "bin").mkdir()
    for wheel in wheels:
        for name, target in _console_scripts(wheel).items():
            module, function = target.split(":")
            script = tree / "bin" / name
            script.write_text(
                f"#!{home}/bin/python -I\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"
            )
            script.chmod(0o755)


def _console_scripts(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".dist-info/entry_points.txt"):
                parser = ConfigParser()
                parser.read_string(archive.read(name).decode())
                return dict(parser["console_scripts"])
    return {}


def _ship(kind: Kind, tree: Path) -> None:
    for component in kind.components:
        for name in _SHIPPED[component]:
            place, _, file = name.partition("/")
            target = tree / "share" / component / _IN_ETC[place] / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "packaging" / name, target)
    # Where Ansible has it, it is a library, which says no interpreter.
    (tree / "install").write_text("#!/usr/bin/env python3\n" + INSTALLER.read_text())
    (tree / "install").chmod(0o755)


def pack(tree: Path, archive: Path, level: int) -> None:
    """A directory as an archive that is the same wherever and whenever it is made."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = "root"
        info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
        return info

    beside = archive.with_suffix(".new")
    with beside.open("wb") as raw, gzip.GzipFile("", "wb", level, raw, mtime=0) as packed:  # noqa: SIM117 - one after the other
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(tree.rglob("*")):
                tar.add(path, arcname=str(path.relative_to(tree.parent)), recursive=False, filter=plain)
    beside.rename(archive)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MissingError(f"pip {arguments[0]} failed:\n{done.stderr}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MissingError as error:
        sys.exit(f"bundle: {error}")
