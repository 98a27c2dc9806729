"""The CA is made once, kept for good, and its key is its owner's alone."""

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_server.errors import AuthorityError
from fleetnet_server.identity import ca

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def test_the_first_start_makes_it_and_the_second_finds_it(tmp_path: Path) -> None:
    made = ca.open_authority(tmp_path, NOW)
    found = ca.open_authority(tmp_path, NOW)
    assert found.pem == made.pem == (tmp_path / "ca.pem").read_bytes()
    assert ca.key_bytes(found.key) == ca.key_bytes(made.key)
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    assert isinstance(made.key, ec.EllipticCurvePrivateKey)
    assert isinstance(made.key.curve, ec.SECP256R1)


def test_its_certificate_may_sign_and_do_nothing_else(tmp_path: Path) -> None:
    certificate = ca.open_authority(tmp_path, NOW).certificate
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert usage.key_cert_sign
    assert not usage.digital_signature


def test_two_authorities_do_not_share_a_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (ca.open_authority(tmp_path / name, NOW).certificate for name in ("a", "b"))
    assert first.subject != second.subject


def test_a_start_killed_between_key_and_certificate_is_made_good(tmp_path: Path) -> None:
    ca.open_authority(tmp_path, NOW)
    (tmp_path / "ca.pem").unlink()
    again = ca.open_authority(tmp_path, NOW)
    assert again.key.public_key() == again.certificate.public_key()


def test_a_certificate_whose_key_is_gone_is_never_replaced(tmp_path: Path) -> None:
    before = ca.open_authority(tmp_path, NOW).pem
    (tmp_path / "ca.key").unlink()
    with pytest.raises(AuthorityError, match=r"ca\.key is missing"):
        ca.open_authority(tmp_path, NOW)
    assert (tmp_path / "ca.pem").read_bytes() == before


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    ca.open_authority(tmp_path, NOW)
    (tmp_path / "ca.key").write_bytes(ca.key_bytes(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(AuthorityError, match="is not the key of"):
        ca.open_authority(tmp_path, NOW)


@pytest.mark.parametrize(("name", "words"), [("ca.pem", "is not a certificate"), ("ca.key", "is not a private key")])
def test_garbage_is_refused_by_name(tmp_path: Path, name: str, words: str) -> None:
    ca.open_authority(tmp_path, NOW)
    (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(AuthorityError, match=words):
        ca.open_authority(tmp_path, NOW)


def test_a_key_of_another_curve_is_refused(tmp_path: Path) -> None:
    ca.open_authority(tmp_path, NOW)
    (tmp_path / "ca.key").write_bytes(ca.key_bytes(ec.generate_private_key(ec.SECP521R1())))
    with pytest.raises(AuthorityError, match="is not a P-256 or P-384 key"):
        ca.open_authority(tmp_path, NOW)
