"""Options of netstat(8) that are refused here: what to say of each, and what to use.

Together with the options of the command these are all that netstat of net-tools 2.10 knows; docs/netstat.md has them
in a table, and a test holds that table to both.
"""

from fleetnet_cli.options import O_OF_NETSTAT

_UNREAD = "agents read no {} sockets; the files of /proc/net on the host have them"
_OF_UNREAD = {
    "--ax25": "AX.25",
    "--netrom": "NET/ROM",
    "--rose": "ROSE",
    "--ipx": "IPX",
    "--ddp": "AppleTalk",
    "--appletalk": "AppleTalk",
    "--x25": "X.25",
    "--econet": "Econet",
    "--ec": "Econet",
    "--ash": "Ash",
    "--bluetooth": "Bluetooth",
    "--l2cap": "Bluetooth",
    "-2": "Bluetooth",
    "--rfcomm": "Bluetooth",
    "-f": "Bluetooth",
}
_SAID = {
    ("-c", "--continuous"): "for what comes and goes use fleetnet watch",
    ("-g", "--groups"): 'multicast groups are not read; "ip maddress" on the host shows them',
    ("-M", "--masquerade"): (
        'Linux has shown no masqueraded connections there since 2.4; "conntrack -L" on the host shows translated ones'
    ),
    ("-C", "--cache"): "Linux has had no cache of IPv4 routes since 3.6; -r alone shows the table that it goes by",
    ("-Z",): 'SELinux contexts are not read; "ss -Z" on the host shows them',
    ("-V", "--version"): "fleetnet --version has that of this program",
    ("-d",): "it shows nothing in netstat(8) either; leave it out",
}

REFUSED: dict[str, str] = {
    **{option: said for options, said in _SAID.items() for option in options},
    **{option: _UNREAD.format(kind) for option, kind in _OF_UNREAD.items()},
}

# Options of both that mean something else here, typed as if they did not.
OTHERWISE: dict[str, str] = {
    "-o": O_OF_NETSTAT,
    "--context": f"--context names one of the configuration here; {REFUSED['-Z']}",
}
