"""What was recorded of each release, in a folder of its version: its wire and its streams."""

from pathlib import Path
from typing import Final

from fleetnet_agent.version import VERSION

HERE: Final = Path(__file__).resolve().parent
WIRE: Final = "wire.txt"


def recorded_releases() -> list[Path]:
    """The folders, oldest release first."""
    return sorted((wire.parent for wire in HERE.glob(f"*/{WIRE}")), key=_version)


def present_release() -> Path:
    """The folder of the release in the making; it may not be there yet."""
    return HERE / VERSION


def wire_of(release: Path) -> list[str]:
    """The lines of shape.py."""
    return (release / WIRE).read_text().splitlines()


def _version(release: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in release.name.split("."))
