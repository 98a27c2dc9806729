"""Tokens carry a secret and the CA, and tell nothing when they are wrong."""

import hashlib

import pytest
from fleetnet_server.identity import tokens
from hypothesis import given
from hypothesis import strategies as st


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=700))
def test_what_was_encoded_is_decoded(secret: bytes, ca_der: bytes) -> None:
    text = tokens.encode(secret, ca_der)
    assert text.startswith("fnt1.")
    assert "=" not in text
    assert tokens.decode(f" {text}\n") == (secret, ca_der)


@pytest.mark.parametrize(
    "text", ["", "fnt1.", "fnt2.c2VjcmV0", "fnt1.c2Vjc%mV0", "fnt1.c2VjcmV0", "c2VjcmV0", "fnt1.ä"]
)
def test_any_other_text_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="token") as refused:
        tokens.decode(text)
    assert "c2Vjc" not in str(refused.value)


def test_a_token_cut_in_two_is_refused() -> None:
    text = tokens.encode(bytes(32), bytes(400))
    with pytest.raises(ValueError, match="cut"):
        tokens.decode(text[:40])


def test_only_a_hash_of_the_secret_is_kept_and_no_two_secrets_are_alike() -> None:
    secret = tokens.new_secret()
    assert tokens.secret_hash(secret) == hashlib.sha256(secret).digest()
    assert len({tokens.new_secret() for _ in range(100)}) == 100
