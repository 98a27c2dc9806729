"""What is shown of what a doctor found: a line for each thing, as the doctors of agent and collector have them."""

from collections.abc import Iterable

from fleetnet_cli.doctor.finding import OK, PROBLEM, WARNING, Finding
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import GREEN, RED, YELLOW, Terminal
from fleetnet_cli.text import visible

_COLOURS = {OK: GREEN, WARNING: YELLOW, PROBLEM: RED}
_WIDTH = 8  # of the verdict, as in the other doctors


def write(findings: Iterable[Finding], out: Terminal, *, quiet: bool) -> None:
    """A line for each; with `quiet` none for what is well."""
    for one in findings:
        if quiet and one.verdict == OK:
            continue
        todo = f"; {one.todo}" if one.todo else ""
        verdict = out.paint(one.verdict.ljust(_WIDTH), _COLOURS[one.verdict])
        out.write(f"{verdict}{visible(f'{one.topic}: {one.words}{todo}')}\n")


def presentation() -> Presentation[Finding]:
    """For documents."""
    return Presentation(
        kind="DoctorReport",
        as_json=lambda f: {"topic": f.topic, "verdict": f.verdict, "words": f.words, "todo": f.todo or None},
        columns=(),
        nothing="",
        of_hosts=False,
        fields=("topic", "verdict", "words", "todo"),
    )
