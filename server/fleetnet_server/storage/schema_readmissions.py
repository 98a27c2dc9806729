"""The table of hosts whose certificate has ended and who ask to be let in again.

What must stay true: as in schema.py. A row is about one certificate of its host; it says nothing once the host has
another.
"""

from sqlalchemy import BigInteger, Column, Table, Text

from fleetnet_server.storage.metadata import METADATA

_RIVAL = "When another key was wanted with the same certificate, so that two have it; collector's clock. 0: never."
_KEY = "SHA-256 of the public key that it wants certified, hexadecimal."
_APPROVED = "When somebody approved it; collector's clock. 0: not yet."

readmissions = Table(
    "readmissions",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Which host asks."),
    Column("serial", Text, nullable=False, comment="Serial of the certificate that has ended, hexadecimal."),
    Column("wanted_key", Text, nullable=False, comment=_KEY),
    Column("peer", Text, nullable=False, comment="The address that it asked from first."),
    Column("asked_at_us", BigInteger, nullable=False, comment="When it asked first; collector's clock."),
    Column("rival_at_us", BigInteger, nullable=False, comment=_RIVAL),
    Column("approved_at_us", BigInteger, nullable=False, comment=_APPROVED),
    comment="Hosts whose certificate has ended, and who ask for another.",
)
