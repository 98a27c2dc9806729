"""A collector that is away for a week, on the real agent, collector and command line; see story.py."""

import itertools
from collections.abc import Iterator

import pytest
from fleetnet_agent.spool.chunks import NO_ROOM, TOO_OLD
from fleetnet_agent.spool.file import LOG_PAGES, PAGE_BYTES
from fleetnet_agent.uplink.outage import RESTARTED
from system.quick import QuickPrograms
from week.judge import Verdict, verdict_of
from week.report import lines_of
from week.story import Case, Outcome, Story
from week.truth import moments_of, open_at, shown
from week.world import DAY_US, Size

from demo.fleet import environment
from demo.programs import Programs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SMALL_BYTES = 1 << 18
# A look every twenty minutes: a restart, an outage and a night are still between several.
ROOM = Case("room", look_every_s=1200, restarts=11, seed=1)
SMALL = Case(
    "small",
    look_every_s=1200,
    restarts=2,
    boots=0,
    seed=2,
    spool_bytes=SMALL_BYTES,
    size=Size(brief_a_day=3000),
    holds_back=False,
)
NINE = Case("nine", days=9, look_every_s=1800, restarts=2, boots=0, seed=3, holds_back=False)


class Played:
    """The story, and how it is judged."""

    def __init__(self, programs: Programs) -> None:
        self.story = Story(programs, [ROOM, SMALL, NINE])
        self.outcomes = {outcome.case.name: outcome for outcome in self.story.play()}
        self.verdicts = {name: verdict_of(self.story, outcome) for name, outcome in self.outcomes.items()}
        for name, outcome in self.outcomes.items():
            print("\n".join(lines_of(outcome, self.verdicts[name])))

    def of(self, case: Case) -> tuple[Outcome, Verdict]:
        """One host."""
        return self.outcomes[case.name], self.verdicts[case.name]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """All of it, once."""
    directory = tmp_path_factory.mktemp("week")
    with QuickPrograms(directory, environment(directory)) as programs:
        yield Played(programs)


ALL = pytest.mark.parametrize("case", [ROOM, SMALL, NINE], ids=lambda case: case.name)


@ALL
def test_at_each_look_history_is_true_or_says_that_it_does_not_know(played: Played, case: Case) -> None:
    outcome, verdict = played.of(case)
    assert verdict.wrong == []
    assert "asks to be told everything anew" not in played.story.log(case.name), "both sides hold the same"
    moments = moments_of(outcome.stretches[0].world.lives())
    looks_us, unknown_us = verdict.looks_us, set(verdict.unknown_us)
    pairs = [(one, other) for one, other in itertools.pairwise(looks_us) if not unknown_us & {one, other}]
    before_us, after_us = pairs[len(pairs) // 2]
    answer = played.story.at(outcome, (before_us + after_us) // 2)
    assert shown(answer.items) == open_at(moments, before_us), before_us


@ALL
def test_the_present_goes_before_the_past(played: Played, case: Case) -> None:
    outcome, _ = played.of(case)
    kinds = [batch.kind for batch in outcome.batches()]
    assert kinds.index("LAST_PART") < kinds.index("BACKLOG")


def test_what_is_kept_on_the_host_is_a_gap_while_the_present_is_right(played: Played) -> None:
    outcome, _ = played.of(ROOM)
    assert "LAST_PART" in outcome.stored_then
    assert outcome.stored_then.count("BACKLOG") <= 1, "the rest was held back"
    assert outcome.midst is not None
    assert outcome.midst.status == 3
    assert outcome.midst.document["coverage"]["gaps"] >= 1


def test_with_room_for_it_all_is_kept_but_what_no_agent_saw(played: Played) -> None:
    outcome, verdict = played.of(ROOM)
    assert outcome.restarts >= 10
    assert outcome.killed >= 3
    assert set(verdict.gaps) == {RESTARTED}
    # Of each agent the first look, from which it learns that one before it had kept something; of one that was killed
    # the look that it had not written.
    assert len(verdict.unknown_us) <= outcome.restarts + outcome.killed
    assert max(line.drops for line in outcome.lines()) == 0


def test_a_spool_that_is_too_small_keeps_to_its_size_and_says_what_it_dropped(played: Played) -> None:
    outcome, verdict = played.of(SMALL)
    lines = outcome.lines()
    assert max(line.spool_bytes for line in lines) <= SMALL_BYTES
    assert max(line.log_bytes for line in lines) <= LOG_PAGES[0] * PAGE_BYTES + SMALL_BYTES, "and one transaction"
    assert sum(agent[-1].drops for agent in outcome.agents()) >= 3
    first = next(line for line in lines if line.drops)
    assert first.merges, "merged before anything was dropped"
    world = outcome.stretches[0].world
    moments = {at_us for at_us, _, _ in moments_of(world.lives())} | {line.look_us for line in lines}
    dropped = [gap for gap in verdict.history.gaps if gap.reason == NO_ROOM]
    assert dropped
    assert {at_us for gap in dropped for at_us in (gap.from_us, gap.to_us)} <= moments, "from one event to another"
    newest_us = verdict.looks_us[-len(verdict.looks_us) // 20 :]
    assert len(set(newest_us) - set(verdict.unknown_us)) >= len(newest_us) - 4, "the oldest is dropped"


def test_of_nine_days_the_first_two_are_a_gap_and_the_rest_is_kept(played: Played) -> None:
    outcome, verdict = played.of(NINE)
    assert set(verdict.gaps) == {RESTARTED, TOO_OLD}
    week_us = outcome.back_us - 7 * DAY_US
    unknown_us = set(verdict.unknown_us)
    assert len([look_us for look_us in unknown_us if look_us >= week_us]) <= 2 + outcome.killed
    older_us = [look_us for look_us in verdict.looks_us if look_us < week_us - DAY_US]
    assert len(unknown_us.intersection(older_us)) > 0.9 * len(older_us)


@ALL
def test_what_a_look_costs_does_not_grow_with_what_is_kept(played: Played, case: Case) -> None:
    outcome, _ = played.of(case)
    agents = [agent for agent in outcome.agents() if len(agent) > 20]
    for agent in agents:
        assert max(line.rss_bytes for line in agent[10:]) - agent[10].rss_bytes < 24 << 20, "a report or two"
        assert agent[-1].commits <= 1.1 * len(agent) + 5
