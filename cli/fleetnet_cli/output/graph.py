"""What drawings have in common, whatever draws them: a box for each program, in a frame for its namespace, numbered.

What must stay true: numbers alone name boxes and frames, so that nothing a host says is a name to who draws.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fleetnet_cli.edges import records
from fleetnet_cli.edges.records import Edge, End, Place
from fleetnet_cli.output import edges
from fleetnet_cli.services import Services


@dataclass(frozen=True, slots=True)
class Line:
    """An edge between two boxes."""

    client: int
    server: int
    label: str  # "5432 postgresql, 12 times"
    sure: bool  # both ends were seen
    directed: bool


@dataclass(slots=True)
class Graph:
    """Boxes by their numbers, the frames that they are in, and lines."""

    boxes: list[str] = field(default_factory=list)  # what stands in each
    frames: dict[str, list[int]] = field(default_factory=dict)  # boxes by what stands on their frame
    free: list[int] = field(default_factory=list)  # boxes without a frame
    lines: list[Line] = field(default_factory=list)


def of(found: Iterable[Edge], services: Services) -> Graph:
    """The drawing of these edges."""
    graph = Graph()
    numbers: dict[End, int] = {}

    def number(end: End) -> int:
        if end not in numbers:
            numbers[end] = len(graph.boxes)
            graph.boxes.append(edges.program(end) if end.host else edges.end(end))
            frame = edges.place(Place(end.host, end.netns))
            (graph.frames.setdefault(frame, []) if end.host else graph.free).append(numbers[end])
        return numbers[end]

    for edge in found:
        times = f", {edge.connections} times" if edge.connections > 1 else ""
        label = f"{edge.protocol} {edges.port(edge, services)}".strip() + times
        directed = edge.direction != records.UNKNOWN
        sure = edge.known == records.BOTH_ENDS
        graph.lines.append(Line(number(edge.client), number(edge.server), label, sure, directed))
    return graph
