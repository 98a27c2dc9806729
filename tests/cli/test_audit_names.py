"""Which hosts a rule of an audit names."""

import glob
from fnmatch import fnmatchcase

import pytest
from fleetnet_cli.audit.names import Names
from hypothesis import given
from hypothesis import strategies as st

_WORDS = st.text("aA1-*?[]!.", max_size=5)


@given(st.lists(_WORDS, max_size=4), _WORDS)
def test_names_match_as_globs_do_in_any_case(words: list[str], host: str) -> None:
    assert Names(tuple(words)).match(host) == any(fnmatchcase(host.lower(), word.lower()) for word in words)


@given(_WORDS)
def test_a_name_that_is_escaped_is_that_host_alone(host: str) -> None:
    names = Names((glob.escape(host),))
    assert names.match(host)
    assert not names.match(host + "1")


@pytest.mark.parametrize(
    ("words", "unmatched"),
    [
        (("web1", "db*"), ()),
        (("WEB1", "db9"), ("db9",)),
        (("web[1]", "web[2-3]", "mail*"), ("web[2-3]", "mail*")),
        (("web[[]1]",), ("web[[]1]",)),
        ((), ()),
    ],
)
def test_what_no_host_is_called_is_told_as_it_is_spelled(words: tuple[str, ...], unmatched: tuple[str, ...]) -> None:
    assert Names(words).unmatched(["Web1", "db1"]) == unmatched
