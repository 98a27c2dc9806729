"""Edges beside what truly talks: whatever is hidden, shared or lied about, no edge is invented and none is lost."""

from dataclasses import dataclass

from cli.scene import Scene
from fleetnet_cli.edges.wanted import Wanted
from hypothesis import given
from hypothesis import strategies as st


@dataclass(frozen=True)
class Real:
    """A connection that there is; who sees of it what is another matter."""

    client: str
    server: str
    local: str
    remote: str
    seen: tuple[bool, bool]


_HOSTS = ("a", "b", "c")
_BRIDGE, _BOX = "172.17.0.1", "172.17.0.2"
_OUTSIDE = "203.0.113.9"


def _own(host: str) -> str:
    return f"10.0.0.{ord(host)}"


@st.composite
def _real(draw: st.DrawFn) -> Real:
    """Between hosts, on one, or through the bridge that each has to a container of its own; few ports, so that
    different connections look alike."""
    here, there = draw(st.sampled_from(_HOSTS)), draw(st.sampled_from(_HOSTS))
    client, local, server, remote = draw(
        st.sampled_from(
            [
                (here, _own(here), there, _own(there)),
                (here, "127.0.0.1", here, "127.0.0.1"),
                (f"{here}/box", _BOX, here, _BRIDGE),
                (here, _BRIDGE, f"{here}/box", _BOX),
            ]
        )
    )
    ports = draw(st.integers(40000, 40002)), draw(st.integers(80, 81))
    seen = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    return Real(client, server, f"{local}:{ports[0]}", f"{remote}:{ports[1]}", seen)


@given(st.lists(_real(), max_size=12, unique_by=lambda r: (r.client, r.server, r.local, r.remote)), st.booleans())
def test_no_edge_joins_two_programs_that_do_not_talk_and_none_that_do_is_left_out(
    all_of: list[Real], lie: bool
) -> None:
    scene = Scene()
    for host in _HOSTS:
        scene.place(host, _own(host), bridge=_BRIDGE)
        scene.place(f"{host}/box", _BOX)
    if lie:
        scene.place("evil", _own("a"), _own("b"))
        scene.listens("evil", "0.0.0.0:80", "evil")
    for real in all_of:
        scene.listens(real.server, f"0.0.0.0:{real.remote.rpartition(':')[2]}", f"at {real.server}")
        if real.seen[0]:
            scene.talks(real.client, real.local, real.remote, f"of {real.client}")
        if real.seen[1]:
            scene.talks(real.server, real.remote, real.local, f"at {real.server}")
    found = scene.edges()
    talk = {(f"of {real.client}", f"at {real.server}") for real in all_of}
    named = {(e.client.process, e.server.process) for e in found if e.client.process and e.server.process}
    assert named <= talk
    whole = {(f"of {real.client}", f"at {real.server}") for real in all_of if all(real.seen)}
    assert whole <= {(e.client.process, e.server.process) for e in found if e.known == "both-ends"}
    assert sum(edge.connections for edge in found) == len(all_of)


@st.composite
def _far(draw: st.DrawFn) -> Real:
    """Between two hosts, or from one to the world outside, which reports nothing."""
    here, there = draw(st.permutations(_HOSTS))[:2]
    ports = draw(st.integers(40000, 40001)), draw(st.integers(80, 81))
    if draw(st.booleans()):
        return Real(here, "", f"{_own(here)}:{ports[0]}", f"{_OUTSIDE}:{ports[1]}", (True, False))
    seen = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    return Real(here, there, f"{_own(here)}:{ports[0]}", f"{_own(there)}:{ports[1]}", seen)


@dataclass(frozen=True)
class Forged:
    """A half of what truly talks, as a host that is at neither end reports it."""

    of: int  # the number of it
    as_client: bool
    netns: str


_forged = st.builds(Forged, st.integers(0, 5), st.booleans(), st.sampled_from(["host", "x", "y"]))


@given(
    st.lists(_far(), min_size=1, max_size=6, unique_by=lambda r: (r.local, r.remote)),
    st.lists(_forged, max_size=6, unique=True),
)
def test_who_reports_halves_of_others_is_at_no_end_of_theirs_and_hides_none(
    all_of: list[Real], forged: list[Forged]
) -> None:
    scene = Scene()
    for host in _HOSTS:
        scene.place(host, _own(host))
        for port in (80, 81):
            scene.listens(host, f"0.0.0.0:{port}", f"at {host}")
    scene.place("evil", "10.0.0.66")
    for real in all_of:
        if real.seen[0]:
            scene.talks(real.client, real.local, real.remote, f"of {real.client}")
        if real.seen[1]:
            scene.talks(real.server, real.remote, real.local, f"at {real.server}")
    for one in forged:
        if one.of < len(all_of):
            ends = (all_of[one.of].local, all_of[one.of].remote)
            scene.talks(f"evil/{one.netns}", *(ends if one.as_client else ends[::-1]), "forger")
    found = scene.edges(Wanted(external="each"))
    joined = {(e.client.process, e.server.process) for e in found if e.known == "both-ends"}
    talk = {(f"of {real.client}", f"at {real.server}") for real in all_of}
    assert joined <= talk | {("forger", "forger")}
    guessed = {(e.client.process, e.server.process) for e in found if e.client.process and e.server.process}
    assert {pair for pair in guessed if "forger" not in pair} <= talk
    gone_to = {(e.client.process, e.server.address, e.port) for e in found}
    outside = [(f"of {real.client}", *real.remote.split(":")) for real in all_of if not real.server]
    assert {(client, address, int(port)) for client, address, port in outside} <= gone_to
    assert sum(e.connections * (2 if e.known == "both-ends" else 1) for e in found) == len(scene.connections)
