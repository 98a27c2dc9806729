"""Labels as they are typed, and `fleetnet host label`."""

import json
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cli.canned import Canned, serve
from cli.conftest import Ran
from fleetnet_cli import labels
from fleetnet_cli.errors import UsageError
from fleetnet_cli.records import Label
from fleetnet_proto.v1 import admin_pb2, query_pb2

WEB, PROD = Label("role", "web"), Label("env", "prod")


def test_hosts_and_labels_may_stand_in_any_order() -> None:
    wish = labels.parse_wish(["role=web", "Web1", "old-", "db1", "web1", "env=prod", "role=web", "old-"])
    assert wish == labels.Wish(("web1", "db1"), (WEB, PROD), ("old",))
    assert labels.parse_wish(["x.y/z-1=a=b"]).given == (Label("x.y/z-1", "a=b"),)


def test_a_label_is_asked_for_by_its_key_or_by_its_value_too() -> None:
    assert labels.parse_asked(["role=web", "env", "role=web"]) == (WEB, Label("env"))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("role=", '"role=" says nothing of role; write it as role=VALUE'),
        ("=web", "the key of a label is"),
        ("Role=web", 'did you mean "role"?'),
        ("a_=b", "with a letter or digit at both ends"),
        ("role=a b", "no space and no comma"),
        ("role=a,b", "no space and no comma"),
        ("role=a\x1b", "printable"),
        ("role=" + "x" * 129, "1 to 128"),
        ("k" * 65 + "=x", "1 to 64"),
    ],
)
def test_what_is_no_label_is_told_why(word: str, said: str) -> None:
    for parse in (labels.parse_asked, labels.parse_given, labels.parse_wish):
        with pytest.raises(UsageError) as refused:
            parse([word])
        assert said in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["web1"], "say which labels, as in: fleetnet host label web1 role=web"),
        (["role=web"], "say which hosts, as in: fleetnet host label web1 role=web"),
        (["web1", "role=web", "role=db"], "a host has one value of role"),
        (["web1", "role=web", "role-"], "given and its key is taken at once"),
        (["web1", "Role-"], 'did you mean "role"?'),
        (["web1", "role=web", "--host", "web*"], '"web1" is named beside --host'),
        ([], "missing argument"),
    ],
)
def test_what_makes_no_sense_is_2_and_nobody_is_asked(
    arguments: list[str], said: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("host", "label", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert canned.asked == []


def test_one_host_is_shown_with_its_labels_and_of_many_their_number_is_told(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    assert fleetnet("host", "label", "db1", "role=db").out == "db1: env=prod, role=db, as before\n"
    assert fleetnet("host", "label", "DB1", "role=web", "env-").out == "db1: role=web\n"
    assert fleetnet("host", "label", "web1", "role-").out == "web1: no labels\n"
    assert fleetnet("host", "label", "--host", "web*", "x=1").out == "2 hosts labelled\n"
    assert fleetnet("host", "label", "--host", "*", "role=web").out == "4 hosts labelled, 1 of them as before\n"
    assert fleetnet("host", "label", "-q", "db1", "x=1").out == ""
    asked = canned.asked[1]
    assert asked == admin_pb2.LabelHostsRequest(
        hosts=["db1"], set=[query_pb2.Label(key="role", value="web")], remove=["env"]
    )


def test_where_a_pattern_matches_no_host_nothing_is_changed_and_that_is_1(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("host", "label", "--host", "web*", "--host", "mail*", "--host", "x", "role=web")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == 'no host matches "mail*" or "x"; nothing was changed; "fleetnet hosts" lists them\n'


@pytest.mark.usefixtures("canned")
def test_an_unknown_host_is_2_and_its_nearest_name_is_told(fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("host", "label", "web11", "role=web")
    assert ran.status == 2
    assert 'no host "web11" in this fleet, did you mean "web1"?' in ran.err


def test_a_host_that_is_called_as_a_command_is_shown_by_its_whole_name(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.hosts.append(query_pb2.HostItem(host="label"))
    assert fleetnet("host", "show", "label").out.startswith("label\n")
    assert fleetnet("host", "web1").out == fleetnet("host", "show", "web1").out
    assert fleetnet("host", "-o", "json", "web1").out == fleetnet("host", "show", "web1", "-o", "json").out


class Older(Canned):
    """One of before hosts had labels."""

    def CreateToken(  # noqa: N802  # the name in the .proto
        self, request: admin_pb2.CreateTokenRequest, context: grpc.ServicerContext
    ) -> admin_pb2.CreateTokenResponse:
        made = super().CreateToken(request, context)
        del made.labels[:]
        return made


def test_a_collector_that_passes_over_the_labels_of_a_token_has_its_token_thrown_away(
    canned: Canned, fleetnet: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fleetnet("token", "create", "--host", "web1", "--label", "role=web", "-o", "json")
    assert json.loads(made.out)["items"][0]["labels"] == {"role": "web"}
    end = serve(Older(), tmp_path / "older.sock")
    monkeypatch.setenv("FLEETNET_SERVER", f"unix://{tmp_path / 'older.sock'}")
    try:
        ran = fleetnet("token", "create", "--host", "web1", "--label", "role=web")
        assert (ran.status, ran.out) == (2, "")
        assert "does not know labels of tokens; upgrade fleetnet-server" in ran.err
        assert fleetnet("token", "create", "--host", "web1").status == 0
    finally:
        end()
