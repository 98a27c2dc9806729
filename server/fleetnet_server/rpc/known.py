"""Whether all of a question is known to this collector.

What a question is narrowed by is left out by whoever does not know it, and then the answer is wrong without a word. So
questions that may grow are refused where something in them is not known.
"""

from collections.abc import Iterator

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from fleetnet_server.errors import RequestRefused


def check(message: Message) -> None:
    """Raises RequestRefused where a message, or one within it, has a field that is not known."""
    for one in _with_all_within(message):
        unknown = UnknownFieldSet(one)
        if len(unknown):
            raise RequestRefused(
                f"the question is newer than the collector, which does not know field {unknown[0].field_number} of its "
                f"{one.DESCRIPTOR.name}; upgrade fleetnet-server"
            )


def _with_all_within(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else (value,):
                yield from _with_all_within(one)
