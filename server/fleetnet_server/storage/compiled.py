"""What SQLAlchemy has made of questions, kept because most are asked again: of an ordinary size, and so many.

SQLAlchemy bounds how many it keeps and not how large they are. A question may have thousands of patterns and ports, of
which each takes a kilobyte in what is made of it; somebody who asks some hundred such, each of another length, would
have a collector keep gigabytes of them for good.
"""

from typing import Any, Final

from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

# Half as many more before the oldest go: 50 MB at the most, and some ten as people ask, whose questions have ten to
# forty values. One that has more than these takes some milliseconds to be made anew, and longer to be answered.
_MOST: Final = 200
_MOST_VALUES: Final = 150


class Questions(LRUCache[Any, Compiled]):
    """To be given to an engine as its `compiled_cache`."""

    def __init__(self) -> None:
        super().__init__(_MOST)

    def __setitem__(self, key: Any, value: Compiled) -> None:  # noqa: ANN401  # SQLAlchemy's own
        """Keep one, unless it is large."""
        if not isinstance(value, SQLCompiler) or len(value.binds) <= _MOST_VALUES:
            super().__setitem__(key, value)
