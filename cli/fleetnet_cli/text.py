"""Text that comes from a host or from elsewhere, made safe for a terminal.

A process may be called anything: escape sequences, line breaks, marks that turn the reading direction. What is not
printable is shown as its number, so a row stays a row and says what is in it.
"""


def visible(text: str) -> str:
    """`text` with every control, format (bidi, zero-width), surrogate and unassigned character as \\x.., \\u...."""
    # str.isprintable is false for just those (Unicode classes C*, Zl, Zp, and Zs but the space).
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _number(ord(c)) for c in text)


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
