"""The agent's end of the helper's socket. A connection to each question, so that a helper that was restarted is simply
there again."""

import os
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fleetnet_agent.helper import frames, protocol
from fleetnet_agent.helper.requests import Kind, Listing, ListNamespaces, OpenEvents, OpenInside
from fleetnet_agent.helper.scan import Answer, Question

ANSWER_WITHIN_S = 5.0


class HelperUnavailableError(Exception):
    """The helper did not answer; the text says why, as the end of a sentence."""


class Inside:
    """What the helper has opened in some namespaces. Everything in it is closed on leaving it, but for what was taken
    out."""

    def __init__(self, descriptors: Sequence[tuple[int, str, int]], refused: dict[int, str]) -> None:
        self.refused = refused  # why, by inode
        self._left: dict[int, dict[str, int]] = defaultdict(dict)
        for inode, name, descriptor in descriptors:
            if name in self._left[inode]:
                os.close(self._left[inode][name])
            self._left[inode][name] = descriptor

    def take(self, inode: int) -> dict[str, int]:
        """What was opened in this namespace, by what it is; the caller's from now on. Empty where nothing was."""
        return self._left.pop(inode, {})

    def __enter__(self) -> "Inside":
        return self

    def __exit__(self, *exception: object) -> None:
        for inode in list(self._left):
            for descriptor in self.take(inode).values():
                os.close(descriptor)


class HelperClient:
    """Asks the helper that listens on a socket. Every question raises HelperUnavailableError where it is not
    answered."""

    def __init__(self, path: Path, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._path = path
        self._answer_within_s = answer_within_s

    def scan(self, question: Question) -> Answer:
        """See `helper.scan.scan`, with the helper's rights."""
        raw, _ = self._ask(protocol.encode_question(question), with_descriptors=False)
        try:
            return protocol.decode_answer(raw)
        except (frames.ProtocolError, protocol.HelperError) as error:
            raise HelperUnavailableError(str(error)) from error

    def namespaces(self) -> Listing:
        """Every network namespace of the host."""
        raw, _ = self._ask(protocol.encode_request(ListNamespaces()), with_descriptors=False)
        try:
            return protocol.decode_listing(raw)
        except (frames.ProtocolError, protocol.HelperError) as error:
            raise HelperUnavailableError(str(error)) from error

    def open(self, kind: Kind, inodes: Sequence[int]) -> Inside:
        """Open something in each of these namespaces, MOST_OPENED at most."""
        raw, descriptors = self._ask(protocol.encode_request(OpenInside(kind, tuple(inodes))), with_descriptors=True)
        try:
            opened = protocol.decode_opened(raw)
            if len(opened.descriptors) != len(descriptors):
                raise frames.ProtocolError(f"{len(descriptors)} descriptors for {len(opened.descriptors)} announced")
        except (frames.ProtocolError, protocol.HelperError) as error:
            _close_all(descriptors)
            raise HelperUnavailableError(str(error)) from error
        named = [(inode, name, one) for (inode, name), one in zip(opened.descriptors, descriptors, strict=True)]
        return Inside(named, dict(opened.refused))

    def events(self, buffer_bytes: int) -> socket.socket:
        """A socket that hears of the ends of sockets in all namespaces that have a number."""
        raw, descriptors = self._ask(protocol.encode_request(OpenEvents(buffer_bytes)), with_descriptors=True)
        try:
            protocol.decode_events_opened(raw)
            if len(descriptors) != 1:
                raise frames.ProtocolError(f"{len(descriptors)} descriptors where one was announced")
            return socket.socket(fileno=descriptors[0])
        except (frames.ProtocolError, protocol.HelperError, OSError) as error:
            _close_all(descriptors)
            raise HelperUnavailableError(str(error)) from error

    def _ask(self, request: bytes, *, with_descriptors: bool) -> tuple[bytes, list[int]]:
        deadline_s = time.monotonic() + self._answer_within_s
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(self._answer_within_s)
                connection.connect(os.fspath(self._path))
                frames.send(connection, request, deadline_s)
                if with_descriptors:
                    return frames.receive_with_descriptors(connection, protocol.ANSWER_BYTES, deadline_s)
                return frames.receive(connection, protocol.ANSWER_BYTES, deadline_s), []
        except TimeoutError as error:
            raise HelperUnavailableError(f"it did not answer within {self._answer_within_s:g} s") from error
        except OSError as error:
            raise HelperUnavailableError(f"{self._path}: {error.strerror or error}") from error
        except frames.ProtocolError as error:
            raise HelperUnavailableError(str(error)) from error


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
