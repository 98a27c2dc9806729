"""`make wire-record`: write down the wire as it is, for the release in the making. What breaks a recorded one is
refused."""

import sys

from recorded.differences import Wire, breaks
from recorded.releases import WIRE, present_release, recorded_releases, wire_of
from recorded.shape import files, lines


def main() -> int:
    """0 if it stands written, 1 if it breaks what was recorded."""
    present = lines(files())
    found = [
        f"{release.name}: {broken}"
        for release in recorded_releases()
        for broken in breaks(Wire.of(wire_of(release)), Wire.of(present))
    ]
    if found:
        print(
            "\n".join([*found, "not recorded: see docs/decisions/0023-what-may-change-on-the-wire.md"]), file=sys.stderr
        )
        return 1
    release = present_release()
    release.mkdir(exist_ok=True)
    (release / WIRE).write_text("".join(f"{line}\n" for line in present))
    print(f"{len(present)} facts in {release / WIRE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
