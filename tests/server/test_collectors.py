"""Two and three collectors before one PostgreSQL, each killed and started again while hosts move between them."""

from pathlib import Path

import pytest
from collectors.story import Plan, tell
from server.postgresql import Server

pytestmark = [pytest.mark.engine("postgresql"), pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("plan", [Plan(seed=3, collectors=2), Plan(seed=6, collectors=3)], ids=["two", "three"])
def test_hosts_that_move_between_collectors_that_die_have_one_writer_and_an_exact_history(
    plan: Plan, postgresql: Server, tmp_path: Path
) -> None:
    outcome = tell(plan, postgresql, tmp_path)
    assert outcome.wrong == [], outcome
    # That it happened at all: any of these is in the dozens.
    assert outcome.moves > 5, outcome
    assert outcome.fenced > 0, outcome
