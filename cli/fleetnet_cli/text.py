"""Text that comes from a host or from elsewhere, made safe for a terminal.

A process may be called anything: escape sequences, line breaks, marks that turn the reading direction. What is not
printable is shown as its number, so a row stays a row and says what is in it.
"""

# As much as a cell of a spreadsheet holds. No text that a collector keeps comes near it, and a cell of all processes
# that hold a socket only where they are thousands.
LONGEST = 32_767

# Letters and marks to Unicode, so printable, and yet nothing is seen of them: Default_Ignorable_Code_Point of its
# DerivedCoreProperties.txt, and the empty pattern of Braille. With one of them two names look like one.
_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]))
)


def visible(text: str) -> str:
    """`text` with every character that is not seen (control, bidi, zero-width, blank, surrogate, unassigned) as \\x..,
    \\u....; what is longer than any text should be is cut.
    """
    # str.isprintable is false for just those (Unicode classes C*, Zl, Zp, and Zs but the space).
    if text.isascii() and text.isprintable():
        return text if len(text) <= LONGEST else cut(text)
    # None of it gets shorter.
    return cut("".join(c if is_seen(c) else _number(ord(c)) for c in text[: LONGEST + 1]))


def is_seen(character: str) -> bool:
    """True unless nothing is seen of it, or a terminal might act upon it."""
    return character.isprintable() and character not in _UNSEEN


def cut(text: str) -> str:
    """`text` with at most so many characters, the cut marked."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _number(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def width(text: str) -> int:
    """Columns that printable text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata  # 1 MB, and nearly all text is ASCII

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, columns: int) -> str:
    """Printable text cut to so many columns, the cut marked."""
    if width(text) <= columns:
        return text
    kept = text[: max(columns - 1, 0)]
    while kept and width(kept) > columns - 1:
        kept = kept[:-1]
    return kept + "…"
