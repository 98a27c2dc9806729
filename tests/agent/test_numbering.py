"""Which namespace a number meant: told where that is sure, and nowhere else."""

import pytest
from fleetnet_agent.numbering import AmbiguousError, Numbering


class ScriptedNews:
    """Numbers given and taken back, as a test says; None loses some."""

    def __init__(self) -> None:
        self.next: list[tuple[int, bool]] | None = []

    def take(self) -> list[tuple[int, bool]] | None:
        taken, self.next = self.next, []
        return taken

    def close(self) -> None:
        pass


GIVEN, TAKEN_BACK = True, False


@pytest.fixture
def news() -> ScriptedNews:
    return ScriptedNews()


@pytest.fixture
def numbering(news: ScriptedNews) -> Numbering:
    made = Numbering(news)
    made.list({3: 40})
    made.settle(())
    return made


def test_a_number_means_what_the_lists_say(numbering: Numbering) -> None:
    assert numbering.meaning(3) == 40


def test_a_number_of_a_namespace_that_has_just_ended_still_means_it(numbering: Numbering, news: ScriptedNews) -> None:
    news.next = [(3, TAKEN_BACK)]
    numbering.list({})
    assert numbering.meaning(3) == 40
    assert numbering.was_taken_back(3)


def test_a_number_that_was_given_again_means_nothing_until_the_events_were_read(
    numbering: Numbering, news: ScriptedNews
) -> None:
    news.next = [(3, TAKEN_BACK), (3, GIVEN)]
    numbering.list({3: 41})
    with pytest.raises(AmbiguousError):
        numbering.meaning(3)
    numbering.settle(())
    assert numbering.meaning(3) == 41


def test_a_number_that_somebody_had_between_two_lists_means_nothing(numbering: Numbering, news: ScriptedNews) -> None:
    news.next = [(5, GIVEN), (5, TAKEN_BACK), (5, GIVEN)]
    numbering.list({3: 40, 5: 60})
    with pytest.raises(AmbiguousError):
        numbering.meaning(5)
    assert numbering.meaning(3) == 40


def test_a_number_that_no_list_has_yet_waits_and_one_that_none_can_have_does_not(
    numbering: Numbering, news: ScriptedNews
) -> None:
    news.next = [(5, GIVEN), (6, GIVEN), (6, TAKEN_BACK)]
    assert numbering.meaning(5) is None
    assert not numbering.is_nameless(5)
    assert numbering.is_nameless(6)
    numbering.settle({5})
    numbering.list({3: 40, 5: 60})
    assert numbering.meaning(5) == 60


def test_what_waits_is_not_taken_for_a_later_holder_of_its_number(numbering: Numbering, news: ScriptedNews) -> None:
    news.next = [(5, GIVEN)]
    assert numbering.meaning(5) is None
    numbering.settle({5})
    news.next = [(5, TAKEN_BACK), (5, GIVEN)]
    numbering.list({3: 40, 5: 61})
    with pytest.raises(AmbiguousError):
        numbering.meaning(5)


def test_where_news_were_lost_only_what_stayed_the_same_is_sure(numbering: Numbering, news: ScriptedNews) -> None:
    news.next = None
    numbering.list({3: 40, 5: 60})
    assert numbering.meaning(3) == 40
    with pytest.raises(AmbiguousError):
        numbering.meaning(5)
