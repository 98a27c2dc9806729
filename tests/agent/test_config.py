"""Where a setting comes from: option, environment, file, default; and what is said about one that makes no sense."""

import argparse
from pathlib import Path

import pytest
from fleetnet_agent import config
from fleetnet_agent.errors import AgentError


def settled(command: str, *words: str, environment: dict[str, str] | None = None) -> config.Settings:
    parser = argparse.ArgumentParser()
    config.add_options(parser, command)
    return config.settings(command, parser.parse_args(words), environment or {})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text('state = "/from/file"\nwith-helper = true\nhelper-socket = "/file.sock"\n')
    return path


def test_an_option_outranks_the_environment_which_outranks_the_file(file: Path) -> None:
    environment = {"FLEETNET_AGENT_STATE": "/from/environment"}
    both = ["--config", str(file), "--state", "/from/option"]
    assert settled("run", *both, environment=environment).state == Path("/from/option")
    assert settled("run", "--config", str(file), environment=environment).state == Path("/from/environment")
    assert settled("run", "--config", str(file)).state == Path("/from/file")
    assert settled("run").state == Path(config.DEFAULT_STATE)


def test_a_switch_of_the_file_can_be_taken_back(file: Path) -> None:
    assert settled("run", "--config", str(file)).with_helper
    assert not settled("run", "--config", str(file), "--no-with-helper").with_helper
    assert not settled("run", "--config", str(file), environment={"FLEETNET_AGENT_WITH_HELPER": "0"}).with_helper


def test_the_file_can_be_named_by_the_environment(file: Path) -> None:
    assert settled("run", environment={"FLEETNET_AGENT_CONFIG": str(file)}).helper_socket == Path("/file.sock")


@pytest.mark.parametrize("option", config.OPTIONS, ids=lambda o: o.key)
def test_every_option_has_a_twin_in_the_environment(option: config.Option) -> None:
    value = "1" if option.flag or option.number else option.choices[0] if option.choices else "some/value"
    found = settled(option.commands[0], environment={config.ENVIRONMENT_PREFIX + option.name.upper(): value})
    assert str(getattr(found, option.name)) == ("True" if option.flag else value)


def test_which_namespaces_to_read_is_left_to_the_host_unless_it_is_said() -> None:
    assert settled("run").namespaces == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("stat = 1", "sets 'stat', which no option means"),
        ("state = 1", "it is a text"),
        ('with-helper = "yes"', "it is true or false"),
        ('namespaces = "some"', "can be all or own"),
        ("state =", "is not TOML"),
        ('token = "fnt1.x"', "sets 'token', which no option means"),
    ],
)
def test_a_file_that_makes_no_sense_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(AgentError, match=sentence):
        settled("run", "--config", str(path))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="does not exist"):
        settled("run", "--config", str(tmp_path / "none.toml"))


@pytest.mark.parametrize(("name", "value"), [("WITH_HELPER", "maybe"), ("NAMESPACES", "some")])
def test_an_environment_value_that_makes_no_sense_is_a_sentence(name: str, value: str) -> None:
    with pytest.raises(AgentError, match=f"FLEETNET_AGENT_{name} is '{value}'"):
        settled("run", environment={f"FLEETNET_AGENT_{name}": value})


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", str(2**31)])
def test_a_buffer_that_makes_no_sense_is_a_sentence(value: str) -> None:
    with pytest.raises(AgentError, match="number of bytes"):
        settled("run", f"--events-buffer-bytes={value}")


@pytest.mark.parametrize("option", ["--cpu-ceiling-percent", "--memory-ceiling-mib"])
@pytest.mark.parametrize("value", ["-1", "much", "1e3", "nan", "1.", "٣", "9999999"])
def test_a_ceiling_that_makes_no_sense_is_a_sentence(option: str, value: str) -> None:
    with pytest.raises(AgentError, match=f"{option} is '{value}', but it is a number from 0"):
        settled("run", f"{option}={value}")


def test_ceilings_are_5_percent_of_a_core_and_96_mib_and_can_be_taken_away() -> None:
    assert (settled("run").cpu_ceiling_percent, settled("run").memory_ceiling_mib) == (5, 96)
    none = settled("run", "--cpu-ceiling-percent=0", "--memory-ceiling-mib=0.0")
    assert (none.cpu_ceiling_percent, none.memory_ceiling_mib) == (0, 0)


def test_a_spool_has_64_mib_or_what_is_said_or_none() -> None:
    assert (settled("run").spool_size, settled("run", "--spool-size=0").spool_size) == (64, 0)
    assert settled("doctor", environment={"FLEETNET_AGENT_SPOOL_SIZE": "1.5"}).spool_size == 1.5


@pytest.mark.parametrize("value", ["0.5", "-1", "64M", "much"])
def test_a_spool_size_that_makes_no_sense_is_a_sentence(value: str) -> None:
    with pytest.raises(AgentError, match=f"--spool-size is '{value}', but it is"):
        settled("run", f"--spool-size={value}")
