"""Keys and certificates, looked at by a process of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from agent.authority import Authority
from fleetnet_agent import apart, keys


def test_a_key_and_its_certificate_match_and_others_do_not(authority: Authority) -> None:
    made, other = keys.make_key_and_request(), keys.make_key_and_request()
    certificate = authority.host("web1", made.request_der)
    assert apart.matches(certificate, made.key_pem)
    assert not apart.matches(certificate, other.key_pem)
    assert not apart.matches(certificate, b"")
    assert not apart.matches(b"\xff\0", made.key_pem)


def test_a_new_certificate_is_taken_with_its_key_and_a_ca_alone(authority: Authority) -> None:
    key, request = apart.make_key_and_request()
    certificate = authority.host("web1", request)
    facts = keys.read_certificate(certificate)
    assert apart.examine(certificate, key, authority.pem) == (facts.valid_from_us, facts.valid_until_us)
    with pytest.raises(ValueError, match="for another key"):
        apart.examine(certificate, keys.make_key_and_request().key_pem, authority.pem)
    with pytest.raises(ValueError, match="a CA certificate that cannot be used"):
        apart.examine(certificate, key, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(ValueError, match=r"."):
        apart.examine(b"none", key, authority.pem)


def test_where_no_process_can_be_had_the_answer_is_the_same(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keys.make_key_and_request()
    certificate = authority.host("web1", made.request_der)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert apart.matches(certificate, made.key_pem)
    assert not apart.matches(certificate, keys.make_key_and_request().key_pem)


def test_neither_openssl_nor_cryptography_stays_and_no_key_is_in_an_argument(
    authority: Authority, tmp_path: Path
) -> None:
    made = keys.make_key_and_request()
    for name, pem in (("certificate", authority.host("web1", made.request_der)), ("key", made.key_pem)):
        (tmp_path / name).write_bytes(pem)
    script = (
        "import sys, subprocess; from pathlib import Path; from fleetnet_agent import apart\n"
        "run, commands = subprocess.run, []\n"
        "subprocess.run = lambda command, **more: commands.append((command, more['env'])) or run(command, **more)\n"
        f"at = Path({str(tmp_path)!r})\n"
        "assert apart.matches((at / 'certificate').read_bytes(), (at / 'key').read_bytes())\n"
        "apart.make_key_and_request()\n"
        "assert len(commands) == 2 and 'PRIVATE KEY' not in repr(commands)\n"
        "print(*{'ssl', '_hashlib', 'cryptography'} & sys.modules.keys())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
