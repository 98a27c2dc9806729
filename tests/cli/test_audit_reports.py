"""`fleetnet audit` for machines: SARIF and JUnit's reports are what their schemas ask for, whatever stands in them."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from cli.interchange import check_junit, check_sarif
from cli.test_audit import LISTENER
from fleetnet_cli.audit import junit, sarif
from fleetnet_cli.audit.judge import NOT_JUDGED, VIOLATED, Finding, Judged
from fleetnet_cli.audit.policy import SEVERITIES, Policy, Rule
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError
from xmlschema import XMLSchemaValidationError

from cli import fleet

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
RULES = st.builds(Rule, name=TEXT, says=st.just("forbid"), severity=st.sampled_from(SEVERITIES), why=TEXT)
SOCKETS = st.builds(lambda **said: replace(LISTENER, **said), host=TEXT, netns=TEXT, interface=TEXT)


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    return Finding(
        draw(RULES), draw(TEXT), draw(st.sampled_from([VIOLATED, NOT_JUDGED])), draw(TEXT), draw(st.none() | SOCKETS)
    )


@given(st.lists(findings(), max_size=3, unique_by=lambda finding: finding.rule.name), TEXT, TEXT, st.booleans())
def test_whatever_hosts_and_policies_are_called_both_are_valid(
    found: list[Finding], source: str, coverage: str, whole: bool
) -> None:
    rules = tuple(finding.rule for finding in found)
    source = source.encode(errors="replace").decode()  # as a name of a file comes in
    check_sarif(sarif.write(Policy(source, rules), found, "1.0", coverage, whole))
    judged = [Judged(finding.rule, finding.host, (finding,)) for finding in found]
    check_junit(junit.write(rules, judged, coverage, whole))


def test_the_schemas_refuse_what_is_wrong() -> None:
    text = sarif.write(Policy("p", ()), (), "1.0", "", True)
    with pytest.raises(ValidationError):
        check_sarif(text.replace('"executionSuccessful"', '"successful"'))
    text = junit.write((), (), "", True)
    with pytest.raises(XMLSchemaValidationError):
        check_junit(text.replace('tests="1" ', ""))


@pytest.fixture
def audited(canned: Canned, fleetnet: Callable[..., Ran], tmp_path: Path) -> Callable[..., Ran]:
    """A policy held against web1, which is fresh and serves 443 and 80."""
    canned.hosts = [host for host in fleet.hosts() if host.host == "web1"]
    canned.hosts[0].fresh = True

    def run(rules: str, *options: str) -> Ran:
        (tmp_path / "p.toml").write_text(rules)
        return fleetnet("audit", str(tmp_path / "p.toml"), *options)

    return run


def fingerprints(ran: Ran) -> list[str]:
    (run,) = json.loads(ran.out)["runs"]
    return [result["partialFingerprints"]["finding/v1"] for result in run["results"]]


def test_findings_that_differ_in_a_number_alone_are_several(audited: Callable[..., Ran]) -> None:
    missing = audited("[[rule]]\nname = 'r'\nexpect = [{port = 22}, {port = 2222}]", "-o", "sarif")
    assert len(set(fingerprints(missing))) == 2


def test_a_finding_stays_the_same_while_its_count_changes(canned: Canned, audited: Callable[..., Ran]) -> None:
    limited = "[[rule]]\nname = 'r'\nat_most = { LISTEN = 0 }"
    once = fingerprints(audited(limited, "-o", "sarif"))
    canned.sockets = [*canned.sockets, canned.sockets[-1]]
    assert fingerprints(audited(limited, "-o", "sarif")) == once != []


def test_a_failure_begins_with_what_is_violated_and_ends_with_why(audited: Callable[..., Ran]) -> None:
    expected = "expect = [{port = 80, process = 'nginx'}, {port = 2222}]"  # who holds 80 was not to be seen
    ran = audited(f"[[rule]]\nname = 'r'\nwhy = 'asked for'\n{expected}", "-o", "junit")
    (failure,) = ElementTree.fromstring(ran.out).iter("failure")
    assert failure.attrib["message"] == "nothing listens on 2222"
    assert failure.text is not None
    assert [line.split(" ")[0] for line in failure.text.splitlines()] == ["nothing", "whether", "asked"]


def test_each_name_in_a_policy_that_no_host_has_is_told(audited: Callable[..., Ran]) -> None:
    ran = audited("[[rule]]\nname = 'r'\nhosts = ['web*', 'wbe1', 'mail*']\nexpect = [{port = 443}]")
    assert (ran.status, "no host matches wbe1, mail*" in ran.out) == (3, True)
    ran = audited("[[rule]]\nname = 'r'\nhosts = 'web*'\nexcept = 'WEB1'\nexpect = [{port = 443}]")
    assert (ran.status, "except leaves none of the hosts that match web*" in ran.out) == (3, True)
    assert audited("[[rule]]\nname = 'r'\nhosts = ['web*', 'WEB1']\nexpect = [{port = 443}]").status == 0
