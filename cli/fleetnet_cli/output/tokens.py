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
        as_json=_as_json,
        columns=(Column("TOKEN", lambda t: t.token),),
        nothing="no token",
        fields=("host", "token", "expires_at", "person", "role", "labels"),
        cells={"labels": cell},
    )


def _as_json(token: Token) -> dict[str, object]:
    return {
        "host": token.host or None,
        "token": token.token,
        "expires_at": times.utc(token.expires_at_us),
        "person": token.person or None,
        "role": token.role or None,
        "labels": as_json(token.labels),
    }
