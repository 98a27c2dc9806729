"""What the collector has borne so far, in numbers that only grow but for `held_bytes`. On the event loop alone."""

from dataclasses import dataclass


@dataclass(slots=True)
class Load:
    """One per collector; rooms count here what they do, and whoever measures reads it."""

    held_bytes: int = 0  # weight of the reports taken in and not yet stored, those that wait to be taken in included
    most_held_bytes: int = 0
    sent_away: int = 0  # streams ended because no room was left for what came
    streams_admitted: int = 0
    streams_put_off: int = 0  # told to come back later, before anything was done for them
    slowed: int = 0  # times that a host was read more slowly
    slowed_s: float = 0.0  # and for how long
    set_aside: int = 0  # reports put into quarantine
    snapshots_asked: int = 0

    def hold(self, bytes_: int) -> None:
        """More is held, or (negative) less."""
        self.held_bytes += bytes_
        self.most_held_bytes = max(self.most_held_bytes, self.held_bytes)
