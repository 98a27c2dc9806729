"""The enrollment port: a token for a certificate, or one that has ended and its key for another, once somebody has
approved that. The only thing that a stranger can ask of the collector."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import grpc
import structlog
from fleetnet_proto.v1 import enroll_pb2, enroll_pb2_grpc

from fleetnet_server import metrics
from fleetnet_server.errors import PeerRefused, ServerError, TokenRefused, TooMuchAtOnce
from fleetnet_server.identity.peer import check_tls
from fleetnet_server.logs import Sparing
from fleetnet_server.rpc import translate_people
from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.services.buckets import Bucket
from fleetnet_server.services.enrollment import Enrollment
from fleetnet_server.services.guesses import Guesses, address_of
from fleetnet_server.services.health import Health
from fleetnet_server.services.people import People
from fleetnet_server.services.readmission import ReadmissionDesk, Wanted

# So many are answered in a second, and at once; the others wait in line. Strangers are many, and each costs as much as
# a report does.
_PER_S: Final = 50.0
_AT_ONCE: Final = 100.0
_LINE_S: Final = 5.0  # who would wait for longer is told to come later
# Who has guessed too often hears so after a while: refused at once it asks again at once, and what gRPC does for a call
# keeps others waiting. Of the 256 calls that there may be so many are open, in line or for this; beyond, it is said at
# once, so that this shuts the door to nobody. Who has waited has the token looked up: one that is good lets its host
# in, whoever guesses behind the same address.
_SLOWLY_S: Final = 1.0
_WAITING_AT_MOST: Final = 128

_log = structlog.get_logger()


class EnrollService(enroll_pb2_grpc.EnrollServiceServicer):
    """Answers whoever connects."""

    def __init__(
        self,
        enrollment: Enrollment,
        people: People,
        readmission: ReadmissionDesk,
        health: Health,
        report_addresses: tuple[str, ...],
        report_port: int,
    ) -> None:
        self._enrollment = enrollment
        self._people = people
        self._readmission = readmission
        self._health = health
        self._report_addresses = report_addresses
        self._report_port = report_port
        self._refusals = Sparing()
        self._guesses = Guesses()
        self._turns = Bucket(_PER_S, _AT_ONCE, time.monotonic())
        self._waiting = 0  # calls, in line or for a refusal

    async def Enroll(  # noqa: N802  # gRPC's name
        self, request: enroll_pb2.EnrollRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> enroll_pb2.EnrollResponse:
        """Trade a token for a certificate."""
        async with errors_as_status(context, self._health):
            with self._refusals_logged(context):
                await self._check_guesses(context.peer(), lambda: self._enrollment.admits(request.secret))
            with self._refusals_logged(context), self._guesses_counted(context):
                await self._turn()
                check_tls(context.auth_context())
                enrolled = await self._enrollment.enroll(request.secret, request.csr, request.hostname)
            self._health.works()
            told = {"serial": enrolled.certificate.serial, "pending": enrolled.pending}
            _log.info("host enrolled", host=enrolled.host, peer=context.peer(), **told)
            return enroll_pb2.EnrollResponse(
                host=enrolled.host,
                certificate_pem=enrolled.certificate.pem,
                ca_pem=enrolled.ca_pem,
                report_addresses=self._report_addresses,
                report_port=self._report_port,
                pending=enrolled.pending,
            )
        raise AssertionError("unreachable: an error has ended the call")

    async def EnrollPerson(  # noqa: N802  # gRPC's name
        self, request: enroll_pb2.EnrollPersonRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> enroll_pb2.EnrollPersonResponse:
        """Trade a person's token for a certificate."""
        async with errors_as_status(context, self._health):
            with self._refusals_logged(context):
                await self._check_guesses(context.peer(), lambda: self._people.admits(request.secret))
            with self._refusals_logged(context), self._guesses_counted(context):
                await self._turn()
                check_tls(context.auth_context())
                joined = await self._people.enroll(request.secret, request.csr)
            self._health.works()
            _log.info(
                "person logged in",
                person=joined.person,
                role=joined.role,
                peer=context.peer(),
                serial=joined.certificate.serial,
            )
            return enroll_pb2.EnrollPersonResponse(
                person=joined.person,
                role=translate_people.role_number(joined.role),
                certificate_pem=joined.certificate.pem,
                ca_pem=joined.ca_pem,
                question_addresses=self._report_addresses,
                question_port=self._report_port,
            )
        raise AssertionError("unreachable: an error has ended the call")

    async def Challenge(  # noqa: N802  # gRPC's name
        self, request: enroll_pb2.ChallengeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> enroll_pb2.ChallengeResponse:
        """Hand out what is to be signed."""
        async with errors_as_status(context, self._health):
            with self._refusals_logged(context), self._guesses_counted(context):
                await self._turn()
                check_tls(context.auth_context())
            return enroll_pb2.ChallengeResponse(challenge=self._readmission.challenge())
        raise AssertionError("unreachable: an error has ended the call")

    async def Readmit(  # noqa: N802  # gRPC's name
        self, request: enroll_pb2.ReadmitRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> enroll_pb2.ReadmitResponse:
        """Have a host wait, or let it in again."""
        async with errors_as_status(context, self._health):
            with self._refusals_logged(context), self._guesses_counted(context):
                await self._turn()
                check_tls(context.auth_context())
                wanted = Wanted(request.certificate, request.csr, request.challenge, request.signature)
                answer = await self._readmission.ask(wanted, address_of(context.peer()))
            self._health.works()
            issued = answer.certificate
            if issued is not None:
                _log.info("host let in again", host=answer.host, peer=context.peer(), serial=issued.serial)
            elif answer.is_new:
                _log.warning("host asks to be let in again, and waits", host=answer.host, peer=context.peer())
            return enroll_pb2.ReadmitResponse(
                certificate_pem=issued.pem if issued is not None else b"",
                ca_pem=answer.ca_pem,
                again_after_s=answer.again_after_s,
            )
        raise AssertionError("unreachable: an error has ended the call")

    async def _turn(self) -> None:
        """Wait for one's turn. Raises TooMuchAtOnce."""
        if (wait_s := self._turns.spend(1, time.monotonic())) > _LINE_S:
            self._turns.give_back(1)
            raise TooMuchAtOnce("too many want to enroll at once; try again in some seconds")
        await self._wait(wait_s)

    async def _check_guesses(self, peer: str, admits: Callable[[], Awaitable[bool]]) -> None:
        """Before the turn, for whoever has guessed too often takes none from anybody, unless the token is a good one.
        Raises TooMuchAtOnce, StorageError."""
        try:
            self._guesses.check(peer)
        except TooMuchAtOnce:
            if self._waiting < _WAITING_AT_MOST:
                # Not all at one moment, for they come back at once.
                await self._wait(_SLOWLY_S * random.uniform(0.5, 1.5))  # noqa: S311  # only jitter
                if await admits():
                    return
            raise

    async def _wait(self, wait_s: float) -> None:
        self._waiting += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            self._waiting -= 1

    @contextlib.contextmanager
    def _guesses_counted(self, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[None]:
        try:
            yield
        except (TokenRefused, PeerRefused):
            self._guesses.refused(context.peer())
            raise

    @contextlib.contextmanager
    def _refusals_logged(self, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[None]:
        try:
            yield
        except ServerError as error:
            metrics.PEERS_REFUSED.labels("enroll").inc()
            self._refusals.warning(
                "enrollment refused", kind=type(error).__name__, peer=context.peer(), reason=str(error)
            )
            raise
