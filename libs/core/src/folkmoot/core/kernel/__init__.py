"""The kernel: the log decides. See README.md beside this file for the rule and its invariants."""

from folkmoot.core.kernel.leadership import COURTESY_MS, Leadership, Verdict
from folkmoot.core.kernel.machine import (
    Effect,
    Led,
    Local,
    Machine,
    Position,
    Refused,
    Send,
    Tampered,
    Tick,
)
from folkmoot.core.kernel.records import (
    NOTHING,
    Beat,
    Claim,
    Entry,
    LogRecord,
    Mark,
    Progress,
    Resign,
)
from folkmoot.core.kernel.rejection import (
    DEAD_LETTERS,
    EXCERPT_BYTES_MAX,
    DeadLetter,
    InputRejected,
    Undecodable,
)
from folkmoot.core.kernel.shard import (
    AppendedElsewhere,
    LogTruncated,
    Pending,
    Received,
    Shard,
)
from folkmoot.core.kernel.snapshot import Snapshot, restored, take

__all__ = [
    "COURTESY_MS",
    "DEAD_LETTERS",
    "EXCERPT_BYTES_MAX",
    "NOTHING",
    "AppendedElsewhere",
    "Beat",
    "Claim",
    "DeadLetter",
    "Effect",
    "Entry",
    "InputRejected",
    "Leadership",
    "Led",
    "Local",
    "LogRecord",
    "LogTruncated",
    "Machine",
    "Mark",
    "Pending",
    "Position",
    "Progress",
    "Received",
    "Refused",
    "Resign",
    "Send",
    "Shard",
    "Snapshot",
    "Tampered",
    "Tick",
    "Undecodable",
    "Verdict",
    "restored",
    "take",
]
