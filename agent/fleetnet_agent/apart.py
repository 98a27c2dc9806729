"""What takes OpenSSL or cryptography, done in a process of its own that ends with its answer.

They cost 5 and 10 MiB, which stay with whoever imports them, and a running agent needs them for a moment when it starts
and for another every few days. gRPC brings its own TLS.

What must stay true:
- a key goes to that process and back through pipes alone, never as an argument or in the environment;
- it is started by vfork(2), as `subprocess` does where nothing is to be run in between: handlers of fork(2) do not run
  then, and gRPC's, in a process that has imported it, must not;
- where no process can be had, the answer is the same and costs this process the memory.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from fleetnet_agent.notify import without_notify

ANSWER_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows that a host has the key of a certificate that has ended."""

    certificate: bytes  # that one, DER
    request: bytes  # for another key, PKCS #10
    signature: bytes
    key_id: str  # what people call the other key


def matches(certificate_pem: bytes, key_pem: bytes) -> bool:
    """True if OpenSSL takes the two as a pair."""
    return bool(_ask({"do": "match", "certificate": _text(certificate_pem), "key": _text(key_pem)})["matches"])


def make_key_and_request() -> tuple[bytes, bytes]:
    """See `keys.make_key_and_request`: key (PEM) and request (PKCS #10, DER)."""
    made = _ask({"do": "request"})
    return made["key"].encode("latin-1"), made["request"].encode("latin-1")


def make_key() -> bytes:
    """The key alone (PEM)."""
    return make_key_and_request()[0]


def prove(certificate_pem: bytes, key_pem: bytes, wanted_key_pem: bytes, challenge: bytes) -> Proof:
    """See `keys.prove`."""
    pems = {"certificate": certificate_pem, "key": key_pem, "wanted": wanted_key_pem, "challenge": challenge}
    found = _ask({"do": "prove", **{name: _text(raw) for name, raw in pems.items()}})
    if "error" in found:
        raise ValueError(found["error"])
    raw = {name: found[name].encode("latin-1") for name in ("certificate", "request", "signature")}
    return Proof(**raw, key_id=found["key_id"])


def examine(certificate_pem: bytes, key_pem: bytes, ca_pem: bytes) -> tuple[int, int]:
    """From when until when a new certificate is good, microseconds since 1970 UTC. Raises ValueError where it is none,
    or one for another key, or where the CA's cannot be used."""
    pems = {"certificate": _text(certificate_pem), "key": _text(key_pem), "ca": _text(ca_pem)}
    found = _ask({"do": "examine", **pems})
    if "error" in found:
        raise ValueError(found["error"])
    return found["valid_from_us"], found["valid_until_us"]


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")  # any bytes, as JSON has them


def _ask(question: dict[str, str]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "fleetnet_agent.apart"],
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=ANSWER_WITHIN_S,
            env=without_notify(os.environ),
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):  # no process, or none that can do it
        return _answer(question)
    return answer


def _answer(question: dict[str, str]) -> dict[str, Any]:
    pems = {name: text.encode("latin-1") for name, text in question.items() if name != "do"}
    match question["do"]:
        case "match":
            return {"matches": _match(pems["certificate"], pems["key"])}
        case "request":
            return _request()
        case do:
            try:
                return _prove(**pems) if do == "prove" else _examine(**pems)
            except ValueError as error:
                return {"error": str(error)}


def _match(certificate_pem: bytes, key_pem: bytes) -> bool:
    import ssl  # late, as all below: see above

    both = os.memfd_create("pair", os.MFD_CLOEXEC)  # the ssl module takes files alone, and the disk need not see this
    try:
        with open(both, "wb", closefd=False) as file:
            file.write(certificate_pem + b"\n" + key_pem)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(f"/proc/self/fd/{both}")
    except OSError:  # ssl.SSLError is one too
        return False
    finally:
        os.close(both)
    return True


def _request() -> dict[str, str]:
    from fleetnet_agent import keys

    made = keys.make_key_and_request()
    return {"key": _text(made.key_pem), "request": _text(made.request_der)}


def _prove(certificate: bytes, key: bytes, wanted: bytes, challenge: bytes) -> dict[str, str]:
    from fleetnet_agent import keys

    proof = keys.prove(certificate, key, wanted, challenge)
    parts = {"certificate": proof.certificate, "request": proof.request, "signature": proof.signature}
    return {"key_id": proof.key_id, **{name: _text(raw) for name, raw in parts.items()}}


def _examine(certificate: bytes, key: bytes, ca: bytes) -> dict[str, int]:
    import ssl

    from fleetnet_agent import keys, reach

    facts = keys.read_certificate(certificate)
    if not keys.belongs_to(certificate, key):
        raise ValueError("the collector sent a certificate for another key")
    try:
        reach.trust(ca)
    except ssl.SSLError as error:
        raise ValueError("the collector sent a CA certificate that cannot be used") from error
    return {"valid_from_us": facts.valid_from_us, "valid_until_us": facts.valid_until_us}


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
