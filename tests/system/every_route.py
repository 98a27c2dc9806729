"""Routes and interfaces of every kind that netstat(8) shows differently, made on a host."""

import subprocess

from demo.fabric import Host
from demo.programs import until

_IPV4 = """
link set lo up
link add br1 type bridge
link add v0 type veth peer name v1
link add v2 type veth peer name v10
link add br0 type bridge
link set v10 master br0
link set v0 up
link set v1 up
link set v2 up
link set br0 up
link set v0 allmulticast on promisc on
link set v1 dynamic on
link set v2 arp off mtu 9000
address add 10.1.2.3/24 dev v0
address add 169.254.7.7/16 dev v1
address add 10.77.0.1 peer 10.77.0.2/32 dev v1
route add blackhole 10.9.0.0/16
route add unreachable 10.8.0.0/16 metric 5
route add prohibit 10.7.1.1
route add throw 10.6.0.0/16
route add local 10.5.5.6 dev lo table main
route add default via 10.1.2.1 advmss 1400 window 5000 rtt 100ms
route add unreachable default metric 4278198272
route add 0.0.0.0/1 dev v0
route add 127.0.0.0/8 dev lo table main
route add 10.4.0.0/16 nexthop via 10.1.2.4 weight 2 nexthop via 10.1.2.5
route add 10.3.0.0/16 via inet6 fe80::5 dev v0
route add 10.4.0.0/24 via 10.1.2.4 metric 7
route add 10.4.0.0/24 via 10.1.2.4 metric 3
route add 10.4.0.0/24 via 10.1.2.4 tos 0x10
route append 10.4.0.0/24 via 10.1.2.5 metric 7
route add broadcast 10.44.0.0 dev v0 table main
route add multicast 239.0.0.0/8 dev v0 table main
route add 10.99.0.0/16 dev v0 table 100
"""
_IPV6 = """
address add 2001:db8:1::1/64 dev v0 nodad
address add 2001:db8:1111:2222:3333:4444:5555:6666/128 dev lo nodad
address add 2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/128 dev lo
route add blackhole 2001:db8:2::/48
route add unreachable 2001:db8:3::/48
route add prohibit 2001:db8:4::/48
route add throw 2001:db8:5::/48
route add local 2001:db8:6::/64 dev lo table 100
route add 2001:db8:7::/48 nexthop via 2001:db8:1::2 nexthop via 2001:db8:1::3
route add 2001:db8:7::/64 dev v0 metric 9
route add 2001:db8:7::/64 dev v1 metric 3
route add 2001:db8:7::1 dev v0
route add default via 2001:db8:1::2 table 200
route add 2001:db8:8::/48 dev v0 table 1000
"""
_TENTATIVE = 0x40  # IFA_F_TENTATIVE of include/uapi/linux/if_addr.h


def make(host: Host) -> None:
    """All of them; their addresses are past the search for duplicates."""
    for batch, commands in ((("ip", "-batch", "-"), _IPV4), (("ip", "-6", "-batch", "-"), _IPV6)):
        subprocess.run(host.command(*batch), input=commands, text=True, check=True)
    until(lambda: _is_settled(host), within_s=60.0, what="addresses that are past the search for duplicates")


def _is_settled(host: Host) -> bool:
    lines = [line.split() for line in host.run("cat", "/proc/self/net/if_inet6").splitlines()]
    own = {line[5] for line in lines if line[0].startswith("fe80")}
    return own >= {"v0", "v1", "eth0"} and not any(int(line[4], 16) & _TENTATIVE for line in lines)
