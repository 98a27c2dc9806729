# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Releases of fleetnet on a host: /opt/fleetnet/VERSION each, and `current`, which is in use.

The Ansible modules work with these functions, and each bundle carries this file as `install`, for who installs by hand:

    tar xf fleetnet-agent-0.1.0-cp311-x86_64.tar.gz && fleetnet-agent-0.1.0/install

A bundle without libraries (fleetnet-agent-0.1.0-index.tar.gz) takes them from a package index, with its hashes:

    fleetnet-agent-0.1.0/install --index https://example.com/wheels

What must stay true: a directory named for a version is whole, for it is made beside its place and renamed; `current`
always leads to a release that is, for it is replaced by one rename, though not while the same version
is put anew; nothing of a bundle is run as root but this file and Python's compiler; what comes from an index is
unpacked and never built, and only where the bundle has its hash.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import filecmp
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path("/opt/fleetnet")
ETC = Path("/etc")
LEAST_PYTHON = (3, 11)
PACKAGE = Path("/usr/lib/fleetnet-agent")
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")  # whom this host trusts, an index's own CA among them
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_-]*\Z")
# Says which interpreter it is, what it is for, and whether it is one that a service's user can reach.
_ABOUT = "import json, platform, sys; print(json.dumps([sys.version_info[:2], sys.base_prefix]))"


class ReleaseError(Exception):
    """What was to happen cannot; one sentence says why and what to do."""


def refuse_packaged(component: str) -> None:
    """Raises ReleaseError where the component is here as a package of the distribution's kind, whose units it would
    hide, so that apt would upgrade what does not run."""
    if component == "agent" and PACKAGE.exists():
        raise ReleaseError(
            f"the agent is on this host as a Debian package ({PACKAGE}); apt remove fleetnet-agent leaves its place in "
            "the fleet"
        )


def installed(version: str) -> dict[str, Any] | None:
    """What is told of a release that is here, with the `digest` of the archive that it came in; None if it is not."""
    if not _VERSION.match(version):
        raise ReleaseError(f'"{version}" is no version')
    try:
        told: dict[str, Any] = json.loads((ROOT / version / "release.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return told


def versions() -> list[str]:
    """All that are here."""
    return sorted(place.parent.name for place in ROOT.glob("[0-9]*/release.json"))


def led_to(link: str) -> str:
    """The version that `current` or `previous` leads to; empty if it leads nowhere."""
    with contextlib.suppress(OSError):
        return os.readlink(str(ROOT / link))
    return ""


def lead(link: str, version: str) -> None:
    """Have `current` or `previous` lead to a release, in one step."""
    if installed(version) is None:
        raise ReleaseError(f"{version} is not installed in {ROOT}")
    beside = ROOT / f".{link}-{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    beside.symlink_to(version)
    os.replace(str(beside), str(ROOT / link))


def python_version(python: str) -> str:
    """3.11 of an interpreter. Raises ReleaseError of one that is not there, too old, or its owner's alone."""
    try:
        done = subprocess.run([python, "-I", "-c", _ABOUT], capture_output=True, check=False)
        found, prefix = json.loads(done.stdout)
    except (OSError, ValueError):
        raise ReleaseError(
            f"there is no Python at {python}; install Python 3.11 or later, or say where it is (fleetnet_python)"
        ) from None
    if tuple(found) < LEAST_PYTHON:
        raise ReleaseError(
            f"{python} is Python {found[0]}.{found[1]}, and fleetnet needs 3.11 or later: install one beside it "
            "(Ubuntu 22.04: package python3.11) and say where it is (fleetnet_python: /usr/bin/python3.11)"
        )
    for place in (Path(prefix), *Path(prefix).parents):
        if not place.stat().st_mode & 0o001:
            raise ReleaseError(
                f"{python} lives in {place}, which others than its owner may not enter, and the services have users "
                "of their own; use a Python of the distribution (fleetnet_python)"
            )
    return f"{found[0]}.{found[1]}"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Nobody else changes releases here meanwhile: a run that the controller has lost may be at it still."""
    ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    place = os.open(str(ROOT), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def digest_of(archive: Path) -> str:
    """SHA-256, in hexadecimal digits."""
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def put_archive(archive: Path, digest: str, python: str, index: str = "") -> str:
    """Install the release that is in an archive; its version. Raises ReleaseError where it is not the one meant."""
    found = digest_of(archive)
    if found != digest:
        raise ReleaseError(f"what came is not the bundle that was meant: its SHA-256 is {found} and not {digest}")
    unpacked = _beside("unpacked")
    try:
        with tarfile.open(str(archive)) as tar:
            # Ours, and just compared; the filter is there from Python 3.11.4 on.
            if hasattr(tarfile, "data_filter"):
                tar.extractall(str(unpacked), filter="data")
            else:
                tar.extractall(str(unpacked))  # noqa: S202 - see above
        (tree,) = unpacked.iterdir()
        return put_tree(tree, python, digest, index)
    finally:
        shutil.rmtree(str(unpacked), ignore_errors=True)


def put_tree(tree: Path, python: str, digest: str = "", index: str = "") -> str:
    """Install an unpacked release, which is moved into its place; its version. Raises ReleaseError."""
    told: dict[str, str] = json.loads((tree / "release.json").read_text())
    if "python" not in told:
        told.update(python=python_version(python), architecture=os.uname().machine)
        _fetch(tree, python, told["python"], index)
    if python_version(python) != told["python"]:
        raise ReleaseError(f"this bundle is for Python {told['python']}, and {python} is {python_version(python)}")
    if os.uname().machine != told["architecture"]:
        raise ReleaseError(f"this bundle is for {told['architecture']}, and this host is {os.uname().machine}")
    place = ROOT / told["version"]
    _make_environment(tree, python, told["python"])
    _take_compiled(tree, ROOT / led_to("current"))
    _compile(tree, place, python)
    (tree / "release.json").write_text(json.dumps(dict(told, digest=digest), indent=1) + "\n")
    old = _beside("old")
    if place.exists():
        os.rename(str(place), str(old))
    os.rename(str(tree), str(place))
    shutil.rmtree(str(old), ignore_errors=True)
    return told["version"]


def _beside(name: str) -> Path:
    """A place on the same disk, which is not there yet. Whatever an earlier attempt left goes."""
    ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    for left in ROOT.glob(f".{name}-*"):
        shutil.rmtree(str(left), ignore_errors=True)
    return ROOT / f".{name}-{os.getpid()}"


def _fetch(tree: Path, python: str, version: str, index: str) -> None:
    """Put the libraries that a bundle names where a bundle has them. Raises ReleaseError."""
    if not index:
        raise ReleaseError("this bundle has no libraries; say which index has them (--index, fleetnet_index)")
    scratch = _beside("pip")
    try:
        made = subprocess.run([python, "-I", "-m", "venv", str(scratch)], capture_output=True, check=False)
        if made.returncode != 0:
            raise ReleaseError(
                f"{python} cannot make an environment, which an index needs; install python3-venv here, or use a "
                "bundle that has its libraries"
            )
        where = tree / "lib" / f"python{version}" / "site-packages"
        command = [str(scratch / "bin/python"), "-I", "-m", "pip", "install", "--quiet", f"--target={where}"]
        command += ["--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes"]
        command += [f"--requirement={file}" for file in sorted((tree / "requirements").iterdir())]
        done = subprocess.run(command, capture_output=True, check=False, env=_pips_environment(index))
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise ReleaseError(f"the index did not give what was meant. pip said: {said[-1500:]}")
        shutil.rmtree(str(where / "bin"), ignore_errors=True)  # nobody needs the scripts of others
    finally:
        shutil.rmtree(str(scratch), ignore_errors=True)


def _pips_environment(index: str) -> dict[str, str]:
    """No setting of this host's counts but its proxy. The address may have a password in it, so it is no argument."""
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or name == "PATH"}
    kept.update(PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=index, PIP_NO_CACHE_DIR="1", PIP_RETRIES="2")
    kept.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore")
    address = urlsplit(index)
    if address.scheme == "http":
        kept["PIP_TRUSTED_HOST"] = address.hostname or ""  # hashes vouch for what comes
    elif TRUSTED.exists():
        kept["PIP_CERT"] = str(TRUSTED)
    return kept


def _make_environment(tree: Path, python: str, version: str) -> None:
    """What `python -m venv` makes, but for pip: Python finds its libraries by pyvenv.cfg (PEP 405)."""
    (tree / "bin").mkdir(exist_ok=True)
    for name in ("python", "python3", "python" + version):
        (tree / "bin" / name).symlink_to(python if name == "python" else "python")
    home = os.path.dirname(os.path.realpath(python))
    (tree / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")


def _take_compiled(tree: Path, before: Path) -> None:
    """What was compiled for the release in use serves this one where the source is the same, byte for byte: most of an
    upgrade is libraries that did not change. Python compares size and time of the source, and all times are alike."""
    for compiled in before.glob("lib/**/__pycache__/*.pyc"):
        cache = compiled.parent.relative_to(before)
        source = cache.parent / (compiled.name.split(".")[0] + ".py")
        with contextlib.suppress(OSError):
            if filecmp.cmp(str(before / source), str(tree / source), shallow=False):
                (tree / cache).mkdir(exist_ok=True)
                os.link(str(compiled), str(tree / cache / compiled.name))


def _compile(tree: Path, place: Path, python: str) -> None:
    """Put Python's code beside its sources, for the services may write nothing there."""
    moved = ("-s", str(tree), "-p", str(place))
    # A library may carry a file for another Python, which does not compile and is never imported.
    subprocess.run(
        [python, "-I", "-m", "compileall", "-q", *moved, str(tree / "lib")], stdout=subprocess.DEVNULL, check=False
    )


def shipped(version: str, component: str) -> dict[Path, str]:
    """The units and the like of a component, by where they belong."""
    share = ROOT / version / "share" / component
    return {ETC / file.relative_to(share): file.read_text() for file in sorted(share.rglob("*")) if file.is_file()}


def prune(kept: list[str]) -> list[str]:
    """Remove releases that are neither in use, nor were before that, nor are to be kept; their versions."""
    kept = [led_to("current"), led_to("previous"), *kept]
    gone = [version for version in versions() if version not in kept]
    for version in gone:
        shutil.rmtree(str(ROOT / version))
    return gone


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file in one step; whoever may not read it never could."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.fleetnet-new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    with os.fdopen(os.open(str(beside), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    os.replace(str(beside), str(path))


def make_users_and_places(files: list[Path]) -> None:
    """What the sysusers.d and tmpfiles.d among these files say."""
    for tool, options, directory in (
        ("systemd-sysusers", [], "sysusers.d"),
        ("systemd-tmpfiles", ["--create"], "tmpfiles.d"),
    ):
        named = [str(path) for path in files if path.parent.name == directory]
        if named:
            done = subprocess.run([tool, *options, *named], stderr=subprocess.PIPE, check=False)
            if done.returncode != 0:
                raise ReleaseError("{} failed: {}".format(tool, done.stderr.decode(errors="replace").strip()))


def main() -> int:
    """Install what lies beside this file, as root; nothing is started. The exit status."""
    here = Path(__file__).resolve().parent
    told = json.loads((here / "release.json").read_text())
    parser = argparse.ArgumentParser(description="Install {} {} in {}.".format(told["name"], told["version"], ROOT))
    parser.add_argument(
        "--python", default="/usr/bin/python3", help="interpreter of the services (default %(default)s)"
    )
    parser.add_argument("--index", default="", metavar="URL", help="takes libraries from there, if none are in here")
    parser.add_argument("component", nargs="*", help="of {} (default all)".format(" and ".join(told["components"])))
    given = parser.parse_args()
    components = given.component or told["components"]
    try:
        for component in components:
            refuse_packaged(component)
        copied = _beside("unpacked")
        shutil.copytree(str(here), str(copied), symlinks=True)
        version = put_tree(copied, given.python, index=given.index)
        before = led_to("current")
        if before not in ("", version):
            lead("previous", before)
        files: dict[Path, str] = {}
        for component in components:
            files.update(shipped(version, component))
        for path, text in files.items():
            write(path, text)
        lead("current", version)
        make_users_and_places(list(files))
        subprocess.run(["systemctl", "daemon-reload"], check=False)
    except (ReleaseError, OSError) as error:
        sys.stderr.write(f"install: {error}\n")
        return 1
    print(f"{version} is in {ROOT}/current; docs/operations.md says how to go on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
