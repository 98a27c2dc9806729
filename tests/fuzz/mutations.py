"""How a message is made wrong: in its fields, and in its bytes. All drawn from one random.Random, so it comes again.

What must stay true: every kind of field is touched, set or not, and what a type can hold at its ends is tried. What is
made stays below the wire's own bound, for what is larger gRPC turns away before any code of ours has seen it.
"""

import random
import string
from collections.abc import Callable, Iterator
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MOST_BYTES: Final = 900_000
_DEPTH: Final = 3  # of messages that are drawn, in one another
_MOST_COPIES: Final = 5_000

_SIGNED_32 = (0, 1, -1, 255, 65_535, 65_536, 2**31 - 1, -(2**31))
_UNSIGNED_32 = (0, 1, 255, 65_535, 65_536, 2**31, 2**32 - 1)
_SIGNED_64 = (*_SIGNED_32, 2**32, 4_102_444_800_000_000, 2**63 - 1, -(2**63))
_UNSIGNED_64 = (*_UNSIGNED_32, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 5e-324, 1.7e308, float("inf"), float("-inf"), float("nan"))
_NUMBERS: Final[dict[int, tuple[int, ...]]] = {
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32), _SIGNED_32
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), _UNSIGNED_32),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64), _SIGNED_64
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), _UNSIGNED_64),
}
_TEXTS: Final = (
    "", "\0", "\n", "\x1b[2J", "%", "*", "**[!a]", "[", "[]", "\\", "'", '"; DROP TABLE hosts; --', "../../etc/passwd",
    "{}", "%s%n", "web1", "fuzz", "WEB1", "web1.", "\u202e", "\ud7ff\ue000", "\U0010ffff", "é" * 65, "x" * 253,
    "a" * 70_000,
)  # fmt: skip
# Addresses, boot ids and hashes have such lengths, and what is next to them.
_LENGTHS: Final = (0, 1, 3, 4, 5, 12, 15, 16, 17, 31, 32, 33, 36, 108, 109, 8_193)
_HEADS: Final = (b"\xff" * 10, b"\x80" * 9 + b"\x01", b"\x08", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b", b"\x0c", b"\x00")


class Mutator:
    """Draws what is wrong."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    def in_fields(self, message: Message, times: int) -> None:
        """Change so many fields, anywhere in it."""
        for _ in range(times):
            if message.ByteSize() > MOST_BYTES:
                return
            owner = self._draw.choice(list(_messages_in(message)))
            if owner.DESCRIPTOR.fields:
                self._change(owner, self._draw.choice(owner.DESCRIPTOR.fields))

    def in_bytes(self, told: bytes, times: int) -> bytes:
        """Change the bytes at so many places."""
        changed = bytearray(told)
        for _ in range(times):
            self._change_bytes(changed)
        return bytes(changed[:MOST_BYTES])

    def message(self, kind: type[Message], depth: int = _DEPTH) -> Message:
        """One of a kind, with some of its fields."""
        made = kind()
        for field in made.DESCRIPTOR.fields:
            if self._draw.random() < 0.4:
                self._change(made, field, depth)
        return made

    def _change(self, owner: Message, field: Any, depth: int = _DEPTH) -> None:
        if field.is_repeated:
            self._change_list(getattr(owner, field.name), field, depth)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            if self._draw.random() < 0.3 or depth == 0:
                owner.ClearField(field.name)
            else:
                inner = getattr(owner, field.name)
                inner.SetInParent()
                inner.MergeFrom(self.message(type(inner), depth - 1))
        elif self._draw.random() < 0.1:
            owner.ClearField(field.name)
        else:
            setattr(owner, field.name, self._value(field, getattr(owner, field.name)))

    def _change_list(self, items: Any, field: Any, depth: int) -> None:
        of_messages = field.type == FieldDescriptor.TYPE_MESSAGE
        what = self._draw.randrange(5)
        if what == 0 or not items:
            for _ in range(self._draw.choice((1, 1, 2, 65))):
                if not of_messages:
                    items.append(self._value(field, None))
                elif depth:
                    added = items.add()
                    added.MergeFrom(self.message(type(added), depth - 1))
        elif what == 1:
            del items[self._draw.randrange(len(items)) :]
        elif what == 2:
            del items[self._draw.randrange(len(items))]
        elif what == 3:
            one = items[self._draw.randrange(len(items))]
            size = one.ByteSize() + 2 if of_messages else 10
            items.extend([one] * min(self._draw.choice((1, 1, 2, 100, _MOST_COPIES)), MOST_BYTES // 2 // size))
        else:
            shuffled = list(items)
            self._draw.shuffle(shuffled)
            del items[:]
            items.extend(shuffled)

    def _value(self, field: Any, was: Any) -> Any:
        of = field.type
        if of in _NUMBERS:
            ends = _NUMBERS[of]
            near = [was + step for step in (-1, 1) if was is not None and min(ends) <= was + step <= max(ends)]
            return self._draw.choice((*ends, *near, self._draw.randint(min(ends), max(ends))))
        if of == FieldDescriptor.TYPE_BOOL:
            return self._draw.random() < 0.5
        if of == FieldDescriptor.TYPE_ENUM:
            return self._draw.choice((*(value.number for value in field.enum_type.values), 300, -1, 2**31 - 1))
        if of == FieldDescriptor.TYPE_STRING:
            return self._text(was or "")
        if of == FieldDescriptor.TYPE_BYTES:
            few = bytearray(was or b"")
            self._change_bytes(few)
            return self._draw.choice((bytes(few), self._draw.randbytes(self._draw.choice(_LENGTHS))))
        assert of in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT), of
        return self._draw.choice(_FLOATS)

    def _text(self, was: str) -> str:
        drawn = "".join(self._draw.choice(string.printable) for _ in range(self._draw.randrange(12)))
        return self._draw.choice((*_TEXTS, drawn, was + drawn, was[1:], was.upper()))

    def _change_bytes(self, told: bytearray) -> None:
        at = self._draw.randrange(len(told) + 1)
        until = min(len(told), at + self._draw.choice((1, 1, 2, 8, 100)))
        changes: tuple[Callable[[], bytes], ...] = (
            lambda: bytes(byte ^ 1 << self._draw.randrange(8) for byte in told[at:until]),
            lambda: self._draw.randbytes(until - at),
            lambda: b"",
            lambda: bytes(told[at:until]) * self._draw.choice((2, 3, 1_000)),
            lambda: self._draw.choice(_HEADS) + bytes(told[at:until]),
            lambda: bytes(told[self._draw.randrange(len(told) + 1) :])[:200],
        )
        told[at:until] = self._draw.choice(changes)()
        if self._draw.random() < 0.05:
            del told[at:]


def _messages_in(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else (value,):
                yield from _messages_in(inner)
