"""Everything that can go wrong on the collector and is told to somebody.

    ServerError
    ├── StorageError           something about the database
    │   ├── StorageUnavailable     disk full, locked, not writable: passes; nothing was stored, come back later
    │   │   └── AnswerGivenUp          one answer took too long; the database is well, and to ask for less may do
    │   ├── StorageDamaged         the file is corrupt, or is not fleetnet's: needs a person
    │   └── SchemaNewer            written by a later version of fleetnet-server: needs a person
    ├── ReportRefused          something about one agent's stream
    │   ├── Fenced                 a newer stream of the same host has taken over: this one is to end
    │   │   └── Cloned                 another machine is this host: this one is not heard
    │   ├── SequenceHole           a batch is missing before this one: the agent is to reconnect
    │   └── BadBatch               the batch cannot be stored: it is set aside, or the agent is to reconnect
    │       └── ForeignBatch           it is of another boot or epoch than its stream: the agent is to reconnect
    ├── HostUnknown            no host of that name has enrolled
    │   └── HostLeft           it has left the fleet by the time asked about
    ├── TokenRefused           an enrollment token is unknown, used up, revoked or expired
    ├── PeerRefused            the peer of a connection is no host of the fleet, or no person
    ├── NotTheIssuer           this collector does not have the key of the CA; another one does
    ├── NotPermitted           who asks is known, and may not do this
    ├── PersonUnknown          nobody of that name has ever logged in
    ├── TooMuchAtOnce          too many calls are open, tokens were refused, or certificates renewed
    ├── AgentAway              the agent of a host is not connected, or does not answer a live look as it should
    ├── AskedTooSoon           a live look was asked for too often
    ├── RequestRefused         a question, a wish or a certificate request is not well formed
    └── StartRefused           the collector cannot start
        ├── ConfigError            an option, the environment or the configuration file is wrong
        └── AuthorityError         the files of the CA are missing, unreadable or do not belong together

Each carries one sentence: what, why, and what to do. Errors of libraries are translated where they arise and never
pass a room's door.
"""

# ruff: noqa: N818 - these are read in `except` and `raise` lines, where the bare word says it

from typing import Final

# To a host, "unknown", "revoked" and "enrolled anew elsewhere" are one: it is not let in.
KEPT_OUT: Final = "the host of this certificate is not in the fleet, or was revoked; enroll it again"


WAITS: Final = "the host of this certificate waits for an operator to approve it; it is tried again by itself"


class ServerError(Exception):
    """Root of the tree; `str()` of it is fit to be shown to people."""


class StorageError(ServerError):
    """Something about the database."""


class StorageUnavailable(StorageError):
    """The database cannot be used at present. Nothing of what was asked has been stored; trying later may succeed."""


class AnswerGivenUp(StorageUnavailable):
    """One answer took too long of the database, or was not read on. Nothing else is wrong."""


class StorageDamaged(StorageError):
    """The database is corrupt or is not fleetnet's. Trying again does not help."""


class SchemaNewer(StorageError):
    """The database was written by a later version, whose tables this version does not know."""


class ReportRefused(ServerError):
    """A stream or batch of an agent was refused; nothing of it has been stored."""


class Fenced(ReportRefused):
    """A newer stream of the same host has taken over."""


class Cloned(Fenced):
    """Another machine with the same identity reports as this host."""


class SequenceHole(ReportRefused):
    """A batch came whose predecessor never did."""


class BadBatch(ReportRefused):
    """A batch contradicts itself or its stream, or is larger than the collector takes."""


class ForeignBatch(BadBatch):
    """A batch is of another boot or epoch than its stream, so that no sequence of the stream can stand for it."""


class HostUnknown(ServerError):
    """A question or stream names a host that has not enrolled."""

    def __init__(self, name: str) -> None:
        super().__init__(f'no host named "{name}" has enrolled; `fleetnet hosts` lists those that have')
        self.name = name


class HostLeft(HostUnknown):
    """A question names a host that has left the fleet by the time asked about."""

    def __init__(self, name: str) -> None:
        ServerError.__init__(
            self, f'"{name}" has left the fleet; `fleetnet history {name}` says what it did, and --at asks about before'
        )
        self.name = name


class PersonUnknown(ServerError):
    """Nobody of that name has ever logged in."""

    def __init__(self, name: str) -> None:
        super().__init__(f'nobody named "{name}" has logged in yet; `fleetnet person list` lists those who have')


class TokenRefused(ServerError):
    """An enrollment token does not admit; the same words for every reason, so that nobody learns which tokens exist."""

    def __init__(self) -> None:
        super().__init__(
            "token refused: it is unknown, used up, revoked or expired; create a new one with "
            "`fleetnet token create --host NAME`, or `--person NAME` for a login"
        )


class PeerRefused(ServerError):
    """The peer is no host of the fleet, or no person who may ask; the words tell nothing of others."""


class NotTheIssuer(ServerError):
    """A certificate is wanted, and the key of the CA that issues is another collector's."""


class NotPermitted(ServerError):
    """Who asks has shown a good certificate, and may not do this."""


class TooMuchAtOnce(ServerError):
    """Of one person, host or address, or of all together, there is too much: calls, refused tokens, renewals."""


class AgentAway(ServerError):
    """A live look cannot be had, for the agent is not connected or does not answer as it should."""


class AskedTooSoon(ServerError):
    """A live look cannot be had yet; one was asked for a moment ago, or too many are."""


class RequestRefused(ServerError):
    """A question, a wish or a certificate request is not well formed; nothing was done."""


class StartRefused(ServerError):
    """The collector cannot start as it was told to."""


class ConfigError(StartRefused):
    """An option, a variable of the environment or the configuration file is wrong."""


class AuthorityError(StartRefused):
    """The files of the CA are missing, unreadable or do not belong together."""


def let_go(error: BaseException) -> None:
    """Of what its frames hold, once it is known. A report that was refused is held by them, a hundred times as large as
    it came, in circles: until somebody looks for garbage, which is once a minute (run/memory.py)."""
    chain: BaseException | None = error
    while chain is not None:
        chain.__traceback__ = None
        chain = chain.__cause__ or chain.__context__
