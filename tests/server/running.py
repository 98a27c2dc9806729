"""A real collector: its console script as a process, on ports of its own, and clients with real certificates.

Most are forked from one that has loaded its libraries (tests/warm), and are what the script would be. Tests of how it
starts and of what it is to the kernel say so with the fixture `console_script`.

gRPC's asyncio allows one event loop in a process, so the collector always runs in another process than the tests, and
the tests' own clients are the blocking ones.
"""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import grpc
import warm
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    enroll_pb2,
    enroll_pb2_grpc,
    query_pb2,
    query_pb2_grpc,
)
from fleetnet_server.failpoints import VARIABLE
from server.agents import DEADLINE_S, Identity, pem_of, request_for

SCRIPT = Path(sys.executable).parent / "fleetnet-server"

_START_S = 60.0  # a second or two, and many times that where several start at once on a busy machine

T = TypeVar("T")

_launched: "list[subprocess.Popen[str] | warm.Process]" = []
forked = True  # and not the script itself, wherever a fork does

_READY = re.compile(r"fleetnet-server: ready, admin socket (.+), report (.+:\d+), enroll (.+:\d+), metrics (.+)\n")


class Running:
    """A collector that has said it is ready."""

    def __init__(self, data: Path, *options: str, admin_socket: Path | None = None, failpoints: str = "") -> None:
        self.data = data
        self.log_file = data.parent / f"{data.name}.log"
        self.admin_socket = admin_socket or data / "admin.sock"
        self.process = launch(
            "run",
            f"--data={data}",
            f"--admin-socket={self.admin_socket}",
            # Of an option given twice the last one counts.
            "--listen=127.0.0.1:0",
            "--enroll-listen=127.0.0.1:0",
            "--metrics-listen=127.0.0.1:0",
            *options,
            log_file=self.log_file,
            failpoints=failpoints,
        )
        try:
            said = _READY.fullmatch(self._first_line())
            assert said, self.log()
        except BaseException:
            self.kill()
            raise
        self.report_address, self.enroll_address, self.metrics_address = said[2], said[3], said[4]
        # Of one without the CA's key: what was brought to it.
        self.ca_pem = next(file for file in (data / "ca.pem", data / "trust.pem") if file.exists()).read_bytes()

    def log(self) -> str:
        """All that it has logged so far."""
        return self.log_file.read_text()

    def await_log(self, text: str) -> str:
        """The log, once `text` stands in it."""
        return wait_for(lambda: self.log() if text in self.log() else None, f"{text!r} in the log")

    def terminate(self) -> int:
        """End it as systemd does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._wait()

    def kill(self) -> None:
        """End it as the kernel's out-of-memory killer does."""
        if self.process.poll() is None:
            self.process.kill()
        self._wait()

    def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self._wait()

    def admin(self) -> grpc.Channel:
        """A channel to the admin socket."""
        return grpc.insecure_channel(f"unix://{self.admin_socket}")

    def queries(self, channel: grpc.Channel) -> query_pb2_grpc.QueryServiceStub:
        """The questions."""
        return query_pb2_grpc.QueryServiceStub(channel)

    def token(self, host: str, ttl_s: int = 0) -> str:
        """A token for `host`."""
        with self.admin() as channel:
            request = admin_pb2.CreateTokenRequest(host=host, ttl_s=ttl_s)
            return admin_pb2_grpc.AdminServiceStub(channel).CreateToken(request, timeout=DEADLINE_S).token

    def enroll(self, secret: bytes, csr: bytes, hostname: str = "") -> enroll_pb2.EnrollResponse:
        """What the enrollment port answers to a host that calls itself so. Raises grpc.RpcError."""
        credentials = grpc.ssl_channel_credentials(self.ca_pem)
        with grpc.secure_channel(self.enroll_address, credentials) as channel:
            request = enroll_pb2.EnrollRequest(secret=secret, csr=csr, hostname=hostname)
            return enroll_pb2_grpc.EnrollServiceStub(channel).Enroll(request, timeout=DEADLINE_S)

    def join(self, host: str) -> Identity:
        """Enroll `host`."""
        from fleetnet_server.identity import tokens

        key = ec.generate_private_key(ec.SECP256R1())
        answer = self.enroll(tokens.decode(self.token(host))[0], request_for(key))
        return Identity(host, pem_of(key), answer.certificate_pem, answer.ca_pem)

    def channel(self, identity: Identity) -> grpc.Channel:
        """A channel to the report port with that identity."""
        credentials = grpc.ssl_channel_credentials(identity.ca_pem, identity.key_pem, identity.certificate_pem)
        return grpc.secure_channel(self.report_address, credentials)

    def _first_line(self) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _START_S)
        return self.process.stdout.readline() if ready else ""

    def _wait(self) -> int:
        status = self.process.wait(DEADLINE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status


def launch(*arguments: str, log_file: Path, failpoints: str = "") -> "subprocess.Popen[str] | warm.Process":
    """The console script, with nothing of this process's own settings; `failpoints` as failpoints.py reads them."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEETNET_")}
    folder = log_file.parent
    process: subprocess.Popen[str] | warm.Process
    if failpoints:
        environment[VARIABLE] = failpoints
    with log_file.open("a") as log:
        if forked and warm.SERVER.can_be_forked(environment):
            process = warm.SERVER.start(
                arguments, stdout=subprocess.PIPE, stderr=log.fileno(), environment=environment, folder=folder
            )
        else:
            process = subprocess.Popen(
                [SCRIPT, *arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=folder
            )
    _launched.append(process)
    return process


def kill_what_is_left() -> None:
    """End what a failed test did not come to end."""
    for process in _launched:
        if process.poll() is None:
            process.kill()
            process.communicate()


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.01)
    raise TimeoutError(f"no {what} within {DEADLINE_S} s")


def refused(tmp_path: Path, *arguments: str) -> str:
    """What the collector says when it cannot start: one sentence, and status 2."""
    log = tmp_path / "refused.log"
    log.unlink(missing_ok=True)
    process = launch(*arguments, log_file=log)
    try:
        said, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    lines = [line for line in log.read_text().splitlines() if not line.startswith("at=")]
    assert (process.returncode, said, len(lines)) == (2, "", 1), log.read_text()
    assert lines[0].startswith("fleetnet-server: ")
    return lines[0]


def run(*arguments: str) -> tuple[int, str]:
    """Status and standard output of a command that ends by itself."""
    process = launch(*arguments, log_file=Path(os.devnull))
    said, _ = process.communicate(timeout=DEADLINE_S)
    return process.returncode, said


def start(data: Path, *more: str) -> tuple[str, ...]:
    return (
        "run",
        f"--data={data}",
        f"--admin-socket={data}/admin.sock",
        "--listen=127.0.0.1:0",
        "--enroll-listen=127.0.0.1:0",
        "--metrics-listen=127.0.0.1:0",
        *more,
    )


def starts_well(data: Path) -> bool:
    """True if a collector can live here."""
    return Running(data).terminate() == 0


def ports_of(collector: Running, host: str) -> list[int]:
    """The local ports of all sockets that the collector holds open for the host."""
    with collector.admin() as channel:
        question = query_pb2.ListSocketsRequest(selection=query_pb2.Selection(host=host))
        answer = list(collector.queries(channel).ListSockets(question, timeout=DEADLINE_S))
    assert answer[-1].HasField("end")
    return [item.local_port for message in answer for item in message.page.items]
