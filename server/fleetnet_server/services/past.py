"""What an interval that is told afterwards makes of those that are kept of its socket. Pure.

Such an interval lies in a *window*: a gap that the collector recorded as kept on the host. What is kept of the time in
a window is of two kinds. *Told*: by an earlier part of the same backlog; it is known, and what is told again changes
nothing. *Taken for granted*: a row that was open when the window began and is there still, or was ended by the
snapshot at its end, with nothing known of the time between; it gives way to what is told. Outside of windows
everything that is kept is known, and what is told fills only what is free.

The host may know less than is kept: it has not heard that a report was stored, or was killed before it wrote down what
the report told. So an end that is kept already is passed over. And a window may begin within a time in which the host
did not look, as far as it knows: what it tells as of before that says nothing of the window up to its next look. Then
what was open when the window began and was not found by that look has ended in between, and what was found goes on.

What must stay true: intervals of one socket never overlap; in whatever order and however often the intervals of a
backlog are told, the same rows are left; what is open stays open.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from fleetnet_server.errors import BadBatch
from fleetnet_server.services.intervals import ClosedAtIs, OpenedAtIs
from fleetnet_server.storage.history import OPEN_END_US, Interval

# How many rows intervals may lie over. Those of an agent meet a few; the sum bounds what a hostile host's may cost.
_ROWS_PER_INTERVAL = 16
_ROWS_AT_LEAST = 1_000


Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """A time about which the host's word is taken; by its clock."""

    from_us: int
    to_us: int
    looked_us: int  # when the host, as far as it knows, looked first: as the window begins, or later


class Timeline:
    """What is kept of one socket: intervals that do not overlap, in their order."""

    def __init__(self, rows: Iterable[Interval]) -> None:
        self.rows = sorted(rows, key=_order)
        self._allowed = _ROWS_AT_LEAST

    def tell(self, told: Interval, windows: Iterable[Window], to_us: int, unlooked: Collection[Span] = ()) -> None:
        """Take in an interval. One without an end was open at `to_us`. In times `unlooked` the host did not look."""
        ends_us = told.closed_at_us or to_us
        touched = [w for w in windows if told.opened_at_us <= w.to_us and ends_us >= w.from_us]
        for window in touched:
            self._tell_within(told, window)
        if not touched:
            self._tell_beside(_until(told, ends_us) if not told.closed_at_us else told, unlooked)

    def tell_end(self, at_us: int, how: int, seen_at_us: int, windows: Iterable[Window]) -> None:
        """What was open when a window began, under whatever state and addresses, ended so. Passed over if unknown.

        `seen_at_us` is a look that is known to have found it still, 0 if none but that at which the window began.
        """
        for window in windows:
            if at_us <= window.to_us:
                at = self._open_at(window.from_us)
                if at is not None and not self._has_ended(at, at_us, how):
                    self._end(at, max(at_us, window.from_us), how, seen_at_us, window)
                return

    def _has_ended(self, at: int, at_us: int, how: int) -> bool:
        """Whether a row before this one has this end already: then this one is what came of it."""
        low = bisect_left(self.rows, at_us, hi=at, key=_end)
        self._spend(at - low)
        return any(row.closed_at_is == how and row.end_us == max(at_us, row.opened_at_us) for row in self.rows[low:at])

    def _tell_within(self, told: Interval, window: Window) -> None:
        lasts = not told.closed_at_us or told.closed_at_us > window.to_us
        if told.opened_at_us <= window.from_us or _is_found(told, window):
            at = self._open_at(window.from_us)
            if at is not None and self.rows[at].alike(told) and self.rows[at].end_us >= told.opened_at_us:
                if not lasts:
                    self._end(at, told.closed_at_us, told.closed_at_is, told.last_seen_us, window)
                return
        if told.opened_at_us < window.from_us:
            if (told.closed_at_us or OPEN_END_US) <= window.looked_us or window.to_us <= window.looked_us:
                return
            told = replace(told, opened_at_us=window.looked_us, opened_at_is=OpenedAtIs.BEFORE)
        if lasts:
            at = self._open_at(window.to_us)
            if at is not None and self.rows[at].end_us > window.to_us and self.rows[at].alike(told):
                self._begin(at, told, window)
                return
            # The look at the end of the window did not find it so: it ended in between.
            told = _until(told, window.to_us)
        self._put(*(_clipped(told, *piece) for piece in self._make_room(told, window)))

    def _tell_beside(self, told: Interval, unlooked: Collection[Span]) -> None:
        """Put in an ended interval where there is room; behind what is kept, from where the host looked again."""
        for from_us, to_us in self._make_room(told, None):
            if from_us == told.opened_at_us:
                self._put(_clipped(told, from_us, to_us))
            elif (looked_us := looked_from(from_us, unlooked)) < to_us:
                self._put(_clipped(told, looked_us, to_us))

    def _end(self, at: int, at_us: int, how: int, seen_at_us: int, window: Window) -> None:
        """The row that was open when the window began ended in it; what is kept of it beyond is another life."""
        row = self.rows[at]
        follower_us = self.rows[at + 1].opened_at_us if at + 1 < len(self.rows) else OPEN_END_US
        ended = _ended(row, min(at_us, window.to_us, follower_us), how, window, seen_at_us)
        self.rows[at : at + 1] = [ended, _again(row, window)] if row.end_us > window.to_us else [ended]

    def _begin(self, at: int, told: Interval, window: Window) -> None:
        """The row that is open when the window ends began in it when this one did."""
        row = self.rows[at]
        if told.opened_at_us > row.opened_at_us:
            if told.opened_at_is != OpenedAtIs.BEFORE:
                begun = replace(row, opened_at_us=told.opened_at_us, opened_at_is=told.opened_at_is)
                self.rows[at : at + 1] = [_gave_way(row, told, window), begun]
            return
        del self.rows[at]
        before = _until(told, row.opened_at_us)
        pieces = self._make_room(before, window)
        if pieces and pieces[-1][1] == row.opened_at_us:
            from_us = pieces.pop()[0]
            how = told.opened_at_is if from_us == told.opened_at_us else OpenedAtIs.BEFORE
            row = replace(row, opened_at_us=from_us, opened_at_is=how)
        self._put(row, *(_clipped(before, *piece) for piece in pieces))

    def _put(self, *rows: Interval) -> None:
        for row in rows:
            insort(self.rows, row, key=_order)

    def _make_room(self, told: Interval, window: Window | None) -> list[tuple[int, int]]:
        """Have give way what does; what is free then of the time of an ended interval."""
        low = bisect_left(self.rows, told.opened_at_us, key=_end)
        high = bisect_right(self.rows, told.closed_at_us, key=_opened)
        self._spend(high - low)
        kept: list[Interval] = []
        free = [(told.opened_at_us, told.closed_at_us)]
        for row in self.rows[low:high]:
            given = None if window is None else _given(row, told, window)
            if _same(row, told):
                free = []
                kept.append(row if given is None else told)
            elif _begins_as(row, told):
                free = []
                kept.append(row)
            elif not _overlap(row, told):
                kept.append(row)
            elif given is not None:
                kept += given
            else:
                kept.append(row)
                free = [rest for piece in free for rest in _without(piece, row)]
        self.rows[low:high] = sorted(kept, key=_order)
        return free

    def _spend(self, rows: int) -> None:
        self._allowed += _ROWS_PER_INTERVAL - rows
        if self._allowed < 0:
            raise BadBatch("a backlog tells of one socket in intervals that lie over one another")

    def _open_at(self, at_us: int) -> int | None:
        """Where the row stands that was open at a time: one that ended just then, in a way not known, if none began."""
        at = bisect_right(self.rows, at_us, key=_opened) - 1
        if at >= 0 and self.rows[at].opened_at_us == self.rows[at].end_us:
            at = bisect_left(self.rows, at_us, key=_opened) - 1
        if at < 0 or self.rows[at].opened_at_us == self.rows[at].end_us:
            return None
        ends_us, how = self.rows[at].end_us, self.rows[at].closed_at_is
        return at if ends_us > at_us or (ends_us == at_us and how == ClosedAtIs.GAP) else None


def _given(row: Interval, told: Interval, window: Window) -> list[Interval] | None:
    """What is left of a row that gives way to an interval that overlaps it; None if it does not give way."""
    begins_first = row.opened_at_us < told.opened_at_us
    if row.end_us > window.to_us:
        # That it began in the window has been told: a host's clock may not be fine enough to keep the two apart.
        is_told = row.opened_at_us > window.from_us and row.opened_at_is != OpenedAtIs.BEFORE
        if is_told or (not begins_first and not row.alike(told)):
            return None
        before = [_gave_way(row, told, window)] if begins_first else []
        return [*before, _again(row, window)]
    # A snapshot that broke off may have found a row, and another have ended it.
    vague = row.closed_at_is == ClosedAtIs.GAP or row.opened_at_is == OpenedAtIs.BEFORE
    if row.opened_at_us <= window.from_us or (begins_first and vague):
        return [_gave_way(row, told, window)]
    return [] if vague and row.alike(told) else None


def looked_from(at_us: int, unlooked: Iterable[Span]) -> int:
    """When a host looked again that did not look at a time; that time if it did."""
    return max([at_us, *(to_us for from_us, to_us in unlooked if from_us < at_us < to_us)])


def _is_found(told: Interval, window: Window) -> bool:
    """Whether the host's first look in a window found it: to the host it was new."""
    return told.opened_at_is == OpenedAtIs.BEFORE and window.from_us < told.opened_at_us == window.looked_us


def _gave_way(row: Interval, told: Interval, window: Window) -> Interval:
    """The row, ended by when what is told began; by the host's first look in the window, if it was there before."""
    at_us = told.opened_at_us
    if row.opened_at_us <= window.from_us < window.looked_us:
        at_us = min(at_us, window.looked_us)
    return _ended(row, at_us, ClosedAtIs.GAP, window)


def _ended(row: Interval, at_us: int, how: int, window: Window, seen_at_us: int = 0) -> Interval:
    """The row with this end. How long it was seen is known of an end that is known; else a look began the window, if
    it was not seen later."""
    at_us = max(at_us, row.opened_at_us)
    seen_at_us = at_us if how != ClosedAtIs.GAP else min(max(window.from_us, row.opened_at_us, seen_at_us), at_us)
    return replace(row, closed_at_us=at_us, closed_at_is=how, last_seen_us=seen_at_us)


def _again(row: Interval, window: Window) -> Interval:
    """What is kept of a row beyond the window, in which it turned out to have ended: it was found again at its end."""
    return replace(row, opened_at_us=max(row.opened_at_us, window.to_us), opened_at_is=OpenedAtIs.BEFORE)


def _until(told: Interval, at_us: int) -> Interval:
    at_us = max(at_us, told.opened_at_us)
    return replace(told, closed_at_us=at_us, closed_at_is=ClosedAtIs.GAP, last_seen_us=told.opened_at_us)


def _clipped(told: Interval, from_us: int, to_us: int) -> Interval:
    if from_us > told.opened_at_us:
        told = replace(told, opened_at_us=from_us, opened_at_is=OpenedAtIs.BEFORE)
    if to_us < told.closed_at_us:
        told = replace(told, closed_at_us=to_us, closed_at_is=ClosedAtIs.GAP)
    return replace(told, last_seen_us=min(max(told.last_seen_us, from_us), to_us))


def _without(piece: tuple[int, int], row: Interval) -> list[tuple[int, int]]:
    """What a row leaves of a piece of time. A moment alone is left only if it was all there was."""
    if piece[0] == piece[1]:
        return [] if row.opened_at_us < piece[0] < row.end_us else [piece]
    rest = [(piece[0], min(piece[1], row.opened_at_us)), (max(piece[0], row.end_us), piece[1])]
    return [(from_us, to_us) for from_us, to_us in rest if from_us < to_us]


def _overlap(a: Interval, b: Interval) -> bool:
    """Whether they share more than an end; a moment is shared with what began before and ended after it."""
    if a.opened_at_us == a.end_us:
        return b.opened_at_us < a.opened_at_us < b.end_us
    if b.opened_at_us == b.end_us:
        return a.opened_at_us < b.opened_at_us < a.end_us
    return a.opened_at_us < b.end_us and b.opened_at_us < a.end_us


def _same(a: Interval, b: Interval) -> bool:
    return (a.opened_at_us, a.end_us) == (b.opened_at_us, b.end_us) and a.alike(b)


def _begins_as(row: Interval, told: Interval) -> bool:
    """Whether what is told is no more than the moment in which the row began."""
    at_us = row.opened_at_us
    return (told.opened_at_us, told.closed_at_us, told.closed_at_is) == (at_us, at_us, ClosedAtIs.GAP) and row.alike(
        told
    )


def _opened(row: Interval) -> int:
    return row.opened_at_us


def _end(row: Interval) -> int:
    return row.end_us


def _order(row: Interval) -> tuple[int, int]:
    return row.opened_at_us, row.end_us
