"""How often one host or person may have a certificate renewed."""

import pytest
from fleetnet_server.errors import TooMuchAtOnce
from fleetnet_server.services.renewals import AT_ONCE, RenewalBudget


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_some_are_let_be_at_once_and_then_one_a_minute() -> None:
    clock = Clock()
    renewals = RenewalBudget(clock)
    for _ in range(AT_ONCE):
        renewals.spend("alice")
    for _ in range(3):
        with pytest.raises(
            TooMuchAtOnce, match="alice has asked for a new certificate 5 times within minutes; use the newest"
        ):
            renewals.spend("alice")
        renewals.spend("bob")
        clock.now_s += 60
        renewals.spend("alice")


def test_whoever_has_not_renewed_for_long_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetnet_server.services.buckets.FORGET_EVERY", 10)
    clock = Clock()
    renewals = RenewalBudget(clock)
    for n in range(100):
        renewals.spend(f"web{n}")
        clock.now_s += 61
    assert len(renewals._of) <= 20
