"""The fleet: who is silent, who is not seen whole, whose clock is wrong, and what of the last day is not known."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from fleetnet_cli import times
from fleetnet_cli.client import Collector
from fleetnet_cli.doctor.finding import OK, PROBLEM, WARNING, Finding, failed, found
from fleetnet_cli.errors import CliError
from fleetnet_cli.records import Coverage, Host, Selection, SocketQuestion

_DAY_US: Final = 86_400 * times.SECOND_US
_NAMED: Final = 5
# Half a minute is a quarter of what makes a host stale.
_CLOCK_US: Final = 30 * times.SECOND_US


def findings(collector: Collector) -> Iterator[Finding]:
    """All of it; one question that fails stops no other."""
    try:
        answer = collector.hosts(Selection())
        hosts = list(answer)
    except CliError as error:
        yield failed("hosts", error)
    else:
        yield from _hosts(hosts, answer.coverage)
    try:
        since_us = times.now_us() - _DAY_US
        # Gaps of a time are told with whatever is asked about it: here with as little as there is.
        last_day = collector.sockets(SocketQuestion(Selection(limit=1), states=("LISTEN",), since_us=since_us))
        for _ in last_day:
            pass
    except CliError as error:
        yield failed("gaps", error)
    else:
        yield _gaps(last_day.coverage)


def _hosts(hosts: list[Host], coverage: Coverage) -> Iterator[Finding]:
    if not hosts:
        yield found("hosts", WARNING, "none has joined this fleet", '"fleetnet token create --host NAME" lets one in')
        return
    silent = [f"{h.host} ({_silence(h, coverage.as_of_us)})" for h in hosts if not h.fresh]
    if silent:
        which = "1 of them is" if len(silent) == 1 else f"{len(silent)} of them are"
        todo = 'run "fleetnet-agent doctor" there'
        verdict = PROBLEM if len(silent) == len(hosts) else WARNING
        yield found("hosts", verdict, f"{_many(len(hosts))}, {which} silent: {_named(silent)}", todo)
    else:
        yield found("hosts", OK, f"{_many(len(hosts))}, all fresh")
    yield from _sight(hosts)
    wrong = [f"{h.host} ({times.age(abs(h.clock_offset_us))})" for h in hosts if abs(h.clock_offset_us) >= _CLOCK_US]
    if wrong:
        words = f"those of some hosts are not the collector's: {_named(wrong)}"
        yield found("clocks", WARNING, words, "have them set by NTP")
    else:
        yield found("clocks", OK, "those of all hosts agree with the collector's")
    versions = Counter(h.agent_version for h in hosts if h.agent_version)
    if versions:
        yield found("agents", OK, ", ".join(f"{many} of version {one}" for one, many in sorted(versions.items())))


def _sight(hosts: list[Host]) -> Iterator[Finding]:
    """What is not seen of hosts: the same of many is said once."""
    alike: dict[str, list[str]] = {}
    for host in hosts:
        for said in host.degraded:
            alike.setdefault(said, []).append(host.host)
    for said, names in alike.items():
        words = f"not all is seen of {_named(names)}: {said}"
        yield found("sight", WARNING, words, 'run "fleetnet-agent doctor" there')
    if not alike:
        yield found("sight", OK, "of every host all is seen that an agent looks for")


def _gaps(coverage: Coverage) -> Finding:
    if not coverage.gaps:
        return found("gaps", OK, "none in the last day")
    many = "1 of the last day" if coverage.gaps == 1 else f"{coverage.gaps} of the last day"
    words = f"{many}: what happened in them is not known"
    return found("gaps", WARNING, words, '"fleetnet history HOST" shows those of a host, and why')


def _many(hosts: int) -> str:
    return "1 host" if hosts == 1 else f"{hosts} hosts"


def _silence(host: Host, now_us: int) -> str:
    return times.age(now_us - host.last_seen_us) if host.last_seen_us else "never heard"


def _named(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + (f", +{more} more" if more > 0 else "")
