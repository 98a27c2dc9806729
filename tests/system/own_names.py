"""A host with names of its own: its files of hosts, networks, services and protocols, and no name server.

What runs on it sees them in a mount namespace, the machine's files stay as they are.
"""

from dataclasses import dataclass
from pathlib import Path

from demo.fabric import Host

# Long ones are cut; of two names of one port netstat(8) takes the later line's.
FILES = {
    "hosts": """\
127.0.0.1 localhost
127.0.0.9 a-near-host-with-a-long-name.example.com near
::1 ip6-localhost
2001:db8:1111:2222:3333:4444:5555:6666 far-six.example.com
10.1.2.1 gateway.example.com
10.7.1.1 forbidden
2001:db8:1::2 six-gateway
""",
    "networks": "near-net 10.1.2.0\nlink-local 169.254.0.0\n",
    "services": """\
http 80/tcp www
domain 53/tcp
domain 53/udp
ntp 123/udp
https 443/tcp
postgresql 5432/tcp
http-alt 8080/tcp
webcache 8080/tcp
a-service-with-a-very-long-name 8081/tcp
""",
    "protocols": "ip 0 IP\nicmp 1 ICMP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\nospf 89 OSPFIGP\n",
    "nsswitch.conf": "hosts: files\nnetworks: files\nservices: files\nprotocols: files\npasswd: files\n",
    "resolv.conf": "",
}


@dataclass(frozen=True, slots=True)
class NamedHost(Host):
    """The same host, to whose commands these files are those of /etc."""

    files: Path  # a folder that has them

    def command(self, *arguments: str) -> list[str]:
        """See `Host`."""
        covered = " && ".join(f'mount --bind "$0/{name}" /etc/{name}' for name in FILES if Path("/etc", name).exists())
        entered = ["unshare", "--mount", "sh", "-c", f'{covered} && exec "$@"', str(self.files), *arguments]
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *entered]


def with_own_names(host: Host, directory: Path) -> NamedHost:
    """The host with these files, which are made in the directory."""
    files = directory / "etc"
    files.mkdir(exist_ok=True)
    for name, text in FILES.items():
        (files / name).write_text(text)
    return NamedHost(host.name, host.namespace, host.address, files)
