"""Tokens that were made on the wire on one side, the CLI's own records on the other; see wire.py."""

from fleetnet_proto.v1 import admin_pb2

from fleetnet_cli.records import MadeToken
from fleetnet_cli.wire import labels
from fleetnet_cli.wire_people import role


def list_request() -> admin_pb2.ListTokensRequest:
    """The question for all tokens."""
    return admin_pb2.ListTokensRequest()


def revoke_request(token_id: str) -> admin_pb2.RevokeTokenRequest:
    """The wish that one admits nobody any more."""
    return admin_pb2.RevokeTokenRequest(id=token_id)


def made(item: admin_pb2.TokenItem) -> MadeToken:
    """A token."""
    return MadeToken(
        token_id=item.id,
        host=item.host,
        person=item.person,
        role=role(item.role) if item.person else "",
        labels=labels(item.labels),
        max_uses=item.max_uses,
        uses=item.uses,
        approve=item.approve,
        made_by=item.made_by,
        created_at_us=item.created_at_us,
        expires_at_us=item.expires_at_us,
        used_at_us=item.used_at_us,
        revoked_at_us=item.revoked_at_us,
    )
