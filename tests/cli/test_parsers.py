"""What people type: times, lengths of time, ports, services, states."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from fleetnet_cli import services, times
from fleetnet_cli.errors import UsageError
from fleetnet_cli.ports import parse_ports
from fleetnet_cli.records import Net, PortRange
from fleetnet_cli.states import STATES, parse_state
from fleetnet_cli.targets import Target, parse_net, parse_target
from fleetnet_cli.users import parse_user
from hypothesis import given
from hypothesis import strategies as st

from cli import fleet

# Sunday 1 March 2026, 13:00 UTC
NOW = fleet.AS_OF_US
SERVICES = services.parse(fleet.SERVICES)


def iso(at_us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)).isoformat()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-02-28T14:00:00Z", "2026-02-28T14:00:00+00:00"),
        ("2026-02-28t14:00:00z", "2026-02-28T14:00:00+00:00"),
        ("2026-02-28 14:00:00+01:00", "2026-02-28T13:00:00+00:00"),
        ("2026-02-28T14:00:00.25-08:00", "2026-02-28T22:00:00.250000+00:00"),
        ("2026-02-28 14:00", "2026-02-28T14:00:00+00:00"),
        ("2026-02-28", "2026-02-28T00:00:00+00:00"),
        ("10m ago", "2026-03-01T12:50:00.123456+00:00"),
        ("2 hours ago", "2026-03-01T11:00:00.123456+00:00"),
        ("1h30m ago", "2026-03-01T11:30:00.123456+00:00"),
        ("1 day 2 hours ago", "2026-02-28T11:00:00.123456+00:00"),
        ("yesterday 14:00", "2026-02-28T14:00:00+00:00"),
        ("Yesterday", "2026-02-28T00:00:00+00:00"),
        ("today 9:05:07", "2026-03-01T09:05:07+00:00"),
        ("12:30", "2026-03-01T12:30:00+00:00"),
        ("@1772280000", "2026-02-28T12:00:00+00:00"),
        ("@1772280000.25", "2026-02-28T12:00:00.250000+00:00"),
        ("  now ", "2026-03-01T13:00:00.123456+00:00"),
    ],
)
def test_a_time_means_what_it_says(text: str, meant: str) -> None:
    assert iso(times.parse_time(text, NOW)) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [("1m", "1m ago"), ("2 hours", "2 hours ago"), ("1h30m", "1h30m ago"), ("1772280000", "@1772280000")],
)
def test_what_is_nearly_a_time_is_told_what_was_probably_meant(text: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f'^"{text}" is not a time; did you mean "{meant}"[?]$'):
        times.parse_time(text, NOW)


def test_a_time_without_a_zone_is_local_time(zone: Callable[[str], None]) -> None:
    zone("Europe/Berlin")
    assert iso(times.parse_time("2026-02-28 14:00", NOW)) == "2026-02-28T13:00:00+00:00"
    assert iso(times.parse_time("2025-07-01 14:00", NOW)) == "2025-07-01T12:00:00+00:00"
    assert iso(times.parse_time("yesterday 14:00", NOW)) == "2026-02-28T13:00:00+00:00"
    assert times.local(NOW) == "2026-03-01 14:00:00"
    assert times.zone_name() == "CET/CEST"


def test_yesterday_is_the_day_before_on_the_local_calendar(zone: Callable[[str], None]) -> None:
    zone("Asia/Tokyo")  # where it is already 22:00
    assert iso(times.parse_time("yesterday 23:30", NOW)) == "2026-02-28T14:30:00+00:00"


@pytest.mark.parametrize(
    "text",
    ["", "soon", "ago", "10 ago", "10 parsecs ago", "-5m ago", "yesterday 25:00", "2026-13-01", "2026-02-30", "14:00Z",
     "99999999999w ago", "1969-01-01", "٢٠٢٦-01-01", "2026-01-01T10:00:00+99:99", "today noon"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(UsageError, match='is not a time; write it like one of "2026-03-01 14:00"'):
        times.parse_time(text, NOW)


def test_the_future_cannot_be_asked_about() -> None:
    with pytest.raises(UsageError, match="lies in the future"):
        times.parse_time("2026-03-01T13:01:00Z", NOW)


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 3),
        max_value=datetime(2026, 2, 27),
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_every_moment_in_rfc_3339_is_that_moment(moment: datetime) -> None:
    at_us = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert times.parse_time(moment.isoformat(), NOW) == at_us


@given(st.integers(1, NOW))
def test_a_time_written_for_programs_reads_back(at_us: int) -> None:
    written = times.utc(at_us)
    assert written is not None
    assert times.parse_time(written, NOW) == at_us


@given(st.integers(0, 20_000), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), (" days", 86400)]))
def test_ago_counts_back_from_now(count: int, unit: tuple[str, int]) -> None:
    name, seconds = unit
    assert times.parse_time(f"{count}{name} ago", NOW) == NOW - count * seconds * times.SECOND_US


@given(st.text() | st.from_regex(r"[0-9 :TZ+.\-a-z]{0,30}"))
def test_any_text_is_a_time_or_an_error_in_one_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert 0 < times.parse_time(text, NOW) <= NOW + 5 * times.SECOND_US


@given(st.integers(0, 400), st.integers(0, 59), st.integers(1, 59))
def test_lengths_of_time_add_up(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m {seconds} seconds"
    assert times.parse_duration(text) == (hours * 3600 + minutes * 60 + seconds) * times.SECOND_US


@pytest.mark.parametrize("text", ["", "0s", "2", "m", "2x", "-2m", "1.5h", "\uff12m"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a length of time"):
        times.parse_duration(text)


def test_a_bare_number_is_taken_for_seconds_in_the_suggestion_only() -> None:
    with pytest.raises(UsageError, match='did you mean "120s"'):
        times.parse_duration("120")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (86400, "24 h"), (2 * 86400, "2 d"), (-5, "0 s")],
)
def test_an_age_is_said_in_one_unit(seconds: int, said: str) -> None:
    assert times.age(seconds * times.SECOND_US) == said


def test_a_clock_beyond_the_calendar_does_not_end_an_answer() -> None:
    assert times.utc(2**63 - 1) is not None
    assert times.local(2**63 - 1)


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_ports_and_ranges_read_back(a: int, b: int) -> None:
    first, last = sorted((a, b))
    assert parse_ports(str(a), SERVICES) == (PortRange(a, a),)
    assert parse_ports(f"{first}-{last}", SERVICES) == (PortRange(first, last),)


@given(st.text())
def test_any_text_is_ports_or_an_error_in_one_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert all(1 <= r.first <= r.last <= 65535 for r in parse_ports(text, SERVICES))


@given(st.lists(st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(sorted), min_size=1, max_size=5))
def test_several_ports_read_back_with_commas_between_them(ranges: list[list[int]]) -> None:
    text = ",".join(f"{first}-{last}" for first, last in ranges)
    assert parse_ports(text, SERVICES) == tuple(PortRange(first, last) for first, last in ranges)


def test_a_service_is_its_port_by_name_or_alias_in_any_case() -> None:
    assert parse_ports("https", SERVICES) == (PortRange(443, 443),)
    assert parse_ports("WWW", SERVICES) == (PortRange(80, 80),)


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("0", "ports are 1 to 65535"),
        ("65536", "ports are 1 to 65535"),
        ("9000-8000", 'did you mean "8000-9000"'),
        ("htps", 'did you mean "https"'),
        ("quux", "give a number, a range such as 8000-8999, or a name"),
        ("٤٤٣", "is not a port"),
        ("-1", "is not a port"),
    ],
)
def test_a_wrong_port_says_what_would_be_right(text: str, way_out: str) -> None:
    with pytest.raises(UsageError, match=way_out):
        parse_ports(text, SERVICES)


def test_the_first_name_counts_and_netstat_takes_the_last() -> None:
    table = services.parse("old 99/tcp\nnew 99/tcp\nother 99/udp\nnonsense\nbad x/tcp\nbig 70000/tcp\n")
    assert table.name(99, "tcp") == "old"
    assert table.last_names[99, "tcp"] == "new"
    assert table.name(99, "udp") == "other"
    assert "big" not in table.ports


_ALL = PortRange(443, 443)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10.0.0.5", Target(Net("10.0.0.5", 32))),
        ("10.0.0.5:5432", Target(Net("10.0.0.5", 32), ports=(PortRange(5432, 5432),))),
        ("10.0.0.5:https,8000-8010", Target(Net("10.0.0.5", 32), ports=(_ALL, PortRange(8000, 8010)))),
        ("10.0.0.0/8", Target(Net("10.0.0.0", 8))),
        ("10.0.0.0/8:443", Target(Net("10.0.0.0", 8), ports=(_ALL,))),
        ("::1", Target(Net("::1", 128))),
        ("2001:db8::1:443", Target(Net("2001:db8::1:443", 128))),
        ("[2001:db8::1]", Target(Net("2001:db8::1", 128))),
        ("[2001:db8::1]:443", Target(Net("2001:db8::1", 128), ports=(_ALL,))),
        ("2001:db8::/32", Target(Net("2001:db8::", 32))),
        ("2001:db8::/32:443", Target(Net("2001:db8::", 32), ports=(_ALL,))),
        ("[2001:db8::/32]:443", Target(Net("2001:db8::", 32), ports=(_ALL,))),
        ("[2001:db8::]/32:443", Target(Net("2001:db8::", 32), ports=(_ALL,))),
        ("::ffff:10.0.0.5", Target(Net("::ffff:10.0.0.5", 128))),
        (":443", Target(ports=(_ALL,))),
        ("web1", Target(host="web1")),
        ("db-01.example.com:443", Target(host="db-01.example.com", ports=(_ALL,))),
        ("12", Target(host="12")),
    ],
)
def test_a_target_is_what_it_says(text: str, meant: Target) -> None:
    found = parse_target(text, SERVICES)
    assert (found.host, found.ports) == (meant.host, meant.ports)
    assert (found.net and _packed(found.net)) == (meant.net and _packed(meant.net))


def _packed(net: Net) -> tuple[bytes, int]:
    return ip_address(net.address).packed, net.prefix_bits


_ADDRESSES = st.ip_addresses()
_PORTS = st.integers(1, 65535)


@given(_ADDRESSES, st.integers(0, 128), _PORTS)
def test_every_address_and_net_reads_back_with_a_port_and_without(
    address: IPv4Address | IPv6Address, bits: int, port: int
) -> None:
    bits = min(bits, address.max_prefixlen)
    alone, net = Net(str(address), address.max_prefixlen), Net(str(address), bits)
    ports = (PortRange(port, port),)
    with_port = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    assert parse_target(str(address), SERVICES) == Target(alone)
    assert parse_target(with_port, SERVICES) == Target(alone, ports=ports)
    assert parse_target(f"{address}/{bits}", SERVICES) == Target(net)
    assert parse_target(f"{address}/{bits}:{port}", SERVICES) == Target(net, ports=ports)
    assert parse_target(f"[{address}/{bits}]:{port}", SERVICES) == Target(net, ports=ports)
    assert (parse_net(str(address)), parse_net(f"{address}/{bits}")) == (alone, net)


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("", "is no address, no net and no name of a host"),
        (":", "no port behind it"),
        ("10.0.0.300", "is no address"),
        ("10.0.0", "is no address"),
        ("10.0.0.5:", "no port behind it; write it as 10.0.0.5:5432"),
        ("10.0.0.5:0", "ports are 1 to 65535"),
        ("10.0.0.5:htps", 'did you mean "https"'),
        ("10.0.0.0/33", "it is 0 to 32"),
        ("10.0.0.0/255.0.0.0", "it is 0 to 32"),
        ("10.0.0.0/", "it is 0 to 32"),
        ("web1/8", "is no address and no net"),
        ("[2001:db8::/32]/32:443", "two lengths"),
        ("[web1]:443", "is no address and no net"),
        ("[::1", "is no address, no net"),
        ("fe80::1%eth0", "leave it out"),
        ("2001:db8::1::443", "is no address, no net"),
        ("Web 1", "is no address, no net"),
    ],
)
def test_what_is_no_target_says_what_would_be_one(text: str, way_out: str) -> None:
    with pytest.raises(UsageError, match=way_out):
        parse_target(text, SERVICES)


@given(st.text() | st.from_regex(r"[0-9a-f:./\[\]%,-]{0,30}"))
def test_any_text_is_a_target_or_an_error_in_one_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        found = parse_target(text, SERVICES)
        assert found.net or found.host or found.ports
    with contextlib.suppress(UsageError):
        net = parse_net(text)
        assert 0 <= net.prefix_bits <= ip_address(net.address).max_prefixlen


# Every state as netstat(8) and ss(8) print it.
_NETSTAT = ["ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
            "LAST_ACK", "LISTEN", "CLOSING"]  # fmt: skip
_SS = ["ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN", "CLOSE-WAIT", "LAST-ACK",
       "LISTEN", "CLOSING"]  # fmt: skip


@pytest.mark.parametrize(("netstat", "ss"), list(zip(_NETSTAT, _SS, strict=True)))
def test_both_spellings_of_a_state_mean_the_same(netstat: str, ss: str) -> None:
    assert parse_state(netstat) == parse_state(ss) == netstat


@given(st.sampled_from(_NETSTAT + _SS), st.data())
def test_case_and_hyphens_of_a_state_do_not_matter(word: str, data: st.DataObject) -> None:
    mixed = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in word)
    swapped = mixed.replace("-", data.draw(st.sampled_from(["-", "_", ""])))
    assert parse_state(swapped) == parse_state(word)


@given(st.text())
def test_any_text_is_a_state_or_an_error_in_one_sentence(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_state(text) in STATES


def test_a_misspelt_state_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match='did you mean "CLOSE_WAIT"'):
        parse_state("CLOSE_WIAT")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("https-alt", "explain calls 8443 that: give 8443"),
        ("Grafana", "explain calls 3000 that: give 3000"),
        ("kubelet", "explain calls 10250 and 10255 that: give 10250,10255"),
    ],
)
@pytest.mark.parametrize("known", [SERVICES, services.parse("")])
def test_a_name_that_only_explain_has_is_told_with_its_port(name: str, said: str, known: services.Services) -> None:
    with pytest.raises(UsageError, match=f'^"{name}" is no service of /etc/services; {said}$'):
        parse_ports(name, known)


@pytest.mark.parametrize("user", ["0", "1000"])
def test_a_user_is_named_and_not_numbered(user: str) -> None:
    with pytest.raises(UsageError, match=f"^--user {user}: .* give the name"):
        parse_user(user)
    assert (parse_user("root"), parse_user("")) == ("root", "")
