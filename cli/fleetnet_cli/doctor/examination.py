"""All that is looked at, in the order in which one thing needs the other. Nothing that is wrong stops what can still be
looked at."""

from collections.abc import Iterator

from fleetnet_cli import exits, settings
from fleetnet_cli.asking import connect
from fleetnet_cli.doctor import configuration, way
from fleetnet_cli.doctor.finding import PROBLEM, Finding, failed
from fleetnet_cli.errors import CliError
from fleetnet_cli.options import Common


def of(common: Common) -> Iterator[Finding]:
    """What is found, one after the other."""
    yield from configuration.findings(common, settings.this_machine())
    if common.broken is not None:
        return
    on_the_way = list(way.findings(common.destination))
    yield from on_the_way
    # A socket that is open to all is a problem, and a way all the same.
    if any(one.status in (exits.DENIED, exits.UNREACHABLE) for one in on_the_way):
        return
    from fleetnet_cli.doctor import collector, fleet  # with gRPC, which is not needed where there is no way

    try:
        asked = connect(common)
    except CliError as error:
        yield failed("collector", error)
        return
    with asked:
        about_it = list(collector.findings(asked))
        yield from about_it
        if not any(one.topic == "collector" and one.verdict == PROBLEM for one in about_it):
            yield from fleet.findings(asked)
