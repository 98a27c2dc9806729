"""The tables of the CAs that the fleet trusts, and of whom each certificate that is in use was issued by.

What must stay true: whoever issues a certificate notes it in the transaction that stores its owner, so that it is known
of each host which CAs were handed to it, and by the first stream over the new certificate that it has them.
"""

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, Table, Text

from fleetnet_server.storage.metadata import METADATA, Name

_STANDING = "issuing: what is issued is signed by it; next: trusted, and to take its place; former: trusted still."
_TRUSTS = "SHA-256 of each CA that was handed over with it, ascending, a space between; else of the one that signed it."
_SHOWN = "Whether it has been shown since: then what was handed over with it is stored there too."

authorities = Table(
    "authorities",
    METADATA,
    Column("standing", Name, primary_key=True, comment=_STANDING),
    Column("certificate", LargeBinary, nullable=False, comment="The certificate of the CA, DER."),
    Column("since_us", BigInteger, nullable=False, comment="Since when it stands so; collector's clock."),
    comment="CAs that the fleet trusts, at most three.",
)

certificates = Table(
    "certificates",
    METADATA,
    Column("kind", Name, primary_key=True, comment="host, person, or collector."),
    Column("name", Name, primary_key=True, comment="What the host, the person or the collector's machine is called."),
    Column("serial", Text, nullable=False, comment="Serial of its newest certificate, hexadecimal."),
    Column("issuer", Text, nullable=False, comment="SHA-256 of the CA that signed it, hexadecimal."),
    Column("trusts", Text, nullable=False, comment=_TRUSTS),
    Column("until_us", BigInteger, nullable=False, comment="When it ends."),
    Column("shown", Boolean, nullable=False, comment=_SHOWN),
    comment="The newest certificate of each host, person and collector, and whom its owner trusts.",
)
