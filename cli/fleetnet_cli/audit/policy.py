"""A policy as a person writes it, and its rules as they are judged.

    [[rule]]
    name = "web servers"
    hosts = ["web*"]                        # globs of host names; all where it is left out
    except = ["web-test*"]
    severity = "warning"                    # error where it is left out, or note
    why = "asked for by the security team"  # shown with each violation
    only = [
        { port = "22", process = "sshd" },
        { port = "80,443", protocol = "tcp", unit = "nginx.service" },
    ]

A rule says one of five things:

    expect    each of these is there
    forbid    none of these is there
    only      whatever is exposed is one of these; with loopback = true, whatever listens at all
    exactly   expect and only
    at_most   sockets by state, as in { CLOSE_WAIT = 100, TIME_WAIT = 5000 }
"""

import ipaddress
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from fleetnet_cli.audit import names
from fleetnet_cli.audit.names import Names
from fleetnet_cli.audit.patterns import PROTOCOLS, SCOPES, Net, Pattern
from fleetnet_cli.errors import UsageError, suggestion
from fleetnet_cli.labels import parse_asked
from fleetnet_cli.ports import parse_ports
from fleetnet_cli.records import Host, PortRange
from fleetnet_cli.services import Services
from fleetnet_cli.states import parse_state

LISTENER_RULES = ("expect", "forbid", "only", "exactly")
SEVERITIES = ("error", "warning", "note")

_SAYS = (*LISTENER_RULES, "at_most")
_RULE_KEYS = ("name", "hosts", "labels", "except", "severity", "why", "loopback", *_SAYS)
_PATTERN_KEYS = (
    "port", "protocol", "address", "scope", "exposed", "process", "user", "unit", "container", "netns",
)  # fmt: skip


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    name: str
    says: str  # what kind it is: one of LISTENER_RULES, or "at_most"
    hosts: Names = names.ALL
    labels: tuple[tuple[str, str], ...] = ()  # of a host, each key with a glob of its value
    but: Names = names.NONE
    severity: str = "error"
    why: str = ""
    loopback: bool = False
    patterns: tuple[Pattern, ...] = ()
    most: tuple[tuple[str, int], ...] = ()  # by state
    line: int = 0  # where it begins in its file; 0 where that is not known

    @property
    def names_raw(self) -> bool:
        """Whether raw sockets are to be looked at for it, which nobody means who does not say so."""
        return any("raw" in pattern.protocols for pattern in self.patterns)

    @property
    def whom(self) -> str:
        """`matches web*`, `that matches web* has role=web`: what a host is to be."""
        matches = f"matches {', '.join(self.hosts.words)}"
        if not self.labels:
            return matches
        return f"has {self.labelled}" if self.hosts == names.ALL else f"that {matches} has {self.labelled}"

    @property
    def labelled(self) -> str:
        """`role=web and env=*`."""
        return " and ".join(f"{key}={value}" for key, value in self.labels)

    def concerns(self, host: Host) -> bool:
        """Whether it is about this host."""
        return self.meets(host) and not self.but.match(host.host)

    def meets(self, host: Host) -> bool:
        """Whether it is one of those named, with these labels; it may be excepted."""
        mine = {label.key: label.value for label in host.labels}
        labelled = all(key in mine and fnmatchcase(mine[key], value) for key, value in self.labels)
        return labelled and self.hosts.match(host.host)


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules of a file, in its order."""

    source: str
    rules: tuple[Rule, ...]


def parse(text: str, source: str, services: Services) -> Policy:
    """The policy that stands in `text`. Raises UsageError, which says where and what to write instead."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not TOML ({error}); correct it") from error
    except RecursionError as error:
        raise UsageError(f"{source} is no policy, for it is nested too deep; correct it") from error
    _check_keys(table, ("rule",), source)
    rules = table.get("rule")
    if not isinstance(rules, list) or not rules or not all(isinstance(rule, dict) for rule in rules):
        raise UsageError(f"{source} has no rules; each begins with [[rule]], and fleetnet audit --learn writes some")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.split("#")[0].strip() == "[[rule]]"]
    if len(lines) != len(rules):  # written as an array of tables inline
        lines = [0] * len(rules)
    parsed: dict[str, Rule] = {}
    for number, (rule, line) in enumerate(zip(rules, lines, strict=True), 1):
        at = f"{source}, line {line}" if line else f"{source}, rule {number}"
        made = _rule(_Table(rule, at), line, services)
        if made.name in parsed:
            raise UsageError(f'{at}: there is a rule "{made.name}" already; give each a name of its own')
        parsed[made.name] = made
    return Policy(source, tuple(parsed.values()))


def _rule(table: "_Table", line: int, services: Services) -> Rule:
    _check_keys(table.values, _RULE_KEYS, table.at)
    name = table.text("name")
    if not name.strip():
        raise UsageError(f'{table.at}: the rule has no name; write name = "what it asks for"')
    named = _Table(table.values, f'{table.at}, "{name}"')
    if table.values.get("hosts") in ("", []):
        raise UsageError(f"{named.at}: hosts is empty; leave it out for all hosts, or name some")
    says = [word for word in _SAYS if word in table.values]
    if len(says) != 1:
        raise UsageError(f"{named.at}: a rule says one of {', '.join(_SAYS)}; this one says {len(says) or 'none'}")
    if "loopback" in table.values and says[0] not in ("only", "exactly"):
        raise UsageError(f"{named.at}: loopback belongs to only and exactly; leave it out")
    listens = says[0] in LISTENER_RULES
    return Rule(
        name=name,
        says=says[0],
        hosts=Names(named.texts("hosts")) if "hosts" in table.values else names.ALL,
        labels=_labels(named),
        but=Names(named.texts("except")),
        severity=named.one_of("severity", SEVERITIES) or "error",
        why=named.text("why"),
        loopback=named.flag("loopback") or False,
        patterns=_patterns(named, says[0], services) if listens else (),
        most=() if listens else _most(named),
        line=line,
    )


def _labels(rule: "_Table") -> tuple[tuple[str, str], ...]:
    table = rule.values.get("labels")
    if table is None:
        return ()
    if not isinstance(table, dict) or not table:
        raise UsageError(f'{rule.at}: labels is a table, such as labels = {{ role = "web" }}; "*" is any value')
    for key, value in table.items():
        if not isinstance(value, str) or not value:
            raise UsageError(f'{rule.at}: labels.{key} is not a text; write {key} = "web", or "*" for any value')
        rule.said(lambda word: parse_asked([word]), key, "labels")
    return tuple(table.items())


def _patterns(rule: "_Table", says: str, services: Services) -> tuple[Pattern, ...]:
    value = rule.values[says]
    tables = [value] if isinstance(value, dict) else value
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(
            f'{rule.at}: {says} is a list of listeners, such as {says} = [{{ port = 22, process = "sshd" }}]'
        )
    if not tables and says in ("expect", "forbid"):
        raise UsageError(f"{rule.at}: {says} names nothing; name a listener, or leave the rule out")
    return tuple(_pattern(_Table(table, rule.at), services) for table in tables)


def _pattern(table: "_Table", services: Services) -> Pattern:
    _check_keys(table.values, _PATTERN_KEYS, table.at)
    for key, value in table.values.items():
        if value in ("", []):
            raise UsageError(f"{table.at}: {key} is empty, which would be any; leave it out, or name one")
    if not table.values:
        raise UsageError(f"{table.at}: {{}} would be any listener; name at least one of {', '.join(_PATTERN_KEYS)}")
    scopes, exposed = table.each("scope", lambda word: _known(word.lower(), SCOPES, "scope")), table.flag("exposed")
    if exposed and set(scopes) == {"loopback"}:
        raise UsageError(f"{table.at}: what has the scope loopback is never exposed; leave one of the two out")
    protocols = table.each("protocol", lambda word: _known(word.lower(), PROTOCOLS, "protocol"))
    return Pattern(
        ports=tuple(r for ranges in _ports(table, services, "raw" in protocols) for r in ranges),
        protocols=protocols,
        addresses=table.each("address", _net),
        scopes=scopes,
        exposed=exposed,
        process=table.text("process"),
        user=table.text("user"),
        unit=table.text("unit"),
        container=table.text("container"),
        netns=table.text("netns"),
    )


def _ports(table: "_Table", services: Services, raw: bool) -> tuple[tuple[PortRange, ...], ...]:
    value = table.values.get("port")
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(v, int | str) and not isinstance(v, bool) for v in values):
        raise UsageError(f'{table.at}: port is a number or a text, such as 443, "https", "80,443" or "8000-8999"')
    words = [word.strip() for v in values for word in str(v).split(",")]
    return tuple(table.said(lambda word: parse_ports(word, services, raw=raw), word, "port") for word in words)


def _most(rule: "_Table") -> tuple[tuple[str, int], ...]:
    table = rule.values["at_most"]
    if not isinstance(table, dict) or not table:
        raise UsageError(f"{rule.at}: at_most is a table of states, such as at_most = {{ CLOSE_WAIT = 100 }}")
    for state, most in table.items():
        if not isinstance(most, int) or isinstance(most, bool) or most < 0:
            raise UsageError(f"{rule.at}: at_most.{state} is not a number of sockets; write {state} = 100")
    limits: dict[str, int] = {}
    for word, most in table.items():
        state = rule.said(parse_state, word, "at_most")
        if state in limits:
            raise UsageError(f"{rule.at}: at_most names {state} twice; keep one of its numbers")
        limits[state] = most
    return tuple(limits.items())


def _net(word: str) -> Net:
    try:
        net = ipaddress.ip_network(word)
    except ValueError as error:
        raise UsageError(f'"{word}" is no address or net ({error}); write 10.0.0.0/8 or 2001:db8::1') from error
    if isinstance(net, ipaddress.IPv6Network) and net.prefixlen >= 96 and (plain := net.network_address.ipv4_mapped):
        return ipaddress.IPv4Network((plain, net.prefixlen - 96))  # the same addresses, by their other name
    return net


def _known(word: str, known: tuple[str, ...], what: str) -> str:
    if word not in known:
        guess = suggestion(word, list(known)) or f"; there are {', '.join(known)}"
        raise UsageError(f'"{word}" is no {what}{guess}')
    return word


def _check_keys(table: dict[str, Any], known: tuple[str, ...], at: str) -> None:
    for key in table:
        if key not in known:
            guess = suggestion(key, list(known)) or f"; there are {', '.join(known)}"
            raise UsageError(f'{at}: "{key}" is not known{guess}')


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file, and where it stands."""

    values: dict[str, Any]
    at: str

    def text(self, key: str) -> str:
        value = self.values.get(key, "")
        if not isinstance(value, str):
            raise UsageError(f"{self.at}: {key} is not a text; put it in quotes")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            raise UsageError(f'{self.at}: {key} is not a list of texts; write {key} = ["…", "…"]')
        return tuple(values)

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise UsageError(f"{self.at}: {key} is true or false, without quotes")
        return value

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        word = self.text(key)
        return self.said(lambda w: _known(w, known, key), word, key) if word else ""

    def each(self, key: str, meaning: Callable[[str], T]) -> tuple[T, ...]:
        return tuple(self.said(meaning, word, key) for word in self.texts(key))

    def said(self, meaning: Callable[[str], T], word: str, key: str) -> T:
        """What a word means; where it means nothing, with the place."""
        try:
            return meaning(word)
        except UsageError as error:
            raise UsageError(f"{self.at}: {key}: {error}") from error
