"""The version of this software, which the package's own metadata repeats (a test compares them).

A constant, because importlib.metadata brings the email package along: 3 MiB in an agent that runs for years.
"""

from typing import Final

VERSION: Final = "0.1.0"
