"""Half a minute of `make fuzz`: whatever is said to a collector, it goes on, and tells of no mistake of its own."""

import time
from pathlib import Path

import grpc
import pytest
from fuzz import doors, seeds
from fuzz.campaign import WARM_ROUNDS, Campaign, grown
from server.running import Running

_SECONDS = 30.0


def test_every_method_of_every_service_is_called_by_the_campaign() -> None:
    assert set(seeds.REQUESTS) | {doors.REPORT} == set(doors.METHODS)
    for method, request in seeds.REQUESTS.items():
        assert request.DESCRIPTOR.full_name == doors.METHODS[method].input_type.full_name


# What comes of requests that are right, but for a thing, a host or a person that is not there.
NOT_THERE = {
    "fleetnet.v1.EnrollService/Enroll": grpc.StatusCode.UNAUTHENTICATED,
    "fleetnet.v1.EnrollService/EnrollPerson": grpc.StatusCode.UNAUTHENTICATED,
    "fleetnet.v1.EnrollService/Readmit": grpc.StatusCode.UNAUTHENTICATED,
    "fleetnet.v1.QueryService/Live": grpc.StatusCode.UNAVAILABLE,
    "fleetnet.v1.AdminService/RevokePerson": grpc.StatusCode.NOT_FOUND,
    "fleetnet.v1.AdminService/RevokeHosts": grpc.StatusCode.NOT_FOUND,
    "fleetnet.v1.AdminService/ForgetHosts": grpc.StatusCode.NOT_FOUND,
    "fleetnet.v1.AdminService/ApproveHosts": grpc.StatusCode.NOT_FOUND,
    "fleetnet.v1.AdminService/RevokeToken": grpc.StatusCode.INVALID_ARGUMENT,
}


def test_what_is_made_wrong_is_right_before(tmp_path: Path) -> None:
    collector = Running(tmp_path / "data")
    try:
        campaign = Campaign(collector, 1)
        collector.join(seeds.HOST)
        assert campaign.as_they_are() == dict.fromkeys(seeds.REQUESTS, grpc.StatusCode.OK) | NOT_THERE
    finally:
        collector.kill()


def test_what_grows_once_caches_are_full_is_told_from_what_fills_them() -> None:
    fills = [(number, min(number, WARM_ROUNDS) * 1_000 + (number % 100) * 5_000) for number in range(0, 2_500, 10)]
    leaks = [(number, bytes_ + number * 1_000) for number, bytes_ in fills]
    assert grown(fills[: WARM_ROUNDS // 10]) is None
    assert grown(fills) == 0
    assert grown(leaks) == 900_000


@pytest.mark.slow
def test_no_message_harms_a_collector(tmp_path: Path) -> None:
    collector = Running(tmp_path / "data")
    try:
        # Another seed each day finds more than the same one each time; what it was is in what pytest says.
        seed = int(time.time() // 86_400)
        campaign = Campaign(collector, seed)
        campaign.run(time.monotonic() + _SECONDS)
        assert campaign.told.rounds > 10, campaign.told
    finally:
        collector.kill()
