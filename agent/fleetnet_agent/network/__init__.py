"""What a network namespace is beside its sockets.

rtnetlink.py    netlink messages and attributes; what is asked of the kernel
links.py        interfaces and their addresses
routes.py       routes and next hops
ethtool.py      speed, duplex, link and driver of an interface
dump.py         the socket to rtnetlink
facts.py        all of these together: the interfaces and routes of a namespace
news.py         the kernel's word that something of them changed
place.py        one namespace, read when that is due
following.py    all of them, and what of them is to be told
statistics.py   counters of interfaces and protocols, for a live look
texts.py        the kernel's files that these are in

The codecs (rtnetlink, links, routes, statistics) are pure.
"""
