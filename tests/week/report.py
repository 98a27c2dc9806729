"""What the days cost, in lines for people. Nothing here is judged."""

from statistics import mean

from week.judge import Verdict
from week.story import Outcome

_MIB = 1 << 20


def lines_of(outcome: Outcome, verdict: Verdict) -> list[str]:
    """About one host."""
    case, lines = outcome.case, outcome.lines()
    agents = [agent for agent in outcome.agents() if len(agent) > 20]
    looks = sum(len(agent) for agent in agents)
    told = [batch for batch in outcome.batches() if batch.kind == "BACKLOG"]
    told_bytes = sum(batch.size_bytes for batch in told)
    # Drawing the host takes much, which is given back by then.
    growth = max(max(line.rss_bytes for line in agent[10:]) - agent[10].rss_bytes for agent in agents)
    gaps = ", ".join(f"{count} {reason}" for reason, count in sorted(verdict.gaps.items()))
    return [
        f"{case.name}: {case.days:g} days, a look every {case.look_every_s:g} s, "
        f"{outcome.restarts} restarts, {outcome.killed} of them by kill -9",
        f"  known {verdict.known_share:.2%} of {len(verdict.looks_us)} looks; gaps: {gaps}",
        f"  kept {outcome.kept_bytes} bytes of {case.spool_bytes}, at most {max(line.spool_bytes for line in lines)}, "
        f"SQLite's log at most {max(line.log_bytes for line in lines)}",
        f"  snapshot acknowledged {outcome.acknowledged_s:.2f} s after the welcome, present right in two answers of "
        f"the command line after {outcome.present_s:.1f} s; all of the past {outcome.told_s:.1f} s after "
        f"{'another' if case.holds_back else 'it'}, "
        f"{len(told)} parts of {told_bytes} bytes, {told_bytes / outcome.told_s / _MIB:.2f} MiB/s",
        f"  a look: {sum(agent[-1].statements for agent in agents) / looks:.1f} statements, "
        f"{sum(agent[-1].commits for agent in agents) / looks:.2f} commits, "
        f"{sum(agent[-1].reads for agent in agents) / looks:.2f} packs read; "
        f"{sum(agent[-1].merges for agent in agents)} merges, {sum(agent[-1].drops for agent in agents)} drops",
        f"  memory: {mean(agent[10].rss_bytes for agent in agents) / _MIB:.1f} MiB with the drawn host, "
        f"at most {growth / _MIB:.1f} more while keeping",
    ]
