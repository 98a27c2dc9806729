"""Every error that can reach a client has a status code, and one that somebody chose."""

import asyncio
from typing import Any, cast

import grpc
import pytest
from fleetnet_server import errors
from fleetnet_server.rpc import status
from fleetnet_server.services.health import Health

# These end a start; no call is open then.
_BEFORE_SERVING = {errors.StartRefused, errors.ConfigError, errors.AuthorityError}


def tree(root: type[errors.ServerError]) -> list[type[errors.ServerError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in tree(child))]


def made(kind: type[errors.ServerError]) -> errors.ServerError:
    return kind() if kind is errors.TokenRefused else kind("a sentence")


LEAVES = [kind for kind in tree(errors.ServerError) if not kind.__subclasses__() and kind not in _BEFORE_SERVING]


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_a_code_of_its_own(kind: type[errors.ServerError]) -> None:
    assert status.code_of(made(kind)) is status.CODES[kind]


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_no_error_is_told_in_the_words_of_a_broken_connection(kind: type[errors.ServerError]) -> None:
    # UNAVAILABLE, UNKNOWN and CANCELLED are what gRPC itself says when the collector is not there. For a live look the
    # contract says UNAVAILABLE, with a sentence, where the agent is not there.
    if kind is errors.AgentAway:
        assert status.code_of(made(kind)) is grpc.StatusCode.UNAVAILABLE
        return
    assert status.code_of(made(kind)) not in {
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
    }


def test_a_new_error_takes_after_its_parent() -> None:
    class FencedTwiceError(errors.Fenced):
        """Not in the table."""

    assert status.code_of(FencedTwiceError("a sentence")) is grpc.StatusCode.ABORTED
    assert status.code_of(errors.ServerError("a sentence")) is grpc.StatusCode.INTERNAL


def test_the_table_holds_nothing_that_is_not_in_the_tree() -> None:
    assert set(status.CODES) <= set(tree(errors.ServerError))


class _NotYetOver:
    """A call whose client is gone, and which does not know yet."""

    def cancelled(self) -> bool:
        return False

    done = cancelled


def test_a_write_to_a_client_that_is_gone_is_no_mistake_of_the_collectors(capsys: pytest.CaptureFixture[str]) -> None:
    async def write() -> None:
        async with status.errors_as_status(cast(Any, _NotYetOver()), Health()):
            # What gRPC raises where a message cannot be sent any more (ExecuteBatchError) is one of these.
            raise grpc.aio.BaseError('Failed "execute_batch"')

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(write())
    assert "failed inside" not in "".join(capsys.readouterr())
