"""What the emitter sends at once: whole entries, since that is how it acknowledges them."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from folkmoot.core.kernel import Mark, Send
from folkmoot.core.kernel.shard import Pending
from folkmoot.runtime import emitter as emitting
from folkmoot.runtime.emitter import Emitter


@pytest.mark.parametrize(
    ("at_once", "sent"), [(1, ["4.0", "4.1", "4.2"]), (3, ["4.0", "4.1", "4.2"]), (4, None)]
)
def test_no_entry_is_cut_in_two(
    monkeypatch: pytest.MonkeyPatch, at_once: int, sent: list[str] | None
) -> None:
    monkeypatch.setattr(emitting, "EFFECTS_MAX", at_once)
    marks = [Mark(4, 0), Mark(4, 1), Mark(4, 2), Mark(5, 0), Mark(5, 1)]
    shard: Any = SimpleNamespace(pending=deque(Pending(m, Send("t", m), 0) for m in marks))
    unused: Any = None
    emitter = Emitter(shard, unused, unused, "log/0", unused, unused)
    batch = [f"{each.mark.offset}.{each.mark.ordinal}" for each in emitter._next()]
    assert batch == (sent or [f"{mark.offset}.{mark.ordinal}" for mark in marks])
