"""What an answer shows of a token."""

from fleetnet_cli import times
from fleetnet_cli.labels import as_json
from fleetnet_cli.output.labelled import cell
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import Token

# The table is the token alone; a secret is no name to hand on.


def presentation() -> Presentation[Token]:
    """A token, this once."""
    return Presentation(
        kind="TokenList",
        as_json=lambda t: {
            "host": t.host,
            "token": t.token,
            "expires_at": times.utc(t.expires_at_us),
            "labels": as_json(t.labels),
        },
        columns=(Column("TOKEN", lambda t: t.token),),
        nothing="no token",
        fields=("host", "token", "expires_at", "labels"),
        cells={"labels": cell},
    )
