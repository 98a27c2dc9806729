"""How much of the collector hosts and questions may use. The standard library only, as config.py says."""

import re
from dataclasses import dataclass, fields

from fleetnet_server.errors import ConfigError

MIB = 1024 * 1024
_MOST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Each field is an option of `run` and a key of the configuration file, with dashes."""

    memory_mib: int = 256  # of reports that are not stored yet, all hosts together
    rows_per_minute: int = 600_000  # of one host
    mib_per_minute: int = 64  # of one host, as they travel
    reports_per_minute: int = 600  # of one host, whatever is in them
    streams_per_second: int = 200  # let in, all hosts together
    question_timeout: int = 60  # seconds of the database's time for one question

    @property
    def memory_bytes(self) -> int:
        """`memory_mib` in bytes."""
        return self.memory_mib * MIB


HELP = {
    "memory-mib": "memory for reports that are not stored yet, of all hosts together",
    "rows-per-minute": "rows that one host may report before it is read more slowly",
    "mib-per-minute": "MiB that one host may report before it is read more slowly",
    "reports-per-minute": "reports that one host may send before it is read more slowly",
    "streams-per-second": "report streams let in; others are told when to come back",
    "question-timeout": "seconds that one question may take of the database before it is ended",
}
DEFAULTS = {field.name.replace("_", "-"): str(field.default) for field in fields(Limits)}


def parse(told: dict[str, str]) -> Limits:
    """From the texts of all options. Raises ConfigError."""
    return Limits(**{name.replace("-", "_"): _number(name, text) for name, text in told.items()})


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= _MOST:
        raise ConfigError(f"--{name} {text!r} is not a number from 1 to {_MOST}; write for example {DEFAULTS[name]}")
    return int(text)
