"""The commands that the documents show, as somebody would type them.

What must stay true: every line and every `word in a sentence` that begins with one of our programs is found here; what
is left out is so by name, in the tests.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_PROGRAM = r"fleetnet(?:-server|-agent|-helper)?"
_FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(rf"`({_PROGRAM}(?: [^`]*)?)`")
_SHOWN = re.compile(rf"(?:^|[\s(]){_PROGRAM} ")
_COMMENT = re.compile(r"\s+# .*$")
_CRON = re.compile(r"^(?:[\d*/,-]+ ){5}")


@dataclass(frozen=True, slots=True)
class Example:
    """One line for a shell, and the page that shows it."""

    page: str
    line: str

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def shown() -> list[Example]:
    """The lines of blocks, in the order in which they are read."""
    found = []
    for page in PAGES:
        for block in _FENCE.findall(page.read_text()):
            # What an example prints is not a command.
            prompted = "$ fleetnet" in block
            for line in block.replace("\\\n", " ").splitlines():
                typed = _CRON.sub("", _COMMENT.sub("", line.removeprefix("$ ")))
                if (line.startswith("$ ") or not prompted) and _SHOWN.search(typed):
                    found.append(Example(page.name, " ".join(typed.split())))
    return found


def mentioned() -> list[Example]:
    """What stands between backquotes in sentences, once for each page."""
    found: dict[Example, None] = {}
    for page in PAGES:
        for words in _SPAN.findall(_FENCE.sub("", page.read_text())):
            found[Example(page.name, " ".join(words.split()))] = None
    return list(found)
