"""What whoever owns a host may call his processes, units, paths and interfaces, and what no format may let through."""

from typing import Final

from fleetnet_cli import text

# Signs that a spreadsheet takes for those of a formula.
WIDE_SIGNS: Final = "\uff1d\uff0b\uff0d\uff20"
# For terminals, spreadsheets and shells.
PIECES: Final = [
    "\x1b[2J", "\x1b]0;x\x07", "\x9b31m", "\x7f", "\r", "\n", "\t", "\0", "\u202e", "\u2066", "\u200b", "\ufe0f",
    "\u3164", "\u2028", "=1+1", "+1", "-1", "@SUM(A1)", *WIDE_SIGNS, ";", ",", '"', "'", "|", " ", "[bold red]", "[/]",
    "$(reboot)", "`id`", "--help", "a", "é", "日本", "\U0001f600",
]  # fmt: skip
# For those who draw, and for browsers.
DRAWN: Final = [
    '"', "'", "`", "]", "[", ")", "}", "-->", "%%", "%%{init: {}}%%", ";", "#quot;", "#35;", "&lt;", "&#60;", "<b>",
    "<script>alert(1)</script>", "\\", "\\n", "\\N", "\\G", '\\"', "{a|b}", "<TABLE>", "fa:fa-ban", "click n0 call x()",
    "subgraph", "end", "graph", "}\n", "\n", "\r\n", "\0", "\x1b[2J", "\u202e", "\u2028", "é", "日本", "|", "$$x$$",
    "/*", "//", "javascript:x", "**b**", " ", "a",
]  # fmt: skip


def assert_nothing_acts(shown: str) -> None:
    """Lines of what can be seen, and nothing else."""
    for character in shown:
        assert character == "\n" or (character.isprintable() and text.visible(character) == character)
