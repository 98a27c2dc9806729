"""What an answer shows of protocol statistics, where it is not the table of netstat."""

from dataclasses import dataclass

from fleetnet_cli.live import Statistic
from fleetnet_cli.output.presentation import Column, Presentation

# Names of counters are the same everywhere.


@dataclass(frozen=True, slots=True)
class Place:
    """The host and namespace that counted."""

    host: str
    names: dict[int, str]  # of the host's namespaces, by inode


def presentation(place: Place) -> Presentation[Statistic]:
    """Counters of one host."""

    def as_json(one: Statistic) -> dict[str, object]:
        return {
            "host": place.host,
            "netns": place.names.get(one.netns, str(one.netns)),
            "netns_inode": one.netns or None,
            "group": one.group,
            "name": one.name,
            "value": one.value,
        }

    return Presentation(
        kind="StatisticList",
        as_json=as_json,
        columns=(
            Column("NETNS", lambda one: place.names.get(one.netns, str(one.netns))),
            Column("GROUP", lambda one: one.group),
            Column("NAME", lambda one: one.name),
            Column("VALUE", lambda one: str(one.value), right=True),
        ),
        nothing="no such statistics",
        fields=("host", "netns", "netns_inode", "group", "name", "value"),
    )
