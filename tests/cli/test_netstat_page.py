"""docs/netstat.md, option by option: it has each that netstat(8) has, and of each our command does what it says."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli.commands.netstat.refused import OTHERWISE, REFUSED
from system.test_netstat import COUNTERS, ROUTES, SOCKETS

PAGE = Path(__file__).parents[2] / "docs" / "netstat.md"
_ROW = re.compile(r"^\| (`-[^|]+`) \| (the same|refused|other) \|", re.MULTILINE)
_ARGUMENTS = {"-A": "inet", "--protocol": "inet"}

ROWS = [(re.findall(r"`([^`]+)`", options), does) for options, does in _ROW.findall(PAGE.read_text())]
EACH = [(option, does) for options, does in ROWS for option in options]


def of_netstat() -> set[str]:
    """Every option that its --help names, the letters of its usage among them."""
    told = subprocess.run(["netstat", "--help"], capture_output=True, text=True, check=False).stdout
    letters = {letter for group in re.findall(r"\[-(\w+)\]", told) for letter in group}
    return {f"-{letter}" for letter in letters} | set(
        re.findall(r"(?<![\w<-])(--[a-z0-9-]+|-\w)(?=[|},'/ \]]|$)", told)
    )


def test_the_page_has_every_option_of_netstat() -> None:
    if shutil.which("netstat") is None:
        pytest.skip("needs netstat of net-tools (run tests/install-tools as root)")
    known = of_netstat()
    assert known >= {"-r", "--route", "-W", "--ax25", "-6", "-4", "-A", "-V", "-e", "-C", "--numeric-hosts"}
    assert known <= {option for option, _ in EACH}


def test_the_page_has_every_option_that_is_refused_and_each_once() -> None:
    refused = {option for option, does in EACH if does == "refused"}
    assert refused == {*REFUSED, "-i -e"} - {"-d"}
    assert len(EACH) == len({option for option, _ in EACH})


@pytest.mark.parametrize(("option", "does"), EACH, ids=str)
def test_each_option_does_what_the_page_says(
    option: str, does: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("netstat", "web1", *option.split(), *filter(None, [_ARGUMENTS.get(option)]))
    if option == "--timers":  # is what stands for the other's -o
        assert ran.status == 0
    elif does == "the same":
        assert ran.status in (0, 1)
        assert ran.out
    else:
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.count("\n") == 1
        assert (REFUSED | OTHERWISE).get(option, "ifconfig(8)") in ran.err


def test_each_option_that_is_the_same_is_compared_with_that_of_netstat() -> None:
    compared: set[str] = set()
    for words in (line.split() for line in [*SOCKETS, *ROUTES, *COUNTERS]):
        compared.update(words)
        compared.update(f"-{letter}" for word in words if word[1] != "-" for letter in word[1:].partition("A")[0])
        compared.update("-A" for word in words if word.startswith("-A"))
    for options, does in ROWS:
        assert does != "the same" or "-h" in options or compared & set(options), options
