"""A TCP proxy between agents and collector that fails as it is told: `python -m faults.proxy LISTEN UPSTREAM`.

Each line on standard input is `PEER MODE [NUMBER]`, where PEER is the address that connections come from or `*`, and is
repeated on standard output when it has taken effect. The modes, each until the next one for that peer:

    pass              carry everything; what was held back goes on, what was swallowed from is reset
    cut               reset all that is open, once; new connections pass
    refuse            reset all that is open and whatever comes
    half-close        shut down one direction of all that is open, once: that of the collector's words
    half-open         accept, read, carry nothing and say nothing
    deaf              accept nothing more of what is sent: the buffers fill
    delay SECONDS     carry everything later by so much
    throttle BYTES    carry at most so many bytes a second, each way
    forget            as half-open, and `pass` does not reset: only a side that asks finds out
    close             (PEER is *) listen no longer: connections are refused by the kernel
"""

import asyncio
import contextlib
import socket
import struct
import sys
from dataclasses import dataclass, field

_CHUNK = 65_536


@dataclass(slots=True)
class Mode:
    """How connections of one peer fare."""

    name: str = "pass"
    number: float = 0.0


@dataclass(slots=True, eq=False)
class Pair:
    """One connection and its continuation."""

    peer: str
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    spoilt: bool = False  # something of it was swallowed
    forgotten: bool = False

    def reset(self) -> None:
        """RST to both sides."""
        for writer in self.writers:
            end = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """All connections and the modes."""

    def __init__(self, listen: tuple[str, int], upstream: tuple[str, int]) -> None:
        self._listen = listen
        self._upstream = upstream
        self._modes: dict[str, Mode] = {}
        self._pairs: set[Pair] = set()
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._carry, *self._listen)

    async def obey(self, peer: str, name: str, number: float) -> None:
        """Take a mode."""
        if name == "close":
            assert self._server is not None
            self._server.close()
            self._server = None
        elif self._server is None:
            await self.open()
        affected = [pair for pair in self._pairs if peer in ("*", pair.peer)]
        for pair in affected:
            if name in ("cut", "refuse", "close") or (pair.spoilt and not pair.forgotten and name == "pass"):
                pair.reset()
            elif name == "half-close":
                with contextlib.suppress(OSError, RuntimeError):
                    pair.writers[0].write_eof()
            elif name == "forget":
                pair.forgotten = True
        if peer == "*":
            self._modes.clear()
        self._modes[peer] = Mode("pass" if name in ("cut", "half-close", "close") else name, number)
        async with self._changed:
            self._changed.notify_all()

    def _mode(self, peer: str) -> Mode:
        return self._modes.get(peer) or self._modes.get("*") or Mode()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = Pair(writer.get_extra_info("peername")[0], [writer])
        self._pairs.add(pair)
        try:
            if self._mode(pair.peer).name == "refuse":
                return pair.reset()
            if self._mode(pair.peer).name in ("half-open", "forget"):
                await self._swallow(pair, reader)
            far_reader, far_writer = await asyncio.open_connection(*self._upstream)
            pair.writers.append(far_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(pair, reader, far_writer))
                group.create_task(self._pump(pair, far_reader, writer))
        except (OSError, ExceptionGroup):
            pass
        finally:
            pair.reset()
            self._pairs.discard(pair)

    async def _pump(self, pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            mode = self._mode(pair.peer)
            if mode.name in ("half-open", "forget") or pair.forgotten:
                await self._swallow(pair, reader)
                continue
            if mode.name == "deaf":
                async with self._changed:
                    await self._changed.wait_for(lambda: self._mode(pair.peer).name != "deaf")
            elif mode.name == "delay":
                await asyncio.sleep(mode.number)
            elif mode.name == "throttle":
                await asyncio.sleep(len(chunk) / mode.number)
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    async def _swallow(self, pair: Pair, reader: asyncio.StreamReader) -> None:
        """Until it is reset or ends. What was read is gone, so it can never be carried on."""
        pair.spoilt = True
        pair.forgotten = pair.forgotten or self._mode(pair.peer).name == "forget"
        while await reader.read(_CHUNK):
            pass
        raise ConnectionResetError


async def main() -> None:
    """Carry until the standard input ends."""
    listen, upstream = ((host, int(port)) for host, _, port in (arg.rpartition(":") for arg in sys.argv[1:3]))
    proxy = Proxy(listen, upstream)
    await proxy.open()
    print("ready", flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        peer, name, *number = line.decode().split()
        await proxy.obey(peer, name, float(number[0]) if number else 0.0)
        print(line.decode().strip(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
