"""The way to the collector: its socket, and who may use it; over the network the login, and whether it is let in."""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleetnet_cli import identities, reach
from fleetnet_cli.doctor.finding import OK, PROBLEM, WARNING, Finding, failed, found
from fleetnet_cli.errors import CliError
from fleetnet_cli.exits import DENIED, UNREACHABLE
from fleetnet_cli.settings import Destination

_TOPIC = "socket"
_OPEN_TO_ALL = stat.S_IWOTH
_LOGIN = "login"
_SOON = timedelta(days=7)  # as every question says then


def findings(destination: Destination) -> Iterator[Finding]:
    """Of the way alone; whether somebody answers there is tried afterwards."""
    if destination.over_network:
        yield from _network(destination)
    else:
        yield from _socket(Path(destination.address))


def _network(destination: Destination) -> Iterator[Finding]:
    if destination.login is None:
        todo = "have an operator make a token (fleetnet token create --person NAME), and run fleetnet login"
        yield Finding(_LOGIN, PROBLEM, f"you are not logged in at {destination.address}", todo, DENIED)
        return
    try:
        login = identities.load(destination.login)
    except CliError as error:
        yield Finding(_LOGIN, PROBLEM, str(error), "", DENIED)
        return
    until, left = f"{login.valid_until:%Y-%m-%d %H:%M} UTC", login.valid_until - datetime.now(UTC)
    if left <= timedelta():
        todo = "log in anew with a new token"
        yield Finding(_LOGIN, PROBLEM, f"the certificate of {login.person} ended on {until}", todo, DENIED)
        return
    if left < _SOON:
        yield found(_LOGIN, WARNING, f"the certificate of {login.person} ends on {until}", "run fleetnet login")
    else:
        yield found(_LOGIN, OK, f"you are {login.person} until {until} ({destination.login})")
    trouble = reach.trouble(destination.address, login.ca_pem, login)
    if trouble is not None:
        yield failed("network", trouble)
    else:
        yield found("network", OK, f"{destination.address} is the collector of this login, by TLS 1.3")


def _socket(path: Path) -> Iterator[Finding]:
    try:
        told = path.stat()
    except FileNotFoundError:
        yield Finding(_TOPIC, PROBLEM, f"there is no {path}", _start(path), UNREACHABLE)
        return
    except PermissionError:
        words = f"{path} cannot be looked at, for a directory above it is closed to {_me()}"
        yield Finding(_TOPIC, PROBLEM, words, "ask as root or as a member of the collector's group", DENIED)
        return
    except OSError as error:
        yield Finding(_TOPIC, PROBLEM, f"{path}: {error.strerror}", "correct --server", UNREACHABLE)
        return
    if not stat.S_ISSOCK(told.st_mode):
        yield Finding(_TOPIC, PROBLEM, f"{path} is no socket", "correct --server", UNREACHABLE)
        return
    owner, group = _user(told.st_uid), _group(told.st_gid)
    whose = f"{path} is {owner}'s, group {group}, mode {stat.S_IMODE(told.st_mode):04o}"
    if not os.access(path, os.W_OK, effective_ids=True):
        todo = f"ask as root, or join the group: usermod -aG {group} {_me()}, and log in anew"
        yield Finding(_TOPIC, PROBLEM, f"{whose}, and not open to {_me()}", todo, DENIED)
    elif told.st_mode & _OPEN_TO_ALL:
        yield found(_TOPIC, PROBLEM, f"{whose}: every user may ask, and make tokens", f"chmod o= {path}")
    else:
        yield found(_TOPIC, OK, whose)


def _start(path: Path) -> str:
    if not path.parent.is_dir():
        return f"start fleetnet-server with --admin-socket {path}, once there is a directory {path.parent}"
    return "start fleetnet-server, or name its admin socket with --server unix:///PATH"


def _me() -> str:
    return _user(os.geteuid())


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
