"""Who talks to whom: sockets of the whole fleet put together to edges between programs, for `fleetnet map`."""
