"""What the first look at many sockets found, made only when it is asked for.

Nobody is told the first look: what a collector hears first is a snapshot. To decode tens of thousands of messages, to
say what is wanted of each and to make its row costs more than all else of that look, and takes room that is never given
back. So they stay messages, and what somebody asks for is made then.

What must stay true: what is made late is what would have been made at once; whether the messages can be decoded at all
is found out at the look itself.
"""

import operator
from collections.abc import Callable, Collection, Iterator, KeysView, Mapping, Sequence
from itertools import compress
from typing import TypeVar, overload

from fleetnet_agent.records import Protocol, Socket
from fleetnet_agent.sources.source import Codec, Sighting

T = TypeVar("T")


class Late(Sequence[T]):
    """Things that are made when they are asked for."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return tuple(self)[index]


class Anew(Late[T]):
    """Things that are made each time they are asked for, out of what does not change."""

    def __init__(self, count: int, make: Callable[[], Iterator[T]]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return self._make()


class LateSightings(Late[Sighting]):
    """Sockets by cookie, as their messages; decoded each time anew."""

    def __init__(self, messages: Mapping[int, bytes], codec: Codec, protocol: Protocol) -> None:
        """Raises SourceError if one of the messages cannot be decoded."""
        self._messages = messages
        self._codec = codec
        self._protocol = protocol
        columns = codec.columns
        assert columns is not None
        for message in columns.unlike(messages.values()):
            codec.decode(message, protocol)
        inodes = columns.inodes(messages.values())
        self._by_inode = dict(zip(inodes, messages, strict=True))
        self._by_inode.pop(0, None)
        self._without_inode = list(compress(messages, map(operator.not_, inodes)))

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Sighting]:
        return (self._codec.decode(message, self._protocol) for message in self._messages.values())

    @property
    def inodes(self) -> KeysView[int]:
        """Those of them that have one."""
        return self._by_inode.keys()

    @property
    def names(self) -> Collection[int]:
        """Their cookies."""
        return self._messages.keys()

    def named(self, names: Collection[int | bytes]) -> list[Sighting]:
        """Those that have one of these names."""
        return [self._decoded(name) for name in self._messages.keys() & names]

    def holding(self, inodes: Collection[int]) -> list[Sighting]:
        """Those that have one of these inodes."""
        return [self._decoded(self._by_inode[inode]) for inode in self.inodes & inodes]

    def without_inode(self) -> list[Sighting]:
        """Those that have none."""
        return list(map(self._decoded, self._without_inode))

    def _decoded(self, cookie: int) -> Sighting:
        return self._codec.decode(self._messages[cookie], self._protocol)


class LateRows(Late[Socket]):
    """Rows, made once, and no later than the next look begins."""

    def __init__(self, count: int, make: Callable[[], Iterator[Socket]]) -> None:
        self._count = count
        self._make: Callable[[], Iterator[Socket]] | None = make
        self._made: tuple[Socket, ...] = ()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Socket]:
        return iter(self.made())

    def made(self) -> tuple[Socket, ...]:
        """All of them."""
        if self._make is not None:
            self._made, self._make = tuple(self._make()), None
        return self._made
