"""What is told of a source's sockets, beside what the whole watch shows."""

import itertools
from dataclasses import replace
from typing import cast

from agent.diag_messages import sighting
from agent.family_messages import encode_unix, unix
from agent.scripted_kernel import ScriptedKernel
from agent.scripted_watch import holder
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.ends import Ends
from fleetnet_agent.followed import Followed
from fleetnet_agent.holders import Holders
from fleetnet_agent.records import Holder, Protocol
from fleetnet_agent.sources import unix_diag
from fleetnet_agent.sources.source import Sighting


class NeverTheSame:
    """Holders that are found out while they are asked about: each answer is another."""

    def __init__(self) -> None:
        self._units = (f"unit{number}.service" for number in itertools.count())

    def of(self, sighting: Sighting) -> Holder:
        """See `Holders`."""
        return replace(holder(), unit=next(self._units))

    def has_unknown_place(self, sighting: Sighting) -> bool:
        """See `Holders`."""
        return True

    def interface_name(self, index: int) -> str:
        """See `Holders`."""
        return ""


def test_a_socket_with_two_reasons_to_be_told_again_is_told_once() -> None:
    kernel, holders = ScriptedKernel(), cast(Holders, NeverTheSame())
    followed = Followed("tcp", Protocol.TCP, DiagTable(kernel, kernel.find), Ends(lambda: 0))
    kernel.put(sighting(1))
    assert len(list(followed.open(followed.look(), holders))) == 1
    touched = {sighting(1).inode}
    assert [row.key.cookie for row in followed.change(followed.look(), touched, holders)] == [1]


def test_a_new_client_knows_the_name_at_its_other_end_whether_that_is_new_too_or_not() -> None:
    kernel = ScriptedKernel(Protocol.UNIX, unix_diag.CODEC, encode_unix)
    followed = Followed("unix", Protocol.UNIX, DiagTable(kernel, kernel.find), Ends(lambda: 0))
    kernel.put(unix(1, inode=11, peer_inode=12), unix(2, inode=12, peer_inode=11, path=b"/run/a"))
    assert followed.look().peer_paths == {12: b"/run/a"}
    kernel.put(unix(3, inode=13, peer_inode=12), unix(4, inode=14, peer_inode=0), unix(5, inode=15, peer_inode=99))
    assert followed.look().peer_paths == {12: b"/run/a"}
    assert followed.look().peer_paths == {}
