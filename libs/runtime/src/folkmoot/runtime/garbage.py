"""When a service looks for garbage that refers to itself, which holds everything up meanwhile."""

from __future__ import annotations

import gc

GARBAGE_AFTER = (20_000, 20, 20)
"""How many more objects there are before the youngest are looked at, and how often these are
before older ones. What is read at once makes tens of thousands of objects, all in use until it is
handled: with Python's 700, looking at them again and again takes half as long as decoding them."""


def look_rarely() -> None:
    """Look at what is there now once, and at modules and the like never again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_AFTER)
