"""The collector: does it answer, version, clock, certificates, what it could not store, and whom it holds back."""

import time
from collections.abc import Iterator
from typing import Final

from fleetnet_cli import times
from fleetnet_cli.client import Collector
from fleetnet_cli.doctor.finding import OK, PROBLEM, WARNING, Finding, failed, found
from fleetnet_cli.errors import CliError, CollectorTooOld, NotAuthorised
from fleetnet_cli.records import Described, Selection
from fleetnet_cli.version import VERSION

_DAY_US: Final = 86_400 * times.SECOND_US
# Of less nobody notices anything in a TIME, which is typed to the second.
_CLOCK_US: Final = times.SECOND_US
# It renews its own a month before, and looks every six hours; hosts must enroll anew when that of the CA ends.
_SERVER_LEFT_US: Final = 14 * _DAY_US
_CA_LEFT_US: Final = 365 * _DAY_US


def findings(collector: Collector) -> Iterator[Finding]:
    """All of it; where it does not know the question, what is known without it."""
    asked_us, began_s = times.now_us(), time.monotonic()
    try:
        told = collector.describe()
    except CollectorTooOld:
        words = f"this is {VERSION}, and the collector is older and does not say which it is"
        yield found("version", WARNING, words, "upgrade fleetnet-server")
        return
    except NotAuthorised:
        yield from _of_a_viewer(collector)
        return
    except CliError as error:
        yield failed("collector", error)
        return
    took_us = int((time.monotonic() - began_s) * times.SECOND_US)
    yield found("collector", OK, "answers")
    yield _version(told.version)
    yield _clock(told.at_us, asked_us, took_us)
    yield from _certificates(told, told.at_us)
    yield from _refused(told)
    yield from _held_back(told)


def _of_a_viewer(collector: Collector) -> Iterator[Finding]:
    """What any answer says: that there is one, and when it was made."""
    asked_us, began_s = times.now_us(), time.monotonic()
    try:
        answered_us = collector.hosts(Selection(limit=1)).coverage.as_of_us
    except CliError as error:
        yield failed("collector", error)
        return
    took_us = int((time.monotonic() - began_s) * times.SECOND_US)
    yield found("collector", OK, "answers; its version, certificates and quarantine are told to operators only")
    yield _clock(answered_us, asked_us, took_us)


def _version(theirs: str) -> Finding:
    ours = VERSION
    if theirs == ours:
        return found("version", OK, f"{ours}, here and there")
    words = f"this is {ours}, the collector {theirs}; what one of them does not know it refuses"
    return found("version", WARNING, words, "install the same here and there")


def _clock(theirs_us: int, asked_us: int, took_us: int) -> Finding:
    """Its clock was read some time between the question and the answer."""
    ahead_us = theirs_us - asked_us - took_us if theirs_us > asked_us + took_us else min(theirs_us - asked_us, 0)
    if abs(ahead_us) < _CLOCK_US:
        return found("clock", OK, "the collector's and that of this machine agree")
    which = "ahead of" if ahead_us > 0 else "behind"
    words = (
        f"the collector's clock is {times.age(abs(ahead_us))} {which} this one, so --at and --since mean other times"
    )
    return found("clock", WARNING, words, "have both set by NTP")


def _certificates(told: Described, now_us: int) -> Iterator[Finding]:
    for what, until_us, least_us, todo in (
        ("of the collector", told.server_certificate_until_us, _SERVER_LEFT_US, "restart it and look at its log"),
        (
            "of the CA",
            told.ca_certificate_until_us,
            _CA_LEFT_US,
            "let another take its place: fleetnet-server ca rotate",
        ),
    ):
        until = f"{times.local(until_us)} {times.zone_name()}"
        if until_us <= now_us:
            yield found("certificate", PROBLEM, f"that {what} expired on {until}", todo)
        elif until_us - now_us < least_us:
            yield found("certificate", WARNING, f"that {what} expires on {until}", todo)
        else:
            yield found("certificate", OK, f"that {what} lasts until {until}")


def _refused(told: Described) -> Iterator[Finding]:
    for one in told.refused:
        reports = "1 report" if one.reports == 1 else f"{one.reports} reports"
        words = f"{reports} of {one.host} could not be stored, the last at {times.local(one.last_at_us)} ({one.reason})"
        yield found("quarantine", WARNING, words, 'report it; "fleetnet-server quarantine" lists them')
    if not told.refused:
        yield found("quarantine", OK, "every report of the last seven days could be stored")


def _held_back(told: Described) -> Iterator[Finding]:
    for one in told.held_back:
        since = times.local(one.since_us)
        words = f"{one.host} has {one.over} beyond its quota, and was not read for {one.held_s:.0f} s since {since}"
        yield found("quota", WARNING, words, f"look at what it does: fleetnet netstat {one.host}")
    if not told.held_back:
        yield found("quota", OK, "no host reports more than its quota")
