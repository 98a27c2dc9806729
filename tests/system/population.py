"""A host that is full of sockets in every state, and holds still: see crowd.py."""

from system.laboratory import SILENT, STRANGER, Laboratory, be_patient, silence

from demo.fabric import Host

_HALF_OPEN = 10


def populate(laboratory: Laboratory, host: Host, far: Host) -> None:
    """Fill `host`; `far` is the other end of what cannot be had on one host."""
    be_patient(host)
    silence(host, SILENT)
    silence(host, STRANGER)
    other_end = laboratory.start(far, "far", far.address)
    other_end.wait_for("^ready")
    crowd = laboratory.start(host, "crowd", "--address", host.address, "--far", far.address, "--silent", SILENT)
    port = crowd.wait_for(r"^half-open port (\d+)", within_s=60.0)[1]
    crowd.wait_for("^connected")
    other_end.tell("close last-ack")
    other_end.wait_for("^close last-ack done")
    silence(host, far.address)
    crowd.tell("")
    crowd.wait_for("^finished")
    other_end.tell("close closing")
    other_end.wait_for("^close closing done")
    callers = [str(4000 + number) for number in range(_HALF_OPEN)]
    laboratory.start(far, "stranger", STRANGER, host.address, port, *callers).succeed()
