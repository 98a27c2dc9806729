"""What an answer shows of a host that was kept out, or has left."""

from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import HostStanding


def presentation() -> Presentation[HostStanding]:
    """Hosts, and how they stand from now on."""
    return Presentation(
        kind="HostStandingList",
        as_json=lambda h: {"host": h.host, "status": h.status, "changed": h.changed},
        columns=(
            Column("HOST", lambda h: h.host),
            Column("STATUS", lambda h: h.status),
        ),
        nothing="no host named",
        host_of=lambda h: h.host,
        fields=("host", "status", "changed"),
    )
