"""The rotation of the CA, on the admin socket alone; and `fleetnet-server ca rotate`, which asks for it there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import structlog
from fleetnet_proto.v1 import authority_pb2, authority_pb2_grpc

from fleetnet_server.errors import RequestRefused, StartRefused
from fleetnet_server.rpc import logins
from fleetnet_server.rpc.gate import LOCAL
from fleetnet_server.rpc.status import errors_as_status
from fleetnet_server.services import rotation
from fleetnet_server.services.health import Health
from fleetnet_server.services.log import Logged, Wish
from fleetnet_server.services.rotation import LeftBehind, Rotation

_WITHIN_S: Final = 60.0
_STEPS: Final = {
    authority_pb2.ROTATION_STEP_BEGIN: rotation.BEGIN,
    authority_pb2.ROTATION_STEP_FINISH: rotation.FINISH,
    authority_pb2.ROTATION_STEP_RETIRE: rotation.RETIRE,
    authority_pb2.ROTATION_STEP_BACK: rotation.BACK,
}

_log = structlog.get_logger()


class AuthorityService(authority_pb2_grpc.AuthorityServiceServicer):
    """Answers whoever may open the admin socket."""

    def __init__(self, rotation: Rotation, log: Logged, followed: Callable[[], None], health: Health) -> None:
        """`followed` is called when others are trusted, or another issues."""
        self._rotation = rotation
        self._log = log
        self._followed = followed
        self._health = health

    async def Rotate(  # noqa: N802  # gRPC's name
        self, request: authority_pb2.RotateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> authority_pb2.RotateResponse:
        """Take a step."""
        async with errors_as_status(context, self._health):
            step = _STEPS.get(request.step)
            if step is None:
                raise RequestRefused("this step of a rotation is not known here; upgrade fleetnet-server")
            wished = f"{step} --leave-behind" if request.leave_behind else step
            wish = Wish(LOCAL, logins.claimed(context), context.peer(), "rotate-ca", wished)
            async with self._log.doing(wish):
                turned = await self._rotation.turn(step, leave_behind=request.leave_behind)
            if not turned.done:
                await self._log.refused(wish, f"{len(turned.left_behind)} would be left behind")
            else:
                self._followed()
                issuing = turned.trusted[0].fingerprint
                _log.warning("CA rotated", step=step, issuing=issuing, left_behind=len(turned.left_behind))
            return authority_pb2.RotateResponse(
                done=turned.done,
                trusted=(
                    authority_pb2.TrustedAuthority(standing=one.standing, fingerprint=one.fingerprint)
                    for one in turned.trusted
                ),
                left_behind=(
                    authority_pb2.LeftBehind(kind=one.kind, name=one.name, why=one.why) for one in turned.left_behind
                ),
            )
        raise AssertionError("unreachable: an error has ended the call")


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a wish."""

    done: bool
    standing: tuple[tuple[str, str], ...]  # of each CA that is trusted now, and its fingerprint
    left_behind: tuple[LeftBehind, ...]


def rotate(admin_socket: Path, step: str, *, leave_behind: bool) -> Told:
    """Ask the collector that runs to take a step. Raises StartRefused."""
    number = next(number for number, name in _STEPS.items() if name == step)
    request = authority_pb2.RotateRequest(step=number, leave_behind=leave_behind)
    try:
        with grpc.insecure_channel(f"unix:{admin_socket}") as channel:
            stub = authority_pb2_grpc.AuthorityServiceStub(channel)
            answer = stub.Rotate(request, timeout=_WITHIN_S, metadata=logins.told())
    except grpc.RpcError as error:
        raise StartRefused(_sentence(admin_socket, error)) from error
    return Told(
        answer.done,
        tuple((one.standing, one.fingerprint) for one in answer.trusted),
        tuple(LeftBehind(one.kind, one.name, one.why) for one in answer.left_behind),
    )


def _sentence(admin_socket: Path, error: grpc.RpcError) -> str:
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    if code is grpc.StatusCode.UNAVAILABLE:
        return (
            f"no collector answers at {admin_socket}; start it, for it is what tells the hosts, or name its socket "
            "with --admin-socket"
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"the collector at {admin_socket} is of an older version; restart it"
    return ((error.details() if isinstance(error, grpc.Call) else "") or code.name).strip()
