"""The ports through which everything leaves a process, and `connect`, which chooses adapters."""

from folkmoot.bus.addresses import BadAddress
from folkmoot.bus.connecting import connect
from folkmoot.bus.ports import (
    Appender,
    AppendUncertain,
    Bus,
    BusError,
    BusUnavailable,
    CorruptLog,
    Gossip,
    Gossiped,
    Log,
    NoResponder,
    Record,
    RecordTooLarge,
    Stored,
    Tail,
    Topic,
    TopicMismatch,
    UnknownTopic,
)

__all__ = [
    "AppendUncertain",
    "Appender",
    "BadAddress",
    "Bus",
    "BusError",
    "BusUnavailable",
    "CorruptLog",
    "Gossip",
    "Gossiped",
    "Log",
    "NoResponder",
    "Record",
    "RecordTooLarge",
    "Stored",
    "Tail",
    "Topic",
    "TopicMismatch",
    "UnknownTopic",
    "connect",
]
