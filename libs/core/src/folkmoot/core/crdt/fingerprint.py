"""Fingerprints: eight bytes that tell whether two states are equal, without exchanging them.

The fingerprint of a collection is the sum of its members' hashes, so that it follows each change
at the cost of that change. It detects mistakes and losses; it is no defence against an attacker.
"""

from __future__ import annotations

from hashlib import blake2b

MODULUS = 1 << 64


def hash_of(*parts: str) -> int:
    """Return the hash of a sequence of texts."""
    sized = "".join(f"{len(part)}:{part}" for part in parts)
    return int.from_bytes(blake2b(sized.encode(), digest_size=8).digest(), "big")


def text_of(total: int) -> str:
    """Return a sum of hashes as it is written in messages."""
    return f"{total % MODULUS:016x}"
