"""What a side of a later release might say that today's does not know: made by hand, as bytes."""

from typing import Final

from google.protobuf.message import Message
from recorded.streams import fields_of

NUMBER: Final = 5_000  # of a field that no message has
FIELDS: Final = (
    b"\xc0\xb8\x02\x2a"  # 5000, a varint
    b"\xca\xb8\x02\x05later"  # 5001, some bytes
    b"\xd5\xb8\x02\x01\x02\x03\x04"  # 5002, 32 bits
    b"\xd9\xb8\x02\x01\x02\x03\x04\x05\x06\x07\x08"  # 5003, 64 bits
)
KIND: Final = b"\xa2\xb8\x02\x07\x0a\x05hello"
"""A message that has field 5004, itself a message, and nothing else: another member of the oneof."""


def with_unknown_fields(message: Message) -> None:
    """Add them here and in all that it holds."""
    inside = {id(owner): owner for owner, _, _ in list(fields_of(message))}
    for owner in [message, *inside.values()]:
        owner.MergeFromString(FIELDS)
