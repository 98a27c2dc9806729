"""`config explain`: each setting with the one that really counts, and who said so; and no secret."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import Ran
from cli.loading import loaded
from fleetnet_cli.settings import Written, line_of

FILE = """\
# mine
context = "home"
pasword = "hunter2"

[contexts.home]
server = "unix:///home.sock"
[contexts."a.b"]
toekn = "hunter2"
server = "unix:///dotted.sock"
[contexts]
lab = { server = "unix:///lab.sock" }
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own file, and none of the machine."""
    monkeypatch.setattr("fleetnet_cli.settings.SYSTEM_FILE", tmp_path / "cli.toml")
    path = tmp_path / "config/fleetnet/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(FILE)
    return path


@pytest.fixture
def said(fleetnet: Callable[..., Ran]) -> Callable[..., dict[str, tuple[str | None, str]]]:
    """Each setting of a document with its value and who said it."""

    def ask(*arguments: str) -> dict[str, tuple[str | None, str]]:
        items = json.loads(fleetnet(*arguments, "-o", "json").out)["items"]
        return {" ".join(filter(None, (i["command"], i["setting"]))): (i["value"], i["from"]) for i in items}

    return ask


Said = Callable[..., dict[str, tuple[str | None, str]]]


def test_without_any_word_all_is_default(
    fleetnet: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetnet_cli.settings.SYSTEM_FILE", tmp_path / "cli.toml")
    ran = fleetnet("config", "explain")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        "SETTING    VALUE                            FROM\n"
        "--output   table                            default\n"
        "--at       -                                default\n"
        "--since    -                                default\n"
        "--until    -                                default\n"
        "--host     -                                default\n"
        "--label    -                                default\n"
        "--max-age  2m                               default\n"
        "--limit    -                                default\n"
        "--quiet    -                                default\n"
        "--server   unix:///run/fleetnet/admin.sock  default\n"
        "--context  -                                default\n"
        "--timeout  20s                              default\n"
    )


def test_an_option_outranks_the_environment_and_that_the_file(
    mine: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("config", "explain")["--context"] == ("home", f"{mine}:2")
    assert said("config", "explain")["--server"] == ("unix:///home.sock", f"{mine}:6")
    monkeypatch.setenv("FLEETNET_CONTEXT", "lab")
    assert said("config", "explain")["--context"] == ("lab", "environment, FLEETNET_CONTEXT")
    assert said("config", "explain")["--server"] == ("unix:///lab.sock", f"{mine}:11")
    assert said("config", "explain", "--context", "a.b")["--server"] == ("unix:///dotted.sock", f"{mine}:9")
    assert said("--context", "home", "config", "explain")["--context"] == ("home", "option")
    monkeypatch.setenv("FLEETNET_SERVER", "/named.sock")
    settings = said("config", "explain")
    assert settings["--server"] == ("unix:///named.sock", "environment, FLEETNET_SERVER")
    assert settings["--context"][1] == "environment, FLEETNET_CONTEXT; not used, for the server is named"


def test_a_typed_context_and_what_it_leaves_unused_are_told(
    mine: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETNET_SERVER", "/named.sock")
    settings = said("config", "explain", "--context", "lab")
    assert settings["--context"] == ("lab", "option")
    assert settings["--server"] == (
        "unix:///lab.sock",
        f"{mine}:11; not environment, FLEETNET_SERVER, for --context is typed",
    )
    settings = said("config", "explain", "--context", "lab", "--server", "/typed.sock")
    assert settings["--server"] == ("unix:///typed.sock", "option")
    assert settings["--context"] == ("lab", "option; not used, for the server is named")


def test_the_file_of_the_machine_counts_where_the_users_has_no_word(mine: Path, said: Said, tmp_path: Path) -> None:
    mine.unlink()
    (tmp_path / "cli.toml").write_text('\nserver = "unix:///all.sock"\n')
    assert said("config", "explain")["--server"] == ("unix:///all.sock", f"{tmp_path}/cli.toml:2")


def test_what_is_said_is_what_a_question_would_use(
    mine: Path, said: Said, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in ((), ("--context", "lab"), ("--server", "unix:///given.sock")):
        value, _ = said("config", "explain", *arguments)["--server"]
        assert value is not None
        assert f"no collector at {value.removeprefix('unix://')};" in fleetnet("hosts", *arguments).err


def test_a_document_has_the_options_of_all_commands_and_a_table_those_that_are_set(
    mine: Path, said: Said, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETNET_WHO_HOLDS_MIN", "3")
    settings = said("config", "explain")
    assert settings["who-holds --min"] == ("3", "environment, FLEETNET_WHO_HOLDS_MIN")
    assert settings["token create --ttl"] == ("1h", "default")
    assert settings["netstat --programs"] == (None, "default")
    out = fleetnet("config", "explain").out
    assert "who-holds --min " in out
    assert "netstat" not in out


def test_what_nobody_reads_is_named_without_its_value(
    mine: Path, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETNET_OUTPTU", "hunter2")
    monkeypatch.setenv("FLEETNET_AGENT_SERVER", "of another program")
    for arguments in (("config", "explain"), ("config", "explain", "-o", "json")):
        ran = fleetnet(*arguments)
        assert "hunter2" not in ran.out + ran.err
        assert f"{mine}:3, read by nobody" in ran.out
        assert f"{mine}:8, read by nobody" in ran.out
        assert "FLEETNET_AGENT" not in ran.out
    assert 'FLEETNET_OUTPTU: did you mean "FLEETNET_OUTPUT"?' in fleetnet("config", "explain").out


def test_a_password_in_an_address_is_not_repeated(
    fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETNET_SERVER", "https://me:hunter2@collector:7443")
    for arguments in (("hosts",), ("config", "explain")):
        ran = fleetnet(*arguments)
        assert ran.status == 2
        assert "//…@collector:7443" in ran.err
        assert "hunter2" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('contexts.x.server = "unix:///a"', 1),
        ('\n[contexts]\nx = { server = "unix:///a" }', 3),
        ("[ contexts . 'x' ]\n# server = 1\nserver='unix:///a'", 3),
        ('contexts = { x = { server = "unix:///a" } }', 1),
    ],
)
def test_a_key_is_found_however_it_is_written(content: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(content)
    assert line_of(Written("unix:///a", path, ("contexts", "x", "server"))) == line


def test_it_asks_no_collector() -> None:
    status, modules = loaded("config", "explain")
    assert status == 0
    assert not modules & {"grpc", "google", "rich", "pydantic"}
