"""`-o dot`: a graph in the language of graphviz (graphviz.org/doc/info/lang.html).

All text from hosts stands in double quotes. In these a backslash begins an escape and an ampersand an entity, so both
are written in a way that stands for themselves; a label in double quotes is never taken for HTML.
"""

from collections.abc import Iterable, Iterator

from fleetnet_cli.output.graph import Graph
from fleetnet_cli.text import visible


def write(graph: Graph, reach: str) -> str:
    """The whole document; `reach` says how far it reaches."""
    return "\n".join(_lines(graph, reach)) + "\n"


def _lines(graph: Graph, reach: str) -> Iterator[str]:
    yield "digraph fleetnet {"
    yield f"  graph [rankdir=LR, label={quoted(reach)}];"
    yield "  node [shape=box];"
    for number, (frame, boxes) in enumerate(graph.frames.items()):
        yield f"  subgraph cluster_{number} {{"
        yield f"    graph [label={quoted(frame)}];"
        yield from _boxes(graph, boxes, "    ")
        yield "  }"
    yield from _boxes(graph, graph.free, "  ")
    for line in graph.lines:
        # What was seen from one end alone is dashed.
        more = ("" if line.sure else ", style=dashed") + ("" if line.directed else ", dir=none")
        yield f"  n{line.client} -> n{line.server} [label={quoted(line.label)}{more}];"
    yield "}"


def _boxes(graph: Graph, boxes: Iterable[int], indent: str) -> Iterator[str]:
    return (f"{indent}n{number} [label={quoted(graph.boxes[number])}];" for number in boxes)


def quoted(text: str) -> str:
    """A label that shows the text as it is."""
    safe = visible(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{safe}"'
