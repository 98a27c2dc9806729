"""Files and certificates that others had a hand in."""

import datetime
import io
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fleetnet_agent import keys, main
from fleetnet_agent.errors import AgentError
from fleetnet_agent.helper.server import _give


def test_only_a_socket_is_given_away_and_never_what_a_link_points_at(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root's")
    link = tmp_path / "helper.sock"
    link.symlink_to(secret)
    with pytest.raises(OSError, match="exists"):
        _give(link, 12345)
    link.unlink()
    link.hardlink_to(secret)
    with pytest.raises(OSError, match="exists"):
        _give(link, 12345)
    assert secret.stat().st_uid == tmp_path.stat().st_uid


def test_an_error_in_a_collectors_words_says_nothing_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: object) -> int:
        raise AgentError("the collector refused: \x1b]0;owned\x07\n\N{RIGHT-TO-LEFT OVERRIDE}")

    monkeypatch.setitem(main.COMMANDS, "doctor", (fail, ""))
    assert main.main(["doctor"]) == AgentError("").exit_status
    said = capsys.readouterr().err
    assert said.rstrip("\n").isprintable()
    assert said.count("\n") == 1


def test_a_certificate_that_cannot_be_used_is_a_value_error() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    der = certificate.public_bytes(Encoding.DER)
    of_a_later_version = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    pem = io.BytesIO()
    import ssl

    pem.write(ssl.DER_cert_to_PEM_cert(of_a_later_version).encode())
    with pytest.raises(ValueError, match="cannot be used"):
        keys.read_certificate(pem.getvalue())
