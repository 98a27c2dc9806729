"""The digest is the one that report.proto defines; tests/proto/digests.json holds both sides to it."""

import json
from pathlib import Path
from typing import Any

import pytest
from agent.scripted_watch import tcp
from fleetnet_agent.digest import Digest, digest_of, number_of
from fleetnet_agent.records import Protocol, SocketKey
from hypothesis import given
from hypothesis import strategies as st

CASES = json.loads((Path(__file__).parents[1] / "proto/digests.json").read_text())["cases"]


def key_of(row: dict[str, Any]) -> SocketKey:
    four_tuple = bytes.fromhex(row["four_tuple"])
    return SocketKey(row["netns"], Protocol(row["protocol"]), row["cookie"], row["inode"], four_tuple)


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_cases_that_both_sides_must_agree_on(case: dict[str, Any]) -> None:
    digest = Digest()
    for row in case["open"]:
        assert number_of(key_of(row), row["state"]) == row["number"]
        digest.add(key_of(row), row["state"])
    assert (digest.sockets, digest.sum) == (case["sockets"], case["sum"])


@given(st.permutations(range(6)))
def test_the_order_makes_no_difference(order: list[int]) -> None:
    assert digest_of(tcp(number) for number in order) == digest_of(tcp(number) for number in range(6))
