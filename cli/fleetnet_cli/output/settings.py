"""What is shown of a setting. A value may be long or odd; tables make it safe, documents have it as it is."""

from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import Setting


def presentation() -> Presentation[Setting]:
    """Settings of this machine, so no coverage is spoken of."""
    return Presentation(
        kind="SettingList",
        as_json=_as_json,
        columns=(
            Column("SETTING", lambda s: f"{s.command} {s.name}".strip()),
            Column("VALUE", lambda s: s.value or "", least=16),
            Column("FROM", lambda s: s.origin),
        ),
        nothing="there is nothing to set",
        note=_note,
        of_hosts=False,
        fields=("setting", "command", "value", "from", "environment", "did_you_mean"),
    )


def _as_json(setting: Setting) -> dict[str, object]:
    return {
        "setting": setting.name,
        "command": setting.command or None,
        "value": setting.value,
        "from": setting.origin,
        "environment": setting.twin or None,
        "did_you_mean": setting.close,
    }


def _note(setting: Setting) -> str | None:
    return f'{setting.name}: did you mean "{setting.close}"?' if setting.close else None
