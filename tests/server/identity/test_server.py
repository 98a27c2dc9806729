"""The collector's own certificate changes when it must, and the CA never."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_server.identity import ca
from fleetnet_server.identity.server import ServerIdentity

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
NAMES = ("localhost", "127.0.0.1")


def identity(directory: Path, names: tuple[str, ...] = NAMES, days: float = 0) -> ServerIdentity:
    now = NOW + datetime.timedelta(days=days)
    return ServerIdentity(directory, ca.open_authority(directory, now), names, lambda: now)


def test_it_is_kept_over_restarts(tmp_path: Path) -> None:
    first = identity(tmp_path).current
    assert identity(tmp_path, days=59).current == first


def _other_key(directory: Path) -> None:
    (directory / "server.key").write_bytes(ca.key_bytes(ec.generate_private_key(ec.SECP256R1())))


def _garbage(directory: Path) -> None:
    (directory / "server.pem").write_bytes(b"garbage")


def _gone(directory: Path) -> None:
    (directory / "server.key").unlink()


def _of_another_authority(directory: Path) -> None:
    (directory / "ca.pem").unlink()


@pytest.mark.parametrize("harm", [_other_key, _garbage, _gone, _of_another_authority])
def test_files_that_do_not_belong_together_are_replaced(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    first = identity(tmp_path).current
    harm(tmp_path)
    second = identity(tmp_path).current
    assert second != first
    assert identity(tmp_path).current == second


def test_new_names_make_a_new_certificate_under_the_same_ca(tmp_path: Path) -> None:
    first = identity(tmp_path)
    ca_before = (tmp_path / "ca.pem").read_bytes()
    second = identity(tmp_path, (*NAMES, "collector.example"))
    assert second.current != first.current
    assert (tmp_path / "ca.pem").read_bytes() == ca_before


def test_it_is_made_anew_at_a_start_that_finds_its_end_near(tmp_path: Path) -> None:
    first = identity(tmp_path).current
    assert identity(tmp_path, days=61).current.not_after > first.not_after


def test_it_is_made_anew_while_the_collector_runs(tmp_path: Path) -> None:
    now = NOW
    running = ServerIdentity(tmp_path, ca.open_authority(tmp_path, now), NAMES, lambda: now)
    assert not running.renew_if_due()
    now += datetime.timedelta(days=61)
    assert running.renew_if_due()
    assert not running.renew_if_due()
    assert running.current.not_after == now + datetime.timedelta(days=90)


def test_near_the_end_of_the_ca_it_is_not_made_anew_all_the_time(tmp_path: Path) -> None:
    now = NOW
    authority = ca.open_authority(tmp_path, now)
    running = ServerIdentity(tmp_path, authority, NAMES, lambda: now)
    now = authority.certificate.not_valid_after_utc - datetime.timedelta(days=10)
    assert running.renew_if_due()
    assert not running.renew_if_due()
