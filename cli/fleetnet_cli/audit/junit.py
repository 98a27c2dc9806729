"""`-o junit`: a suite for each rule, a case for each host that it concerns, as test reports of CI systems have it.

There is no standard of it; what is written here is what Jenkins, GitLab and GitHub's actions read in common. What could
not be judged is skipped, with the reason.
"""

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

from fleetnet_cli.audit.judge import VIOLATED, Judged
from fleetnet_cli.audit.policy import Rule
from fleetnet_cli.text import visible


def write(rules: Sequence[Rule], judged: Iterable[Judged], coverage: str, whole: bool) -> str:
    """The whole document. `coverage` says how far the answer reaches; where that is not `whole` it is a case that was
    skipped, so that nobody takes the rest for all."""
    by_rule: dict[str, list[Judged]] = {rule.name: [] for rule in rules}
    for one in judged:
        by_rule[one.rule.name].append(one)
    suites = [_suite(name, cases) for name, cases in by_rule.items()]
    told = "" if whole else f"<skipped message={_quoted(coverage)}/>"
    reach = f'  <testsuite name="coverage" tests="1" failures="0" errors="0" skipped="{int(not whole)}">\n'
    reach += f'    <testcase classname="coverage" name="hosts">{told}</testcase>\n  </testsuite>\n'
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="fleetnet audit">\n'
    return head + "".join(suites) + reach + "</testsuites>\n"


def _suite(name: str, cases: list[Judged]) -> str:
    failures, skipped = sum(map(_failed, cases)), sum(map(_skipped, cases))
    counted = f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="{skipped}"'
    return f"  <testsuite name={_quoted(name)} {counted}>\n" + "".join(map(_case, cases)) + "  </testsuite>\n"


def _failed(case: Judged) -> bool:
    return any(finding.verdict == VIOLATED for finding in case.findings)


def _skipped(case: Judged) -> bool:
    return bool(case.findings) and not _failed(case)


def _case(case: Judged) -> str:
    head = f"    <testcase classname={_quoted(case.rule.name)} name={_quoted(case.host or 'no host')}"
    if not case.findings:
        return head + "/>\n"
    told = sorted(case.findings, key=lambda finding: finding.verdict != VIOLATED)
    why = [case.rule.why] * bool(case.rule.why)
    first, all_of_them = _quoted(told[0].message), escape(visible_lines([*(one.message for one in told), *why]))
    if _failed(case):
        inside = f"<failure type={_quoted(case.rule.severity)} message={first}>{all_of_them}</failure>"
    else:
        inside = f"<skipped message={first}/>"
    return f"{head}>\n      {inside}\n    </testcase>\n"


def visible_lines(messages: Iterable[str]) -> str:
    """One a line; what XML cannot hold is shown as its number."""
    return "\n".join(map(visible, messages))


def _quoted(text: str) -> str:
    return quoteattr(visible(text))
