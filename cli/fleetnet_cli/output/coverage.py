"""The line beneath an answer that says how far it reaches. What is missing is said; nothing is left out silently."""

from collections.abc import Iterable
from dataclasses import replace

from fleetnet_cli import times
from fleetnet_cli.output.terminal import YELLOW, Terminal
from fleetnet_cli.records import Answer, Coverage, End, Selection
from fleetnet_cli.text import visible

_STALE_NAMED = 5
_NOTES_SHOWN = 10
_UNSEEN_COUNTED = 1_000  # the collector says one more where there are more
_KINDS = {
    "sockets": "connections",
    "brief": "sockets in TIME_WAIT",
    "network": "interfaces and routes",
}


def write(
    answer: Answer[object],
    out: Terminal,
    *,
    found: int,
    nothing: str,
    asked_at: bool,
    zone_shown: bool,
    asked: Selection,
    notes: Iterable[str],
) -> None:
    """Notes, then the coverage as one line; where nothing was found, that first."""
    write_notes(notes, out)
    sentence = sentences(answer.coverage, answer.end, asked_at=asked_at, with_zone=not zone_shown, asked=asked)
    shown = sentence if answer.coverage.whole else out.paint(sentence, YELLOW)
    # Where nobody was asked, that is all there is to say.
    say_nothing = not found and answer.coverage.hosts_asked > 0
    out.write(f"{visible(nothing)}: {shown}\n" if say_nothing else shown + "\n")


def write_notes(notes: Iterable[str], out: Terminal) -> None:
    """What must be said of single items, each thing once."""
    for line in _first_notes([visible(note) for note in notes]):
        out.write(out.paint(line, YELLOW) + "\n")


def _first_notes(notes: list[str]) -> list[str]:
    left_out = len(notes) - _NOTES_SHOWN
    return notes if left_out <= 0 else [*notes[:_NOTES_SHOWN], f"and {left_out} more notes of this kind"]


def sentences(coverage: Coverage, end: End | None, *, asked_at: bool, with_zone: bool, asked: Selection) -> str:
    """`as of …: 42 hosts, 2 stale: db3 (3 h), web9 (2 d); 1 gap overlaps the time asked about; cut at 100 items`."""
    if coverage.since is not None:
        return _of_both(coverage.since, coverage, end, with_zone=with_zone, asked=asked)
    parts = [_hosts(coverage, asked, asked_at)]
    if coverage.hosts_asked and coverage.unmatched_globs:
        unmatched = replace(asked, host_globs=coverage.unmatched_globs)
        parts.append(nobody(unmatched, coverage))
    if coverage.gaps:
        parts.append(
            "1 gap overlaps the time asked about"
            if coverage.gaps == 1
            else f"{coverage.gaps} gaps overlap the time asked about"
        )
    parts += [
        f"{_KINDS.get(gone.kind, gone.kind)} that had ended by {times.local(gone.since_us)} are no longer kept"
        for gone in coverage.not_kept
    ]
    if coverage.unseen_holders:
        many = coverage.unseen_holders > _UNSEEN_COUNTED
        how_many = f"more than {_UNSEEN_COUNTED:,}" if many else f"{coverage.unseen_holders} more"
        parts.append(f"of {how_many} it is not known who holds {'it' if coverage.unseen_holders == 1 else 'them'}")
    if end is not None and end.truncated:
        parts.append(f"cut at {end.items} by --limit, there is more")
    as_of = ""
    if asked_at:
        zone = f" {times.zone_name()}" if with_zone else ""
        as_of = f"as of {times.local(coverage.as_of_us)}{zone}, "
    return as_of + "; ".join(parts)


def _of_both(then: Coverage, now: Coverage, end: End | None, *, with_zone: bool, asked: Selection) -> str:
    """`from … (41 hosts, all fresh) to … (42 hosts, 1 stale: db3 (3 h))`."""
    zone = f" {times.zone_name()}" if with_zone else ""
    # Whether a limit cut it is said once, at the end.
    earlier, later = (
        f"{times.local(each.as_of_us)}{zone} ({sentences(each, last, asked_at=False, with_zone=False, asked=asked)})"
        for each, last in ((then, None), (replace(now, since=None), end))
    )
    return f"from {earlier} to {later}"


def nobody(asked: Selection, coverage: Coverage) -> str:
    """`no host matches "web*"`, `no host has role=wbe, did you mean "role=web"?`, where some are asked for."""
    if coverage.unmatched_labels:
        nobodys = " or ".join(visible(label.words) for label in coverage.unmatched_labels)
        near = f', did you mean "{visible(coverage.near_label)}"?' if coverage.near_label else ""
        return f"no host has {nobodys}{near}"
    matches = 'matches "' + '" or "'.join(visible(glob) for glob in asked.host_globs) + '"' if asked.host_globs else ""
    has = f"has {' and '.join(visible(label.words) for label in asked.labels)}" if asked.labels else ""
    return f"no host that {matches} {has}" if matches and has else f"no host {matches}{has}"


def _hosts(coverage: Coverage, meant: Selection, asked_at: bool) -> str:
    asked = coverage.hosts_asked
    if asked == 0:
        if meant.host_globs or meant.labels:
            said = nobody(meant, coverage)
            lists = "hosts -o wide" if meant.labels else "hosts"
            return f'{said}{"" if said.endswith("?") else ";"} "fleetnet {lists}" lists them'
        if asked_at:
            return "this fleet had no hosts"
        return 'no hosts in this fleet yet; "fleetnet token create --host NAME" lets one join'
    hosts = "1 host" if asked == 1 else f"{asked} hosts"
    stale = len(coverage.hosts_stale)
    if stale == 0:
        return f"{hosts}, fresh" if asked == 1 else f"{hosts}, all fresh"
    named = ", ".join(
        f"{visible(s.host)} ({_silence(s.last_seen_us, coverage.as_of_us)})"
        for s in coverage.hosts_stale[:_STALE_NAMED]
    )
    more = f", +{stale - _STALE_NAMED} more" if stale > _STALE_NAMED else ""
    which = "stale" if asked == 1 else "all stale" if stale == asked else f"{stale} stale"
    return f"{hosts}, {which}: {named}{more}"


def _silence(last_seen_us: int, as_of_us: int) -> str:
    return times.age(as_of_us - last_seen_us) if last_seen_us else "never heard"
