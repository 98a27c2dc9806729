"""Values that are made for each socket: as frozen dataclasses are, but for what keeps them from being changed."""

from dataclasses import dataclass, replace

from fleetnet_agent.records.often import made_often


@dataclass(frozen=True, slots=True)
class Frozen:
    """With and without a default."""

    name: int | bytes
    path: bytes = b""


@made_often
@dataclass(frozen=True, slots=True)
class Often:
    """The same."""

    name: int | bytes
    path: bytes = b""


def test_they_are_made_compared_hashed_shown_and_replaced_as_others_are() -> None:
    one, same, other = Often(1, path=b"x"), Often(name=1, path=b"x"), Often(1)
    assert one == same != other
    assert len({one, same, other}) == 2
    assert hash(one) == hash(Frozen(1, b"x"))
    assert repr(one) == repr(Frozen(1, b"x")).replace("Frozen", "Often")
    assert replace(other, path=b"x") == one
    assert not hasattr(one, "__dict__")
