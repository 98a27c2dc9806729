"""What an answer shows of a host that was labelled."""

from fleetnet_cli.labels import as_json, listed
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import LabelledHost


def presentation() -> Presentation[LabelledHost]:
    """Hosts with their labels."""
    return Presentation(
        kind="LabelledHostList",
        as_json=lambda h: {"host": h.host, "labels": as_json(h.labels), "changed": h.changed},
        columns=(
            Column("HOST", lambda h: h.host),
            Column("LABELS", lambda h: listed(h.labels)),
        ),
        nothing="no host labelled",
        host_of=lambda h: h.host,
        fields=("host", "labels", "changed"),
        cells={"labels": cell},
    )


def cell(labels: dict[str, str]) -> str:
    """A cell of `-o csv`: `env=prod role=web`."""
    return " ".join(f"{key}={value}" for key, value in labels.items())
