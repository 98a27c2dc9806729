"""PORT, SERVICE and A-B as people write them on a command line, several with commas between them; for raw sockets a
protocol's name too."""

import re

from fleetnet_cli import protocols
from fleetnet_cli.errors import UsageError, suggestion
from fleetnet_cli.records import PortRange
from fleetnet_cli.services import Services

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})", re.ASCII)


def parse_ports(text: str, services: Services, *, raw: bool = False) -> tuple[PortRange, ...]:
    """One word as ranges of ports; a service may have several. UsageError where a part of it is none of the three.

    What is a port to TCP is to a raw socket the number of a protocol: with `raw` a name of /etc/protocols counts too.
    """
    parts = text.split(",")
    return tuple(ports for part in parts for ports in _parse_one(part, services, raw=raw))


def _parse_one(text: str, services: Services, *, raw: bool) -> tuple[PortRange, ...]:
    if raw and (number := protocols.load().numbers.get(text.lower())) is not None:
        return (PortRange(number, number),)
    if _NUMBER.fullmatch(text):
        return (PortRange(_port(text), _port(text)),)
    if match := _RANGE.fullmatch(text):
        first, last = _port(match[1]), _port(match[2])
        if first > last:
            raise UsageError(f'"{text}" runs backwards; did you mean "{last}-{first}"?')
        return (PortRange(first, last),)
    if not text:
        raise UsageError("a port is missing; give a number, a range such as 8000-8999, or a name")
    ports = services.ports.get(text.lower())
    if ports is None:
        from fleetnet_cli import topics  # only an error needs it

        if explained := topics.ports_called(text):
            numbers = [str(port) for port in explained]
            known_as = f"explain calls {' and '.join(numbers)} that: give {','.join(numbers)}"
            raise UsageError(f'"{text}" is no service of /etc/services; {known_as}')
        if not services.ports:
            raise UsageError(
                f'"{text}" is not a port, and this machine has no /etc/services to look names up in; '
                "give a number or a range such as 8000-8999 (Debian, Ubuntu: apt-get install netbase)"
            )
        guess = suggestion(text, list(services.ports)) or "; give a number, a range such as 8000-8999, or a name"
        raise UsageError(f'"{text}" is not a port and no service of /etc/services{guess}')
    return tuple(PortRange(p, p) for p in sorted(ports))


def _port(digits: str) -> int:
    port = int(digits)
    if not 1 <= port <= 0xFFFF:
        raise UsageError(f"{port} is not a port; ports are 1 to 65535")
    return port
