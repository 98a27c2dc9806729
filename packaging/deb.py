"""Debian packages of the agent (fleetnet-agent) and of the command line (fleetnet), for hosts that apt looks after.

    python packaging/deb.py --wheels dist --to dist [--python 3.11 …] [--architecture x86_64 …]

A package has what a bundle has (bundle.py), but in /usr/lib/PACKAGE/VERSION, with units, users, manual pages and
completions where the distribution looks for them. debhelper writes what dpkg runs when one is installed, upgraded and
removed; debian/ says what is ours of it. A package is for one Python, which its version ends with: of one release, that
for the newer Python is the newer.

What must stay true: as in bundle.py. The times in packages are those of SOURCE_DATE_EPOCH where it is set, else 1970.
"""

import email.utils
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import bundle
from bundle import ROOT, Kind, MissingError, Target

PACKAGES: Final = {
    "fleetnet-agent": Kind("agent", ("agent",), ("agent",)),
    "fleetnet": Kind("cli", ("cli",), ()),
}
_EPOCH: Final = os.environ.get("SOURCE_DATE_EPOCH") or "0"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}  # as uname(1) and as dpkg have it
_UNITS: Final = (
    "fleetnet-agent-enroll.service",
    "fleetnet-agent.service",
    "fleetnet-helper.service",
    "fleetnet-helper.socket",
)
# Where each shell looks for what packages bring.
_COMPLETIONS: Final = {
    "bash": "usr/share/bash-completion/completions/fleetnet",
    "zsh": "usr/share/zsh/vendor-completions/_fleetnet",
    "fish": "usr/share/fish/vendor_completions.d/fleetnet.fish",
}


def main() -> int:
    """The exit status."""
    given = bundle.arguments(
        "Build Debian packages from our wheels and the locked libraries.", _ARCHITECTURES
    ).parse_args()
    if shutil.which("dh") is None:
        raise MissingError("debhelper is not here (Debian, Ubuntu: apt-get install debhelper)")
    with tempfile.TemporaryDirectory() as scratch:
        for python in given.python or bundle.PYTHONS:
            for architecture in given.architecture or _ARCHITECTURES:
                target = Target(python, architecture)
                libraries = (given.libraries or Path(scratch)) / target.tag
                for package in build(target, given.wheels, libraries, given.to):
                    print(package)
    return 0


def build(target: Target, wheels: Path, libraries: Path, to: Path) -> list[Path]:
    """The packages for one Python and architecture."""
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        shutil.copytree(ROOT / "packaging/debian", source / "debian")
        versions = {_lay_out(name, target, wheels, libraries, source) for name in PACKAGES}
        (version,) = versions
        _write_changelog(version, source)
        _run(source, sys.executable, str(ROOT / "docs/generate_man.py"), "man")
        _complete(source / "fleetnet")
        _run(source, "dpkg-architecture", f"-a{_ARCHITECTURES[target.architecture]}", "-c", "debian/rules", "binary")
        made = sorted(source.parent.glob("*.deb"))
        return [Path(shutil.copy(package, to)) for package in made]


def _lay_out(name: str, target: Target, wheels: Path, libraries: Path, source: Path) -> str:
    """What goes into one package, and what debian/ says of it; the version."""
    kind = PACKAGES[name]
    ours = bundle.our_wheels(kind, wheels)
    version = f"{bundle.version_of(ours)}+py{target.python.replace('.', '')}"
    home = f"/usr/lib/{name}/{version}"
    tree = source / name / home[1:]
    bundle.lay_out(kind, target, ours, libraries, tree, home)
    _make_environment(tree, target.python)
    for file in [source / "debian/control", *source.glob(f"debian/{name}.*")]:
        file.write_text(file.read_text().replace("@HOME@", home).replace("@PYTHON@", target.python))
    if "agent" in kind.components:
        for unit in _UNITS:
            text = (ROOT / "packaging/systemd" / unit).read_text().replace("/opt/fleetnet/current/", f"{home}/")
            (source / "debian" / f"{name}.{unit}").write_text(text)
        shutil.copy(ROOT / "packaging/sysusers.d/fleetnet-agent.conf", source / "debian" / f"{name}.sysusers")
    return version


def _make_environment(tree: Path, python: str) -> None:
    """The interpreter is the distribution's, and finds its libraries by pyvenv.cfg (PEP 405)."""
    for link, leads in (("python", f"/usr/bin/python{python}"), ("python3", "python")):
        (tree / "bin" / link).symlink_to(leads)
    (tree / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")


def _complete(tree: Path) -> None:
    for shell, place in _COMPLETIONS.items():
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / place).write_text(_run(tree, f"{Path(sys.executable).parent}/fleetnet", "completion", shell))


def _write_changelog(version: str, source: Path) -> None:
    date = email.utils.formatdate(float(_EPOCH))
    (source / "debian/changelog").write_text(
        f"fleetnet ({version}) stable; urgency=medium\n\n  * CHANGELOG.md of fleetnet says what is new.\n\n"
        f" -- The fleetnet authors <fleetnet@example.com>  {date}\n"
    )


def _run(directory: Path, *command: str) -> str:
    environment = {"LC_ALL": "C.UTF-8"} | os.environ | {"SOURCE_DATE_EPOCH": _EPOCH}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MissingError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MissingError as error:
        sys.exit(f"deb: {error}")
