"""What an answer shows of a token: of one that was just made, and of those that were."""

from fleetnet_cli import times
from fleetnet_cli.labels import as_json, listed
from fleetnet_cli.output.labelled import cell
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import MadeToken, Token

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


def made(now_us: int) -> Presentation[MadeToken]:
    """Tokens that were made, as they stand at a time."""
    return Presentation(
        kind="MadeTokenList",
        as_json=lambda t: _made_as_json(t, now_us),
        columns=(
            Column("ID", lambda t: t.token_id),
            Column("FOR", _whom),
            Column("STATUS", lambda t: t.standing(now_us)),
            Column("USED", lambda t: f"{t.uses} of {t.max_uses}", right=True),
            Column("EXPIRES", lambda t: times.local(t.expires_at_us)),
            Column("MADE BY", lambda t: t.made_by),
        ),
        nothing="no token was made yet",
        of_hosts=False,
        fields=(
            "id", "host", "person", "role", "labels", "approve", "status", "uses", "max_uses", "made_by", "created_at",
            "expires_at", "used_at", "revoked_at",
        ),
        cells={"labels": cell},
    )  # fmt: skip


def _whom(token: MadeToken) -> str:
    if token.person:
        return f"{token.person} ({token.role})"
    whom = token.host or "any host"
    more = [listed(token.labels)] * bool(token.labels) + ["to be approved"] * token.approve
    return f"{whom}, {', '.join(more)}" if more else whom


def _made_as_json(token: MadeToken, now_us: int) -> dict[str, object]:
    return {
        "id": token.token_id,
        "host": token.host or None,
        "person": token.person or None,
        "role": token.role or None,
        "labels": as_json(token.labels),
        "approve": token.approve,
        "status": token.standing(now_us),
        "uses": token.uses,
        "max_uses": token.max_uses,
        "made_by": token.made_by or None,
        "created_at": times.utc(token.created_at_us),
        "expires_at": times.utc(token.expires_at_us),
        "used_at": times.utc(token.used_at_us),
        "revoked_at": times.utc(token.revoked_at_us),
    }
