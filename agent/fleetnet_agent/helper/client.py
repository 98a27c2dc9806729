"""The agent's end of the helper's socket. A connection to each question, so that a helper that was restarted is simply
there again."""

import os
import socket
import time
from pathlib import Path

from fleetnet_agent.helper import protocol
from fleetnet_agent.owners.scan import Answer, Question

ANSWER_WITHIN_S = 5.0


class HelperUnavailableError(Exception):
    """The helper did not answer; the text says why, as the end of a sentence."""


class HelperClient:
    """Asks the helper that listens on a socket."""

    def __init__(self, path: Path, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._path = path
        self._answer_within_s = answer_within_s

    def scan(self, question: Question) -> Answer:
        """See `owners.scan.scan`, with the helper's rights. Raises HelperUnavailableError."""
        deadline_s = time.monotonic() + self._answer_within_s
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(self._answer_within_s)
                connection.connect(os.fspath(self._path))
                protocol.send(connection, protocol.encode_question(question), deadline_s)
                return protocol.decode_answer(protocol.receive(connection, protocol.ANSWER_BYTES, deadline_s))
        except TimeoutError as error:
            raise HelperUnavailableError(f"it did not answer within {self._answer_within_s:g} s") from error
        except OSError as error:
            raise HelperUnavailableError(f"{self._path}: {os.strerror(error.errno or 0)}") from error
        except (protocol.ProtocolError, protocol.HelperError) as error:
            raise HelperUnavailableError(str(error)) from error
