"""How an answer looks. One module a format; what an item shows is in sockets.py, hosts.py, counts.py and tokens.py."""
