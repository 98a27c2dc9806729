"""How long each kind of history is kept. The standard library only, as config.py says."""

import re
from dataclasses import dataclass, fields

from fleetnet_server.errors import ConfigError

FOREVER = "forever"
_MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Keep:
    """Each field is an option of `run` and a key of the configuration file, with dashes: days from the end of what is
    kept; None for ever."""

    keep_listeners_days: int | None = 400
    keep_sockets_days: int | None = 30  # all that is neither of the others
    keep_brief_days: int | None = 1  # TIME_WAIT, and what is known by its end alone

    @property
    def longest_days(self) -> int | None:
        """What gaps, streams and namespaces are kept for, without which nothing else can be judged or named."""
        all_days = [getattr(self, field.name) for field in fields(self)]
        return None if None in all_days else max(all_days)


HELP = {
    "keep-listeners-days": "days for which listeners are kept when they have ended",
    "keep-sockets-days": "days for which other sockets are",
    "keep-brief-days": "days for which TIME_WAITs are, and sockets that are known by their end alone",
}
DEFAULTS = {field.name.replace("_", "-"): str(field.default) for field in fields(Keep)}


def parse(told: dict[str, str]) -> Keep:
    """From the texts of all options. Raises ConfigError."""
    return Keep(**{name.replace("-", "_"): _days(name, text) for name, text in told.items()})


def _days(name: str, text: str) -> int | None:
    if text == FOREVER:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= _MOST_DAYS:
        raise ConfigError(
            f'--{name} {text!r} is neither a number of days from 1 to {_MOST_DAYS} nor "{FOREVER}"; '
            f"write for example {DEFAULTS[name]}"
        )
    return int(text)
