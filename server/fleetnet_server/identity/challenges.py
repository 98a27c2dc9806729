"""What a host signs with the key of a certificate that has ended, to show that it still has it.

What must stay true: a challenge is of this process, from the last minute, and is spent once, so that a request that
somebody has seen is of no use to him; what is remembered of them is bounded, for only those spent within a minute are.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from fleetnet_server.errors import PeerRefused

LASTS_S: Final = 60.0
CONTEXT: Final = b"fleetnet readmit 1\0"  # enroll.proto says what is signed
_TIME_BYTES, _RANDOM_BYTES, _MAC_BYTES = 8, 16, 32
_MOST_SIGNATURE_BYTES: Final = 72  # ECDSA by a P-256 key in DER


class Challenges:
    """Those of one collector."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._spent: dict[bytes, float] = {}  # when it ends, the first first

    def make(self) -> bytes:
        """One, of which nothing is remembered."""
        at_ms = int(self._clock() * 1_000)
        body = at_ms.to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_RANDOM_BYTES)
        return body + self._mac(body)

    def spend(self, challenge: bytes) -> None:
        """It is used, and no good any more. Raises PeerRefused where it is none of ours, too old, or was spent."""
        body, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
        now_s = self._clock()
        ours = len(body) == _TIME_BYTES + _RANDOM_BYTES and hmac.compare_digest(mac, self._mac(body))
        ends_s = int.from_bytes(body[:_TIME_BYTES], "big") / 1_000 + LASTS_S
        while self._spent and next(iter(self._spent.values())) <= now_s:
            del self._spent[next(iter(self._spent))]
        if not ours or ends_s <= now_s or challenge in self._spent:
            raise PeerRefused("the challenge is not of this collector, was used, or is older than a minute; ask anew")
        # At this moment and not at its own end, so that they stay in order.
        self._spent[challenge] = now_s + LASTS_S

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")


def signed(challenge: bytes, certificate: bytes, csr: bytes) -> bytes:
    """What a host signs (enroll.proto)."""
    return CONTEXT + challenge + hashlib.sha256(certificate).digest() + hashlib.sha256(csr).digest()


def check_signature(key: ec.EllipticCurvePublicKey, signature: bytes, what: bytes) -> None:
    """Raises PeerRefused unless `what` was signed by the private key."""
    try:
        if len(signature) > _MOST_SIGNATURE_BYTES:
            raise InvalidSignature
        key.verify(signature, what, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise PeerRefused("whoever asks does not have the key of the certificate that it shows") from None
