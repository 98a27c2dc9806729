"""Joining the fleet, against real enrollment servers: what works, and one sentence for each thing that does not."""

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent.authority import Authority
from agent.conftest import Loop
from agent.loopback_collector import Collector, Store
from fleetnet_agent import keys, reach, state
from fleetnet_agent.enroll import decode_token, enroll, read_token
from fleetnet_agent.errors import AgentError, RefusedError, UnreachableError
from fleetnet_agent.main import main

SECRET = bytes(range(32))


@pytest.fixture
def token(collector: Collector, authority: Authority) -> str:
    collector.tokens[SECRET] = "web1"
    return authority.token(SECRET)


def port_of(collector: Collector) -> str:
    return f"127.0.0.1:{collector.enroll_port}"


def test_a_token_becomes_an_identity(collector: Collector, token: str, tmp_path: Path, authority: Authority) -> None:
    identity = enroll(port_of(collector), token, tmp_path / "state").identity
    assert identity == state.load(tmp_path / "state")
    assert identity.host == "web1"
    assert identity.report_addresses == (collector.address,)
    assert identity.ca_pem == authority.pem
    facts = keys.read_certificate(identity.certificate_pem)
    assert facts.uri == "spiffe://fleetnet/host/web1"
    assert identity.valid_until_us - identity.valid_from_us == pytest.approx(7 * 86_400e6, rel=0.01)


def test_the_advertised_addresses_are_kept_in_their_order(collector: Collector, token: str, tmp_path: Path) -> None:
    collector.advertised = ("198.18.0.9:7443", "[2001:db8::9]:7443")
    assert enroll(port_of(collector), token, tmp_path / "s").identity.report_addresses == collector.advertised


def test_who_is_to_be_approved_is_told_so_and_has_its_identity(
    collector: Collector, token: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collector.approves = True
    token_file = tmp_path / "token"
    token_file.write_text(token)
    directory = tmp_path / "state"
    arguments = ["--server", port_of(collector), "--token-file", str(token_file), "--state", str(directory)]
    assert main(["enroll", *arguments]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("enrolled as web1;")
    assert "web1 waits to be approved, and reports nothing before" in said.err
    assert state.load(directory).host == "web1"
    assert collector.proposed == [socket.gethostname()]


def test_a_used_token_is_refused(collector: Collector, token: str, tmp_path: Path) -> None:
    enroll(port_of(collector), token, tmp_path / "first")
    with pytest.raises(RefusedError, match="the collector refused: token refused"):
        enroll(port_of(collector), token, tmp_path / "second")
    assert not state.exists(tmp_path / "second")


def test_enrolling_again_wants_force(collector: Collector, token: str, tmp_path: Path) -> None:
    first = enroll(port_of(collector), token, tmp_path).identity
    collector.tokens[SECRET] = "web2"
    with pytest.raises(AgentError, match="already holds an identity; give --force"):
        enroll(port_of(collector), token, tmp_path)
    assert SECRET in collector.tokens, "the token was shown although nothing came of it"
    assert state.load(tmp_path) == first
    assert enroll(port_of(collector), token, tmp_path, force=True).identity.host == "web2"


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t[:-40],
        lambda t: t[:60],
        lambda t: "fnt1." + t[45:],
        lambda t: t.replace("A", "*", 1),
        lambda t: "fnt1.",
    ],
)
def test_a_damaged_token_is_a_sentence(authority: Authority, damage: Callable[[str], str]) -> None:
    with pytest.raises(AgentError, match="the token is damaged or cut short"):
        decode_token(damage(authority.token(SECRET)))


@pytest.mark.parametrize("text", ["", "fnt2.abcd", "hello", "-----BEGIN CERTIFICATE-----"])
def test_what_is_no_token_is_told_so(text: str) -> None:
    with pytest.raises(AgentError, match="this is not a token"):
        decode_token(text)


def test_a_token_survives_the_white_space_of_a_file(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"\n  {authority.token(SECRET)} \n")
    token = decode_token(read_token(str(tmp_path / "token"), None))
    assert (token.secret, token.ca_pem) == (SECRET, authority.pem)


def test_a_token_given_as_an_option_works_and_warns(capsys: pytest.CaptureFixture[str]) -> None:
    assert read_token(None, "fnt1.x") == "fnt1.x"
    assert "others on this host can read" in capsys.readouterr().err


def test_a_token_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"none cannot be read: No such file"):
        read_token(str(tmp_path / "none"), None)
    with pytest.raises(AgentError, match=r"cannot be read: Is a directory"):
        read_token(str(tmp_path), None)
    (tmp_path / "binary").write_bytes(os.urandom(100) + b"\xff")
    with pytest.raises(AgentError, match="is not a token file"):
        read_token(str(tmp_path / "binary"), None)
    with pytest.raises(AgentError, match="give --token-file FILE"):
        read_token(None, None)


def test_nobody_at_the_port_is_unreachable(token: str, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="cannot be reached: Connection refused; check the address"):
            enroll(address, token, tmp_path)


def test_an_unknown_name_is_unreachable(token: str, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"the name no-such-host\.invalid is not known here"):
        enroll("no-such-host.invalid:7444", token, tmp_path)


def test_the_report_port_is_told_from_the_enrollment_port(collector: Collector, token: str, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="enrollment port"):
        enroll(collector.address, token, tmp_path)
    assert SECRET in collector.tokens


@contextlib.contextmanager
def listener(says: bytes) -> Iterator[str]:
    """Something that is no collector: answers each connection with `says` and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(100)
                        connection.sendall(says)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.mark.parametrize("says", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_a_port_of_something_else_is_unreachable(token: str, tmp_path: Path, says: bytes) -> None:
    with listener(says) as address, pytest.raises(UnreachableError, match="check"):
        enroll(address, token, tmp_path)


def test_a_collector_of_another_ca_never_sees_the_token(
    collector: Collector, authority: Authority, tmp_path: Path
) -> None:
    collector.tokens[SECRET] = "web1"
    with pytest.raises(RefusedError, match="is not the collector that made this host's token"):
        enroll(port_of(collector), Authority("another").token(SECRET), tmp_path)
    assert SECRET in collector.tokens
    assert not (tmp_path / "agent.key.new").exists()


def test_a_name_that_the_collector_does_not_have_is_told_with_the_way_out(
    loop: Loop, authority: Authority, tmp_path: Path
) -> None:
    other = Collector(authority, Store(), names=("collector.example",))
    loop.run(other.start())
    try:
        with pytest.raises(RefusedError, match=r"start it with --advertise 127\.0\.0\.1:PORT"):
            enroll(port_of(other), authority.token(SECRET), tmp_path)
    finally:
        loop.run(other.stop())


def test_a_name_works_as_well_as_an_address(collector: Collector, token: str, tmp_path: Path) -> None:
    assert enroll(f"localhost:{collector.enroll_port}", token, tmp_path).identity.report_addresses == (
        f"localhost:{collector.report_port}",
    )


def test_a_state_directory_that_cannot_be_written_keeps_the_token_good(collector: Collector, token: str) -> None:
    # In /sys nobody may make a directory, not even root.
    with pytest.raises(
        AgentError, match=r"/sys/fleetnet/state cannot be written: .*; run as its owner or name another"
    ):
        enroll(port_of(collector), token, Path("/sys/fleetnet/state"))
    assert SECRET in collector.tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("collector:7000", ("collector", 7000)),
        ("collector", ("collector", 7444)),
        ("198.18.0.1:1", ("198.18.0.1", 1)),
        ("[2001:db8::1]:7444", ("2001:db8::1", 7444)),
        ("[2001:db8::1]", ("2001:db8::1", 7444)),
        ("2001:db8::1", ("2001:db8::1", 7444)),
    ],
)
def test_addresses_of_all_forms_are_understood(text: str, expected: tuple[str, int]) -> None:
    assert reach.split_address(text, 7444) == expected


@pytest.mark.parametrize("text", ["", ":7444", "collector:0", "collector:65536", "collector:https", "[]:1"])
def test_what_is_no_address_is_a_sentence(text: str) -> None:
    with pytest.raises(AgentError, match="is not an address"):
        reach.split_address(text, 7444)


def test_the_new_key_is_private_before_it_is_certified(tmp_path: Path) -> None:
    state.prepare(tmp_path / "state", b"key")
    assert stat.S_IMODE((tmp_path / "state/agent.key.new").stat().st_mode) == 0o600


def test_a_collector_that_does_not_answer_is_given_up(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UnreachableError, match="does not answer"):
        reach.check("127.0.0.1", silent.getsockname()[1], reach.trust(authority.pem), timeout_s=0.2)
