"""SYNs from an address that never answers, by which a listener comes to half-open connections.

python -m system.stranger SOURCE TARGET TARGET_PORT SOURCE_PORT…
"""

import argparse
import socket
import struct


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(source: str, source_port: int, target: str, target_port: int) -> bytes:
    """An IPv4 packet with a TCP SYN (RFC 791, RFC 9293); the kernel fills in the IP checksum and length."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    before = struct.pack("!HHIIBBH", source_port, target_port, 1, 0, 5 << 4, 0x02, 64240)
    pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, 20)
    segment = before + struct.pack("!HH", checksum(pseudo + before + bytes(4)), 0)
    return struct.pack("!BBHHHBBH", 4 << 4 | 5, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0) + addresses + segment


def main() -> None:
    """Send them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("target_port", type=int)
    parser.add_argument("source_ports", type=int, nargs="+")
    asked = parser.parse_args()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for port in asked.source_ports:
            raw.sendto(syn(asked.source, port, asked.target, asked.target_port), (asked.target, 0))


if __name__ == "__main__":
    main()
