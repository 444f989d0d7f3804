"""What a record may be, checked alike by every adapter before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

from folkmoot.bus.ports import BusError, Record, RecordTooLarge, Stored

RECORD_LIMIT_BYTES = 1024 * 1024  # as Kafka's default `max.message.bytes` has it
FRAMING_BYTES = 70  # the most that Kafka adds to a record: lengths, time, and the batch's head
HEADER_BYTES = 10  # the most that it adds to a header


def size_of(record: Record | Stored) -> int:
    """Return the most bytes that the record takes on Kafka."""
    size = FRAMING_BYTES + len(record.value or b"") + len(record.key or b"")
    for name, value in record.headers:
        size += HEADER_BYTES + len(name) + len(value)
    return size


def check_records(
    topic: str, records: Sequence[Record], limit_bytes: int, *, compacted: bool
) -> int:
    """Return the size of all `records`.

    Raises:
        RecordTooLarge: one of them is over the limit.
        BusError: one has no key, and the topic is compacted.
    """
    total = 0
    for record in records:
        size = size_of(record)
        if size > limit_bytes:
            raise RecordTooLarge(
                f"A record for topic {topic!r} takes {size:,} bytes; the limit is "
                f"{limit_bytes:,}. Send less, or put the data elsewhere and send a reference."
            )
        if compacted and record.key is None:
            raise BusError(f"Topic {topic!r} is compacted: each of its records needs a key.")
        total += size
    return total
