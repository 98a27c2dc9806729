"""The text of a token: `fnt1.` and base64url without padding of 32 random bytes followed by the CA certificate (DER).

The collector keeps only the SHA-256 of the random bytes and finds a token by that hash: what a guesser could learn
from the time of the look-up is about the hash of his guess, not about a secret. Nothing here is ever logged.
"""

import base64
import binascii
import hashlib
import secrets

SECRET_BYTES = 32
_PREFIX = "fnt1."


def new_secret() -> bytes:
    """The random part of a new token."""
    return secrets.token_bytes(SECRET_BYTES)


def secret_hash(secret: bytes) -> bytes:
    """What the collector keeps of a secret. A plain hash is enough: 256 random bits cannot be tried out."""
    return hashlib.sha256(secret).digest()


def encode(secret: bytes, ca_der: bytes) -> str:
    """The token as text."""
    return _PREFIX + base64.urlsafe_b64encode(secret + ca_der).rstrip(b"=").decode("ascii")


def decode(text: str) -> tuple[bytes, bytes]:
    """Secret and CA certificate (DER) of a token. Raises ValueError, without the text in it, if it is not one."""
    body = text.strip()
    if not body.startswith(_PREFIX):
        raise ValueError(f"a token begins with {_PREFIX}")
    body = body.removeprefix(_PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a token is base64url after its prefix; this one was cut or changed") from error
    if len(raw) <= SECRET_BYTES:
        raise ValueError("the token was cut: the certificate of the CA is missing")
    return raw[:SECRET_BYTES], raw[SECRET_BYTES:]
