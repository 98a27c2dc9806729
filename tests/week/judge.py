"""A host's days as the collector has them, held against what was drawn."""

from collections import Counter
from dataclasses import dataclass, replace

from faults import history
from faults.history import History
from faults.verdict import Horizon, judge, judge_sequence
from week.story import Outcome, Story
from week.truth import Moment, is_unknown, moments_of, only, truth_of, unlike


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, and how much is known."""

    wrong: list[str]
    looks_us: list[int]  # while no collector was there
    unknown_us: list[int]  # of these, inside of gaps
    history: History

    @property
    def known_share(self) -> float:
        """Of all looks."""
        return 1 - len(self.unknown_us) / len(self.looks_us)

    @property
    def gaps(self) -> Counter[str]:
        """How many there are for each reason."""
        return Counter(gap.reason for gap in self.history.gaps)


def verdict_of(story: Story, outcome: Outcome) -> Verdict:
    """Of a host of which all is told."""
    found = history.read(story.store, outcome.case.name)
    lives = outcome.stretches[0].world.lives()
    looks_us = [line.look_us for line in outcome.lines()]
    gaps = [(gap.from_us, gap.to_us) for gap in found.gaps]
    away_us = [look_us for look_us in looks_us if outcome.away_us < look_us <= outcome.back_us]
    host, _, port = story.fleet.report_address.rpartition(":")
    by_socket = replace(found, intervals=[replace(one, name=only(one.name, one.cookie)) for one in found.intervals])
    judged = judge(truth_of(lives, looks_us), by_socket, Horizon(outcome.away_us, looks_us[-1]), (host, int(port)))
    wrong = [
        *judged.wrong,
        *judge_sequence(found, []),
        *unlike(_said(found), moments_of(lives), away_us, gaps),
    ]
    return Verdict(wrong, away_us, [look_us for look_us in away_us if is_unknown(look_us, gaps)], found)


def _said(found: History) -> list[Moment]:
    said: list[Moment] = []
    for one in found.intervals:
        if one.opened_at_us < one.closed_at_us:
            said.append((one.opened_at_us, one.name, one.state))
            said.append((one.closed_at_us, one.name, None))
    # Where one ends as another of the same name begins, the end comes first.
    return sorted(said, key=lambda moment: (moment[0], moment[2] is not None))
