from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.chaos.ledger import Deed, Effect

Make = Callable[..., Effect]


@pytest.fixture
def effect() -> Make:
    """Make an effect of saga `s`; each run of a handler is another one, as in a run of chaos."""
    runs = itertools.count(1)

    def make(step: str = "charge", deed: Deed = "do", saga_id: str = "s", epoch: int = 0) -> Effect:
        key = f"{saga_id}/{step}/{deed}"
        return Effect(saga_id, step, deed, key, epoch, 1, next(runs), "m")

    return make
