"""Output ids (R3): UUIDv5 of what an output is, so that the same fact never has two ids."""

from __future__ import annotations

from hashlib import sha1

#: The namespace of this product's outputs: UUIDv5 of the DNS namespace and "outputs.sla-clocks".
NAMESPACE = bytes.fromhex("0b8559c8df545f8dbb5bd03c7a367282")


def output_id(*parts: object) -> str:
    """UUIDv5 of the parts, in text form. Spelled out because `uuid.uuid5` costs three times as much."""
    digest = bytearray(sha1(NAMESPACE + "\x1f".join(map(str, parts)).encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
