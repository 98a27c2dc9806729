"""Settings: which files there are, who may write them, what in them means nothing, and who names the collector."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import click

from fleetnet_cli import options, settings
from fleetnet_cli.doctor.finding import OK, WARNING, Finding, failed, found
from fleetnet_cli.errors import UsageError
from fleetnet_cli.options import Common

_TOPIC = "settings"


def findings(common: Common, machine: settings.Machine) -> Iterator[Finding]:
    """Of each file that there is, then of what they say together."""
    there = [file for file in machine.config_files if settings.there(file)]
    whole = True
    for file in there:
        try:
            settings.read(file)
        except UsageError as error:
            whole = False
            yield failed(_TOPIC, error)
        else:
            yield from _file(file)
    if not there:
        yield found(_TOPIC, OK, f"no file ({', '.join(map(str, machine.config_files))}), and none is needed")
    if whole:
        yield from _said(common, machine)


def _file(file: Path) -> Iterator[Finding]:
    """Who may write it may send whoever asks to another collector."""
    told = file.stat()
    if told.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(told.st_mode):04o}"
        yield found(_TOPIC, WARNING, f"others may write {file} (mode {mode})", f"chmod go-w {file}")
    elif told.st_uid not in (0, os.geteuid()):
        words = f"{file} is another user's (uid {told.st_uid}), who may have you ask another collector"
        yield found(_TOPIC, WARNING, words, f"chown {os.geteuid()} {file}")
    else:
        yield found(_TOPIC, OK, f"{file} is read")


def _said(common: Common, machine: settings.Machine) -> Iterator[Finding]:
    try:
        unread = settings.unread(machine)
    except UsageError as error:
        yield failed(_TOPIC, error)
        return
    for written in unread:
        key = ".".join(written.key)
        todo = 'correct or remove it; "fleetnet config explain" lists the settings'
        yield found(_TOPIC, WARNING, f"{key} in {written.file} is read by nobody", todo)
    if common.broken is not None:
        yield failed(_TOPIC, common.broken)
    else:
        yield found(_TOPIC, OK, f"the collector is {_named(common, machine)}")


def _named(common: Common, machine: settings.Machine) -> str:
    """`unix:///run/fleetnet/admin.sock (by default)`, or who says so."""
    context = click.get_current_context()
    server, name = options.collector_named(context)
    address = str(common.destination)
    if server is not None:
        typed = options.is_typed(context, "server")
        return f"{address} (by {'--server' if typed else 'FLEETNET_SERVER'})"
    written = settings.configured(name, machine)
    return f"{address} (by {'.'.join(written.key)} in {written.file})" if written else f"{address} (by default)"
