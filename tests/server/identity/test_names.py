"""What a host may be called."""

import pytest
from fleetnet_server.identity import names
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("name", ["a", "web1", "web-1.example.org", "0", "a_b", "a" * 253])
def test_a_name_is_a_name(name: str) -> None:
    assert names.is_host_name(name)
    assert names.host_of(names.uri_of(name)) == name


@pytest.mark.parametrize("name", ["", "Web1", "-a", "a-", ".a", "a.", "a b", "a/b", "a\n", "ä", "a" * 254, "a%2fb"])
def test_anything_else_is_not(name: str) -> None:
    assert not names.is_host_name(name)
    assert names.host_of(names.uri_of(name)) is None


@given(st.text())
def test_a_uri_of_another_form_names_nobody(uri: str) -> None:
    assert names.host_of(uri) is None or uri.startswith("spiffe://fleetnet/host/")
