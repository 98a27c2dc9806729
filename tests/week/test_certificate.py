"""A host that is away for as long as its agent keeps anything still has a certificate to come back with."""

import datetime
import random
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_agent import state
from fleetnet_agent.spool.spool import DAY_US, MOST_KEPT_US
from fleetnet_agent.uplink.renewal import RETRY_S, due_at_us
from fleetnet_server.identity import ca, certificates


class Latest(random.Random):
    """Draws the last moment."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def _us(moment: datetime.datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def test_a_certificate_about_to_be_renewed_outlives_what_is_kept_by_two_days(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = certificates.issue_host(ca.open_authority(tmp_path, now), key, "web1", now).pem
    issued = x509.load_pem_x509_certificate(pem)
    valid_from_us, valid_until_us = _us(issued.not_valid_before_utc), _us(issued.not_valid_after_utc)
    identity = state.Identity("web1", ("127.0.0.1:7443",), b"", pem, b"", valid_from_us, valid_until_us)
    assert valid_until_us - due_at_us(identity, Latest(), _us(now)) >= MOST_KEPT_US + 2 * DAY_US


def test_no_agent_that_runs_has_a_certificate_that_has_ended_in_ten_years_of_outages() -> None:
    """A clock that jumps from one thing to the next: each of a hundred agents renews when it is due, or when its
    collector is back, which is away for a week four times a year."""
    draw = random.Random(1)
    began_us, life_us = _us(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)), 51 * DAY_US
    away_us = [(began_us + n * 91 * DAY_US, began_us + (n * 91 + 7) * DAY_US) for n in range(40)]
    least_us = life_us
    for _ in range(100):
        now_us, renewals = began_us + draw.randrange(50 * DAY_US), 0
        while now_us < began_us + 3_650 * DAY_US:
            identity = state.Identity("web1", ("h:7443",), b"", b"", b"", now_us - DAY_US, now_us - DAY_US + life_us)
            due_us = due_at_us(identity, draw, now_us)
            # Tried again every quarter of an hour.
            renewed_us = next((until_us for from_us, until_us in away_us if from_us <= due_us < until_us), due_us)
            renewed_us += int(RETRY_S * 1e6) * (renewed_us > due_us)
            least_us = min(least_us, identity.valid_until_us - renewed_us)
            now_us, renewals = renewed_us, renewals + 1
        assert renewals > 80
    assert least_us > 2 * DAY_US
