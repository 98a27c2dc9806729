"""`fleetnet` alone: the questions that an admin has, each as it is typed."""

SCREEN = """\
netstat for a whole fleet, with a memory. What would you like to know?

  fleetnet who-listens 443                    who serves a port, and since when
  fleetnet who-listens --exposed              what can be reached from elsewhere
  fleetnet who-holds CLOSE_WAIT --by process  which program leaks connections
  fleetnet netstat web1 -tulpn                what netstat says on a host
  fleetnet hosts                              which hosts there are, and are silent

Each of them for a time past, with --at "yesterday 14:00". What a state, column
or port means: "fleetnet explain CLOSE_WAIT". All else: "fleetnet --help".
"""
