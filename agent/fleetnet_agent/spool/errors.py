"""What can go wrong with the spool.

SpoolError
├── SpoolDamagedError      what is on disk is not what was written
└── SpoolUnavailableError  it cannot be used now: disk full, failing, read-only, or another process has it
"""


class SpoolError(Exception):
    """Something is wrong with the spool; the words say what."""


class SpoolDamagedError(SpoolError):
    """The file is to be set aside."""


class SpoolUnavailableError(SpoolError):
    """The file is as good as it was; try again later."""
