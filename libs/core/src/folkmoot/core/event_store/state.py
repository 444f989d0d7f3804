"""The state of an event store's shard: where each stream ends, and what was answered of late."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from folkmoot.core.event_store.answers import AppendAnswer

REQUESTS_REMEMBERED_MAX = 65_536
"""How many requests a shard can recognise when they come again; the oldest is forgotten first.

At 500 appends a second it remembers two minutes, for which Kafka's producers retry by default
(`delivery.timeout.ms`), in about 30 MB. A constant and no setting, as `apply` must forget alike on
every member. What comes again later is still caught if it expects a version.
"""


def _key(stream: str, request_id: str) -> str:
    """Return what a request is known by: its id need only be unique within its stream.

    No stream and no request id that was ever accepted has a line break.
    """
    return f"{stream}\n{request_id}"


@dataclass(slots=True)
class EventStoreState:
    """`versions` counts the events of each stream; `answers` has the oldest first."""

    versions: dict[str, int] = field(default_factory=dict)
    answers: OrderedDict[str, AppendAnswer] = field(default_factory=OrderedDict)
    appended: int = 0

    def version(self, stream: str) -> int:
        """Return how many events the stream has, 0 if there is no such stream."""
        return self.versions.get(stream, 0)

    def answer(self, stream: str, request_id: str) -> AppendAnswer | None:
        """Return what the request was answered, None if it is new or long ago."""
        return self.answers.get(_key(stream, request_id))

    def remember(self, answer: AppendAnswer) -> None:
        """Keep the answer for when its request is repeated; forget the oldest if need be."""
        self.answers[_key(answer.stream, answer.request_id)] = answer
        if len(self.answers) > REQUESTS_REMEMBERED_MAX:
            self.answers.popitem(last=False)
