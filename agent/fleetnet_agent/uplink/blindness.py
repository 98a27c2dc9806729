"""Sources that could not be read at all: which, since when, and which stream has been told.

What must stay true: what a look found while a source was blind is not told, but for the fact itself, as of the last
look at which all could see; the host is to grow stale, for what is open is not known.
"""

from fleetnet_agent.log import Log
from fleetnet_agent.records import Difference, SourceStatus


class Blindness:
    """How the sources of one agent see. Pure but for the log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._blind: dict[str, SourceStatus] = {}
        self._poor: set[str] = set()  # sources that read less than all, and not for blindness
        self._since: Difference | None = None  # the last look at which all could see
        self._told: tuple[int, tuple[str, ...]] | None = None

    @property
    def is_there(self) -> bool:
        """True while some source is blind."""
        return self._since is not None

    def note(self, difference: Difference, before: Difference | None) -> int | None:
        """A look was made. Since when some source was blind, if at this look all see again."""
        for source in difference.sources:
            self._blind.pop(source.name, None)
            if source.blind:
                self._blind[source.name] = source
            else:
                self._say_how_it_reads(source)
        if self._blind and self._since is None:
            self._since = before or difference
        elif not self._blind and self._since is not None:
            since_us, self._since, self._told = self._since.look_at_us, None, None
            return since_us
        return None

    def news(self, stream: int) -> Difference | None:
        """What this stream is to be told of it, once."""
        if self._since is None or self._told == (stream, tuple(self._blind)):
            return None
        self._told = (stream, tuple(self._blind))
        for source in self._blind.values():
            self._log.situation(f"source {source.name}", f"source {source.name} {source.detail}; trying again")
        as_of_us, sources = self._since.look_at_us, tuple(self._blind.values())
        return Difference(as_of_us, as_of_us, sources=sources, look_boottime_us=self._since.look_boottime_us)

    def _say_how_it_reads(self, source: SourceStatus) -> None:
        """One line for each change; that all is well only after something was not."""
        if not source.ok:
            self._poor.add(source.name)
            self._log.say(f"source {source.name}: {source.detail}")
        elif source.name in self._poor:
            self._poor.discard(source.name)
            self._log.say(f"source {source.name}: all is well again")
