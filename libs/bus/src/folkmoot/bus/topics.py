"""What a topic's name and settings must be, checked alike by every adapter.

Why here: a topic that is fine in the embedded file must not fail on Kafka, and a topic whose
settings would lose history is refused by both with the same sentence.

Invariant: nothing is changed; a mismatch is reported, never mended behind the user's back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from folkmoot.bus.ports import BusError, Topic, TopicMismatch

NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")  # the legal names of Kafka's `Topic.validate`

DEFAULTS = {  # Kafka's own defaults of the settings that can lose history
    "cleanup.policy": "delete",
    "retention.bytes": "-1",
}
AT_LEAST = ("retention.ms", "retention.bytes", "min.insync.replicas")  # more is as good; -1 is all
EQUAL = ("cleanup.policy", "unclean.leader.election.enable", "message.timestamp.type")


def check_name(topic: Topic) -> None:
    """Raise `BusError` if Kafka would refuse the topic's name or partition count."""
    if NAME.fullmatch(topic.name) is None or topic.name in {".", ".."}:
        raise BusError(
            f"Topic name {topic.name!r} is not legal. Use letters, digits, '.', '_' and '-', "
            "at most 249 characters."
        )
    if topic.partitions < 1:
        raise BusError(f"Topic {topic.name!r} needs at least 1 partition.")


def check_topic(wanted: Topic, partitions: int, actual: Mapping[str, str]) -> None:
    """Raise `TopicMismatch` if the existing topic misplaces keys or would lose history."""
    if partitions != wanted.partitions:
        raise TopicMismatch(
            f"Topic {wanted.name!r} has {partitions} partitions, not {wanted.partitions}: keys "
            f"would land in the wrong partition. Configure {partitions} partitions, or delete "
            "the topic (and what is in it) and start again."
        )
    expected = {**DEFAULTS, **wanted.config}
    for setting in (*AT_LEAST, *EQUAL):
        want, have = expected.get(setting), actual.get(setting, DEFAULTS.get(setting))
        if want is None or have is None or _keeps(setting, have, want):
            continue
        raise TopicMismatch(
            f"Topic {wanted.name!r} has {setting}={have}, which would lose history; it must be "
            f"{setting}={want}. Set it, for example: kafka-configs.sh --alter --entity-type "
            f"topics --entity-name {wanted.name} --add-config {setting}={want}"
        )


def _keeps(setting: str, have: str, want: str) -> bool:
    if setting in EQUAL:
        return have == want
    return int(have) == -1 or (int(want) != -1 and int(have) >= int(want))
