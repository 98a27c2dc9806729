"""One stream per host: the newest."""

import asyncio

from fleetnet_server.errors import Fenced
from fleetnet_server.records import GoodCertificates
from fleetnet_server.rpc.streams import Ending, Streams


def test_a_newer_stream_ends_the_older() -> None:
    async def scenario() -> None:
        streams, older, newer = Streams(), list[Ending](), list[Ending]()
        streams.enter("web1", 1, older.append)
        streams.enter("web1", 2, newer.append)
        assert isinstance(older[0].error, Fenced)
        assert newer == []
        streams.leave("web1", 1)
        assert streams.connected("web1")
        streams.leave("web1", 2)
        assert not streams.connected("web1")

    asyncio.run(scenario())


def test_a_stream_that_enters_late_does_not_end_one_of_a_higher_generation() -> None:
    async def scenario() -> None:
        streams, first, second = Streams(), list[Ending](), list[Ending]()
        streams.enter("web1", 2, second.append)
        streams.enter("web1", 1, first.append)
        assert isinstance(first[0].error, Fenced)
        assert second == []
        streams.leave("web1", 1)
        assert streams.connected("web1")

    asyncio.run(scenario())


def test_a_stream_ends_whose_certificate_is_good_no_more_and_no_newer_one_does() -> None:
    async def scenario() -> None:
        streams, ended = Streams(), list[str]()
        for host, serial in (("web1", "old"), ("web2", "newest"), ("web3", "old"), ("web4", "newer")):
            streams.enter(host, 2, lambda _, host=host: ended.append(host), serial=serial)  # type: ignore[misc]
        good = [GoodCertificates(f"web{n}", 2, frozenset({"newest", "renewed"})) for n in (0, 1, 2)]
        streams.end_others([*good, GoodCertificates("web3", 2, frozenset()), GoodCertificates("web4", 1, frozenset())])
        assert ended == ["web1", "web3"]

    asyncio.run(scenario())


def test_at_the_end_every_stream_is_told_and_so_is_one_that_comes_after() -> None:
    async def scenario() -> None:
        streams, told = Streams(), list[str]()
        ending = Ending("the collector is stopping", reconnect_after_ms=1)

        def enter(host: str) -> None:
            def end(ending: Ending) -> None:
                told.append(host)
                asyncio.get_running_loop().call_soon(streams.leave, host, 1)

            streams.enter(host, 1, end)

        enter("web1")
        enter("web2")
        await streams.end_all(lambda: ending, within_s=10)
        assert told == ["web1", "web2"]
        enter("web3")
        assert told == ["web1", "web2", "web3"]

    asyncio.run(scenario())


def test_a_stream_that_does_not_end_does_not_hold_up_the_collector() -> None:
    async def scenario() -> None:
        streams = Streams()
        streams.enter("web1", 1, lambda _: None)
        await streams.end_all(lambda: Ending("the collector is stopping"), within_s=0.01)

    asyncio.run(asyncio.wait_for(scenario(), 10))
