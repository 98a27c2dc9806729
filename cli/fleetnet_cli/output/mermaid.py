"""`-o mermaid`: a flowchart for what draws Mermaid in a page (mermaid.js.org/syntax/flowchart.html).

Text stands in double quotes, in which Mermaid takes HTML, Markdown (in backticks), icons (fa:...) and entities (#quot;)
for what they are. So whatever is not a letter, a digit, a space or one of a few plain signs is an entity by its number,
and signs of HTML and Markdown are not even that: they are shown as their numbers, as those are that nobody sees.
"""

import re
from collections.abc import Iterable, Iterator

from fleetnet_cli.output.graph import Graph
from fleetnet_cli.text import visible

# For whoever decodes once more than he should there is no tag, no entity and no code in what he gets.
_ACTS = re.compile(r"[<>&`\"]")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 .,?()/_-]", re.ASCII)


def write(graph: Graph, reach: str) -> str:
    """The whole document; `reach` says how far it reaches."""
    return "\n".join(_lines(graph, reach)) + "\n"


def _lines(graph: Graph, reach: str) -> Iterator[str]:
    yield "flowchart LR"
    yield f"  %% {quoted(reach)}"
    for number, (frame, boxes) in enumerate(graph.frames.items()):
        yield f"  subgraph s{number} [{quoted(frame)}]"
        yield from _boxes(graph, boxes, "    ")
        yield "  end"
    yield from _boxes(graph, graph.free, "  ")
    for line in graph.lines:
        # What was seen from one end alone is dotted.
        arrow = ("-->" if line.sure else "-.->") if line.directed else ("---" if line.sure else "-.-")
        yield f"  n{line.client} {arrow}|{quoted(line.label)}| n{line.server}"


def _boxes(graph: Graph, boxes: Iterable[int], indent: str) -> Iterator[str]:
    return (f"{indent}n{number}[{quoted(graph.boxes[number])}]" for number in boxes)


def quoted(text: str) -> str:
    """A label that shows the text as it is, but for signs that act."""
    inert = _ACTS.sub(lambda sign: f"\\x{ord(sign[0]):02x}", visible(text))
    return '"' + _NOT_PLAIN.sub(lambda sign: f"#{ord(sign[0])};", inert) + '"'
