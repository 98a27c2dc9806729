"""Importing asyncio and hashlib without OpenSSL, which nothing in a running agent uses: 5 MiB.

Both do without where it is not there, as in a Python that was built without it: asyncio then has no TLS of its own
(gRPC brings its own), and hashlib takes Python's own SHA-2.

What must stay true: only what is imported inside for the first time goes without. Whoever wants `ssl` afterwards gets
the real one.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

OPENSSL: Final = ("ssl", "_ssl", "_hashlib")


@contextmanager
def without_openssl() -> Iterator[None]:
    """Inside, what of these is not there yet cannot be imported. Not thread-safe: to be used while the agent starts."""
    hidden = [name for name in OPENSSL if name not in sys.modules]
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]  # None: the import system's "there is none"
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
