"""What the agent knows, as protobuf.

batches.py      differences and snapshots, for the report stream
live.py         live looks, in parts beside the batches
sockets.py      sockets and who holds them, in both
network.py      namespaces, interfaces and routes
brief_rows.py   sockets that no look saw, packed by hand

All are pure, and bound what a host shows on its way out.
"""
