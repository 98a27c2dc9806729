"""The tables of people who ask over the network, and of the tokens by which they log in.

They stand beside hosts and their tokens and not among them: what is looked up for the one is never found for the other.
"""

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from fleetnet_server.storage.metadata import METADATA, Name

_RENEWED = "Serial of the certificate before, good until the newest has been shown; empty: none is."

_MADE_BY = "Who made it: local, over the admin socket, or a person's URI; empty: that was not noted yet."

people = Table(
    "people",
    METADATA,
    Column("name", Name, primary_key=True, comment="Name that the certificate carries."),
    Column("role", Text, nullable=False, comment="viewer, or operator: may administer too."),
    Column("status", Text, nullable=False, comment="active, or revoked: nothing is answered any more."),
    Column("joined_at_us", BigInteger, nullable=False, comment="When the person first logged in; collector's clock."),
    Column("certificate_serial", Text, nullable=False, comment="Serial of the newest certificate, hexadecimal."),
    Column("renewed_serial", Text, nullable=False, comment=_RENEWED),
    Column("certificate_until_us", BigInteger, nullable=False, comment="When the newest certificate ends."),
    comment="People who may ask over the network, or might once.",
)

person_tokens = Table(
    "person_tokens",
    METADATA,
    Column(
        "secret_hash", LargeBinary, primary_key=True, comment="SHA-256 of the secret; the secret itself is never kept."
    ),
    Column("person", Name, nullable=False, comment="Name of the one person that it lets log in."),
    Column("role", Text, nullable=False, comment="What the person may do from that login on."),
    Column("created_at_us", BigInteger, nullable=False, comment="When it was made; collector's clock."),
    Column("expires_at_us", BigInteger, nullable=False, comment="From when on it admits nobody; collector's clock."),
    Column("used_at_us", BigInteger, comment="When it was used; collector's clock. Once only."),
    Column("made_by", Name, nullable=False, server_default="", comment=_MADE_BY),
    Column("revoked_at_us", BigInteger, comment="When it was revoked; collector's clock."),
    comment="One-time tokens by which people log in.",
)
