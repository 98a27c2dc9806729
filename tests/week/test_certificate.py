"""A host that is away for as long as its agent keeps anything still has a certificate to come back with."""

import datetime
import random
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_agent import state
from fleetnet_agent.spool.spool import DAY_US, MOST_KEPT_US
from fleetnet_agent.uplink.renewal import due_at_us
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
