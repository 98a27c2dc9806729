"""Protocol statistics in the layout of netstat(8), to the space.

The rules that are easy to get wrong:
  * a counter without a sentence is told by the kernel's name, and only where it has counted something;
  * kinds of ICMP messages stand beneath a heading, which comes again after anything else that has a sentence;
  * such a heading, and what has no sentence, is as far in as the line before it, even that of another group, but for
    one that netstat knows, be it shown or not;
  * a group that netstat does not know is shown whatever was asked for, and its heading where there is nothing beneath.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby

from fleetnet_cli.live import Statistic
from fleetnet_cli.output.netstat import dotted, sentences
from fleetnet_cli.output.terminal import Terminal

# Whose each group is that netstat knows.
_PROTOCOLS = {
    "Ip": "raw",
    "Icmp": "raw",
    "Tcp": "tcp",
    "TcpExt": "tcp",
    "Udp": "udp",
    "Ip6": "raw",
    "Icmp6": "raw",
    "Udp6": "udp",
}
_KINDS = ((sentences.RECEIVED_HEADING, sentences.RECEIVED), (sentences.SENT_HEADING, sentences.SENT))
_NEAR, _FAR = " " * 4, " " * 8


def write(statistics: Iterable[Statistic], protocols: Collection[str], out: Terminal) -> int:
    """Writes them group by group, in the order given: of the groups that netstat knows those of `protocols`, or all
    where none is named. Returns how many lines."""
    lines = [dotted(line) + "\n" for line in _lines(statistics, protocols)]
    out.write("".join(lines))
    return len(lines)


def _lines(statistics: Iterable[Statistic], protocols: Collection[str]) -> Iterator[str]:
    beneath = ""  # the heading of the kind of messages told last
    for group, members in groupby(statistics, key=lambda one: one.group):
        protocol = _PROTOCOLS.get(group)
        if protocol:
            beneath = ""
            if protocols and protocol not in protocols:
                continue
        yield f"{group}:"
        for one in members:
            heading, sentence = _said(one)
            if sentence is None:
                if one.value and not _is_unsaid(one):
                    yield f"{_FAR if beneath else _NEAR}{_name(one)}: {one.value}"
                continue
            if heading and heading != beneath:
                yield f"{_FAR if beneath else _NEAR}{heading}"
            beneath = heading
            if sentence:
                yield f"{_FAR if heading else _NEAR}{sentence}"


def _said(one: Statistic) -> tuple[str, str | None]:
    """The heading that it stands beneath and its sentence: empty for what is passed over, None where it has none."""
    for heading, names in _KINDS:
        if (kind := names.get(one.group, {}).get(one.name)) is not None:
            return heading, f"{kind}: {one.value}" if one.value else ""
    if (sentence := sentences.ALWAYS.get(one.group, {}).get(one.name)) is not None:
        return "", sentence.format(one.value)
    if (sentence := sentences.COUNTED.get(one.group, {}).get(one.name)) is not None:
        return "", sentence.format(one.value) if one.value else ""
    return "", None


def _is_unsaid(one: Statistic) -> bool:
    return one.name in sentences.UNSAID.get(one.group, ())


def _name(one: Statistic) -> str:
    # The names of IPv6's counters begin with their group.
    return f"{one.group}{one.name}" if "6" in one.group else one.name
