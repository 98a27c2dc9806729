"""The gRPC channel under a stream: mutual TLS, keepalive, bounds. One channel per stream, never used again."""

from typing import Final

from grpc import aio, ssl_channel_credentials

from fleetnet_agent.state import Identity

MAX_MESSAGE_BYTES: Final = 1 << 20  # the wire's own bound, both ways

OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.http2.max_pings_without_data", 0),  # an idle stream is the usual case
    # What comes back are acknowledgements, so there is no use in measuring how much could: with a ping after each.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),  # the window does it
    ("grpc.enable_http_proxy", 0),  # a proxy of the environment would see the inside of no mTLS stream
    # Without this, a new channel would share the old one's connection, and so its certificate and its own backoff.
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(address: str, identity: Identity) -> aio.Channel:
    """A channel that proves this host's identity and trusts the collector's CA alone. Connects when first used."""
    credentials = ssl_channel_credentials(
        root_certificates=identity.ca_pem,
        private_key=identity.key_pem,
        certificate_chain=identity.certificate_pem,
    )
    return aio.secure_channel(address, credentials, options=OPTIONS)


def open_channel_as_stranger(address: str, identity: Identity) -> aio.Channel:
    """A channel that proves nothing, and trusts the collector's CA alone: to an enrollment port."""
    return aio.secure_channel(address, ssl_channel_credentials(root_certificates=identity.ca_pem), options=OPTIONS)
