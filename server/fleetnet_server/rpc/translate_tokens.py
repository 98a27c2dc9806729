"""Tokens that were made, on the way to the wire."""

from fleetnet_proto.v1 import admin_pb2, people_pb2

from fleetnet_server.records import MadeToken
from fleetnet_server.rpc import translate_labels, translate_people


def item(token: MadeToken) -> admin_pb2.TokenItem:
    """A token as an answer has it."""
    return admin_pb2.TokenItem(
        id=token.token_id,
        host=token.host,
        person=token.person,
        role=translate_people.role_number(token.role) if token.role else people_pb2.ROLE_UNSPECIFIED,
        labels=translate_labels.messages(token.labels),
        max_uses=token.max_uses,
        uses=token.uses,
        approve=token.approve,
        made_by=token.made_by,
        created_at_us=token.created_at_us,
        expires_at_us=token.expires_at_us,
        used_at_us=token.used_at_us,
        revoked_at_us=token.revoked_at_us,
    )
