"""Why a collector cannot be reached, told against real servers of TLS that are wrong in one way each."""

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from cli.conftest import Ran
from fleetnet_cli import errors, identities, reach

Serve = Callable[..., int]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve(authority: trustme.CA) -> Iterator[Serve]:
    """Answers on a port of its own, shaking hands and nothing more."""
    with contextlib.ExitStack() as stack:

        def start(
            *names: str, alpn: str = "h2", most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, ends_in_h: float = 1
        ) -> int:
            now = datetime.datetime.now(datetime.UTC)
            shown = authority.issue_cert(
                *names,
                not_before=now - datetime.timedelta(hours=5),
                not_after=now + datetime.timedelta(hours=ends_in_h),
                key_type=trustme.KeyType.ECDSA,
            )
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.maximum_version = most
            context.set_alpn_protocols([alpn])
            shown.configure_cert(context)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=_shake_hands, args=(listener, context), daemon=True).start()
            port: int = listener.getsockname()[1]
            return port

        yield start


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            raw, _ = listener.accept()
            raw.settimeout(30)
            with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as secure:
                secure.recv(1)


@pytest.mark.parametrize(
    ("names", "how", "said"),
    [
        (("elsewhere.example",), {}, "but not for the name 127.0.0.1"),
        (("127.0.0.1",), {"ends_in_h": -1}, "is not valid now; check this machine's clock"),
        (("127.0.0.1",), {"most": ssl.TLSVersion.TLSv1_2}, "does not speak TLS 1.3"),
        (("127.0.0.1",), {"alpn": "http/1.1"}, "is no collector"),
    ],
    ids=["name", "time", "TLS 1.2", "HTTP/1.1"],
)
def test_each_way_to_be_wrong_has_its_sentence(
    names: tuple[str, ...],
    how: dict[str, object],
    said: str,
    serve: Serve,
    authority: trustme.CA,
    fleetnet: Callable[..., Ran],
    tmp_path: Path,
) -> None:
    address = f"127.0.0.1:{serve(*names, **how)}"
    trouble = reach.trouble(address, authority.cert_pem.bytes())
    assert isinstance(trouble, errors.Unreachable)
    assert said in str(trouble)
    # And so it is told where gRPC has only failed.
    ran = asked_with_a_login(address, authority, fleetnet, tmp_path)
    assert (ran.status, ran.out) == (5, "")
    assert said in ran.err


def asked_with_a_login(address: str, authority: trustme.CA, fleetnet: Callable[..., Ran], tmp_path: Path) -> Ran:
    own = authority.issue_cert("person", key_type=trustme.KeyType.ECDSA)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    path = identities.path_of(tmp_path / "config/fleetnet/contexts", "there")
    with identities.Draft(path) as draft:
        draft.keep(
            identities.Identity(
                server=address,
                person="alice",
                valid_from=now,
                valid_until=now + datetime.timedelta(days=30),
                key_pem=own.private_key_pem.bytes(),
                certificate_pem=own.cert_chain_pems[0].bytes(),
                ca_pem=authority.cert_pem.bytes(),
            )
        )
    return fleetnet("hosts")


def test_who_is_right_in_all_of_it_is_no_trouble(serve: Serve, authority: trustme.CA) -> None:
    assert reach.trouble(f"127.0.0.1:{serve('127.0.0.1')}", authority.cert_pem.bytes()) is None


def test_another_ca_is_not_trusted(serve: Serve) -> None:
    trouble = reach.trouble(f"127.0.0.1:{serve('127.0.0.1')}", trustme.CA().cert_pem.bytes())
    assert isinstance(trouble, errors.Unreachable)
    assert "its certificate comes from another CA" in str(trouble)


def test_nobody_there_and_no_such_name_are_told_apart(authority: trustme.CA) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "Connection refused" in str(reach.trouble(f"127.0.0.1:{port}", authority.cert_pem.bytes()))
    assert "is not known here" in str(reach.trouble("collector.invalid:7443", authority.cert_pem.bytes()))


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("collector:7444", ("collector", 7444)),
        ("collector", ("collector", 1)),
        ("[2001:db8::1]:7444", ("2001:db8::1", 7444)),
        ("[2001:db8::1]", ("2001:db8::1", 1)),
        ("2001:db8::1", ("2001:db8::1", 1)),
    ],
)
def test_an_address_is_taken_apart_and_put_together(address: str, parts: tuple[str, int]) -> None:
    assert reach.split_address(address, 1) == parts
    assert reach.split_address(reach.join_address(*parts)) == parts


@pytest.mark.parametrize("address", ["", ":1", "collector:0", "collector:65536", "coll'ector:1", 'a"b:1', "a b:1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(errors.UsageError, match="is not an address"):
        reach.split_address(address)
